"""Upserts and MERGE copy only the rows that they can meet, and mean what they mean in DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake
from pagelake.engine.native import mirror
from pagelake.errors import ConstraintViolation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.engine.native.reach import Reach

ROWS = 500
MAKE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR UNIQUE, n BIGINT DEFAULT 7, d DOUBLE)",
    f"INSERT INTO t SELECT range, 'row ' || range, range % 10, range / 4 FROM range({ROWS})",
    "CREATE TABLE other (id INTEGER, name VARCHAR)",
    "INSERT INTO other VALUES (3, 'three'), (600, 'new'), (601, NULL)",
    "CREATE TABLE pair (a INTEGER, b VARCHAR, v INTEGER, PRIMARY KEY (a, b))",
    "INSERT INTO pair SELECT range, 'b' || range % 3, 0 FROM range(100)",
)
NARROW = (
    "INSERT INTO t VALUES (5, 'x', 1, 1.5) ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES (700, 'row 5', 1, 1.5) ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES (5, 'x', 1, 1.5), (800, 'y', 2, 2) ON CONFLICT (id) DO NOTHING",
    "INSERT INTO t (name, id) VALUES ('x', 5) ON CONFLICT (id) DO UPDATE SET n = n + excluded.n",
    "INSERT INTO t AS mine VALUES (900, 'row 5', 1, 1.5) "
    "ON CONFLICT (name) DO UPDATE SET n = mine.n WHERE mine.n > 3",
    "INSERT INTO t VALUES (5, 'row 6', 1, 1.5) ON CONFLICT (id) DO UPDATE SET d = 0 "
    "RETURNING *, n + 1 AS more",
    "INSERT INTO t (id, n) VALUES (5, DEFAULT) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
    "INSERT INTO t VALUES (5, 'x', 3, 1), (5, 'y', 4, 1) ON CONFLICT (id) DO UPDATE SET n = 0",
    "INSERT OR REPLACE INTO pair VALUES (5, 'b2', 9), (5, 'b1', 8), (300, 'z', 1)",
    "INSERT OR REPLACE INTO pair (b, a) VALUES ('b2', 5)",
    "INSERT OR IGNORE INTO t BY NAME SELECT id, name FROM other",
    "INSERT INTO t (id, name) SELECT id, 'n' || id "
    "FROM other JOIN (SELECT 3 AS x) AS s ON other.id >= s.x "
    "ON CONFLICT DO NOTHING",
    "WITH w AS (SELECT id, name FROM other) INSERT OR IGNORE INTO t (id, name) SELECT * FROM w",
    "INSERT OR IGNORE INTO t SELECT id + 498, 'n' || id, n, d FROM t WHERE id < 5",
    "INSERT INTO t SELECT max(id) + 1, 'top', 0, 0 FROM t ON CONFLICT DO NOTHING",
    "MERGE INTO t USING other ON t.id = other.id WHEN MATCHED THEN UPDATE SET n = 100 "
    "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (other.id, other.name)",
    "MERGE INTO t AS m USING (SELECT 5 AS k, 'q' AS v) AS s ON s.k = m.id AND m.n < 100 "
    "WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING (SELECT id + 1 AS id, 3 AS n FROM other) AS s USING (id) "
    "WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id) "
    "RETURNING merge_action, t.id",
    "MERGE INTO pair p USING (VALUES (1, 'b1'), (900, 'k')) s(x, y) ON p.b = s.y AND p.a = s.x "
    "WHEN MATCHED THEN UPDATE SET v = 5 WHEN NOT MATCHED THEN INSERT VALUES (s.x, s.y, 6)",
    "WITH w AS (SELECT 7 AS id) MERGE INTO t USING w ON t.id = w.id WHEN MATCHED THEN DELETE",
)
WHOLE = (
    "INSERT OR REPLACE INTO pair BY NAME SELECT 5 AS a, 'b2' AS b, 6 AS v",
    "MERGE INTO t USING other ON t.id = other.id WHEN NOT MATCHED BY SOURCE THEN DELETE",
    "MERGE INTO t USING other ON t.n = other.id WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING (SELECT '05' AS k) AS s ON t.id = s.k WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING other ON t.id = other.id OR t.id = other.id + 6 "
    "WHEN MATCHED THEN UPDATE SET n = 0",
    "MERGE INTO t USING other ON t.id = t.n AND t.n = other.id WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING other ON t.id = other.id "
    "WHEN MATCHED THEN UPDATE SET n = (SELECT count(*) FROM t)",
)
MACROS = (
    "CREATE MACRO twice(x) AS x * 2",
    "CREATE MACRO top() AS (SELECT max(id) FROM t)",
    "CREATE VIEW counted AS SELECT count(*) AS k FROM t",
    "CREATE MACRO held() AS (FROM counted)",
    "CREATE MACRO inside(x) AS x + top()",
)
REFUSED = (
    "INSERT INTO t VALUES (700, 'row 5', 1, 1.5) ON CONFLICT (id) DO NOTHING",
    "INSERT INTO t VALUES (5, 'x', 1, 1) ON CONFLICT (id) DO UPDATE SET name = 'row 400'",
    "MERGE INTO t USING (SELECT 600 AS id) AS s ON t.id = s.id "
    "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, 'row 400')",
    "MERGE INTO t USING (SELECT 600 AS k) AS s ON t.id = s.k "
    "WHEN NOT MATCHED THEN INSERT (id) VALUES (5)",
)


@pytest.fixture
def both() -> Iterator[tuple[duckdb.DuckDBPyConnection, pagelake.Connection]]:
    with duckdb.connect() as stock, pagelake.connect() as ours:
        for sql in MAKE:
            stock.execute(sql)
            ours.execute(sql)
        yield stock, ours


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each statement found within reach; -1 for all of the table."""
    counts: list[int] = []
    find = mirror.find_reach

    def counting(*arguments: object) -> Reach | None:
        reach = find(*arguments)  # type: ignore[arg-type]
        counts.append(-1 if reach is None else int(reach.places.groups.size))
        return reach

    monkeypatch.setattr(mirror, "find_reach", counting)
    return counts


