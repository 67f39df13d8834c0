"""Deltas: fresh rows as native tables, shared by snapshots and given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake
from pagelake.engine.leaves.delta import Delta, ranges
from pagelake.storage import row_group_run
from pagelake.storage.effects import RowGroup

if TYPE_CHECKING:
    from pathlib import Path


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


SMALL_COMMITS = [
    *(f"INSERT INTO t VALUES ({n % 3}, {n}, 'row {n}')" for n in range(12)),
    "INSERT INTO t VALUES (NULL, 12, ''), (1, 13, NULL), (2, NULL, '\N{SNOWMAN}')",
    "DELETE FROM t WHERE v % 5 = 0",
    "ALTER TABLE t ADD COLUMN d DOUBLE DEFAULT 1.5",
    *(f"INSERT INTO t VALUES ({n % 3}, {n}, 'row {n}', {n}.25)" for n in range(15, 22)),
    "UPDATE t SET s = 'updated', d = d + 1 WHERE v % 7 = 1",
    "ALTER TABLE t RENAME COLUMN g TO h",
    *(f"INSERT INTO t VALUES ({n % 3}, {n}, 'row {n}', NULL)" for n in range(22, 26)),
    "ALTER TABLE t ALTER v TYPE INTEGER",
    *(f"INSERT INTO t VALUES ({n % 3}, {n}, 'row {n}', {n})" for n in range(26, 30)),
    "ALTER TABLE t DROP COLUMN s",
    "ALTER TABLE t ADD COLUMN b BOOLEAN",
    *(f"INSERT INTO t VALUES ({n % 3}, {n}, {n}, {n % 2 == 0})" for n in range(30, 36)),
    "INSERT INTO t VALUES (0, 36, NULL, NULL)",
    "UPDATE t SET b = NOT b WHERE v > 28",
    "DELETE FROM t WHERE v IN (3, 17, 31)",
]
"""Statements that make a version each; the table is made by version 1."""
Rows = list[tuple[object, ...]]


def ordered(rows: Rows) -> Rows:
    return sorted(rows, key=repr)


def rows_by_version() -> dict[int, Rows]:
    """What the kernel alone says that the table has after each statement."""
    with duckdb.connect() as oracle:
        oracle.execute("CREATE TABLE t (g INTEGER, v BIGINT, s VARCHAR)")
        found: dict[int, Rows] = {1: []}
        for version, sql in enumerate(SMALL_COMMITS, 2):
            oracle.execute(sql)
            found[version] = ordered(oracle.execute("SELECT * FROM t").fetchall())
    return found


def check_every_version(db: pagelake.Connection, expected: dict[int, Rows]) -> None:
    for version, rows in expected.items():
        found = db.sql(f"SELECT * FROM t AT (VERSION => {version})").fetchall()
        assert (version, ordered(found)) == (version, rows)


@pytest.mark.parametrize("decoded", ["together", "by Arrow"])
def test_small_commits_with_everything_between(
    tmp_path: Path, decoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[bool] = []
    decode = row_group_run.decode_alike

    def watched(*arguments: object) -> object:
        arrays = decode(*arguments) if decoded == "together" else None  # type: ignore[arg-type]
        together.append(arrays is not None)
        return arrays

    monkeypatch.setattr(row_group_run, "decode_alike", watched)
    monkeypatch.setattr(row_group_run, "ALIKE_MIN", 1)
    expected, last = rows_by_version(), len(SMALL_COMMITS) + 1
    plain = {"background_maintenance": False}
    changes = f"SELECT * FROM pagelake.table_changes('t', 2, {last}) ORDER BY ALL"
    with pagelake.connect(tmp_path / "s.lake", settings=plain) as db:
        db.execute("CREATE TABLE t (g INTEGER, v BIGINT, s VARCHAR)")
        for sql in SMALL_COMMITS:
            db.execute(sql)
        assert ordered(db.sql("SELECT * FROM t").fetchall()) == expected[last]
        check_every_version(db, expected)
        changed = db.sql(changes).fetchall()
        live: dict[int, int] = {}
        for kind, row_id in db.sql(f"SELECT change_type, row_id FROM ({changes})").fetchall():
            live[row_id] = live.get(row_id, 0) + {"insert": 1, "delete": -1}.get(kind, 0)
        assert set(live.values()) <= {0, 1}
        assert sum(live.values()) == len(expected[last])
        db.execute(f"CREATE TABLE c CLONE t AT (VERSION => {last - 12})")
        db.execute("RESTORE t TO VERSION 20")
        db.execute("INSERT INTO t VALUES (9, 99, 'again', 9.5)")
    with pagelake.connect(tmp_path / "s.lake", settings=plain) as db:
        restored = ordered([*expected[20], (9, 99, "again", 9.5)])
        assert ordered(db.sql("SELECT * FROM t").fetchall()) == restored
        assert ordered(db.sql("SELECT * FROM c").fetchall()) == expected[last - 12]
        check_every_version(db, expected)
        assert db.sql(changes).fetchall() == changed
        db.execute("CALL pagelake.seal()")
        assert ordered(db.sql("SELECT * FROM t").fetchall()) == restored
        assert ordered(db.sql("SELECT * FROM c").fetchall()) == expected[last - 12]
        check_every_version(db, expected)
    assert set(together) == {decoded == "together"}
