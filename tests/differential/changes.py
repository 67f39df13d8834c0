"""Statements that change tables, and transactions of them. Each has one right outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.differential.grammar import Column, Scope, rule
from tests.differential.relations import one_table, scope_of
from tests.differential.values import PLAIN
from tests.differential.world import insert

if TYPE_CHECKING:
    from tests.differential.grammar import Maker
    from tests.differential.world import Table

_FREE_IDS = 2_000
"""Ids from here on are those of rows that changes insert."""


def make_change(maker: Maker) -> tuple[str, str]:
    """A statement that changes a table, and the table's name."""
    maker.begin(parameters=False)
    made: tuple[str, str] = maker.pick("change")
    return made


def _target(maker: Maker) -> tuple[Table, Scope]:
    table, _ = one_table(maker, 2_000, base=True)
    while table.is_fixed:
        table, _ = one_table(maker, 2_000, base=True)
    if maker.chance(0.07):
        table = maker.tables["coded"]
    return table, scope_of(table, table.name)


def _returning(maker: Maker, scope: Scope) -> str:
    if not maker.chance(0.3):
        return ""
    maker.hits["RETURNING"] += 1
    shown = maker.value(maker.one_of(PLAIN), Scope(scope.columns, rows=10_000), 2)
    return f" RETURNING {maker.one_of(['*', 'id', f'{shown} AS made, id'])}"


def _where(maker: Maker, scope: Scope) -> str:
    return f" WHERE {maker.predicate(replace(scope, rows=400), 1)}"


def _unqualified(sql: str, table: str) -> str:
    return sql.replace(f"{table}.", "")


def _next_id(maker: Maker) -> int:
    maker.made_ids += 10
    return _FREE_IDS + maker.made_ids


@rule("change", "INSERT VALUES", 2)
def _insert(maker: Maker) -> tuple[str, str]:
    table, scope = _target(maker)
    sql = insert(maker.random, table, maker.random.randint(1, 6), _next_id(maker))
    return sql + _returning(maker, Scope(_bare(scope))), table.name


def _bare(scope: Scope) -> tuple[Column, ...]:
    return tuple(Column(c.name, c.kind, c.name) for c in scope.columns)


@rule("change", "INSERT some columns", 1)
def _insert_some(maker: Maker) -> tuple[str, str]:
    table, _ = _target(maker)
    nothing = Scope(())
    names = maker.random.sample([n for n in table.written if n not in {"id", "k"}], 2)
    values = [maker.value(table.kinds[name], nothing, 3) for name in names]
    row = f"({_next_id(maker)}, {', '.join(values)})"
    return f"INSERT INTO {table.name} (id, {', '.join(names)}) VALUES {row}", table.name


@rule("change", "INSERT SELECT", 2)
def _insert_select(maker: Maker) -> tuple[str, str]:
    table, _ = _target(maker)
    alias = maker.fresh()
    scope = scope_of(table, alias)
    others = [
        maker.value(table.kinds[name], scope, 3)
        if table.kinds[name] in {"text", "date"}
        else f"{alias}.{name}"
        for name in table.written
        if name != "id"
    ]
    shown = ", ".join([f"{alias}.id + {_next_id(maker) * 10}", *others])
    sql = f"SELECT {shown} FROM {table.name} AS {alias}{_where(maker, scope)}"
    listed = f" ({', '.join(table.written)})" if table.computed else ""
    return f"INSERT INTO {table.name}{listed} {sql} AND {alias}.id < 60", table.name


@rule("change", "INSERT BY NAME", 0.7)
def _insert_by_name(maker: Maker) -> tuple[str, str]:
    table, _ = _target(maker)
    sql = f"SELECT {maker.random.randint(0, 20)} AS k, {_next_id(maker)} AS id"
    return f"INSERT INTO {table.name} BY NAME {sql}", table.name


@rule("change", "UPDATE", 3)
def _update(maker: Maker) -> tuple[str, str]:
    table, scope = _target(maker)
    free = [name for name in table.written if name != "id"]
    chosen = maker.random.sample(free, maker.random.randint(1, 3))
    assigned = ", ".join(f"{name} = {_assigned(maker, table, name, scope)}" for name in chosen)
    returning = _returning(maker, scope)
    return f"UPDATE {table.name} SET {assigned}{_where(maker, scope)}{returning}", table.name


def _assigned(maker: Maker, table: Table, name: str, scope: Scope) -> str:
    """A value that surely fits: another kind than text could be too large for its type."""
    kind = table.kinds[name]
    if kind in {"int", "decimal", "real", "huge"}:
        sql_type = table.types[name]
        return f"TRY_CAST({maker.value(kind, scope, 2)} AS {sql_type})"
    if kind in {"timestamp", "timestamptz", "interval", "time", "bit"}:
        return maker.value(kind, scope, 3)
    return maker.value(kind, scope, 2)


