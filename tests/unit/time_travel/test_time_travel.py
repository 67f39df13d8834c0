"""Reading the past: whole connections, the plan cache, plans, hot segments, reclaimed versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANUAL = {"background_maintenance": False}
HOT_ROWS = 70_000
"""Enough for a hot segment."""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[pagelake.Connection]:
    with pagelake.connect(tmp_path / "lake", settings=MANUAL) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT INTO t VALUES (2)")
        yield connection


def rows(connection: pagelake.Cursor, sql: str) -> list[tuple[object, ...]]:
    return connection.sql(sql).fetchall()


def test_a_connection_stays_at_a_version(db: pagelake.Connection) -> None:
    db.execute("CREATE TAG two AT (VERSION => 2)")
    time = rows(db, "SELECT time FROM pagelake.snapshots WHERE version = 2")[0][0]
    assert isinstance(time, datetime)
    for at in (2, "two", time):
        with pagelake.connect(db.path, at=at, settings=MANUAL) as past:
            assert past.snapshot() == 2
            assert rows(past, "SELECT a FROM t") == [(1,)]
            db.execute("INSERT INTO t VALUES (9)")
            assert rows(past.cursor(), "SELECT a FROM t") == [(1,)]
            assert rows(past, "SELECT max(version) FROM pagelake.snapshots") == [(2,)]
            for change in ("INSERT INTO t VALUES (3)", "DROP TABLE t", "CALL pagelake.compact()"):
                with pytest.raises(pagelake.Denied):
                    past.execute(change)


def test_a_time_without_zone_is_utc(db: pagelake.Connection) -> None:
    time = rows(db, "SELECT time FROM pagelake.snapshots WHERE version = 2")[0][0]
    assert isinstance(time, datetime)
    naive = time.astimezone(UTC).replace(tzinfo=None)
    with pagelake.connect(db.path, at=naive) as past:
        assert past.snapshot() == 2
    with pagelake.connect(db.path, at=naive - timedelta(microseconds=1)) as past:
        assert past.snapshot() == 1


def test_a_connection_to_no_version_is_refused(db: pagelake.Connection, tmp_path: Path) -> None:
    with pytest.raises(pagelake.SnapshotGone):
        pagelake.connect(db.path, at=99)
    with pytest.raises(pagelake.UnknownName):
        pagelake.connect(db.path, at="nothing")
    with pytest.raises(pagelake.NotAStore):
        pagelake.connect(tmp_path / "none", at=1)
    assert not (tmp_path / "none").exists()


def test_a_literal_version_is_planned_once_and_a_time_each_time(db: pagelake.Connection) -> None:
    fixed = "SELECT count(*) FROM t AT (VERSION => 2)"
    moving = "SELECT count(*) FROM t AT (TIMESTAMP => now())"
    assert rows(db, fixed) == [(1,)]
    assert rows(db, moving) == [(2,)]
    db.execute("INSERT INTO t VALUES (3)")
    assert rows(db, fixed) == [(1,)]
    assert rows(db, moving) == [(3,)]
    cached = rows(db, "SELECT sql, plan_cached FROM pagelake.queries WHERE state = 'finished'")
    assert (fixed, True) in cached
    assert (moving, True) not in cached


def test_a_moved_tag_is_noticed(db: pagelake.Connection) -> None:
    db.execute("CREATE TAG x AT (VERSION => 2)")
    sql = "SELECT count(*) FROM t AT (TAG => 'x')"
    assert rows(db, sql) == [(1,)]
    db.execute("DROP TAG x")
    db.execute("CREATE TAG x AT (VERSION => 3)")
    assert rows(db, sql) == [(2,)]


def test_a_plan_tells_the_version_of_each_leaf(db: pagelake.Connection) -> None:
    sql = "SELECT * FROM t AT (VERSION => 2) x JOIN t USING (a)"
    plan = str(rows(db, f"EXPLAIN {sql}")[0][1])
    assert "TABLE_SCAN main.t AT VERSION 2\n" in plan
    assert "TABLE_SCAN main.t\n" in plan


def test_a_transaction_does_not_see_what_came_since(db: pagelake.Connection) -> None:
    db.execute("BEGIN")
    assert rows(db, "SELECT count(*) FROM t") == [(2,)]
    other = db.cursor()
    other.execute("INSERT INTO t VALUES (3)")
    assert rows(db, "SELECT count(*) FROM t AT (TIMESTAMP => '2200-01-01')") == [(2,)]
    db.execute("INSERT INTO t VALUES (7), (8)")
    assert rows(db, "SELECT (SELECT count(*) FROM t), count(*) FROM t AT (VERSION => 3)") == [
        (4, 2)
    ]
    with pytest.raises(pagelake.SnapshotGone, match="after the transaction began"):
        rows(db, "SELECT count(*) FROM t AT (VERSION => 4)")
    db.execute("ROLLBACK")


def test_the_time_zone_of_the_session_counts(db: pagelake.Connection) -> None:
    times = rows(db, "SELECT time FROM pagelake.snapshots WHERE version IN (2, 3) ORDER BY 1")
    first = times[0][0]
    assert isinstance(first, datetime)
    local = first.astimezone(UTC) + timedelta(hours=5, minutes=30)
    db.execute("SET TimeZone = 'Asia/Kolkata'")
    text = local.strftime("%Y-%m-%d %H:%M:%S.%f")
    assert rows(db, f"SELECT count(*) FROM t AT (TIMESTAMP => '{text}')") == [(1,)]


def test_reclaimed_versions_are_gone_and_tagged_ones_are_not(db: pagelake.Connection) -> None:
    assert rows(db, "SELECT count(*) FROM t AT (VERSION => 1)") == [(0,)]
    db.execute("CREATE TAG kept AT (VERSION => 2)")
    for value in range(20):
        db.execute("INSERT INTO t VALUES (?)", [value])
    db.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)")
    with pytest.raises(pagelake.SnapshotGone, match="reclaimed"):
        rows(db, "SELECT count(*) FROM t AT (VERSION => 1)")
    assert rows(db, "SELECT count(*) FROM t AT (TAG => 'kept')") == [(1,)]
    assert rows(db, "SELECT count(*) FROM t") == [(22,)]


def test_views_of_the_past_read_views_of_the_past_before_it(db: pagelake.Connection) -> None:
    db.execute("CREATE VIEW one AS SELECT count(*) AS n FROM t AT (VERSION => 2)")
    db.execute("CREATE SCHEMA s")
    db.execute("CREATE VIEW s.both AS SELECT one.n, x.n AS m FROM one, one AS x AT (VERSION => 4)")
    db.execute("DROP VIEW one")
    with pytest.raises(pagelake.UnknownName):
        rows(db, "SELECT * FROM s.both")
    assert rows(db, "SELECT * FROM s.both AT (VERSION => 6)") == [(1, 1)]


def test_a_view_of_the_past_never_reads_the_present(db: pagelake.Connection) -> None:
    db.execute("CREATE SCHEMA s")
    db.execute("CREATE SCHEMA q")
    db.execute("CREATE VIEW s.elsewhere AS SELECT count(*) AS n FROM t")
    db.execute("USE q")
    db.execute("CREATE VIEW q.fallback AS SELECT count(*) AS n FROM t")
    db.execute("USE main")
    then = db.snapshot()
    db.execute("INSERT INTO t VALUES (3), (4)")
    for view in ("s.elsewhere", "q.fallback"):
        now = f"SELECT n, (SELECT count(*) FROM t) FROM {view}"
        assert rows(db, now) == [(4, 4)]
        assert rows(db, f"{now} AT (VERSION => {then})") == [(2, 4)]


@pytest.mark.parametrize("folded", [False, True])
def test_a_restore_brings_rows_back_that_a_hot_segment_left_out(
    db: pagelake.Connection, folded: bool
) -> None:
    db.execute(f"CREATE TABLE big AS SELECT range AS x FROM range({HOT_ROWS})")
    whole = db.snapshot()
    db.execute("DELETE FROM big WHERE x < 1000")
    if folded:
        db.execute("CALL pagelake.build_hot_segments()")
        assert rows(db, "SELECT count(*) FROM pagelake.hot_segments WHERE used") == [(1,)]
    count = "SELECT count(*), min(x) FROM big"
    assert rows(db, count) == [(HOT_ROWS - 1000, 1000)]
    assert rows(db, f"{count} AT (VERSION => {whole})") == [(HOT_ROWS, 0)]
    db.execute(f"RESTORE big TO VERSION {whole}")
    assert rows(db, count) == [(HOT_ROWS, 0)]
    db.execute("DELETE FROM big WHERE x >= 1000 AND x < 3000")
    assert rows(db, count) == [(HOT_ROWS - 2000, 0)]
