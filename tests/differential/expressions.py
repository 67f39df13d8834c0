"""Expressions of every kind. None of them can fail at run time: which rows a filter has already
taken away when an expression is computed is the plan's business, and two plans may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.differential.grammar import GRAMMAR, rule, templates
from tests.differential.values import PLAIN, SHOWN, SQL_TYPES, constant

if TYPE_CHECKING:
    from tests.differential.grammar import Maker, Scope

DEPTH_MAX = 3
SUBQUERY_DEPTH_MAX = 1
"""How deep in an expression a subquery may stand."""
_COMPARISONS = ("=", "<>", "<>", "<", "<", "<=", "<=", ">", ">", ">=", ">=", "IS DISTINCT FROM",
                "IS DISTINCT FROM", "IS NOT DISTINCT FROM")  # fmt: skip
_ORDERED = ("int", "decimal", "text", "date", "timestamp", "uuid", "enum", "real", "blob", "time",
            "timestamptz", "interval", "list", "struct", "texts", "huge", "bool", "bit", "timetz",
            "array", "structs")  # fmt: skip


def value(maker: Maker, kind: str, scope: Scope, depth: int = 0) -> str:
    """An expression of a kind: a column where there is one, or something around columns."""
    if depth < DEPTH_MAX and maker.chance(0.6 - 0.1 * depth):
        family = f"value {kind}"
        own = family in GRAMMAR and maker.chance(0.8)
        made = maker.pick(family, scope, depth) if own else maker.pick("value", kind, scope, depth)
        if made is not None:
            return str(made)
    return _leaf(maker, kind, scope)


def _leaf(maker: Maker, kind: str, scope: Scope) -> str:
    """A column of a kind, also one of the query around; or a constant."""
    fitting = scope.of_kind(kind)
    around = [column for column in scope.outer if column.kind == kind]
    if around and maker.chance(0.2 if fitting else 0.9):
        return str(maker.one_of(around).sql)
    if fitting and maker.chance(0.93):
        return str(maker.one_of(fitting).sql)
    return constant(maker, kind)


def varying(maker: Maker, kind: str, scope: Scope, depth: int) -> str:
    """An expression of a kind with a column in it, as an ORDER BY wants it."""
    for _ in range(8):
        made = value(maker, kind, scope, depth)
        if any(column.sql in made for column in scope.columns):
            return made
    return str(maker.one_of(scope.columns).sql)


def shown_kind(maker: Maker, scope: Scope) -> str:
    """A kind that the scope has columns of."""
    kinds = sorted({column.kind for column in scope.columns} - {"none"})
    return str(maker.one_of(kinds) if kinds and maker.chance(0.8) else maker.one_of(SHOWN))


@rule("value", "CASE WHEN", 2)
def _case(maker: Maker, kind: str, scope: Scope, depth: int) -> str:
    arms = "".join(
        f" WHEN {maker.predicate(scope, depth + 1)} THEN {maker.value(kind, scope, depth + 1)}"
        for _ in range(maker.random.randint(1, 2))
    )
    other = f" ELSE {maker.value(kind, scope, depth + 1)}" if maker.chance(0.6) else ""
    return f"CASE{arms}{other} END"


@rule("value", "simple CASE")
def _simple_case(maker: Maker, kind: str, scope: Scope, depth: int) -> str:
    subject, one, two = (maker.value("int", scope, depth + 1) for _ in range(3))
    first, second = (maker.value(kind, scope, depth + 1) for _ in range(2))
    return f"CASE {subject} WHEN {one} THEN {first} WHEN {two} THEN {second} END"


@rule("value", "coalesce", 2)
def _coalesce(maker: Maker, kind: str, scope: Scope, depth: int) -> str:
    return f"coalesce({maker.value(kind, scope, depth + 1)}, {constant(maker, kind)})"


@rule("value", "nullif")
def _nullif(maker: Maker, kind: str, scope: Scope, depth: int) -> str | None:
    if kind not in _ORDERED or kind == "huge":
        return None
    return f"nullif({maker.value(kind, scope, depth + 1)}, {constant(maker, kind)})"


@rule("value", "if")
def _if(maker: Maker, kind: str, scope: Scope, depth: int) -> str:
    chosen, other = (maker.value(kind, scope, depth + 1) for _ in range(2))
    return f"if({maker.predicate(scope, depth + 1)}, {chosen}, {other})"


@rule("value", "greatest and least")
def _greatest(maker: Maker, kind: str, scope: Scope, depth: int) -> str | None:
    if kind not in PLAIN:
        return None
    one, two = (maker.value(kind, scope, depth + 1) for _ in range(2))
    return f"{maker.one_of(['greatest', 'least'])}({one}, {two})"


@rule("value", "cast there and back")
def _cast(maker: Maker, kind: str, scope: Scope, depth: int) -> str | None:
    if kind in {"blob", "huge", "interval", "union"}:
        return None
    sql_type = maker.one_of(SQL_TYPES[kind])
    return f"TRY_CAST({maker.value(kind, scope, depth + 1)}::VARCHAR AS {sql_type})"


@rule("value", "scalar subquery", 2)
def _scalar_subquery(maker: Maker, kind: str, scope: Scope, depth: int) -> str | None:
    if depth > SUBQUERY_DEPTH_MAX or kind not in PLAIN or scope.rows > 3_000:
        return None
    inner = maker.pick("table", 200)
    if inner is None:
        return None
    source, columns = inner[0], inner[1].within(scope)
    # An aggregate of outer columns alone would be one of the query around.
    shown = maker.value(kind, inner[1], DEPTH_MAX - 1)
    function = "min" if kind in {"bool", "uuid", "blob"} else maker.one_of(["min", "max"])
    where = maker.predicate(columns, DEPTH_MAX - 1)
    return f"(SELECT {function}({shown}) FROM {source} WHERE {where})"


templates(
    "value int", 1,
    modulo="({x} % 7)", arithmetic="(({x} % 100)::BIGINT * 2 - ({x2} % 50)::BIGINT)",
    integer_division="({x} // 3)", bits="(({x} % 64)::INTEGER & 12 | 1)", sign="sign({x})",
    absolute="abs({x} % 100)", length="length({text})", strpos="strpos({text}, {text2})",
    unicode="unicode({text})", extract="extract('year' FROM {timestamp})",
    date_diff="date_diff('day', {timestamp}::DATE, {timestamp2}::DATE)", len="len({list})",
    list_sum="list_sum({list})", element="({list})[1]",
    struct_field="struct_extract({struct}, 'a')",
    dotted_field="({struct}).a", map_element="({map})['a']", cardinality="cardinality({map})",
    union_member="union_extract({union}, 'num')", try_cast="TRY_CAST({text} AS INTEGER)",
    try_cast_of_a_double="TRY_CAST({real} AS SMALLINT)",
    json_number="TRY_CAST({json}->>'$.k' AS INT)",
    levenshtein="levenshtein({text}, {text2})", list_position="list_position({list}, 7)",
    regexp_count="len(regexp_extract_all({text}, '[a-z]'))", of_a_boolean="({predicate})::INTEGER",
    octet_length="octet_length({blob})", list_aggregate="list_aggregate({list}, 'max')",
    reduce="list_reduce(list_prepend(0, {list}), lambda p, q: coalesce(p, 0) + coalesce(q, 0))",
    array_element="({array})[2]", bit_count="bit_count({bit})", month="month({timestamp})",
    list_of_structs_field="({structs})[1].a", epoch="epoch_ms({timestamp}::TIMESTAMP) % 86400",
    try_error="TRY(({x} % 5)::INTEGER // ({x2} % 2)::INTEGER)", macro="twice_of({x})",
)  # fmt: skip
templates(
    "value decimal", 1,
    arithmetic="(({x} % 1000)::DECIMAL(9, 2) * 2 + 1.5)", round="round({x}, 1)",
    of_an_integer="({int} % 100)::DECIMAL(9, 2)", absolute="abs({x})", floor="floor({x})",
    try_cast="TRY_CAST({text} AS DECIMAL(9, 2))", rescale="({x} % 100)::DECIMAL(12, 4)",
)  # fmt: skip
templates(
    "value real", 1,
    times="({x} * 2)", sqrt="sqrt(abs({x}))", division="(({int} % 1000) / 4)",
    round="round({x}, 1)", try_cast="TRY_CAST({text} AS DOUBLE)", of_a_decimal="{decimal}::DOUBLE",
    list_avg="list_avg({list})", plus="({x} + {x2})", negated="(-{x})", floor="floor({x})",
)  # fmt: skip
templates(
    "value text", 1,
    upper="upper({x})", lower="lower({x})", concatenated="({x} || '!' || {x2})",
    left="left({x}, 2)", reverse="reverse({x})", replace="replace({x}, 'a', 'oo')",
    substring="substring({x}, 2, 3)", lpad="lpad({x}, 6, '·')", trim="trim({x}, 'a ')",
    concat_ws="concat_ws('-', {x}, {x2}, {int})", split_part="split_part({x}, 'b', 1)",
    regexp_replace="regexp_replace({x}, '[aeiou]+', '*', 'g')", slice="({x})[1:2]",
    regexp_extract="regexp_extract({x}, '([a-z])(.)', 1)", printf="printf('%s|%d', {x}, {n})",
    format="format('{{}}/{{}}', {x}, {n})", of_an_integer="{int}::VARCHAR",
    of_a_date="{date}::VARCHAR", of_a_timestamp="{timestamp}::VARCHAR", of_a_list="{list}::VARCHAR",
    of_a_struct="{struct}::VARCHAR", of_a_map="{map}::VARCHAR", of_a_uuid="{uuid}::VARCHAR",
    of_an_enum="{enum}::VARCHAR", of_an_interval="{interval}::VARCHAR", of_a_real="{real}::VARCHAR",
    of_a_huge="{huge}::VARCHAR", of_a_timetz="{timetz}::VARCHAR", of_a_time="{time}::VARCHAR",
    of_a_timestamptz="{timestamptz}::VARCHAR", of_bits="{bit}::VARCHAR",
    of_structs="{structs}::VARCHAR", of_a_blob="{blob}::VARCHAR", of_an_array="{array}::VARCHAR",
    strftime="strftime({timestamp}::TIMESTAMP, '%Y/%m %H')", md5="left(md5({x}), 8)",
    hex="hex({blob})",
    array_to_string="array_to_string({texts}, '/')", element="({texts})[1]",
    struct_field="({struct}).b", translate="translate({x}, 'ab', 'xy')", typeof="typeof({int})",
    union_tag="union_tag({union})::VARCHAR", dayname="dayname({timestamp})",
    strip_accents="strip_accents({x})", json_text="({json}->>'$.w[0]')", base64="base64({blob})",
    repeat="repeat({x}, {n})", union_member="union_extract({union}, 'str')",
    nfc="nfc_normalize({x})",
    of_json="{json}::VARCHAR", json_type="json_type({json})", of_a_boolean="({predicate})::VARCHAR",
    string_position="(position('b' IN {x}))::VARCHAR", suffix="right({x}, 1)",
    macro="label_of({x})", macro_with_a_name="label_of({x}, tail := '~')",
    json_of_a_struct="to_json({struct})::VARCHAR", chain="{x}.upper().left(3)",
)  # fmt: skip
templates("value blob", 1, encode="encode({text})", concatenated="({x} || {x2})")
templates("value bit", 1, both="({x} & {x2})", complement="(~{x})")
templates("value bool", 1, predicate="({predicate})", negated="(NOT {x})")
templates(
    "value date", 1,
    plus_interval="({x} + INTERVAL ({n}) MONTH)::DATE", truncated="date_trunc('month', {x})::DATE",
    of_a_timestamp="{timestamp}::DATE", try_cast="TRY_CAST({text} AS DATE)",
    made="make_date(2020, 1 + (abs({int} % 12))::INTEGER, 1)",
)  # fmt: skip
templates("value time", 1, of_a_timestamp="{timestamp}::TIME")
templates(
    "value timestamp", 1,
    plus_interval="({x} + INTERVAL ({n}) HOUR)", truncated="date_trunc('hour', {x})",
    bucket="time_bucket(INTERVAL 2 HOUR, {x}::TIMESTAMP)", last_day="last_day({x})::TIMESTAMP",
    at_time_zone="({timestamptz} AT TIME ZONE 'Europe/Paris')",
    parsed="strptime('2020-01-0' || (1 + {n}), '%Y-%m-%d')",
)  # fmt: skip
templates(
    "value timestamptz", 1,
    of_a_timestamp="{timestamp}::TIMESTAMP::TIMESTAMPTZ", truncated="date_trunc('day', {x})",
    at_time_zone="({timestamp}::TIMESTAMP AT TIME ZONE 'America/New_York')",
)  # fmt: skip
templates(
    "value interval", 1,
    difference="({timestamp}::TIMESTAMP - {timestamp2}::TIMESTAMP)",
    to_days="to_days(({int} % 100)::INTEGER)", sum="({x} + INTERVAL 1 DAY)",
)  # fmt: skip
templates(
    "value json", 1,
    object="json_object('a', {int}, 'b', {text})", of_a_list="to_json({list})",
    arrow="({x}->'w')", extract="json_extract({x}, '$.k')", of_a_struct="to_json({struct})",
    merged="json_merge_patch({x}, {x2})", array="json_array({int}, {text}, {bool})",
)  # fmt: skip
templates(
    "value list", 1,
    lambda_="list_transform({x}, lambda y: y % 100 * 2)",
    comprehension="[y % 50 + 1 FOR y IN {x} IF y > 3]",
    lambda_with_index="list_filter({x}, lambda y, i: i % 2 = 0)", sort="list_sort({x})",
    reverse_sort="list_reverse_sort({x})", distinct="list_sort(list_distinct({x}))",
    concat="list_concat({x}, {x2})", slice="({x})[2:]", made="[({int} % 100)::INTEGER]",
    range="range({n})::INTEGER[]", append="list_append({x}, ({int} % 100)::INTEGER)",
    flatten="flatten([{x}, {x2}])", of_an_array="{array}::INTEGER[]",
    values_of_map="map_values({map})",
    of_structs="[elem.a FOR elem IN {structs}]",
    of_texts="list_transform({texts}, lambda w: length(w)::INTEGER)",
)  # fmt: skip
templates(
    "value texts", 1,
    split="string_split({text}, 'a')", comprehension="[upper(w) FOR w IN {x}]",
    keys="map_keys({map})",
    regexp_extract_all="regexp_extract_all({text}, '[a-z]+')",
    of_a_list="list_transform({list}, lambda q: q::VARCHAR)",
)  # fmt: skip
templates("value array", 1, made="array_value(1, ({int} % 100)::INTEGER, 3)")
templates(
    "value struct", 1,
    packed="struct_pack(a := ({int} % 100)::INTEGER, b := {text})", element="({structs})[1]",
    written="{{'a': ({int} % 100)::INTEGER, 'b': {text}}}",
)  # fmt: skip
templates(
    "value structs", 1, made="[{struct}]", filtered="list_filter({x}, lambda elem: elem.a > 3)"
)
templates(
    "value map", 1,
    made="MAP(['a', 'q'], [({int} % 100)::INTEGER, 2])", concat="map_concat({x}, {x2})",
)  # fmt: skip
templates(
    "value union", 1,
    number=f"union_value(num := ({{int}} % 100)::INTEGER)::{SQL_TYPES['union'][0]}",
    text=f"union_value(str := {{text}})::{SQL_TYPES['union'][0]}",
)  # fmt: skip


templates(
    "predicate", 0.4,
    LIKE="{text} LIKE '%b%'", NOT_LIKE="{text} NOT LIKE 'a%'", ILIKE="{text} ILIKE 'A%'",
    GLOB="{text} GLOB '*[ab]*'", SIMILAR_TO="{text} SIMILAR TO '[a-z]+.*'",
    tilde="{text} ~ '.*b.*'",
    regexp_matches="regexp_matches({text}, '^[aZ]')", starts_with="starts_with({text}, 'a')",
    contains="contains({text}, 'b')", prefix="{text} ^@ 'lo'", boolean="{bool}",
    IS_TRUE="({bool}) IS NOT TRUE", list_contains="list_contains({list}, 7)",
    has_any="list_has_any({list}, [1, 2, 3])", isnan="isnan({real})",
    json_exists="json_exists({json}, '$.k')",
    collation="{text} COLLATE NOCASE = {text2}", accents="{text} COLLATE NOCASE.NOACCENT < {text2}",
    row_comparison="({int}, {text}) < ({int2}, {text2})",
    row_IN="({int}, {bool}) IN ((1, true), (2, false))",
    ANY_of_a_list="{int} = ANY({list})", expressions="({int} % 3) = 1", finite="isfinite({real})",
    locale="{text} COLLATE de < {text2}", LIKE_ESCAPE="{text} LIKE '%$%' ESCAPE '$'",
)  # fmt: skip


@rule("predicate", "column and constant", 6)
def _compare(maker: Maker, scope: Scope, _depth: int) -> str | None:
    columns = scope.of_kind(*_ORDERED)
    if not columns:
        return None
    column = maker.one_of(columns)
    comparison = maker.one_of(_COMPARISONS)
    if maker.chance(0.2):
        return f"{constant(maker, column.kind)} {comparison} {column.sql}"
    return f"{column.sql} {comparison} {constant(maker, column.kind)}"


@rule("predicate", "two values", 2)
def _compare_values(maker: Maker, scope: Scope, depth: int) -> str:
    kind = maker.one_of([*PLAIN, "real", "list", "struct", "timestamptz", "interval"])
    one, two = (maker.value(kind, scope, depth + 1) for _ in range(2))
    return f"{one} {maker.one_of(_COMPARISONS)} {two}"


@rule("predicate", "IS NULL", 1)
def _is_null(maker: Maker, scope: Scope, depth: int) -> str:
    kind = shown_kind(maker, scope)
    return f"{maker.value(kind, scope, depth + 1)} IS {maker.one_of(['', 'NOT '])}NULL"


@rule("predicate", "IN list", 1.5)
def _in_list(maker: Maker, scope: Scope, depth: int) -> str:
    kind = maker.one_of(PLAIN)
    listed = ", ".join(constant(maker, kind) for _ in range(maker.random.randint(1, 5)))
    return f"{maker.value(kind, scope, depth + 2)} {maker.one_of(['', 'NOT '])}IN ({listed})"


@rule("predicate", "BETWEEN", 1.5)
def _between(maker: Maker, scope: Scope, depth: int) -> str:
    kind = maker.one_of(["int", "decimal", "text", "date", "timestamp", "real"])
    low, high = constant(maker, kind), constant(maker, kind)
    word = maker.one_of(["BETWEEN", "BETWEEN", "NOT BETWEEN"])
    return f"{maker.value(kind, scope, depth + 2)} {word} {low} AND {high}"


@rule("predicate", "AND and OR", 4)
def _both(maker: Maker, scope: Scope, depth: int) -> str | None:
    if depth >= DEPTH_MAX:
        return None
    word = maker.one_of([" AND ", " AND ", " OR "])
    return f"({word.join(maker.predicate(scope, depth + 1) for _ in range(2))})"


@rule("predicate", "NOT", 0.7)
def _not(maker: Maker, scope: Scope, depth: int) -> str | None:
    return None if depth >= DEPTH_MAX else f"NOT ({maker.predicate(scope, depth + 1)})"


def _subquery(maker: Maker, scope: Scope, depth: int) -> tuple[str, Scope] | None:
    if depth > SUBQUERY_DEPTH_MAX or scope.rows > 3_000:
        return None
    made: tuple[str, Scope] | None = maker.pick("table", 200)
    return None if made is None else (made[0], made[1].within(scope))


@rule("predicate", "EXISTS", 1)
def _exists(maker: Maker, scope: Scope, depth: int) -> str | None:
    made = _subquery(maker, scope, depth)
    if made is None:
        return None
    word = maker.one_of(["EXISTS", "NOT EXISTS"])
    kind = maker.one_of(["int", "text", "date"])
    left, right = maker.value(kind, made[1], 2), maker.value(kind, scope, 2)
    extra = f" AND {maker.predicate(made[1], 2)}" if maker.chance(0.4) else ""
    return f"{word} (SELECT 1 FROM {made[0]} WHERE {left} = {right}{extra})"


@rule("predicate", "IN subquery", 1)
def _in_subquery(maker: Maker, scope: Scope, depth: int) -> str | None:
    made = _subquery(maker, scope, depth)
    if made is None:
        return None
    kind = maker.one_of(["int", "text", "date", "decimal", "enum", "uuid"])
    where = f" WHERE {maker.predicate(made[1], 2)}" if maker.chance(0.6) else ""
    word = maker.one_of(["IN", "IN", "NOT IN"])
    shown = maker.value(kind, made[1], 2)
    return f"{maker.value(kind, scope, 2)} {word} (SELECT {shown} FROM {made[0]}{where})"


@rule("predicate", "ANY and ALL", 0.5)
def _quantified(maker: Maker, scope: Scope, depth: int) -> str | None:
    made = _subquery(maker, scope, depth)
    if made is None:
        return None
    kind = maker.one_of(["int", "text", "date", "decimal"])
    compared = f"{maker.one_of(['<', '>=', '=', '<>'])} {maker.one_of(['ANY', 'ALL'])}"
    shown, where = maker.value(kind, made[1], 2), maker.predicate(made[1], 2)
    return f"{maker.value(kind, scope, 2)} {compared} (SELECT {shown} FROM {made[0]} WHERE {where})"


@rule("predicate", "scalar subquery", 0.7)
def _scalar(maker: Maker, scope: Scope, depth: int) -> str | None:
    made = _subquery(maker, scope, depth)
    if made is None:
        return None
    where = maker.predicate(made[1], 2)
    counted = f"(SELECT count(*) FROM {made[0]} WHERE {where})"
    return f"{maker.value('int', scope, 2)} {maker.one_of(['<', '>=', '='])} {counted}"