def content(connection: duckdb.DuckDBPyConnection | pagelake.Connection) -> list[list[object]]:
    return [
        connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
        for table in ("t", "pair")
    ]


def compare(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection], sql: str, *parameters: object
) -> None:
    stock, ours = both
    given = list(parameters) or None
    assert sorted(ours.execute(sql, given).fetchall()) == sorted(
        stock.execute(sql, given).fetchall()
    )
    assert content(ours) == content(stock)


@pytest.mark.parametrize("sql", NARROW)
def test_only_rows_within_reach_are_copied(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection], copied: list[int], sql: str
) -> None:
    compare(both, sql)
    assert all(0 <= count <= 10 for count in copied)
    assert copied
    compare(both, sql)


@pytest.mark.parametrize("sql", WHOLE)
def test_a_statement_that_may_meet_any_row_has_the_whole_table(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection], copied: list[int], sql: str
) -> None:
    compare(both, sql)
    assert copied == [-1]


@pytest.mark.parametrize("sql", REFUSED)
def test_keys_that_rows_out_of_reach_have_are_refused(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection], sql: str
) -> None:
    stock, ours = both
    before = content(ours)
    with pytest.raises(duckdb.Error):
        stock.execute(sql)
    with pytest.raises((ConstraintViolation, pagelake.errors.InvalidRequest)):
        ours.execute(sql)
    assert content(ours) == before == content(stock)


def test_parameters_go_where_they_belong(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection], copied: list[int]
) -> None:
    upsert = "INSERT INTO t (id, n) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET n = n + ?, d = ?"
    compare(both, upsert, 5, 1, 10, 0.5)
    compare(both, upsert, 900, 1, 10, 0.5)
    compare(both, upsert.replace("?", "$1"), 6)
    merge = "MERGE INTO t USING (SELECT ?::INTEGER AS id) AS s ON t.id = s.id AND t.n > ? "
    compare(both, merge + "WHEN MATCHED THEN UPDATE SET d = ?", 8, 2, 99)
    assert copied == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("value", "rows"), [("twice(21)", 1), ("top()", -1), ("held()", -1), ("inside(1)", -1)]
)
def test_a_macro_may_read_the_whole_table(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection],
    copied: list[int],
    value: str,
    rows: int,
) -> None:
    for connection in both:
        for sql in MACROS:
            connection.execute(sql)
    merge = "MERGE INTO t USING (SELECT 5 AS id) AS s ON t.id = s.id "
    compare(both, merge + f"WHEN MATCHED THEN UPDATE SET n = {value}")
    assert copied == [rows]


def test_a_sequence_moves_once(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection], copied: list[int]
) -> None:
    for connection in both:
        connection.execute("CREATE SEQUENCE s START 498")
        connection.execute("ALTER TABLE t ALTER id SET DEFAULT nextval('s')")
    for name in ("one", "two", "three", "four"):
        compare(both, "INSERT INTO t (name) VALUES (?) ON CONFLICT (id) DO NOTHING", name)
    assert copied == [1, 1, 0, 0]


def test_rows_of_this_transaction_are_met(
    both: tuple[duckdb.DuckDBPyConnection, pagelake.Connection], copied: list[int]
) -> None:
    for connection in both:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM t WHERE id = 5")
        connection.execute("INSERT INTO t VALUES (1000, 'mine', 1, 1)")
    replace = "INSERT OR REPLACE INTO pair SELECT id, 'b0', 4 FROM t WHERE id IN (3, 5, 1000)"
    compare(both, replace)
    ignore = "INSERT INTO t (id, n) VALUES (1000, 50), (6, 60) ON CONFLICT (id) DO UPDATE SET n=9"
    compare(both, ignore)
    for connection in both:
        connection.execute("COMMIT")
    assert content(both[0]) == content(both[1])
    assert copied == [1, 2]
