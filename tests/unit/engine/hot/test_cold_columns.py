"""Columns that hot segments leave out: read where they are named, with the same values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import pagelake
from pagelake import Corrupt
from pagelake.engine.leaves import hot_tier
from pagelake.engine.result import Result
from pagelake.engine.safekeeping.hot_check import check_hot
from pagelake.engine.statements import bulk_write
from pagelake.storage.effects import AlterTable
from pagelake.storage.log.effects_wire import definition_from_wire, definition_to_wire

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 3_000
COLD = ("n", "u", "text", "born", "tags", "flag", "raw", "odd")
LOAD = f"""CREATE TABLE t AS SELECT r AS a, 'name' || (r * 7919 % {ROWS}) AS name,
    r * 31 % 1009 AS b,
    CASE WHEN r % 5 > 0 THEN r * 3 END AS n, (r % 7)::UINTEGER AS u,
    CASE WHEN r % 3 > 0 THEN 'text ' || r END AS text,
    make_timestamp_ns(1600000000000000000 + r * 1000003) AS born,
    CASE WHEN r % 11 = 0 THEN MAP {{'k': r::VARCHAR}} END AS tags,
    r % 2 = 0 AS flag, encode('b' || r) AS raw, [r] AS odd
    FROM range({ROWS}) x(r)"""
BUILD = "CALL pagelake.build_hot_segments()"
ASKED = (
    "SELECT * FROM t ORDER BY a",
    "SELECT count(n), sum(n), max(text), min(born), count(tags), sum(u), bool_or(flag) FROM t",
    "SELECT a, tags FROM t WHERE tags IS NOT NULL ORDER BY a",
    "SELECT * FROM t WHERE u = 3 ORDER BY b, a LIMIT 10",
    "SELECT * FROM t WHERE n % 2 = 0 AND b > 500 ORDER BY b DESC, a LIMIT 20",
    "SELECT text FROM t WHERE a = 2711",
    "SELECT * FROM t ORDER BY b DESC, a LIMIT 100 OFFSET 7",
    "SELECT u, count(*), max(n) FROM t GROUP BY u ORDER BY u",
    "SELECT x.a, y.text FROM t x LEFT JOIN t y ON x.n = y.a AND y.u = 1 ORDER BY ALL LIMIT 50",
    "SELECT a FROM t WHERE text IN (SELECT text FROM t WHERE b = 3) ORDER BY a",
    "SELECT t.odd[1] + n, raw FROM t WHERE name LIKE '%99' ORDER BY a",
    "SELECT count(*) FROM t WHERE born > TIMESTAMP_NS '2020-09-13 12:26:41'",
    "SELECT a, row_number() OVER (ORDER BY n DESC NULLS FIRST, a) FROM t QUALIFY a < 9 ORDER BY a",
)


@pytest.fixture(autouse=True)
def few_rows_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_tier, "HOT_ROWS_MIN", 1000)
    monkeypatch.setattr(bulk_write, "HOT_ROWS_MIN", 1000)


def loaded(store: Path) -> pagelake.Connection:
    """A store with the table, some columns of which are cold, and no segment yet."""
    db = pagelake.connect(store, settings={"background_maintenance": False, "hot_bytes_max": 0})
    db.execute(LOAD)
    definition = db._session.snapshot().table("main", "t").definition  # type: ignore[union-attr]
    cold = tuple(c.id for c in definition.columns if c.name in COLD)
    names = {c.name: c.id for c in definition.columns}
    codecs = ((names["name"], "uncompressed"), (names["b"], "no codec"))
    made = replace(definition, cold=cold, hot_codecs=codecs)

    def change(transaction: Any) -> Result:
        transaction.add("ALTER TABLE", AlterTable(made))
        return Result(None)

    db._session.writing("ALTER TABLE", change)
    return db


def answers(db: pagelake.Connection) -> list[Any]:
    return [db.sql(sql).fetchall() for sql in ASKED]


def built(db: pagelake.Connection) -> None:
    db.execute("SET hot_bytes_max = '1GB'")
    db.execute(BUILD)
    assert "hot segment" in db.sql("SELECT * FROM t").explain()


def test_the_answers_are_those_without_a_segment(store_path: Path) -> None:
    with loaded(store_path) as db:
        expected = answers(db)
        built(db)
        assert answers(db) == expected
        changes = (
            "DELETE FROM t WHERE a % 50 = 1",
            "INSERT INTO t SELECT * REPLACE (a + 100000 AS a) FROM t WHERE a % 100 = 2",
            "UPDATE t SET text = 'other', u = 1 WHERE a % 60 = 5",
        )
        for change in changes:
            db.execute(change)
        changed = answers(db)
        db.execute("SET hot_bytes_max = 0")
        assert answers(db) == changed != expected
        built(db)  # now with some rows left out
        assert answers(db) == changed
        before = db.sql("SELECT max(version) FROM pagelake.snapshots").fetchall()[0][0]
        db.execute("DELETE FROM t WHERE a < 1500")
        db.execute("CALL pagelake.compact()")
        assert db.sql(f"SELECT sum(n) FROM t AT (VERSION => {before})").fetchall() == [
            (changed[1][0][1],)
        ]
        kept = db.sql("SELECT * FROM t ORDER BY b DESC, a LIMIT 10").fetchall()
        db.execute("SET hot_bytes_max = 0")
        assert db.sql("SELECT * FROM t ORDER BY b DESC, a LIMIT 10").fetchall() == kept


def test_a_segment_leaves_them_out_and_keeps_the_rest_as_it_was_told(store_path: Path) -> None:
    with loaded(store_path) as db:
        built(db)
        columns = db._session.snapshot().table("main", "t").definition.columns  # type: ignore[union-attr]
    (file,) = (store_path / "hot").glob("*.duckdb")
    with duckdb.connect(str(file), read_only=True) as native:
        held = {name for name, *_ in native.execute("DESCRIBE rows").fetchall()}
        codecs = native.execute(
            "SELECT compression FROM pragma_storage_info('rows') WHERE column_name = 'c2' "
            "AND segment_type = 'VARCHAR'"
        ).fetchall()
    # A list is not among the types that can be left out.
    assert held == {f"c{c.id}" for c in columns if c.name not in COLD or c.name == "odd"}
    assert set(codecs) == {("Uncompressed",)}


def test_a_definition_without_them_is_written_as_it_always_was(store_path: Path) -> None:
    with loaded(store_path) as db:
        definition = db._session.snapshot().table("main", "t").definition  # type: ignore[union-attr]
    told = definition_to_wire(definition)
    assert definition_from_wire(told) == definition
    plain = replace(definition, cold=(), hot_codecs=())
    assert definition_to_wire(plain) == told[:-1]
    assert definition_from_wire(told[:-1]) == plain


def test_columns_may_come_and_go_afterwards(store_path: Path) -> None:
    with loaded(store_path) as db:
        built(db)
        db.execute("ALTER TABLE t ADD COLUMN late INTEGER DEFAULT 7")
        db.execute("ALTER TABLE t DROP COLUMN text")
        db.execute("ALTER TABLE t RENAME COLUMN u TO v")
        asked = "SELECT sum(late), sum(v), count(*), max(born) FROM t"
        hot = db.sql(asked).fetchall()
        db.execute("SET hot_bytes_max = 0")
        assert db.sql(asked).fetchall() == hot
        built(db)
        db.execute("ALTER TABLE t ALTER COLUMN v TYPE BIGINT")
        assert db.sql(asked).fetchall() == hot


def test_the_check_knows_what_a_segment_leaves_out(store_path: Path) -> None:
    with loaded(store_path) as db:
        built(db)
        db.execute("DELETE FROM t WHERE a = 5")
        assert list(check_hot(db._session.database.store)) == []


def test_damage_is_told_of_where_a_column_is_named(store_path: Path) -> None:
    with loaded(store_path) as db:
        built(db)
        ((segment, offset),) = db.sql(
            "SELECT segment, \"offset\" FROM pagelake.pages WHERE column_name = 'text'"
        ).fetchall()
    with (store_path / segment).open("r+b") as stream:
        stream.seek(offset + 200)
        byte = stream.read(1)
        stream.seek(offset + 200)
        stream.write(bytes([byte[0] ^ 1]))
    with pagelake.connect(store_path, settings={"background_maintenance": False}) as db:
        assert db.sql("SELECT sum(a), max(born) FROM t").fetchall()[0][0] == sum(range(ROWS))
        with pytest.raises(Corrupt):
            db.sql("SELECT max(text) FROM t").fetchall()
        with pytest.raises(Corrupt):
            db.sql("SELECT * FROM t ORDER BY b LIMIT 3").fetchall()
        assert db.sql("SELECT count(*) FROM t").fetchall() == [(ROWS,)]


def test_a_limit_over_rows_that_are_told_apart_by_their_number(store_path: Path) -> None:
    # Conditions on nothing but a row's number make the kernel fail where it reads a LIMIT late.
    settings = {"background_maintenance": False, "hot_bytes_max": 0}
    with pagelake.connect(store_path, settings=settings) as db:
        db.execute("CREATE TABLE o AS SELECT 1 AS a")
        db.execute("CREATE TABLE g AS SELECT r AS a, 'x' || r AS b FROM range(15000) x(r)")
        reader = db.cursor()
        reader.begin()
        reader.sql("FROM o").fetchall()
        db.execute("INSERT INTO g SELECT r, 'y' || r FROM range(20000, 32000) x(r)")
        # What both read lies in one table in memory, of which the reader's is a part.
        assert db.sql("SELECT max(a), count(*) FROM g").fetchall() == [(31_999, 27_000)]
        for limit in (10, 100):
            rows = reader.sql(f"SELECT * FROM g ORDER BY a DESC LIMIT {limit}").fetchall()
            assert rows[0] == (14_999, "x14999")
            assert len(rows) == limit
        reader.rollback()
