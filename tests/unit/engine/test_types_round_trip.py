"""Every SQL type through a store: inlined, as row groups, streamed, in hot segments, changed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake
from pagelake.engine.leaves import hot_tier, table_leaf
from pagelake.engine.statements import bulk_write
from pagelake.storage import row_group
from tests.unit.sql.test_column_types import GROUPS, NESTINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEP = 1 if "PAGELAKE_FULL" in os.environ else 2
"""Half of the types are looked at inlined, half in row groups; all in both with PAGELAKE_FULL=1."""
UUID_TEXT = "'12345678-9abc-def0-0123-456789abcdef'::UUID"
CHANGES = (
    "INSERT INTO t (i) VALUES (-1)",
    "DELETE FROM t WHERE i % 7 = 3",
    "UPDATE t SET i = i + 1000000 WHERE i % 5 = 1",
)


def fill(run: Callable[[str], object], sql: str, rows: int) -> None:
    """Create table ``t`` of about ``rows`` rows with the type by itself and in every nesting."""
    literals = [text.replace("uuid()", UUID_TEXT) for text in [*GROUPS[sql], "NULL"]]
    columns = ", ".join(
        f"c{n} {template.format(sql)}" for n, (template, _) in enumerate(NESTINGS.values())
    )
    values = ", ".join(value.format() for _, value in NESTINGS.values())
    run(f"CREATE TABLE leaf (i INTEGER, v {sql})")
    for number, literal in enumerate(literals):
        run(f"INSERT INTO leaf VALUES ({number}, {literal})")
    run(f"CREATE TABLE t (i INTEGER, {columns})")
    repeats = max(1, rows // len(literals))
    run(
        f"INSERT INTO t SELECT r * 100 + i, {values} FROM leaf, range({repeats}) x(r) ORDER BY r, i"
    )


def content(connection: duckdb.DuckDBPyConnection | pagelake.Cursor) -> tuple[object, object]:
    """Types, and values with their exact texts, of table ``t``."""
    types = [(row[0], row[1]) for row in connection.execute("DESCRIBE t").fetchall()]
    texts = ", ".join(f"{name}::VARCHAR" for name, _ in types)
    return types, connection.execute(f"SELECT {texts} FROM t ORDER BY i").fetchall()


@pytest.fixture
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups and hot segments of a few rows, at bounds that no kernel batch has."""
    monkeypatch.setattr(row_group, "ROW_GROUP_ROWS_MAX", 501)
    monkeypatch.setattr(row_group, "INLINE_ROWS_MAX", 50)
    monkeypatch.setattr(hot_tier, "HOT_ROWS_MIN", 600)


def stock(sql: str, rows: int) -> tuple[tuple[object, object], tuple[object, object]]:
    """What stock DuckDB has before and after the changes."""
    with duckdb.connect() as kernel:
        kernel.execute("SET TimeZone = 'UTC'")
        fill(kernel.execute, sql, rows)
        before = content(kernel)
        for change in CHANGES:
            kernel.execute(change)
        return before, content(kernel)


def reopened(path: Path) -> tuple[object, object]:
    with pagelake.connect(path) as db:
        db.execute("SET TimeZone = 'UTC'")
        return content(db)


@pytest.mark.parametrize("sql", [*GROUPS][::STEP])
def test_inlined_rows(sql: str, store_path: Path) -> None:
    before, after = stock(sql, 1)
    with pagelake.connect(store_path) as db:
        db.execute("SET TimeZone = 'UTC'")
        fill(db.execute, sql, 1)
        assert content(db) == before
        for change in CHANGES:
            db.execute(change)
    assert reopened(store_path) == after