@rule("change", "UPDATE FROM", 1.5)
def _update_from(maker: Maker) -> tuple[str, str]:
    """From a subquery with one row for each key, so that there is one right outcome."""
    table, scope = _target(maker)
    source, _ = one_table(maker, 2_000)
    alias = maker.fresh("p")
    texts = [name for name, kind in table.kinds.items() if kind == "text"]
    name = maker.one_of([*texts, "k"])
    shown = "min(k)" if name == "k" else "min(id::VARCHAR)"
    grouped = f"(SELECT k, {shown} AS best FROM {source.name} GROUP BY k) AS {alias}"
    where = f"{alias}.k = {table.name}.id % 20 AND {maker.predicate(scope, 2)}"
    sql = f"UPDATE {table.name} SET {name} = {alias}.best FROM {grouped} WHERE {where}"
    return sql + (" RETURNING id" if maker.chance(0.2) else ""), table.name


@rule("change", "DELETE", 2)
def _delete(maker: Maker) -> tuple[str, str]:
    table, scope = _target(maker)
    where = f"{_where(maker, scope)} AND {table.name}.id % 5 = {maker.random.randint(0, 4)}"
    return f"DELETE FROM {table.name}{where}{_returning(maker, scope)}", table.name


@rule("change", "DELETE USING", 1)
def _delete_using(maker: Maker) -> tuple[str, str]:
    table, scope = _target(maker)
    other, alias = one_table(maker, 60)
    where = f"{alias}.k = {table.name}.k AND {maker.predicate(scope, 2)}"
    where += f" AND {table.name}.id % 4 = {maker.random.randint(0, 3)}"
    return f"DELETE FROM {table.name} USING {other.name} AS {alias} WHERE {where}", table.name


@rule("change", "MERGE", 0.8)
def _merge(maker: Maker) -> tuple[str, str]:
    table, scope = _target(maker)
    number = _next_id(maker)
    source = f"(SELECT DISTINCT id FROM item WHERE k < {maker.random.randint(0, 9)}"
    source += f" UNION SELECT {number}) AS s"
    matched = maker.one_of(["UPDATE SET k = 3", "DELETE", "DO NOTHING"])
    if maker.chance(0.4):
        matched = f"UPDATE SET k = 5 WHEN NOT MATCHED BY SOURCE AND {table.name}.k = 4 THEN DELETE"
    return (
        f"MERGE INTO {table.name} USING {source} ON s.id = {table.name}.id"
        f" WHEN MATCHED AND {maker.predicate(scope, 2)} THEN {matched}"
        f" WHEN NOT MATCHED THEN INSERT (id, k) VALUES (s.id, 1)",
        table.name,
    )


@rule("change", "that fails", 1)
def _fails(maker: Maker) -> tuple[str, str]:
    table, _ = _target(maker)
    name = table.name
    sql = maker.one_of(
        [
            f"INSERT INTO {name} (id) VALUES ('x')",
            f"INSERT INTO {name} (none) VALUES (1)",
            f"UPDATE {name} SET none = 1",
            f"DELETE FROM {name} WHERE none = 1",
            f"INSERT INTO {name} (id, k) VALUES (1)",
            f"INSERT INTO {name} (id) VALUES (1e40)",
            f"UPDATE {name} SET id = 'abc'",
            f"INSERT INTO {name}_none VALUES (1)",
            f"CREATE TABLE {name} (a INT)",
            f"ALTER TABLE {name} DROP COLUMN none",
            f"INSERT INTO {name} (id, id) VALUES (1, 2)",
            f"DROP TABLE {name}_none",
            f"UPDATE {name} SET k = 1, k = 2",
        ]
    )
    return sql, name


@rule("change", "ALTER TABLE and back", 0.5)
def _alter(maker: Maker) -> tuple[str, str]:
    """Two statements in one text, so that the generator's tables stay what they are."""
    table, _ = _target(maker)
    name = table.name
    sql = maker.one_of(
        [
            f"ALTER TABLE {name} ADD COLUMN extra INTEGER DEFAULT 5;"
            f" UPDATE {name} SET extra = k WHERE id % 2 = 0; ALTER TABLE {name} DROP COLUMN extra",
            f"ALTER TABLE {name} RENAME TO moved; ALTER TABLE moved RENAME TO {name}",
            f"ALTER TABLE {name} RENAME COLUMN k TO key; ALTER TABLE {name} RENAME COLUMN key TO k",
            f"ALTER TABLE {name} ALTER k TYPE BIGINT; ALTER TABLE {name} ALTER k TYPE INTEGER",
        ]
    )
    return sql, name


@rule("change", "CREATE TABLE AS", 0.5)
def _create_as(maker: Maker) -> tuple[str, str]:
    table, scope = _target(maker)
    where = _where(maker, scope)
    sql = f"CREATE OR REPLACE TABLE copied AS SELECT * FROM {table.name}{where}"
    return sql, "copied"
