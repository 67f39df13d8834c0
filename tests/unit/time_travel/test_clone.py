"""Clones and restores: constant in time and space, independent of what they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from tests.bench.clone import CLONE_BYTES_MAX, measure

if TYPE_CHECKING:
    from pathlib import Path

MANUAL = {"background_maintenance": False}


def test_space_does_not_depend_on_rows(tmp_path: Path) -> None:
    small = measure(1_000, 2, tmp_path / "small")
    large = measure(500_000, 2, tmp_path / "large")
    assert large["bytes_added"] <= small["bytes_added"] + 64
    assert large["bytes_added"] < CLONE_BYTES_MAX


def test_neither_side_sees_the_others_changes_after_maintenance(tmp_path: Path) -> None:
    path = tmp_path / "lake"
    with pagelake.connect(path, settings=MANUAL) as db:
        db.execute("CREATE TABLE a AS SELECT range AS x, 'v' || range AS y FROM range(5000)")
        db.execute("CREATE TABLE b CLONE a")
        db.execute("DELETE FROM a WHERE x < 100")
        db.execute("UPDATE b SET y = 'changed' WHERE x >= 4900")
        db.execute("ALTER TABLE a ADD COLUMN z INTEGER DEFAULT 3")
        for call in ("compact()", "seal()", "reclaim(keep => INTERVAL 0 SECOND)"):
            db.execute(f"CALL pagelake.{call}")
    with pagelake.connect(path, settings=MANUAL) as db:
        assert db.sql("SELECT count(*), sum(z) FROM a").fetchall() == [(4900, 14700)]
        found = db.sql("SELECT count(*), count(*) FILTER (y = 'changed') FROM b").fetchall()
        assert found == [(5000, 100)]
        db.execute("DROP TABLE a")
        db.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)")
        assert db.sql("SELECT sum(x) FROM b").fetchall() == [(5000 * 4999 // 2,)]


def test_a_clone_of_a_clone_and_its_row_ids(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=MANUAL) as db:
        db.execute("CREATE TABLE a AS SELECT range AS x FROM range(3)")
        db.execute("CREATE TABLE b CLONE a")
        db.execute("INSERT INTO b VALUES (3)")
        db.execute("CREATE TABLE c CLONE b")
        db.execute("INSERT INTO c VALUES (4)")
        last = db.snapshot()
        changes = f"SELECT row_id, x FROM pagelake.table_changes('c', {last}, {last})"
        assert db.sql(changes).fetchall() == [(4, 4)]
        begun = f"SELECT change_type, x FROM pagelake.table_changes('c', {last - 1}, {last - 1})"
        assert sorted(db.sql(begun).fetchall()) == [("insert", x) for x in range(4)]


def test_a_restored_table_gives_out_new_column_and_row_ids(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=MANUAL) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        db.execute("INSERT INTO t VALUES (1), (2)")
        db.execute("ALTER TABLE t ADD COLUMN b VARCHAR DEFAULT 'old'")
        db.execute("INSERT INTO t VALUES (3, 'three')")
        db.execute("RESTORE t TO VERSION 2")
        db.execute("ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 7")
        db.execute("INSERT INTO t VALUES (4, 8)")
        assert db.sql("SELECT * FROM t ORDER BY a").fetchall() == [(1, 7), (2, 7), (4, 8)]
        last = db.snapshot()
        changes = f"SELECT row_id FROM pagelake.table_changes('t', {last}, {last})"
        assert db.sql(changes).fetchall() == [(3,)]
        past = db.sql("SELECT * FROM t AT (VERSION => 4) ORDER BY a").fetchall()
        assert past == [(1, "old"), (2, "old"), (3, "three")]


def test_a_read_only_store_refuses(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=MANUAL) as db:
        db.execute("CREATE TABLE a (x INTEGER)")
    with pagelake.connect(tmp_path / "lake", read_only=True) as db:
        for sql in ("CREATE TABLE b CLONE a", "RESTORE a TO VERSION 1", "CREATE TAG x"):
            with pytest.raises(pagelake.Denied):
                db.execute(sql)


def test_a_hot_segment_from_before_a_restore_hides_nothing(tmp_path: Path) -> None:
    """As many rows deleted again, but others: the segment that left the first ones out is void."""
    with pagelake.connect(tmp_path / "t.lake", settings={"background_maintenance": False}) as db:
        db.execute("CREATE TABLE big AS SELECT range AS a FROM range(300000)")
        whole = db.snapshot()
        db.execute("DELETE FROM big WHERE a % 5 = 0")
        db.execute("CALL pagelake.build_hot_segments()")
        assert db.sql("SELECT count(*) FROM big").fetchone() == (240_000,)
        db.execute(f"RESTORE big TO VERSION {whole}")
        assert db.sql("SELECT count(*), sum(a) FROM big").fetchone() == (300_000, 44_999_850_000)
        db.execute("DELETE FROM big WHERE a % 5 = 1")
        db.execute("CALL pagelake.build_hot_segments()")
        kept = "SELECT count(*), count(*) FILTER (a % 5 = 0) FROM big"
        assert db.sql(kept).fetchone() == (240_000, 60_000)
        assert db.sql("SELECT count(*) FROM pagelake.hot_segments WHERE used").fetchone() == (1,)
