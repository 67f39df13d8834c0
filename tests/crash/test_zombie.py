"""A writer that is stopped in the middle of its commit, and wakes in another time.

While it sleeps others commit hundreds of versions, write checkpoints, fold the log and reclaim all
that is old: the very name that it was about to take is free again. What it is told afterwards must
be the truth: an acknowledged row is there, everything else is a typed error.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.database import Database
from pagelake.storage.environment import Environment
from pagelake.storage.failpoints import Failpoint
from tests.multiprocess.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.multiprocess.fleet import Channel

VERSIONS_MEANWHILE = 610
"""Beyond the records that lie loose, and beyond what conflicts are checked against in memory."""
ROWS_ON_PAGES = 200_000
TYPED = {"OutcomeUnknown", "Conflict", "SnapshotGone"}
STEPS = [
    Failpoint.PAGES_SYNCED,
    Failpoint.COMMIT_STAGED,
    Failpoint.COMMIT_LINKED,
    Failpoint.COMMIT_SYNCED,
]
BEFORE = (10, 45)
"""Rows and their sum in each zombie's table when it begins."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a zombie does to its table, and (rows, sum) of that table afterwards."""

    sql: str
    after: tuple[int, int | None]


WORK = {
    "few": Work("INSERT INTO few VALUES (100)", (11, 145)),
    "many": Work(
        f"INSERT INTO many SELECT 1 FROM range({ROWS_ON_PAGES})",
        (10 + ROWS_ON_PAGES, 45 + ROWS_ON_PAGES),
    ),
    "updated": Work("UPDATE updated SET n = n + 1", (10, 55)),
    "emptied": Work("DELETE FROM emptied", (0, None)),
}
CREATE = "CREATE TABLE {} AS SELECT i AS n FROM range(10) r(i)"


def sleep_in_commit(channel: Channel, path: str, failpoint: str, statement: str) -> None:
    """Run a statement, and wait at a failpoint for as long as the test wants."""
    armed = False

    def reach(reached: Failpoint) -> None:
        nonlocal armed
        if armed and reached == failpoint:
            armed = False
            channel.send("reached")
            channel.receive()

    database = Database(
        path,
        environment=Environment(reach=reach),
        settings={"threads": 1, "lock_timeout": "0s", "hot_bytes_max": 0},
    )
    session = database.session()
    session.execute("SELECT 1").close()
    armed = True
    try:
        session.execute(statement).close()
        channel.send("acknowledged")
    except pagelake.Error as error:
        channel.send(type(error).__name__)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet() as fleet:
        yield fleet


def a_long_time(path: Path) -> None:
    """Commit many versions, and free all that can be freed; two processes' worth of views."""
    database = Database(path, settings={"hot_bytes_max": 0})
    try:
        session = database.session()
        for number in range(VERSIONS_MEANWHILE):
            session.execute("INSERT INTO t VALUES (?, ?)", [1, number]).close()
            if number in {VERSIONS_MEANWHILE // 2, VERSIONS_MEANWHILE - 1}:
                session.execute("CALL pagelake.checkpoint()").close()
        database.store.fold()
        assert database.store.log.boundary.read() > VERSIONS_MEANWHILE // 2, "names are free again"
        database.store.reclaim(0)
    finally:
        database.close()


@pytest.mark.parametrize("failpoint", STEPS, ids=lambda step: step.name.lower())
def test_a_zombie_is_told_the_truth(fleet: Fleet, store_path: Path, failpoint: Failpoint) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (writer BIGINT, n BIGINT)")
        for table in WORK:
            db.execute(CREATE.format(table))
    zombies = {}
    for table, work in WORK.items():
        zombies[table] = zombie = fleet.start(
            "crash.test_zombie:sleep_in_commit", str(store_path), failpoint.value, work.sql
        )
        assert zombie.receive() == "reached"
        zombie.signal(signal.SIGSTOP)
    a_long_time(store_path)
    for zombie in zombies.values():
        zombie.send("go on")
        zombie.signal(signal.SIGCONT)
    for table, zombie in zombies.items():
        told, after = zombie.receive(), WORK[table].after
        truth = {"acknowledged": {after}, "OutcomeUnknown": {after, BEFORE}}
        assert told in {*TYPED, "acknowledged"}
        with pagelake.connect(store_path, read_only=True) as db:
            found = db.execute(f"SELECT count(*), sum(n) FROM {table}").fetchall()
        assert found[0] in truth.get(told, {BEFORE}), f"{table}: {told}"
    with pagelake.connect(store_path) as db:
        # Whatever the zombies left behind is in nobody's way.
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(VERSIONS_MEANWHILE,)]
        before = db.snapshot()
        db.execute("INSERT INTO t VALUES (2, 2)")
        assert db.snapshot() == before + 1


def test_a_blind_append_survives_any_sleep(fleet: Fleet, store_path: Path) -> None:
    """Staged and then stopped: nothing that others do is in the way of rows that are only added."""
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (writer BIGINT, n BIGINT)")
    sleepers = [
        fleet.start(
            "crash.test_zombie:sleep_in_commit",
            str(store_path),
            Failpoint.COMMIT_STAGED.value,
            f"INSERT INTO t SELECT -1, {number}",
        )
        for number in range(6)
    ]
    for sleeper in sleepers:
        assert sleeper.receive() == "reached"
        sleeper.signal(signal.SIGSTOP)
    a_long_time(store_path)
    for sleeper in sleepers:
        sleeper.send("go on")
        sleeper.signal(signal.SIGCONT)
    told = [sleeper.receive() for sleeper in sleepers]
    acknowledged = [(number,) for number, word in enumerate(told) if word == "acknowledged"]
    assert set(told) <= {"acknowledged", *TYPED}
    with pagelake.connect(store_path) as db:
        found = db.execute("SELECT n FROM t WHERE writer = -1 ORDER BY n").fetchall()
    assert found == acknowledged == [(number,) for number in range(6)]
