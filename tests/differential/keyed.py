"""Tables with keys, indexes and a generated column: lookups, upserts, MERGE, changes in WITH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.differential.grammar import Column, Scope, rule
from tests.differential.relations import scope_of
from tests.differential.values import constant, literal

if TYPE_CHECKING:
    from tests.differential.grammar import Maker
    from tests.differential.world import Table

IDS = 190
"""Ids that statements look for: those of the table and some beyond."""
Change = tuple[str, str]
"""A statement, and the tables that it changes, with spaces between them."""


def _table(maker: Maker) -> Table:
    table: Table = maker.tables[maker.one_of(["keyed", "keyed", "coded"])]
    return table


def _bare(table: Table) -> Scope:
    return Scope(tuple(Column(name, kind, name) for name, kind in table.kinds.items()), rows=10_000)


def _id(maker: Maker) -> str:
    """An id, written in one of the ways in which people write numbers."""
    number = maker.random.randint(-1, IDS)
    forms = ["{}"] * 6 + ["'{}'", "{}.0", "{}::BIGINT", "{}::TINYINT::INTEGER", "CAST('{}' AS INT)"]
    form = maker.one_of(forms if number < 127 else forms[:8])
    if maker.parameters is not None and maker.chance(0.5):
        maker.parameters.append(number if maker.chance(0.9) else None)
        return f"${len(maker.parameters)}"
    return str(form.format(number))


@rule("lookup", "one key", 4)
def _one_key(maker: Maker, _scope: Scope, alias: str) -> str:
    sides = [f"{alias}.id", _id(maker)]
    return " = ".join(sides if maker.chance(0.8) else reversed(sides))


@rule("lookup", "several keys", 2)
def _several_keys(maker: Maker, _scope: Scope, alias: str) -> str:
    listed = ", ".join(_id(maker) for _ in range(maker.random.randint(1, 6)))
    return f"{alias}.id IN ({listed})"


@rule("lookup", "keys or keys")
def _or_keys(maker: Maker, _scope: Scope, alias: str) -> str:
    return f"({alias}.id = {_id(maker)} OR {alias}.id = {_id(maker)})"


@rule("lookup", "composite key")
def _composite(maker: Maker, _scope: Scope, alias: str) -> str:
    return f"{alias}.id = {_id(maker)} AND {alias}.k = {maker.random.randint(-3, 25)}"


@rule("lookup", "indexed column", 2)
def _indexed(maker: Maker, scope: Scope, _alias: str) -> str:
    column = maker.one_of(scope.of_kind("int", "text"))
    form = maker.one_of(["{} = {}", "{} = {}", "{} IN ({}, {})"])
    return str(form.format(column.sql, constant(maker, column.kind), constant(maker, column.kind)))


@rule("lookup", "range of keys")
def _range(maker: Maker, _scope: Scope, alias: str) -> str:
    low = maker.random.randint(0, IDS)
    return f"{alias}.id BETWEEN {low} AND {low + maker.random.randint(0, 12)}"


@rule("lookup", "computed key", 0.5)
def _computed(maker: Maker, _scope: Scope, alias: str) -> str:
    return f"{alias}.id + 0 = {maker.random.randint(1, IDS)}"


@rule("lookup", "key of a subquery", 0.5)
def _key_of_subquery(maker: Maker, _scope: Scope, alias: str) -> str:
    return f"{alias}.id = (SELECT max(id) - {maker.random.randint(0, 30)} FROM keyed)"


@rule("query", "lookup", 5)
def _lookup(maker: Maker) -> tuple[str, bool]:
    """A few rows by their keys, with or without more conditions."""
    table, alias = _table(maker), maker.fresh()
    scope = scope_of(table, alias)
    where = maker.pick("lookup", scope, alias)
    if maker.chance(0.3):
        where += f" AND {maker.predicate(scope, 2)}"
    names = maker.random.sample(list(table.kinds), 2)
    shown = maker.one_of(["*", f"{alias}.*", ", ".join(names), f"{names[0]} AS shown", "count(*)"])
    if maker.chance(0.2):
        shown = f"{maker.value(table.kinds[names[0]], scope, 1)} AS made, {alias}.id"
    source = f"{maker.one_of(['', '', 'main.'])}{table.name} AS {alias}"
    order = f" ORDER BY {alias}.id{maker.one_of(['', ' DESC'])}"
    is_unordered = shown == "count(*)" or table.repeats
    tail = "" if is_unordered else maker.one_of(["", "", order, f"{order} LIMIT 2"])
    return f"SELECT {shown} FROM {source} WHERE {where}{tail}", tail != ""


@rule("query", "lookup in a join", 1)
def _joined(maker: Maker) -> tuple[str, bool]:
    low = maker.random.randint(1, IDS)
    join = maker.one_of(["JOIN", "LEFT JOIN", "SEMI JOIN", "ANTI JOIN"])
    right = "" if join in {"SEMI JOIN", "ANTI JOIN"} else ", b.k"
    sql = f"SELECT a.id, a.s{right} FROM keyed AS a {join} coded AS b ON a.id = b.id"
    return f"{sql} WHERE a.id BETWEEN {low} AND {low + 30}", False


def _returning(maker: Maker, table: Table, extra: str = "") -> str:
    if not maker.chance(0.35):
        return ""
    maker.hits["RETURNING"] += 1
    made = maker.value("text", _bare(table), 2)
    return f" RETURNING {extra}{maker.one_of(['*', 'id, k', f'id, {made} AS made'])}"


def _rows(maker: Maker, names: list[str], kinds: list[str], *, twice: bool) -> str:
    """Rows of which some have keys that are there already."""
    count = maker.random.randint(1, 8)
    ids = maker.random.sample(range(1, IDS + 40), count)
    if twice and maker.chance(0.1):
        ids.append(ids[0])
    rows = []
    for number in ids:
        values = [
            str(number) if name == "id" else literal(maker.random, kind)
            for name, kind in zip(names, kinds, strict=True)
        ]
        rows.append(f"({', '.join(values)})")
    return f"VALUES {', '.join(rows)}"


def _upserted(maker: Maker) -> tuple[Table, list[str], str]:
    """A table, names of columns and rows for them: by VALUES or by a query."""
    table = _table(maker)
    others = [n for n in table.kinds if n not in {"id", *table.computed}]
    names = ["id", *(["k"] if table.name == "coded" else [])]
    more = maker.random.randint(1, 2)
    names += maker.random.sample([n for n in others if n not in names], more)
    if maker.chance(0.3) and set(names) <= {"id", "k", "s", "d"}:
        where = maker.predicate(_bare(maker.tables["item"]), 2)
        return table, names, f"SELECT {', '.join(names)} FROM item WHERE id < 60 AND {where}"
    kinds = [table.kinds[name] for name in names]
    return table, names, _rows(maker, names, kinds, twice=True)


@rule("change", "INSERT OR IGNORE and OR REPLACE", 1.5)
def _or_replace(maker: Maker) -> Change:
    table, names, rows = _upserted(maker)
    word = maker.one_of(["IGNORE", "REPLACE"])
    sql = f"INSERT OR {word} INTO {table.name} ({', '.join(names)}) {rows}"
    return sql + _returning(maker, table), table.name


@rule("change", "ON CONFLICT", 2)
def _on_conflict(maker: Maker) -> Change:
    table, names, rows = _upserted(maker)
    target = "id, k" if table.name == "coded" else "id"
    sql = f"INSERT INTO {table.name} ({', '.join(names)}) {rows} ON CONFLICT"
    if maker.chance(0.3):
        return f"{sql}{maker.one_of([f' ({target})', ''])} DO NOTHING", table.name
    set_name = names[-1]
    sql += f" ({target}) DO UPDATE SET {set_name} = excluded.{set_name}"
    if table.name == "keyed" and set_name != "n" and maker.chance(0.3):
        sql += ", n = coalesce(keyed.n, 0) + 0.5"
    if maker.chance(0.4):
        maker.hits["ON CONFLICT … WHERE"] += 1
        sql += f" WHERE {table.name}.id % 3 {maker.one_of(['=', '<>'])} 0"
    return sql + _returning(maker, table), table.name


@rule("change", "MERGE RETURNING", 1.5)
def _merge(maker: Maker) -> Change:
    table = maker.tables["keyed"]
    low = maker.random.randint(1, IDS)
    span = maker.random.randint(0, 25)
    source = f"SELECT g AS id, (g % 7)::INTEGER AS k FROM range({low}, {low + span}) AS made(g)"
    inner = _bare(table).columns
    scope = Scope(tuple(Column(f"keyed.{c.name}", c.kind, c.name) for c in inner), rows=10_000)
    arms = []
    if maker.chance(0.7):
        arms.append(f"WHEN MATCHED AND {maker.predicate(scope, 2)} THEN DELETE")
    if maker.chance(0.7):
        arms.append("WHEN MATCHED THEN UPDATE SET k = src.k, s = coalesce(keyed.s, 'none') || '~'")
    if maker.chance(0.7):
        arms.append("WHEN NOT MATCHED THEN INSERT (id, k) VALUES (src.id, src.k)")
    if maker.chance(0.3):
        arms.append("WHEN NOT MATCHED BY SOURCE AND keyed.id % 17 = 3 THEN UPDATE SET k = 0")
    arms = arms or ["WHEN MATCHED THEN DO NOTHING"]
    head = maker.one_of([f"USING ({source}) AS src ON keyed.id = src.id"])
    sql = f"MERGE INTO keyed {head} {' '.join(arms)}"
    if maker.chance(0.5):
        sql += f" RETURNING merge_action, {maker.one_of(['id', 'id, k, g', '*'])}"
    return sql, "keyed"


@rule("change", "changes in WITH", 1.5)
def _modifying_cte(maker: Maker) -> Change:
    low = maker.random.randint(1, IDS)
    where = f"id BETWEEN {low} AND {low + maker.random.randint(0, 9)}"
    fresh = IDS * 20 + maker.made_ids
    maker.made_ids += 20
    forms = [
        f"WITH gone AS (DELETE FROM keyed WHERE {where} RETURNING id, k)"
        " SELECT count(*), max(id), sum(k) FROM gone",
        f"WITH new AS (UPDATE keyed SET k = coalesce(k, 0) % 50 + 1 WHERE {where}"
        " RETURNING id, k, g) SELECT * FROM new",
        f"WITH made AS (INSERT INTO keyed (id, k) SELECT {fresh} + g, g FROM range(3) AS r(g)"
        " RETURNING *) SELECT id, k, g FROM made",
        f"WITH gone AS (DELETE FROM keyed WHERE {where} RETURNING id, s)"
        f" INSERT INTO coded (id, k, s) SELECT id + {fresh * 3}, 1, s FROM gone",
    ]
    return maker.one_of(forms), "keyed coded"


@rule("change", "UPDATE FROM with duplicates", 1)
def _update_from_duplicates(maker: Maker) -> Change:
    """Several source rows for one row, all of them saying the same."""
    low = maker.random.randint(1, IDS)
    source = f"(SELECT id % {maker.random.randint(3, 40)} AS part, 3 AS new FROM fact) AS src"
    where = f"src.part = keyed.id AND keyed.id > {low // 4}"
    return f"UPDATE keyed SET k = src.new, s = 'dup' FROM {source} WHERE {where}", "keyed"


@rule("change", "DELETE USING duplicates", 0.7)
def _delete_using_duplicates(maker: Maker) -> Change:
    low = maker.random.randint(1, IDS)
    where = f"fact.item_id = keyed.id AND keyed.id BETWEEN {low} AND {low + 4}"
    return f"DELETE FROM keyed USING fact WHERE {where}{_returning_id(maker)}", "keyed"


def _returning_id(maker: Maker) -> str:
    return " RETURNING keyed.id" if maker.chance(0.3) else ""


@rule("change", "by key", 2)
def _by_key(maker: Maker) -> Change:
    table = _table(maker)
    where = maker.pick("lookup", scope_of(table, table.name), table.name)
    if maker.chance(0.4):
        return f"DELETE FROM {table.name} WHERE {where}{_returning(maker, table)}", table.name
    shift = maker.one_of(["k = 4", "s = upper(s)", "id = id + 500", "id = id + 1", "d = NULL"])
    return f"UPDATE {table.name} SET {shift} WHERE {where}{_returning(maker, table)}", table.name


@rule("change", "key that is there", 0.5)
def _duplicate_key(maker: Maker) -> Change:
    """May fail for its key, alone or beside rows that are new."""
    table = _table(maker)
    rows = _rows(maker, ["id", "k"], ["int", "int"], twice=True)
    return f"INSERT INTO {table.name} (id, k) {rows}", table.name
