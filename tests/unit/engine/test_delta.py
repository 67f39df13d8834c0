"""Deltas: fresh rows as native tables, shared by snapshots and given back."""

from __future__ import annotations

import pytest

import pagelake
from pagelake.engine.leaves.delta import Delta, ranges
from pagelake.storage.effects import RowGroup


def groups(*rows: tuple[str, int]) -> list[RowGroup]:
    return [RowGroup(name, count) for name, count in rows]


def test_ranges_are_merged_where_they_touch() -> None:
    delta = Delta("d", (), {"a": 0, "b": 10, "c": 15, "d": 40}, 50)
    assert ranges(groups(("b", 5), ("a", 10)), delta) == [(0, 15)]
    assert ranges(groups(("a", 10), ("c", 25)), delta) == [(0, 10), (15, 40)]
    assert ranges([], delta) == []


def native_tables(db: pagelake.Connection) -> int:
    found = "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'delta_%'"
    return int(db._database.kernel.execute(found)[0][0])


def test_each_snapshot_reads_its_own_rows() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        open_results = []
        for n in range(60):
            db.execute("INSERT INTO t VALUES (?)", (n,))
            if n % 3 == 2:
                db.execute("DELETE FROM t WHERE a = ?", (n - 1,))
            open_results.append((n, db.sql("SELECT count(*), max(a) FROM t")))
        for n, result in open_results:
            assert result.fetchall() == [(n + 1 - (n + 1) // 3, n)]


def test_native_tables_do_not_pile_up() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
        for n in range(80):
            db.execute("INSERT INTO t VALUES (?, 'x')", (n,))
            db.execute("UPDATE t SET b = 'y' WHERE a = ?", (n // 2,))
            assert db.execute("SELECT count(*) FROM t").fetchone() == (n + 1,)
        assert native_tables(db) <= 20


def test_changed_columns_are_seen_in_fresh_rows() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        db.execute("INSERT INTO t VALUES (1)")
        assert db.execute("SELECT * FROM t").fetchall() == [(1,)]
        db.execute("ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 5")
        db.execute("INSERT INTO t VALUES (2, 6)")
        assert db.execute("SELECT * FROM t ORDER BY a").fetchall() == [(1, 5), (2, 6)]
        db.execute("ALTER TABLE t DROP COLUMN a")
        assert db.execute("SELECT * FROM t ORDER BY b").fetchall() == [(5,), (6,)]


def test_pending_rows_are_private_and_dropped_with_their_transaction() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t AS SELECT * FROM range(3) r(a)")
        one, two = db.cursor(), db.cursor()
        one.begin()
        two.begin()
        one.execute("INSERT INTO t VALUES (10)")
        two.execute("DELETE FROM t WHERE a = 0")
        assert one.execute("SELECT sum(a) FROM t").fetchone() == (13,)
        assert two.execute("SELECT sum(a), count(*) FROM t").fetchone() == (3, 2)
        assert db.execute("SELECT sum(a), count(*) FROM t").fetchone() == (3, 3)
        one.rollback()
        two.commit()
        assert db.execute("SELECT sum(a), count(*) FROM t").fetchone() == (3, 2)
        private = [key for key in db._database.deltas._current if key[1]]
        assert private == []


@pytest.mark.parametrize("batches", [1, 12])
def test_many_rows_across_base_and_tail(batches: int) -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a BIGINT)")
        total = 0
        for n in range(batches):
            db.execute(f"INSERT INTO t SELECT r FROM range({n * 9000}, {(n + 1) * 9000}) x(r)")
            total += 9000
            assert db.execute("SELECT count(*), sum(a) FROM t").fetchone() == (
                total,
                sum(range(total)),
            )
