"""A world: the tables that a seed makes, and by which ways their rows got in.

Each way leaves rows elsewhere: in a commit record, in pages, in a sealed row group, under a
delete vector, in a hot segment. Queries must not be able to tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.differential.values import MOODS, SQL_TYPES, literal, stored

if TYPE_CHECKING:
    from random import Random

NULLS: Final = 0.12
"""Share of the values that are NULL."""
FACTS: Final = 1_200
"""Rows of the table that comes in bulk: more than a commit record holds."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or a view, as the generator sees it.

    Attributes:
        name: Its name.
        kinds: Kind of each column by name.
        types: SQL type of each column by name.
        rows: About how many rows it has.
        is_view: True where it cannot be written, and ids may be there twice too.
        is_fixed: True where only its own productions write it, if any do.
        repeats: True where ids may be there twice.
        computed: Columns that nobody writes.
    """

    name: str
    kinds: dict[str, str]
    types: dict[str, str]
    rows: int
    is_view: bool = False
    is_fixed: bool = False
    repeats: bool = False
    computed: tuple[str, ...] = ()

    @property
    def written(self) -> list[str]:
        """The columns that an INSERT gives values for."""
        return [name for name in self.kinds if name not in self.computed]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that fills the tables.

    Attributes:
        kind: ``sql`` for both engines, ``store`` for Pagelake alone, ``append`` for rows of a
            query that Pagelake gets as Arrow, ``reopen`` to close and open the store.
        sql: The statement.
        table: Where rows are appended.
    """

    kind: str
    sql: str = ""
    table: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Tables and what fills them."""

    tables: dict[str, Table]
    steps: tuple[Step, ...]


_SHAPES: Final[dict[str, dict[str, str]]] = {
    "item": {
        "k": "int", "s": "text", "d": "date", "x": "real", "n": "decimal", "flag": "bool",
        "t": "timestamp", "e": "enum", "li": "list", "st": "struct",
    },
    "part": {"item_id": "int", "k": "int", "s": "text", "d": "date", "u": "uuid", "x": "real"},
    "number": {
        "k": "int", "i2": "int", "i3": "int", "h": "huge", "n": "decimal", "n2": "decimal",
        "x": "real", "y": "real", "flag": "bool",
    },
    "moment": {
        "k": "int", "d": "date", "tm": "time", "tz": "timetz", "t": "timestamp",
        "t2": "timestamp", "z": "timestamptz", "v": "interval",
    },
    "nested": {
        "k": "int", "li": "list", "ws": "texts", "ar": "array", "st": "struct",
        "sts": "structs", "m": "map", "un": "union", "j": "json",
    },
    "word": {"k": "int", "s": "text", "c": "text", "b": "blob", "bits": "bit", "e": "enum"},
    "fact": {"item_id": "int", "k": "int", "n": "decimal", "x": "real", "d": "date", "s": "text"},
    "nothing": {"k": "int", "s": "text", "n": "decimal", "d": "date", "li": "list"},
    "keyed": {"k": "int", "s": "text", "n": "decimal", "d": "date", "u": "uuid", "g": "int"},
    "coded": {"k": "int", "s": "text", "x": "real", "d": "date", "e": "enum"},
}  # fmt: skip
LARGE_ROWS: Final = 260_000
"""More than two row groups; the table changes before there are queries, not between them."""
_LARGE: Final = {"id": "int", "k": "int", "n": "decimal", "s": "text", "d": "date", "x": "real"}
_LARGE_STEPS: Final = (
    "CREATE TABLE large (id INTEGER, k INTEGER, n DECIMAL(9, 2), s VARCHAR, d DATE, x DOUBLE)",
    "INSERT INTO large SELECT i, CASE WHEN i % 11 > 0 THEN i % 997 END, i % 500, "
    "['a', 'b', NULL, 'Zoë', 'long enough not to be inlined anywhere'][1 + i % 5], "
    "DATE '2020-01-01' + (i // 2000)::INTEGER, i % 640 / 8 "
    f"FROM range({LARGE_ROWS}) AS made(i)",
    "DELETE FROM large WHERE id BETWEEN 125000 AND 131000 OR id % 1001 = 7",
    "UPDATE large SET s = 'changed', k = k + 1 WHERE id % 5003 = 1",
    "INSERT INTO large VALUES (400001, 5, 1.25, 'fresh', DATE '2020-07-07', 'nan'), "
    "(400002, NULL, NULL, NULL, NULL, NULL)",
)
_CONSTRAINTS: Final = {
    "keyed": ", PRIMARY KEY (id), CHECK (id > -5)",
    "coded": ", UNIQUE (id, k)",
}
_COMPUTED: Final = {"keyed": {"g": "INTEGER GENERATED ALWAYS AS ((k % 10) * 2)"}}
_INDEXES: Final = ("CREATE INDEX coded_k ON coded (k)", "CREATE INDEX keyed_s ON keyed (s)")
_MACROS: Final = (
    "CREATE MACRO twice_of(a) AS a % 100 * 2",
    "CREATE MACRO label_of(t, tail := '.') AS coalesce(t, 'none') || tail",
    "CREATE MACRO items_below(n, low := 0) AS TABLE"
    " SELECT id, k, s, d FROM item WHERE id < n AND id >= low",
)
_TEMPORARY: Final = (
    "CREATE TEMP TABLE scratch AS SELECT id, k, s, n, d, u, e, z, h, tz, bits FROM item"
    " LEFT JOIN (SELECT id, u FROM part) AS p USING (id)"
    " LEFT JOIN (SELECT id, z, tz FROM moment) AS m USING (id)"
    " LEFT JOIN (SELECT id, h FROM number) AS q USING (id)"
    " LEFT JOIN (SELECT id, bits FROM word) AS w USING (id)",
    "CREATE TEMP VIEW passing AS SELECT id, k, s FROM scratch WHERE id % 3 > 0",
)
_SCRATCH: Final = {
    "id": "int", "k": "int", "s": "text", "n": "decimal", "d": "date", "u": "uuid", "e": "enum",
    "z": "timestamptz", "h": "huge", "tz": "timetz", "bits": "bit",
}  # fmt: skip
_ROWS: Final = {"item": 150, "fact": FACTS, "nothing": 0, "keyed": 150, "coded": 80}
_SEARCHABLE: Final = ("COLLATE NOCASE", "COLLATE NOACCENT", "")


def make_world(random: Random, *, large: bool = False, temporary: bool = False) -> World:
    """Make tables and what fills them.

    Args:
        random: Where chance comes from.
        large: With a table of several full row groups.
        temporary: With a temporary table and a temporary view.
    """
    tables = {}
    for name, shape in _SHAPES.items():
        types = {"id": "INTEGER"}
        types |= {column: random.choice(SQL_TYPES[kind]) for column, kind in shape.items()}
        types["k"] = "INTEGER"
        kinds = {"id": "int", **shape}
        computed = tuple(_COMPUTED.get(name, ()))
        repeats = name == "coded"  # its key has two columns
        rows = _ROWS.get(name, 40)
        tables[name] = Table(name, kinds, types, rows, repeats=repeats, computed=computed)
    moods = ", ".join(f"'{mood}'" for mood in MOODS)
    steps = [Step("sql", f"CREATE TYPE mood AS ENUM ({moods})")]
    for table in tables.values():
        steps += _fill(random, table)
    steps += _change(random)
    tables |= _views(tables)
    if large:
        tables["large"] = Table("large", dict(_LARGE), {}, LARGE_ROWS, is_view=True)
        steps += [Step("sql", sql) for sql in _LARGE_STEPS]
    steps += [Step("sql", sql) for sql in (*_VIEWS.values(), *_MACROS)]
    if random.random() < 0.7:
        steps += [Step("sql", sql) for sql in _INDEXES]
    if random.random() < 0.5:
        steps.append(Step("reopen"))
    if temporary:
        tables["scratch"] = Table("scratch", dict(_SCRATCH), {}, 150, is_fixed=True)
        passing = {"id": "int", "k": "int", "s": "text"}
        tables["passing"] = Table("passing", passing, {}, 100, is_view=True)
        steps += [Step("sql", sql) for sql in _TEMPORARY]
    return World(tables, tuple(steps))


def _fill(random: Random, table: Table) -> list[Step]:
    collation = random.choice(_SEARCHABLE)
    computed = _COMPUTED.get(table.name, {})
    listed = ", ".join(
        f"{name} {computed.get(name, sql_type)}{f' {collation}' if name == 'c' else ''}"
        for name, sql_type in table.types.items()
    )
    listed += _CONSTRAINTS.get(table.name, "")
    made = [Step("sql", f"CREATE TABLE {table.name} ({listed})")]
    if table.name == "fact":
        return [*made, *_bulk(random, table)]
    left, first = table.rows, 1
    while left > 0:  # a row group each
        count = min(left, random.choice([1, 1, 7, 20, 60]))
        made.append(Step("sql", insert(random, table, count, first)))
        first, left = first + count, left - count
        if random.random() < 0.12:
            made.append(_store_call(random, table.name))
    return made


def _bulk(random: Random, table: Table) -> list[Step]:
    made, first = [], 1
    for share in (0.6, 0.3, 0.1):
        end = first + int(FACTS * share)
        words = "['a', 'b', 'Zoë', '', NULL, 'long enough not to be inlined anywhere']"
        query = (
            f"SELECT i::INTEGER AS id, (i % 120)::{table.types['item_id']} AS item_id, "
            f"CASE WHEN i % 9 > 0 THEN (i * 7 % 23)::INTEGER END AS k, "
            f"(i % 40)::{table.types['n']} AS n, "
            f"(CASE i % 50 WHEN 3 THEN 'nan'::DOUBLE WHEN 4 THEN -0.0 ELSE i / 8 END)"
            f"::{table.types['x']} AS x, DATE '2020-01-01' + (i % 90)::INTEGER AS d, "
            f"{words}[1 + i % 6] AS s FROM range({first}, {end}) AS made(i)"
        )
        if random.random() < 0.5:
            made.append(Step("append", query, table.name))
        else:
            made.append(Step("sql", f"INSERT INTO {table.name} {query}"))
        first = end
        if random.random() < 0.3:
            made.append(_store_call(random, table.name))
    return made


def insert(random: Random, table: Table, count: int, first: int) -> str:
    """An INSERT of random rows whose ids begin at a number."""
    rows = []
    for number in range(first, first + count):
        values = [str(number)]
        values += [
            "NULL"
            if random.random() < NULLS
            else stored(random, table.kinds[name], table.types[name])
            for name in table.written
            if name != "id"
        ]
        rows.append(f"({', '.join(values)})")
    listed = f" ({', '.join(table.written)})" if table.computed else ""
    return f"INSERT INTO {table.name}{listed} VALUES {', '.join(rows)}"


def _store_call(random: Random, table: str) -> Step:
    return Step("store", f"CALL pagelake.{random.choice(['seal', 'compact'])}(table => '{table}')")


_CHANGES: Final = (
    "DELETE FROM item WHERE id % 7 = 3",
    "UPDATE item SET s = coalesce(s, '?') || '+', x = x * 2 WHERE k > 10",
    "DELETE FROM part WHERE item_id IN (SELECT id FROM item WHERE k = 4)",
    "UPDATE fact SET s = upper(s), k = NULL WHERE id % 31 = 5",
    "DELETE FROM fact WHERE id BETWEEN 200 AND 260",
    "UPDATE nested SET li = list_append(li, k) WHERE id % 3 = 1",
    "UPDATE number SET flag = NOT flag WHERE k < 5",
    "ALTER TABLE part ADD COLUMN added INTEGER DEFAULT 7",
    "UPDATE part SET added = NULL WHERE k IS NULL",
    "ALTER TABLE word ADD COLUMN gone VARCHAR DEFAULT 'x'",
    "ALTER TABLE word DROP COLUMN gone",
    "ALTER TABLE moment RENAME COLUMN tm TO tm_new",
    "ALTER TABLE moment RENAME COLUMN tm_new TO tm",
    "DELETE FROM word WHERE s = 'it''s'",
    "DELETE FROM nothing",
)
_VIEWS: Final = {
    "recent": "CREATE VIEW recent AS SELECT id, k, upper(s) AS s, d FROM item"
    " WHERE d > DATE '2020-02-01'",
    "summary": "CREATE VIEW summary AS SELECT k, count(*) AS id, max(n) AS n, min(s) AS s"
    " FROM fact GROUP BY k",
}


def _change(random: Random) -> list[Step]:
    steps = [Step("sql", sql) for sql in _CHANGES]
    sealed = [t for t in ("item", "fact", "nested", "word") if random.random() < 0.4]
    steps += [_store_call(random, table) for table in sealed]
    if random.random() < 0.5:  # fresh rows over what was sealed
        odd = literal(random, "text")
        steps.append(Step("sql", f"INSERT INTO item (id, k, s) VALUES (1001, NULL, {odd})"))
        steps.append(Step("sql", "UPDATE fact SET n = n + 1 WHERE id = 700"))
    return steps


def _views(tables: dict[str, Table]) -> dict[str, Table]:
    recent = {"id": "int", "k": "int", "s": "text", "d": "date"}
    summary = {"k": "int", "id": "int", "n": "decimal", "s": "text"}
    tables["part"].kinds["added"] = "int"
    tables["part"].types["added"] = "INTEGER"
    return {
        "recent": Table("recent", recent, {}, 120, is_view=True),
        "summary": Table("summary", summary, {}, 25, is_view=True),
    }
