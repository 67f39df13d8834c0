"""Whole queries. Each has one right answer: rows in any order, unless all of it is ordered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.differential.asking import PARAMETER, Query, asked
from tests.differential.expressions import shown_kind, varying
from tests.differential.grammar import Column, Scope, rule
from tests.differential.relations import from_clause, one_table, scope_of
from tests.differential.values import PLAIN, SHOWN, constant
from tests.differential.windows import window
from tests.differential.world import LARGE_ROWS

if TYPE_CHECKING:
    from tests.differential.grammar import Maker

GROUPED_ROWS = 60
Select = tuple[str, list[str], int]
"""Text, kinds of its columns c0, c1, …, and about how many rows."""


def make_query(maker: Maker) -> Query:
    """One query."""
    maker.begin(parameters=maker.chance(0.2))
    if maker.chance(0.06):
        wrong = maker.pick("error")
        return Query(str(wrong), tuple(maker.parameters or ()))
    sql, is_ordered = maker.pick("query")
    sql, parameters = _used_parameters(sql, maker.parameters or [])
    if parameters:
        maker.hits["parameters"] += 1
    return asked(maker, Query(sql, parameters, is_ordered))


def _used_parameters(sql: str, given: list[Any]) -> tuple[str, tuple[Any, ...]]:
    """Number the parameters that are left: what was made and not taken had some too."""
    used = sorted({int(number) for number in PARAMETER.findall(sql)})
    places = {number: place for place, number in enumerate(used, start=1)}
    renumbered = PARAMETER.sub(lambda found: f"${places[int(found[1])]}", sql)
    return renumbered, tuple(given[number - 1] for number in used)


def columns_of(alias: str, kinds: list[str]) -> tuple[Column, ...]:
    """The columns of a subquery."""
    return tuple(Column(f"{alias}.c{i}", kind, f"c{i}") for i, kind in enumerate(kinds))


def _where(maker: Maker, scope: Scope, depth: int = 0) -> str:
    return f" WHERE {maker.predicate(scope, depth)}" if maker.chance(0.55) else ""


def _listed(values: list[str]) -> str:
    return ", ".join(f"{value} AS c{i}" for i, value in enumerate(values))


def simple_select(maker: Maker, rows_max: int = 2_000) -> Select:
    """A SELECT that can stand in another."""
    made: Select = maker.pick("select", rows_max)
    return made


@rule("select", "values", 5)
def _select_values(maker: Maker, rows_max: int) -> Select:
    source, scope = from_clause(maker, 0 if rows_max > 1_000 else 1)
    kinds = [shown_kind(maker, scope) for _ in range(maker.random.randint(1, 4))]
    values = [maker.value(kind, scope) for kind in kinds]
    return f"SELECT {_listed(values)} FROM {source}{_where(maker, scope)}", kinds, scope.rows


@rule("select", "DISTINCT", 1)
def _select_distinct(maker: Maker, _rows_max: int) -> Select:
    source, scope = from_clause(maker, 1)
    kinds = [maker.one_of(PLAIN) for _ in range(maker.random.randint(1, 3))]
    values = [maker.value(kind, scope) for kind in kinds]
    sql = f"SELECT DISTINCT {_listed(values)} FROM {source}{_where(maker, scope)}"
    return sql, kinds, scope.rows


@rule("select", "grouped", 4)
def _select_grouped(maker: Maker, _rows_max: int) -> Select:
    source, scope = from_clause(maker, maker.one_of([0, 1]))
    where = _where(maker, scope)
    count = maker.random.randint(0, 3)
    kinds = [maker.one_of(PLAIN) for _ in range(count)]
    keys = [maker.value(kind, scope, 2) for kind in kinds]
    made = [maker.pick("aggregate", scope) for _ in range(maker.random.randint(1, 3))]
    listed = _listed([*keys, *(sql for sql, _ in made)])
    grouping, shown = "", [*kinds, *(kind for _, kind in made)]
    if keys:
        grouping, extra = maker.pick("grouping", keys)
        listed += extra
        if maker.chance(0.3):
            grouping += f" HAVING {maker.pick('having', scope)}"
    return f"SELECT {listed} FROM {source}{where}{grouping}", shown, GROUPED_ROWS


@rule("select", "window", 3)
def _select_window(maker: Maker, _rows_max: int) -> Select:
    source, scope = from_clause(maker, 1)
    kinds = [shown_kind(maker, scope) for _ in range(2)]
    values = [maker.value(kind, scope, 1) for kind in kinds]
    made, kind, named = window(maker, scope)
    sql = f"SELECT {_listed([*values, made])} FROM {source}{_where(maker, scope)}{named}"
    if maker.chance(0.3):
        maker.hits["QUALIFY"] += 1
        other, _, _ = window(maker, scope, named_allowed=False, counting=True)
        sql += f" QUALIFY {maker.one_of(['c2 IS NOT NULL AND ', ''])}{other} <= 3"
    return sql, [*kinds, kind], scope.rows


@rule("grouping", "GROUP BY", 3)
def _group_by(maker: Maker, keys: list[str]) -> tuple[str, str]:
    listed = [str(i + 1) if maker.chance(0.5) else key for i, key in enumerate(keys)]
    return f" GROUP BY {', '.join(listed)}", ""


@rule("grouping", "GROUP BY ALL", 1.5)
def _group_by_all(_maker: Maker, _keys: list[str]) -> tuple[str, str]:
    return " GROUP BY ALL", ""


def _grouping_extra(maker: Maker, keys: list[str]) -> str:
    # A parameter in a key makes two texts that look the same two keys.
    return f", grouping({keys[0]}) AS g" if maker.chance(0.4) and "$" not in keys[0] else ""


def _distinct_keys(keys: list[str]) -> list[str] | None:
    """Keys that GROUPING SETS takes: not constants, which would be column numbers."""
    return None if any("." not in key or "$" in key for key in keys) else keys


@rule("grouping", "ROLLUP and CUBE", 1)
def _rollup(maker: Maker, keys: list[str]) -> tuple[str, str] | None:
    if _distinct_keys(keys) is None:
        return None
    word = maker.one_of(["ROLLUP", "CUBE"])
    return f" GROUP BY {word} ({', '.join(keys)})", _grouping_extra(maker, keys)


@rule("grouping", "GROUPING SETS", 1)
def _grouping_sets(maker: Maker, keys: list[str]) -> tuple[str, str] | None:
    if _distinct_keys(keys) is None:
        return None
    sets = ", ".join([f"({', '.join(keys)})", f"({keys[-1]})", "()"])
    return f" GROUP BY GROUPING SETS ({sets})", _grouping_extra(maker, keys)


@rule("having", "count", 2)
def _having_count(maker: Maker, _scope: Scope) -> str:
    return f"count(*) >= {maker.random.randint(1, 3)}"


@rule("having", "aggregate")
def _having_aggregate(maker: Maker, scope: Scope) -> str:
    kind = maker.one_of(["int", "text", "date"])
    return f"max({maker.value(kind, scope, 2)}) >= {constant(maker, kind)}"


def _any_query(maker: Maker) -> tuple[str, bool]:
    sql, kinds, rows = simple_select(maker)
    return (sql, False) if rows <= 4_000 else _summary(sql, kinds)


def _summary(sql: str, kinds: list[str]) -> tuple[str, bool]:
    """One row instead of many thousands."""
    shown = [f"max(c{i})" for i, kind in enumerate(kinds) if kind in PLAIN and kind != "bool"]
    return f"SELECT {', '.join(['count(*)', *shown])} FROM ({sql}) AS summed", False


rule("query", "select", 6)(_any_query)


@rule("query", "ORDER BY", 4)
def _ordered(maker: Maker) -> tuple[str, bool]:
    """All output columns decide, in whatever direction."""
    sql, kinds, rows = simple_select(maker)
    directions = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC NULLS LAST"]
    order = [f"{i + 1}{maker.one_of(directions)}" for i in range(len(kinds))]
    if maker.chance(0.3):
        order = ["ALL" + maker.one_of(["", " DESC", " NULLS FIRST"])]
    listed = ", ".join(order)
    limit = maker.pick("limit") if rows > 400 or maker.chance(0.5) else ""
    return f"SELECT * FROM ({sql}) AS sorted ORDER BY {listed}{limit}", True


@rule("query", "ORDER BY an expression", 1)
def _ordered_by_expression(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 400, base=True)
    scope = scope_of(table, alias)
    kind = maker.one_of([k for k in SHOWN if k not in {"json", "map"}])
    key = varying(maker, kind, scope, 1)
    if kind == "text" and maker.chance(0.5):
        key += maker.one_of([" COLLATE NOCASE", " COLLATE de", " COLLATE NOCASE.NOACCENT"])
    direction = maker.one_of(["", " DESC", " NULLS FIRST"])
    shown = maker.one_of(["*", f"{alias}.id, {key}"])
    sql = f"SELECT {shown} FROM {table.name} AS {alias}{_where(maker, scope)}"
    return f"{sql} ORDER BY {key}{direction}, {alias}.id{maker.pick('limit')}", True


@rule("limit", "LIMIT", 3)
def _limit(maker: Maker) -> str:
    return f" LIMIT {maker.random.randint(0, 30)}"


@rule("limit", "LIMIT and OFFSET", 2)
def _offset(maker: Maker) -> str:
    return f" LIMIT {maker.random.randint(1, 30)} OFFSET {maker.random.randint(0, 20)}"


@rule("limit", "LIMIT %")
def _limit_percent(maker: Maker) -> str:
    return f" LIMIT {maker.random.randint(1, 40)}%"


@rule("limit", "OFFSET alone", 0.5)
def _offset_alone(maker: Maker) -> str:
    return f" OFFSET {maker.random.randint(0, 20)}"


@rule("limit", "LIMIT of a subquery", 0.5)
def _limit_subquery(maker: Maker) -> str:
    return " LIMIT (SELECT count(*) // 10 FROM item)"


@rule("query", "large table", 2)
def _large(maker: Maker) -> tuple[str, bool] | None:
    """A table of several row groups: conditions that leave few of them, sorts, groups, joins."""
    table = maker.tables.get("large")
    if table is None:
        return None
    alias = maker.fresh()
    scope = scope_of(table, alias)
    where = f" WHERE {maker.predicate(scope, 1)}"
    if maker.chance(0.5):
        low = maker.random.randint(0, LARGE_ROWS)
        where += f" AND {alias}.id BETWEEN {low} AND {low + maker.random.randint(0, 9_000)}"
    source, first = f"large AS {alias}", maker.random.randint(1, 40)
    match maker.one_of(["group", "sort", "count", "join", "window"]):
        case "group":
            aggregates = ", ".join(maker.pick("aggregate", scope)[0] for _ in range(2))
            return f"SELECT {alias}.s, {aggregates} FROM {source}{where} GROUP BY ALL", False
        case "sort":
            order = maker.one_of(["k DESC", "s NULLS FIRST", "d", "n DESC NULLS LAST"])
            tail = f" ORDER BY {alias}.{order}, {alias}.id LIMIT {first}"
            return f"SELECT * FROM {source}{where}{tail}", True
        case "join":
            on = f"JOIN item AS other ON other.id = {alias}.k"
            return f"SELECT count(*), sum(other.k), max({alias}.d) FROM {source} {on}{where}", False
        case "window":
            ranked = f"row_number() OVER (PARTITION BY {alias}.s ORDER BY {alias}.id DESC)"
            return f"SELECT * FROM {source}{where} QUALIFY {ranked} <= {first}", False
    shown = ", ".join(f"{f}({alias}.{c})" for f, c in [("min", "id"), ("max", "d"), ("sum", "n")])
    return f"SELECT count(*), {shown} FROM {source}{where}", False


@rule("query", "DISTINCT ON", 1)
def _distinct_on(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 2_000, base=True)
    scope = scope_of(table, alias)
    key = varying(maker, maker.one_of(PLAIN), scope, 1)
    shown = maker.value(maker.one_of(SHOWN), scope, 1)
    sql = f"SELECT DISTINCT ON ({key}) {key}, {shown} FROM {table.name} AS {alias}"
    return f"{sql}{_where(maker, scope)} ORDER BY {key}, {alias}.id", True


@rule("query", "set operation", 3)
def _set_operation(maker: Maker) -> tuple[str, bool]:
    kinds = [maker.one_of(PLAIN) for _ in range(maker.random.randint(1, 3))]
    words = ["UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"]
    sides = [_of_kinds(maker, kinds) for _ in range(maker.one_of([2, 2, 3]))]
    if maker.chance(0.3):
        maker.hits["set operation by name"] += 1
        words = ["UNION BY NAME", "UNION ALL BY NAME"]
        sides[1] = f"SELECT * RENAME (c0 AS other) FROM ({sides[1]}) AS renamed"
    made = sides[0]
    for side in sides[1:]:
        made = f"({made}) {maker.one_of(words)} ({side})"
    return (f"{made} ORDER BY ALL", True) if maker.chance(0.4) else (made, False)


def _of_kinds(maker: Maker, kinds: list[str]) -> str:
    source, scope = from_clause(maker, 1)
    values = [maker.value(kind, scope, 1) for kind in kinds]
    return f"SELECT {_listed(values)} FROM {source}{_where(maker, scope, 1)}"


@rule("query", "CTE", 3)
def _cte(maker: Maker) -> tuple[str, bool] | None:
    sql, kinds, rows = simple_select(maker)
    if rows > 4_000:
        return None
    name = maker.one_of(["made", "made", "item", "part"])  # may hide a table
    how = maker.one_of(["", "MATERIALIZED ", "NOT MATERIALIZED "])
    scope = Scope(columns_of("m1", kinds), (), rows)
    keep = maker.tables
    maker.tables = {n: t for n, t in keep.items() if n != name}
    head = f"WITH {name} AS {how}({sql}) "
    joined = [c for c in scope.columns if c.kind in PLAIN]
    if maker.chance(0.3) and joined and rows <= 200:
        on = maker.one_of(joined).name
        body = f"SELECT m1.*, m2.{on} FROM {name} m1 JOIN {name} m2 ON m1.{on} = m2.{on}"
    elif maker.chance(0.5):
        body = f"SELECT * FROM {name} AS m1{_where(maker, scope)}"
    else:
        aggregates = [maker.pick("aggregate", scope)[0] for _ in range(2)]
        body = f"SELECT {', '.join(aggregates)} FROM {name} AS m1{_where(maker, scope)}"
    maker.tables = keep
    return head + body, False


@rule("query", "recursive CTE", 1)
def _recursive(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 200, base=True)
    scope = scope_of(table, alias)
    word = maker.one_of(["UNION", "UNION ALL"])
    step = f"{alias}.id = walk.id + {maker.random.randint(1, 9)}"
    extra = f" AND {maker.predicate(scope, 2)}" if maker.chance(0.4) else ""
    begin = f"SELECT id, 0 AS level FROM {table.name} WHERE id <= {maker.random.randint(1, 9)}"
    walk = f"SELECT {alias}.id, level + 1 FROM walk JOIN {table.name} AS {alias} ON {step}{extra}"
    head = f"WITH RECURSIVE walk(id, level) AS ({begin} {word} {walk} WHERE level < 12) "
    shown = maker.one_of(["SELECT *", "SELECT level, count(*), max(id)"])
    tail = " GROUP BY level" if "count" in shown else ""
    return f"{head}{shown} FROM walk{tail}", False


@rule("query", "USING KEY", 0.3)
def _using_key(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 60, base=True)
    end = maker.random.randint(3, 12)
    walk = f"SELECT walk.id, walk.n + 1 FROM walk JOIN {table.name} {alias} ON {alias}.id = walk.id"
    begin = f"SELECT id, 0 FROM {table.name}"
    head = f"WITH RECURSIVE walk(id, n) USING KEY (id) AS ({begin} UNION {walk}"
    return f"{head} WHERE walk.n < {end}) SELECT * FROM walk", False


@rule("query", "FROM first", 1.5)
def _from_first(maker: Maker) -> tuple[str, bool]:
    source, scope = from_clause(maker, 1)
    if scope.rows > 4_000:
        return f"FROM {source}{_where(maker, scope)} SELECT count(*)", False
    if maker.chance(0.3):
        table, alias = one_table(maker, 400)
        return f"FROM {table.name} {alias}{_where(maker, scope_of(table, alias))}", False
    values = [maker.value(shown_kind(maker, scope), scope) for _ in range(2)]
    names = _listed(values) if maker.chance(0.5) else ", ".join(values)
    return f"FROM {source} SELECT {names}{_where(maker, scope)}", False


@rule("query", "star", 2)
def _star(maker: Maker) -> tuple[str, bool] | None:
    source, scope = from_clause(maker, 1)
    if scope.rows > 1_500:
        return None
    return f"SELECT * FROM {source}{_where(maker, scope)}", False


@rule("query", "EXCLUDE, REPLACE and RENAME", 2)
def _star_changed(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 400)
    scope = scope_of(table, alias)
    names = maker.random.sample(list(table.kinds), 3)
    parts = ["*" if maker.chance(0.5) else f"{alias}.*"]
    if maker.chance(0.6):
        parts.append(f"EXCLUDE ({names[0]})")
    if maker.chance(0.6):
        made = maker.value(table.kinds[names[1]], scope, 1)
        parts.append(f"REPLACE ({made} AS {names[1]})")
    if maker.chance(0.6):
        parts.append(f"RENAME ({names[2]} AS other)")
    return f"SELECT {' '.join(parts)} FROM {table.name} AS {alias}{_where(maker, scope)}", False


@rule("query", "COLUMNS()", 1.5)
def _columns(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 2_000)
    scope = scope_of(table, alias)
    chosen = maker.one_of(
        ["*", "'^(id|k)$'", "lambda c: c < 'l'", "['id', 'k']", "* EXCLUDE (k)", "'i(.*)'"]
    )
    shown = maker.one_of(
        [
            f"COLUMNS({chosen})::VARCHAR",
            f"min(COLUMNS({chosen}))",
            f"count(COLUMNS({chosen}))",
            f"COLUMNS({chosen}) IS NULL",
        ]
    )
    if chosen == "'i(.*)'":
        shown = r"COLUMNS('i(.*)') AS 'made_\1'"
    if table.rows > 400 and shown[:3] not in {"min", "cou"}:
        shown = f"max({shown.split(' AS ')[0]})"
    return f"SELECT {shown} FROM {table.name} AS {alias}{_where(maker, scope)}", False


@rule("query", "PIVOT", 1)
def _pivot(maker: Maker) -> tuple[str, bool] | None:
    table, alias = one_table(maker, 2_000, base=True)
    if not {"k", "s"} <= table.kinds.keys():
        return None
    using = maker.one_of(["count(*)", "sum(k)", "max(id)", "sum(k) AS total, count(*) AS number"])
    scope = Scope(tuple(Column(name, kind, name) for name, kind in table.kinds.items()))
    where = _where(maker, replace(scope, rows=10_000), 2)
    source = f"(SELECT id % 4 AS part_of, k, s, id FROM {table.name}{where}) AS {alias}"
    on = maker.one_of(["k % 3", "s", "s IN ('a', 'b', 'Zoë')", "k IN (1, 2, 3)"])
    by = maker.one_of([" GROUP BY part_of", "", " GROUP BY part_of"])
    if by == "":
        source = source.replace("id FROM", "7 AS id FROM")
    if maker.parameters:
        return None  # a pivot is several statements
    if maker.chance(0.3) and "IN" in on:
        return f"SELECT * FROM {source} PIVOT ({using} FOR {on}{by})", False
    return f"PIVOT {source} ON {on} USING {using}{by}", False


@rule("query", "UNPIVOT", 1)
def _unpivot(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 400, base=True)
    scope = scope_of(table, alias)
    one, two = maker.value("int", scope, 2), maker.value("int", scope, 2)
    source = f"(SELECT {alias}.id, {one} AS one, {two} AS two FROM {table.name} AS {alias}"
    source += f"{_where(maker, scope)}) AS wide"
    if maker.chance(0.5):
        on = maker.one_of(["one, two", "COLUMNS(* EXCLUDE (id))"])
        return f"UNPIVOT {source} ON {on} INTO NAME name VALUE value", False
    nulls = maker.one_of(["", "INCLUDE NULLS "])
    return f"SELECT * FROM {source} UNPIVOT {nulls}(value FOR name IN (one, two))", False


@rule("query", "VALUES", 0.5)
def _values(maker: Maker) -> tuple[str, bool]:
    kinds = [maker.one_of(SHOWN) for _ in range(3)]
    count = maker.random.randint(1, 4)
    rows = [f"({', '.join(constant(maker, kind) for kind in kinds)})" for _ in range(count)]
    return f"VALUES {', '.join(rows)}", False


@rule("query", "names of its own", 1.5)
def _unnamed(maker: Maker) -> tuple[str, bool] | None:
    """Columns without a name get one from their text."""
    source, scope = from_clause(maker, 1)
    if scope.rows > 4_000:
        return None
    values = [maker.value(shown_kind(maker, scope), scope) for _ in range(3)]
    return f"SELECT {', '.join(values)} FROM {source}{_where(maker, scope)}", False


@rule("query", "unnest in SELECT", 0.7)
def _unnest(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 400, base=True)
    scope = scope_of(table, alias)
    kind = maker.one_of(["list", "texts", "structs", "array"])
    unnested = maker.value(kind, scope, 1)
    more = ", recursive := true" if kind == "structs" and maker.chance(0.5) else ""
    shown = f"unnest({unnested}{more})"
    return f"SELECT {alias}.id, {shown} FROM {table.name} AS {alias}{_where(maker, scope)}", False


@rule("query", "struct star", 0.5)
def _struct_star(maker: Maker) -> tuple[str, bool]:
    alias = maker.fresh()
    shown = maker.one_of([f"unnest({alias}.st)", f"{alias}"])
    return f"SELECT {alias}.id, {shown} FROM {maker.one_of(['nested', 'item'])} AS {alias}", False


@rule("query", "alias of a column reused", 0.7)
def _reused_alias(maker: Maker) -> tuple[str, bool]:
    table, alias = one_table(maker, 2_000)
    scope = scope_of(table, alias)
    first = maker.value("int", scope, 1)
    sql = f"SELECT ({first}) % 10 AS small, small + 1 AS larger FROM {table.name} AS {alias}"
    tail = maker.one_of(["", " ORDER BY larger, small"])
    return f"{sql} WHERE small IS NOT NULL AND small < 4{tail}", tail != ""


@rule("query", "time zone functions", 0.5)
def _zones(maker: Maker) -> tuple[str, bool]:
    shown = maker.one_of(
        [
            "z AT TIME ZONE 'Asia/Tokyo'",
            "z::VARCHAR",
            "date_part('hour', z)",
            "z::DATE",
            "strftime(z, '%c %Z')",
            "z + INTERVAL 1 MONTH",
            "date_trunc('week', z)",
        ]
    )
    return f"SELECT id, {shown} FROM moment", False