@pytest.mark.usefixtures("small_row_groups")
@pytest.mark.parametrize("sql", [*GROUPS][STEP - 1 :: STEP])
def test_row_groups_streams_and_hot_segments(
    sql: str, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = stock(sql, 1700)
    with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
        db.execute("SET TimeZone = 'UTC'")
        fill(db.execute, sql, 1700)
        assert content(db) == before
        for change in CHANGES:
            db.execute(change)
        assert content(db) == after
    with monkeypatch.context() as patched:
        patched.setattr(table_leaf, "DELTA_ROWS_MAX", 0)
        with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
            db.execute("SET TimeZone = 'UTC'")
            assert content(db) == after
            assert db.execute("SELECT count(*) FROM t WHERE c0 IS NULL").fetchone() == (
                sum(row[1] is None for row in after[1]),
            )
    with pagelake.connect(store_path) as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute("CALL pagelake.build_hot_segments()")
        hot = "SELECT used FROM pagelake.hot_segments WHERE table_name = 't'"
        assert db.execute(hot).fetchall() == [(True,)]
        assert content(db) == after


@pytest.mark.usefixtures("small_row_groups")
@pytest.mark.parametrize(
    "sql", ["INTEGER", "VARIANT", 'STRUCT("a b" INTEGER, c VARCHAR[])', "UUID"]
)
def test_hot_segment_written_while_loading(
    sql: str, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_write, "HOT_ROWS_MIN", 600)
    monkeypatch.setitem(
        GROUPS, 'STRUCT("a b" INTEGER, c VARCHAR[])', ["{'a b': 1, 'c': ['x', NULL]}"]
    )
    before, _ = stock(sql, 1700)
    with pagelake.connect(store_path) as db:
        db.execute("SET TimeZone = 'UTC'")
        fill(db.execute, sql, 1700)
        hot = "SELECT used FROM pagelake.hot_segments WHERE table_name = 't'"
        assert db.execute(hot).fetchall() == [(True,)]
        assert content(db) == before


def test_rows_enough_for_real_segments(store_path: Path) -> None:
    """The sizes that a user meets: a load beyond a row group and beyond the hot threshold."""
    query = (
        "SELECT r AS i, CASE WHEN r % 5 > 0 THEN {'a': r, 'b': [r::VARCHAR, NULL]} END AS s,"
        " [r, NULL, -r]::BIGINT[3] AS f, {'v': r}::VARIANT AS v, MAP {r: r::VARCHAR} AS m,"
        " CASE WHEN r % 3 = 0 THEN union_value(n := r)::UNION(n BIGINT, t VARCHAR)"
        " ELSE 'x'::UNION(n BIGINT, t VARCHAR) END AS u FROM range(130000) x(r)"
    )
    check = (
        "SELECT count(*), sum(hash(i, s::VARCHAR, f::VARCHAR, v::VARCHAR, m::VARCHAR, u::VARCHAR))"
        " FROM t"
    )
    changes = ("DELETE FROM t WHERE i % 10 = 1", "UPDATE t SET i = i + 1000000 WHERE i % 100 = 2")
    with duckdb.connect() as kernel:
        kernel.execute(f"CREATE TABLE t AS {query}")
        expected = [kernel.execute(check).fetchall()]
        for change in changes:
            kernel.execute(change)
        expected.append(kernel.execute(check).fetchall())
    with pagelake.connect(store_path) as db:
        db.execute(f"CREATE TABLE t AS {query}")
        assert db.execute(check).fetchall() == expected[0]
        for change in changes:
            db.execute(change)
        assert db.execute(check).fetchall() == expected[1]
    with pagelake.connect(store_path) as db:
        assert db.execute(check).fetchall() == expected[1]


@pytest.mark.parametrize("sql", ["AGGREGATE_STATE", "TYPE", "ANY", "LAMBDA"])
def test_a_type_that_cannot_be_stored_is_refused_by_name(sql: str, store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        with pytest.raises(pagelake.Error, match=sql):
            db.execute(f"CREATE TABLE t (a INTEGER, b {sql})")
        assert db.table_names() == []


def test_an_unknown_type_is_refused_by_name(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        with pytest.raises(pagelake.Error, match="nosuchtype"):
            db.execute("CREATE TABLE t (a nosuchtype)")
        assert db.table_names() == []


def test_a_state_of_states_is_refused_by_create_table_as(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE s AS SELECT sum(x) EXPORT_STATE AS s FROM range(3) r(x)")
        with pytest.raises(pagelake.Unsupported, match="States of states"):
            db.execute("CREATE TABLE t AS SELECT list(s) EXPORT_STATE AS s FROM s")
        assert db.table_names() == ["s"]


def test_instants_are_the_same_in_every_time_zone(store_path: Path) -> None:
    instant = "TIMESTAMPTZ '2024-11-03 01:30:00-05'"
    with pagelake.connect(store_path) as db:
        db.execute("SET TimeZone = 'America/New_York'")
        db.execute("CREATE TABLE t (a TIMESTAMPTZ, b TIMESTAMPTZ[])")
        db.execute(f"INSERT INTO t VALUES ({instant}, [{instant}])")
        db.execute("INSERT INTO t SELECT a, b FROM t, range(9000)")
        db.execute("SET TimeZone = 'Asia/Kolkata'")
        db.execute("INSERT INTO t SELECT '2024-11-03 12:00:00', ['2024-11-03 12:00:00']")
        texts = db.execute("SELECT DISTINCT a::VARCHAR, b[1]::VARCHAR FROM t").fetchall()
        assert texts == [("2024-11-03 12:00:00+05:30", "2024-11-03 12:00:00+05:30")]
    with pagelake.connect(store_path) as db:
        db.execute("SET TimeZone = 'UTC'")
        assert db.execute(
            "SELECT count(*), min(epoch_us(a)), max(epoch_us(a)) FROM t"
        ).fetchall() == [(9002, 1730615400000000, 1730615400000000)]
        found = db.execute(f"SELECT count(*) FROM t WHERE a = {instant}").fetchone()
        assert found == (9002,)


def test_enum_keeps_order_and_refuses_other_values(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (m ENUM('sad', 'ok', 'happy'))")
        db.execute("INSERT INTO t VALUES ('happy'), ('sad'), (NULL), ('ok')")
        with pytest.raises(pagelake.DataError, match="angry"):
            db.execute("INSERT INTO t VALUES ('angry')")
    with pagelake.connect(store_path) as db:
        assert db.execute("SELECT m FROM t ORDER BY m").fetchall() == [
            ("sad",),
            ("ok",),
            ("happy",),
            (None,),
        ]
        assert db.sql("SELECT m FROM t").types == ["ENUM('sad', 'ok', 'happy')"]


@pytest.mark.parametrize("rows", [3, 20_000])
def test_collation_compares_after_reopening(rows: int, store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (a VARCHAR COLLATE NOCASE, b VARCHAR)")
        db.execute(f"INSERT INTO t SELECT 'Key' || r, 'Key' || r FROM range({rows}) x(r)")
    with pagelake.connect(store_path) as db:
        assert db.execute("SELECT count(*) FROM t WHERE a = 'kEY1'").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM t WHERE b = 'kEY1'").fetchone() == (0,)
        assert db.execute("UPDATE t SET b = 'x' WHERE a = 'KEY2'").rowcount == 1
        assert db.execute("DELETE FROM t WHERE a = 'kEY0'").rowcount == 1
        joined = "SELECT count(*) FROM t x JOIN t y ON x.a = upper(y.a)"
        assert db.execute(joined).fetchone() == (rows - 1,)


def test_five_hundred_columns(store_path: Path) -> None:
    names = [f"c{n}" for n in range(500)]
    with pagelake.connect(store_path) as db:
        db.execute(f"CREATE TABLE t ({', '.join(f'{n} BIGINT' for n in names)})")
        sums = ", ".join(f"r + {n}" for n in range(500))
        db.execute(f"INSERT INTO t SELECT {sums} FROM range(9000) x(r)")
        db.execute(f"INSERT INTO t VALUES ({', '.join('?' * 500)})", list(range(500)))
    with pagelake.connect(store_path) as db:
        assert db.sql("SELECT * FROM t").columns == names
        assert db.execute("SELECT count(*), sum(c0), sum(c499) FROM t").fetchone() == (
            9001,
            sum(range(9000)),
            sum(range(9000)) + 9000 * 499 + 499,
        )


@pytest.mark.parametrize("rows", [0, 5, 9000])
def test_tables_without_rows_or_values(rows: int, store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute(
            "CREATE TABLE t (a INTEGER, b VARCHAR, c STRUCT(x INTEGER[], y VARIANT), d UUID)"
        )
        db.execute(f"INSERT INTO t SELECT NULL, NULL, NULL, NULL FROM range({rows})")
        db.execute("CREATE TABLE e AS SELECT * FROM t WHERE a = 1")
    with pagelake.connect(store_path) as db:
        assert db.execute(
            "SELECT count(*), count(a), count(b), count(c), count(d) FROM t"
        ).fetchone() == (
            rows,
            *[0] * 4,
        )
        assert db.sql("SELECT * FROM e").types == db.sql("SELECT * FROM t").types
        assert db.sql("SELECT * FROM e").arrow().num_rows == 0
        assert re.match(r"STRUCT\(x INTEGER\[\], y VARIANT\)", db.sql("SELECT * FROM e").types[2])
