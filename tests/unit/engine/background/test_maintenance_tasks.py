"""Maintenance tasks: what they leave behind, what they say, how they end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.background.pace import Pace
from pagelake.errors import Closed, InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

QUIET = {"background_maintenance": False}
WAIT_S = 30.0
TASKS = "SELECT task, table_name, state, rows FROM pagelake.maintenance"


def inlined(con: pagelake.Connection) -> int:
    found = con.execute("SELECT count(*) FROM pagelake.row_groups WHERE inlined").fetchone()
    assert found is not None
    return int(found[0])


def test_what_was_done_is_visible(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t (k BIGINT, s VARCHAR)")
        assert con.sql(TASKS).fetchall() == []
        for n in range(5):
            con.execute("INSERT INTO t VALUES (?, 'x')", (n,))
        maintenance = con._database.maintenance
        assert maintenance.seal() == 5
        con.execute("DELETE FROM t WHERE k = 2")
        assert maintenance.compact() == 4
        assert maintenance.compact() == maintenance.seal() == 0
        assert con.sql(TASKS).fetchall() == [("seal", "t", "done", 5), ("compact", "t", "done", 4)]
        found = con.sql("SELECT min(bytes_read), min(bytes_written), min(seconds), "
                        "count(started) FROM pagelake.maintenance").fetchall()[0]  # fmt: skip
        assert all(value > 0 for value in found)


def test_many_commits_are_sealed_in_the_background(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t (k BIGINT)")
        con.begin()
        for n in range(1100):
            con.execute("INSERT INTO t VALUES (?)", (n,))
        con.commit()
        assert inlined(con) == 1100
        con.execute("SET background_maintenance = true")
        con._database.maintenance.wake()
        deadline = time.monotonic() + WAIT_S
        while inlined(con) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert inlined(con) == 0
        assert con.sql("SELECT count(*), sum(k) FROM t").fetchall() == [(1100, 1100 * 1099 // 2)]


def test_a_compacted_hot_table_is_hot_at_once(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t AS SELECT range AS k FROM range(200_000)")
        con.execute("DELETE FROM t WHERE k % 4 = 0")
        want = con.sql("SELECT count(*), sum(k), max(k) FROM t").fetchall()
        assert con._database.maintenance.compact() == 150_000
        segments = con.sql("SELECT rows, used FROM pagelake.hot_segments").fetchall()
        assert segments == [(150_000, True)]
        assert con.sql("SELECT count(*), sum(k), max(k) FROM t").fetchall() == want
        con.execute("DELETE FROM t WHERE k = 199_999")
        assert con.sql("SELECT max(k) FROM t").fetchall() == [(199_998,)]


def test_closing_ends_compaction_at_once(tmp_path: Path) -> None:
    settings = QUIET | {"maintenance_mbps": 1}
    with pagelake.connect(tmp_path / "lake", settings=settings) as con:
        con.execute("CREATE TABLE t AS SELECT range AS k, range AS v FROM range(3_000_000)")
        con.execute("DELETE FROM t WHERE k % 3 = 0")
        con.execute("SET background_maintenance = true")
        con._database.maintenance.wake()
        deadline = time.monotonic() + WAIT_S
        running = "SELECT count(*) FROM pagelake.maintenance WHERE state = 'running'"
        while con.sql(running).fetchall() == [(0,)] and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
    # At one megabyte a second the table alone would take most of a minute.
    assert time.monotonic() - began < WAIT_S / 2
    with pagelake.connect(tmp_path / "lake", read_only=True) as con:
        assert con.sql("SELECT count(*) FROM t").fetchall() == [(2_000_000,)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("background_maintenance", "perhaps"), ("maintenance_mbps", -1), ("snapshots_keep", "soon")],
)
def test_settings_are_checked(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=name):
        pagelake.connect(settings={name: value})


def test_snapshots_are_kept_for_days() -> None:
    with pagelake.connect(settings={"snapshots_keep": "2d"} | QUIET) as con:
        found = con.sql("SELECT value FROM pagelake.settings WHERE name = 'snapshots_keep'")
        assert found.fetchall() == [("172800.0",)]


def test_pace_waits_for_what_was_spent_and_ends_when_told() -> None:
    stop = threading.Event()
    pace = Pace(lambda: 1e6, stop)
    began = time.monotonic()
    for _ in range(5):
        pace(100_000)
    # A quarter of a second is given as credit.
    assert time.monotonic() - began > 0.2
    stop.set()
    with pytest.raises(Closed):
        pace(1_000_000_000)
