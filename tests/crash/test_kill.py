"""Processes that are killed at random points lose nothing that they acknowledged, and no halves.

``PAGELAKE_KILLS`` sets the number of kills, ``PAGELAKE_SEED`` repeats a run's plan (not its
timing, which no program decides).
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pagelake
from tests.crash.storm import READERS, WRITERS, Storm, create
from tests.multiprocess.fleet import Channel, Fleet

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("PAGELAKE_KILLS", "12"))
SEED = int(os.environ.get("PAGELAKE_SEED", str(random.randrange(1 << 32))))


def test_a_storm_of_kills_loses_nothing(store_path: Path) -> None:
    print(f"PAGELAKE_SEED={SEED} PAGELAKE_KILLS={KILLS}")
    create(store_path)
    with Fleet() as fleet:
        toll = Storm(store_path, fleet, SEED).run(KILLS)
    print(toll)
    assert toll.torn == []
    assert (toll.lost, toll.phantom) == (0, 0)
    assert toll.kills == KILLS
    assert toll.acknowledged >= KILLS, "they were killed before they did anything"
    assert toll.reads >= READERS
    with pagelake.connect(store_path) as db:
        db.execute("INSERT INTO ledger VALUES (-1, 0, 0)")
        versions = db.execute("SELECT version FROM pagelake.snapshots ORDER BY version").fetchall()
        writers = db.execute("SELECT count(DISTINCT writer) FROM kept").fetchall()
    assert [v for (v,) in versions] == list(range(1, len(versions) + 1))
    assert writers[0][0] > WRITERS // 2, "too few of them did anything"


def create_store(_: Channel, path: str) -> None:
    """Open a store that is not there yet, and stay."""
    _db = pagelake.connect(path)
    time.sleep(60)


def test_a_writer_killed_while_it_creates_the_store(tmp_path: Path) -> None:
    """Whatever stage creation was in, the next one to come finds or makes a store."""
    chance = random.Random(SEED)
    with Fleet() as fleet:
        for life in range(max(10, KILLS // 10)):
            path = tmp_path / f"{life}.lake"
            member = fleet.start("crash.test_kill:create_store", str(path))
            time.sleep(chance.random() * 0.03)
            member.kill()
            assert member.rest() == []
            with pagelake.connect(path) as db:
                db.execute("CREATE TABLE t AS SELECT 42 AS a")
            with pagelake.connect(path, read_only=True) as db:
                assert db.execute("SELECT a FROM t").fetchall() == [(42,)]
