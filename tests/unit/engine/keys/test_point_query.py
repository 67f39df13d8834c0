"""Rows by their key: what is looked up, in which forms it comes, and at which version."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.storage.page import PageKind, segment_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def db(store_path: Path) -> Iterator[pagelake.Connection]:
    settings = {"background_maintenance": False}
    with pagelake.connect(store_path, settings=settings) as connection:
        connection.execute(
            "CREATE TABLE t (k BIGINT PRIMARY KEY, s VARCHAR UNIQUE, d DATE, m DECIMAL(9,2),"
            " u UUID, f DOUBLE)"
        )
        connection.execute(
            "INSERT INTO t SELECT (i * 7919) % 20000, 's' || i, DATE '2024-01-01' + i::INTEGER % 9,"
            " i / 4, ('00000000-0000-0000-0000-' || lpad(i::VARCHAR, 12, '0'))::UUID, i / 8"
            " FROM range(20000) r(i)"
        )
        yield connection


def plan(db: pagelake.Connection, sql: str, parameters: object = None) -> str:
    return str(db.execute(f"EXPLAIN {sql}", parameters).fetchall()[0][1])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE k = 5",
        "SELECT s AS a, k FROM main.t WHERE t.k IN (1, 2, -3)",
        "SELECT k FROM t x WHERE x.s = 's5' AND d = '2024-01-06';",
    ],
)
def test_what_is_looked_up(db: pagelake.Connection, sql: str) -> None:
    assert plan(db, sql).startswith("KEY_LOOKUP main.t")
    assert "row groups: 1 of 1" in db.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1] or (
        "row groups: 0 of 1" in db.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE k > 5",
        "SELECT * FROM t WHERE d = '2024-01-06'",
        "SELECT k + 1 FROM t WHERE k = 5",
        "SELECT k FROM t WHERE k = 5 OR k = 6",
        "SELECT k FROM t WHERE k = 5 ORDER BY k",
        "SELECT count(*) FROM t WHERE k = 5",
        "SELECT k FROM t WHERE k = 5 AND k = 6",
        "SELECT t.k FROM t, t b WHERE t.k = 5",
    ],
)
def test_what_the_kernel_runs(db: pagelake.Connection, sql: str) -> None:
    assert "KEY_LOOKUP" not in plan(db, sql)


def test_parameters_of_other_types_are_the_kernels(db: pagelake.Connection) -> None:
    sql = "SELECT k FROM t WHERE k = ?"
    for value in (5, 5.0, "5", decimal.Decimal(5)):
        assert db.execute(sql, [value]).fetchall() == [(5,)]
    assert db.execute(sql, [None]).fetchall() == []
    assert db.execute(sql, [1 << 80]).fetchall() == []
    with pytest.raises(pagelake.Error):
        db.execute(sql, [1, 2]).fetchall()
    with pytest.raises(pagelake.Error):
        db.execute(sql, ["text"]).fetchall()
    named = "SELECT s FROM t WHERE k = $key"
    assert db.execute(named, {"key": 7919}).fetchall() == [("s1",)]


def test_results_in_all_forms(db: pagelake.Connection) -> None:
    sql = "SELECT k, s, d, m, u, f FROM t WHERE s IN ('s1', 's5', 's9')"
    same = "SELECT k, s, d, m, u, f FROM t WHERE s IN ('s1', 's5', 's9') AND true"
    for fields in ("k, s, d, m, f", "k, s, d, m, u, f"):
        quick, slow = (text.replace("k, s, d, m, u, f", fields) for text in (sql, same))
        assert "KEY_LOOKUP" in plan(db, quick)
        assert "KEY_LOOKUP" not in plan(db, slow)
        assert db.sql(quick).fetchall() == db.sql(slow).fetchall()
        assert db.sql(quick).description == db.sql(slow).description
        assert db.sql(quick).arrow() == db.sql(slow).arrow()
        assert db.sql(quick).reader().read_all() == db.sql(slow).reader().read_all()
        assert db.sql(quick).df().equals(db.sql(slow).df())
        assert list(db.sql(quick)) == list(db.sql(slow))
    result = db.sql("SELECT k, d FROM t WHERE s IN ('s1', 's5', 's9')")
    assert result.fetchone() == (7919, datetime.date(2024, 1, 2))
    assert result.fetchmany(1) == [((5 * 7919) % 20000, datetime.date(2024, 1, 6))]
    assert result.arrow().num_rows == 1
    assert result.fetchall() == []
    found = db.execute("SELECT s FROM t WHERE u = ? AND k = ?", [uuid.UUID(int=1), 7919])
    assert found.fetchall() == [("s1",)]


def test_the_past_clones_and_restores(db: pagelake.Connection) -> None:
    before = db.snapshot()
    db.execute("CREATE TAG then")
    db.execute("DELETE FROM t WHERE k = 7919")
    db.execute("UPDATE t SET k = 100000 WHERE s = 's2'")
    by_key = "SELECT s FROM {} WHERE k IN (7919, 15838, 100000)"
    assert db.execute(by_key.format("t")).fetchall() == [("s2",)]
    old = [("s1",), ("s2",)]
    assert sorted(db.execute(by_key.format(f"t AT (VERSION => {before})")).fetchall()) == old
    db.execute("CREATE TABLE c CLONE t AT (TAG => 'then')")
    assert "KEY_LOOKUP" in plan(db, by_key.format("c"))
    assert sorted(db.execute(by_key.format("c")).fetchall()) == old
    db.execute("RESTORE TABLE t TO TAG 'then'")
    assert sorted(db.execute(by_key.format("t")).fetchall()) == old
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO t (k) VALUES (7919)")
    with pagelake.connect(db.path, read_only=True, at=before) as past:
        assert sorted(past.execute(by_key.format("t")).fetchall()) == old


def test_small_commits_and_compaction(db: pagelake.Connection) -> None:
    for number in range(60):
        db.execute("INSERT INTO t (k, s) VALUES (?, ?)", (30_000 + number, f"n{number}"))
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO t (k, s) VALUES (40000, 'n7')")
    many = "SELECT s FROM t WHERE k IN (30000, 30059, 7919, 30060)"
    before = sorted(db.execute(many).fetchall())
    assert before == [("n0",), ("n59",), ("s1",)]
    db.execute("CALL pagelake.compact()")
    assert sorted(db.execute(many).fetchall()) == before
    state = next(iter(db._database.store.snapshot().tables.values()))
    runs = [run for run in state.key_runs if run.columns == (1,)]
    covered = {group for run in runs for group in run.groups}
    assert {group.id for group in state.row_groups} <= covered, "compaction writes runs"
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO t (k, s) VALUES (30059, 'other')")


def test_a_damaged_run_is_told(db: pagelake.Connection, store_path: Path) -> None:
    store = db._database.store
    state = next(iter(store.snapshot().tables.values()))
    run = next(run for run in state.key_runs if run.columns == (1,))
    assert run.page is not None
    store.pages.get(run.page, PageKind.KEY_RUN)
    with (store_path / segment_name(run.page.segment)).open("r+b") as file:
        file.seek(run.page.offset + 64 + 8000)
        file.write(b"\xff\x00\xff\x00")
    assert run._words is None, "a run is not read before somebody looks something up"
    with pytest.raises(pagelake.Corrupt):
        db.execute("SELECT s FROM t WHERE k = 5")
    with pytest.raises(pagelake.Corrupt):
        db.execute("INSERT INTO t (k) VALUES (5)")
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(20000,)]


def test_keyed_inserts_of_different_keys_commute(db: pagelake.Connection) -> None:
    other = db.cursor()
    for first, second, commutes in ((-1, -2, True), (-3, -3, False)):
        db.execute("BEGIN")
        db.execute("INSERT INTO t (k, s) VALUES (?, ?)", (first, f"a{first}"))
        other.execute("INSERT INTO t (k, s) VALUES (?, ?)", (second, f"b{second}"))
        if commutes:
            db.execute("COMMIT")
            continue
        with pytest.raises(pagelake.Conflict):
            db.execute("COMMIT")
    db.execute("BEGIN")
    db.execute("INSERT INTO t (k, s) VALUES (-5, 'same')")
    other.execute("UPDATE t SET s = 'same' WHERE k = 1")
    with pytest.raises(pagelake.Conflict):
        db.execute("COMMIT")
    assert sorted(db.execute("SELECT k FROM t WHERE k < 0").fetchall()) == [(-3,), (-2,), (-1,)]


def test_values_that_repeat_too_often_are_scanned(db: pagelake.Connection) -> None:
    db.execute("CREATE INDEX by_day ON t (d)")
    few, many = "SELECT k FROM t WHERE d = '2023-12-31'", "SELECT k FROM t WHERE d = '2024-01-01'"
    db.execute("UPDATE t SET d = '2024-01-01' WHERE k % 4 <> 1")
    assert "KEY_LOOKUP" in plan(db, few)
    assert "KEY_LOOKUP" not in plan(db, many)
    counted = db.execute("SELECT count(*) FROM t WHERE d = '2024-01-01'").fetchall()
    assert [(len(db.execute(many).fetchall()),)] == counted
    assert counted[0][0] > 15_000
