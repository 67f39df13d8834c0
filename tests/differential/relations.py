"""FROM clauses: tables, subqueries, table functions and every kind of join.

A production of the family ``table`` gives text and scope of one relation; ``join`` puts another
to the right of one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.differential.grammar import Column, Scope, rule
from tests.differential.values import constant

if TYPE_CHECKING:
    from tests.differential.grammar import Maker
    from tests.differential.world import Table

ROWS_MAX = 12_000
"""Joins that may give more rows than this are not made."""
_KEYS_SHARED = 12
"""About how many values the columns that are joined on have, at least."""
_JOINED = ("int", "text", "date", "decimal", "enum", "uuid")
From = tuple[str, Scope]


def from_clause(maker: Maker, depth: int = 0) -> From:
    """A relation, perhaps joined to others."""
    made: From = maker.pick("table", 2_000) or maker.pick("table", 2_000)
    for _ in range(maker.one_of([0, 0, 0, 1, 1, 2]) if depth == 0 else maker.one_of([0, 0, 1])):
        made = maker.pick("join", *made) or made
    return made


def one_table(maker: Maker, rows_max: int, *, base: bool = False) -> tuple[Table, str]:
    """A table and a new name for it."""
    chosen = [
        t
        for t in maker.tables.values()
        if t.rows <= rows_max and not (base and (t.is_view or t.repeats))
    ]
    weights = [0.15 if t.rows == 0 else 2 if t.rows > 100 else 1 for t in chosen]
    return maker.random.choices(chosen, weights)[0], maker.fresh()


def scope_of(table: Table, alias: str) -> Scope:
    """What a table offers under a name."""
    columns = tuple(Column(f"{alias}.{name}", kind, name) for name, kind in table.kinds.items())
    is_ordered = not table.is_view and not table.repeats
    return Scope(columns, (f"{alias}.id",) if is_ordered else (), table.rows)


@rule("table", "table", 10)
def _plain(maker: Maker, rows_max: int) -> From:
    table, alias = one_table(maker, rows_max)
    place = maker.one_of(["", "", "main."])
    return f"{place}{table.name}{maker.one_of([' AS ', ' '])}{alias}", scope_of(table, alias)


@rule("table", "subquery", 1.5)
def _subquery(maker: Maker, rows_max: int) -> From:
    from tests.differential.queries import columns_of, simple_select  # they refer to each other

    alias = maker.fresh("q")
    sql, kinds, rows = simple_select(maker, min(rows_max, 400))
    return f"({sql}) AS {alias}", Scope(columns_of(alias, kinds), (), rows)


@rule("table", "VALUES", 0.7)
def _values(maker: Maker, _rows_max: int) -> From:
    alias, kinds = maker.fresh("v"), ["int", "text", maker.one_of(["date", "bool", "list"])]
    parameters, maker.parameters = maker.parameters, None
    count = maker.random.randint(1, 5)
    rows = [f"({', '.join(constant(maker, kind) for kind in kinds)})" for _ in range(count)]
    maker.parameters = parameters
    columns = tuple(Column(f"{alias}.w{i}", kind, f"w{i}") for i, kind in enumerate(kinds))
    return f"(VALUES {', '.join(rows)}) AS {alias}(w0, w1, w2)", Scope(columns, (), count)


@rule("table", "range()", 0.6)
def _range(maker: Maker, _rows_max: int) -> From:
    alias = maker.fresh("r")
    function = maker.one_of(["range", "generate_series"])
    column = Column(f"{alias}.g", "int", "g")
    end = maker.random.randint(1, 30)
    return f"{function}({end}) AS {alias}(g)", Scope((column,), (column.sql,), end)


@rule("table", "unnest()", 0.6)
def _unnest(maker: Maker, _rows_max: int) -> From:
    alias = maker.fresh("u")
    column = Column(f"{alias}.g", "int", "g")
    numbers = ", ".join(str(maker.random.randint(-3, 25)) for _ in range(5))
    return f"unnest([{numbers}]) AS {alias}(g)", Scope((column,), (), 5)


@rule("table", "TABLESAMPLE of all", 0.3)
def _sample(maker: Maker, rows_max: int) -> From:
    table, alias = one_table(maker, rows_max)
    return f"{table.name} AS {alias} TABLESAMPLE 100 PERCENT (bernoulli)", scope_of(table, alias)


@rule("table", "table macro", 0.5)
def _table_macro(maker: Maker, _rows_max: int) -> From:
    alias, end = maker.fresh("m"), maker.random.randint(0, 200)
    low = maker.one_of(["", f", low := {maker.random.randint(0, 20)}"])
    kinds = {"id": "int", "k": "int", "s": "text", "d": "date"}
    columns = tuple(Column(f"{alias}.{n}", kind, n) for n, kind in kinds.items())
    return f"items_below({end}{low}) AS {alias}", Scope(columns, (f"{alias}.id",), end)


@rule("table", "column names given", 0.4)
def _renamed(maker: Maker, rows_max: int) -> From:
    table, alias = one_table(maker, rows_max)
    names = [f"n{i}" for i in range(len(table.kinds))]
    kinds = table.kinds.values()
    columns = tuple(Column(f"{alias}.{n}", kind, n) for n, kind in zip(names, kinds, strict=True))
    return f"{table.name} AS {alias}({', '.join(names)})", Scope(columns, (), table.rows)


def _joined_rows(left: Scope, right: Scope) -> int:
    return max(left.rows, right.rows, left.rows * right.rows // _KEYS_SHARED)


def _right(maker: Maker, left: Scope) -> From | None:
    made: From | None = maker.pick("table", 2_000)
    if made is None or _joined_rows(left, made[1]) > ROWS_MAX:
        return None
    return made


def _merged(left: Scope, right: Scope, *, ordered: bool = True) -> Scope:
    order = (*left.order, *right.order) if left.order and right.order and ordered else ()
    return Scope((*left.columns, *right.columns), order, _joined_rows(left, right), left.outer)


def _equality(maker: Maker, left: Scope, right: Scope) -> str | None:
    pairs = [
        (a, b)
        for a in left.columns
        for b in right.columns
        if a.kind == b.kind and a.kind in _JOINED
    ]
    if not pairs:
        return None
    close = [
        (a, b) for a, b in pairs if a.name in {"id", "item_id"} and b.name in {"id", "item_id"}
    ]
    a, b = maker.one_of(close if close and maker.chance(0.4) else pairs)
    return f"{a.sql} = {b.sql}"


@rule("join", "INNER, LEFT, RIGHT, FULL", 8)
def _on(maker: Maker, sql: str, scope: Scope) -> From | None:
    made = _right(maker, scope)
    condition = _equality(maker, scope, made[1]) if made is not None else None
    if made is None or condition is None:
        return None
    kind = maker.one_of(["JOIN", "INNER JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "FULL JOIN"])
    merged = _merged(scope, made[1])
    if maker.chance(0.3) and kind != "FULL JOIN":
        condition += f" AND {maker.predicate(replace(merged, rows=10_000), 2)}"
    return f"{sql} {kind} {made[0]} ON {condition}", merged


@rule("join", "inequality", 0.7)
def _inequality(maker: Maker, sql: str, scope: Scope) -> From | None:
    made: From | None = maker.pick("table", 60)
    if made is None or scope.rows * made[1].rows > ROWS_MAX:
        return None
    kind = maker.one_of(["int", "date", "decimal"])
    one, two = scope.of_kind(kind), made[1].of_kind(kind)
    if not one or not two:
        return None
    condition = f"{maker.one_of(one).sql} {maker.one_of(['<', '>='])} {maker.one_of(two).sql}"
    join = maker.one_of(["JOIN", "LEFT JOIN"])
    merged = replace(_merged(scope, made[1]), rows=scope.rows * made[1].rows)
    return f"{sql} {join} {made[0]} ON {condition}", merged


@rule("join", "SEMI and ANTI", 2)
def _semi(maker: Maker, sql: str, scope: Scope) -> From | None:
    made = _right(maker, scope)
    condition = _equality(maker, scope, made[1]) if made is not None else None
    if made is None or condition is None:
        return None
    return f"{sql} {maker.one_of(['SEMI', 'ANTI'])} JOIN {made[0]} ON {condition}", scope


@rule("join", "CROSS", 0.7)
def _cross(maker: Maker, sql: str, scope: Scope) -> From | None:
    made: From | None = maker.pick("table", 60)
    if made is None or scope.rows * made[1].rows > ROWS_MAX:
        return None
    merged = replace(_merged(scope, made[1]), rows=scope.rows * max(1, made[1].rows))
    return f"{sql}{maker.one_of([' CROSS JOIN ', ', '])}{made[0]}", merged


@rule("join", "USING", 1.5)
def _using(maker: Maker, sql: str, scope: Scope) -> From | None:
    return _same_names(maker, sql, scope, lambda kind, name: f"{kind} JOIN {{}} USING ({name})")


def _same_names(maker: Maker, sql: str, scope: Scope, write: object) -> From | None:
    made = _right(maker, scope)
    if made is None or not callable(write):
        return None
    mine = {c.name for c in scope.columns if c.kind in _JOINED}
    shared = sorted({c.name for c in made[1].columns if c.kind in _JOINED} & mine)
    twice = [n for n in shared if sum(c.name == n for c in scope.columns) > 1]
    if not shared or twice:
        return None
    name = maker.one_of(shared)
    kind = maker.one_of(["INNER", "LEFT", "FULL", "SEMI", "ANTI"])
    joined = f"{sql} {write(kind, name).format(made[0])}"
    if kind in {"SEMI", "ANTI"}:
        return joined, scope
    merged = _merged(scope, made[1])
    columns = tuple(
        replace(c, sql=c.name) if c.name == name else c
        for i, c in enumerate(merged.columns)
        if c.name != name or i < len(scope.columns)
    )
    return joined, replace(merged, columns=columns, order=())


@rule("join", "NATURAL", 0.7)
def _natural(maker: Maker, sql: str, scope: Scope) -> From | None:
    """With a subquery that shares one column by its name."""
    names = [c for c in scope.columns if c.name == "k"]
    table, alias = one_table(maker, 60)
    if len(names) != 1 or _joined_rows(scope, scope_of(table, alias)) > ROWS_MAX:
        return None
    kind = maker.one_of(["", "LEFT ", "FULL "])
    right = f"(SELECT k, id AS other_id FROM {table.name}) AS {alias}"
    columns = tuple(replace(c, sql="k") if c.name == "k" else c for c in scope.columns)
    more = Column(f"{alias}.other_id", "int", "other_id")
    rows = _joined_rows(scope, scope_of(table, alias))
    return f"{sql} NATURAL {kind}JOIN {right}", Scope((*columns, more), (), rows, scope.outer)


@rule("join", "ASOF", 1)
def _asof(maker: Maker, sql: str, scope: Scope) -> From | None:
    """On a column whose values differ, or there would be several right answers."""
    table, alias = one_table(maker, 200, base=True)
    mine = [c for c in scope.columns if c.kind == "int"]
    if not mine:
        return None
    kind = maker.one_of(["ASOF JOIN", "ASOF LEFT JOIN"])
    comparison = maker.one_of([">=", ">", "<=", "<"])
    condition = f"{maker.one_of(mine).sql} {comparison} {alias}.id"
    right = scope_of(table, alias)
    merged = replace(_merged(scope, right), rows=scope.rows)
    return f"{sql} {kind} {table.name} AS {alias} ON {condition}", merged


@rule("join", "LATERAL", 1)
def _lateral(maker: Maker, sql: str, scope: Scope) -> From | None:
    if scope.rows > 400:
        return None
    table, name = one_table(maker, 200)
    alias = maker.fresh("l")
    shown = maker.value("int", scope_of(table, name), 2)
    where = f"{name}.k = {maker.value('int', scope, 3)}"
    many = maker.chance(0.5)
    body = f"SELECT {shown if many else f'max({shown})'} AS lv FROM {table.name} AS {name}"
    kind = maker.one_of(["CROSS JOIN LATERAL ", ", LATERAL ", "LEFT JOIN LATERAL "])
    joined = f"{sql}{' ' if kind[0] != ',' else ''}{kind}({body} WHERE {where}) AS {alias}"
    if kind.startswith("LEFT"):
        joined += " ON true"
    rows = scope.rows * 8 if many else scope.rows
    column = Column(f"{alias}.lv", "int", "lv")
    return joined, Scope((*scope.columns, column), (), rows, scope.outer)


@rule("join", "unnest of a column", 0.8)
def _unnest_column(maker: Maker, sql: str, scope: Scope) -> From | None:
    lists = scope.of_kind("list")
    if not lists:
        return None
    alias = maker.fresh("u")
    column = Column(f"{alias}.g", "int", "g")
    joined = f"{sql}, unnest({maker.one_of(lists).sql}) AS {alias}(g)"
    return joined, Scope((*scope.columns, column), (), scope.rows * 3, scope.outer)


@rule("join", "POSITIONAL", 0.7)
def _positional(maker: Maker, sql: str, _scope: Scope) -> From:
    """Of two sorted tables, in the place of what was there."""
    sides, columns = [], []
    for _ in range(2):
        table, alias = one_table(maker, 200, base=True)
        sides.append(f"(SELECT * FROM {table.name} ORDER BY id) AS {alias}")
        columns += scope_of(table, alias).columns
    return " POSITIONAL JOIN ".join(sides), Scope(tuple(columns), (), 200)
