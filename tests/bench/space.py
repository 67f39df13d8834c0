"""Room that a store takes under a long mixed workload, against the bytes that are live.

    python -m tests.bench.space [--rounds N | --minutes N] [--rows N] [--whole-segments]

Each round loads rows, updates, deletes, commits single rows, rolls back, makes and drops a table
and reads, with maintenance in the background; some rounds begin with a writer that is killed in
the middle of a transaction. A round ends with what the background does once a minute (a
checkpoint of what was committed, folding, reclaim) keeping no past versions, so that the measure
is the store's and not that of a history somebody wants. What has been given back is measured
after that, what it had grown to before it as well.

*Allocated* are the blocks of all files (``st_blocks``), those in ``hot/`` and hot segments
under construction aside: they are a cache with a budget of its own. *Live* are

- of each page that the newest version refers to, header and payload without padding, times the
  share of its row group's rows that are not deleted; delete vectors count nothing;
- the bytes of the newest checkpoint, and of the log records that come after the horizon: what
  opening the store reads.

Everything else is overhead: padding, deleted rows, delete vectors, dead pages, past versions,
older checkpoints, folded records below the horizon, blocks of loose records, left-over files. The
bar is on the second half of the rounds, after the store has stopped growing.

``--whole-segments`` does without holes in files, as on object stores and with parity: what is
live is moved out of segments that are mostly dead, which takes three turns of the background.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest.mock import patch

import pagelake
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.log import checkpoint as checkpoints
from pagelake.storage.page import HEADER_BYTES

RATIO_MAX = 1.3
ROUNDS = 16
ROWS = 150_000
"""Rows of the table that is updated, and of each load of the one that only grows and shrinks."""
LOADS_KEPT = 4
SINGLE_COMMITS = 150
KILLED_EVERY = 4
WHOLE_TURNS = 3
"""Nobody appends to a mostly dead segment any more; what is live in it is moved; it goes."""

_BLOCK_BYTES = 512
_WRITER = """
import os, signal, sys, pagelake
con = pagelake.connect(sys.argv[1], settings={"background_maintenance": False})
con.execute("BEGIN")
con.execute("INSERT INTO events SELECT 0, i, random(), 'x' || i FROM range(100000) r(i)")
con.execute("UPDATE accounts SET balance = balance + 1 WHERE id % 7 = 0")
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True, slots=True)
class Room:
    """What a store takes, in bytes.

    Attributes:
        pages: Allocated to segments.
        log: Allocated to records, bundles and marks.
        checkpoints: Allocated to checkpoints.
        rest: Allocated to everything else but hot segments.
        hot: Allocated to hot segments, finished or not.
        live: Live, as the module says.
    """

    pages: int
    log: int
    checkpoints: int
    rest: int
    hot: int
    live: int

    @property
    def ratio(self) -> float:
        """Allocated over live."""
        return (self.pages + self.log + self.checkpoints + self.rest) / self.live


def measure(con: pagelake.Connection, path: Path) -> Room:
    """Look at every file of a store, and at what its newest version refers to."""
    allocated: Counter[str] = Counter()
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            try:
                blocks = os.stat(file).st_blocks
            except FileNotFoundError:
                continue
            allocated[_category(os.path.relpath(file, path))] += blocks * _BLOCK_BYTES
    return Room(
        allocated["pages"],
        allocated["log"],
        allocated["checkpoints"],
        allocated["rest"],
        allocated["hot"],
        _live_bytes(con),
    )


def _category(name: str) -> str:
    if name.startswith("segments/"):
        return "pages"
    if name.startswith("log/checkpoints/"):
        return "checkpoints"
    if name.startswith("log/"):
        return "log"
    return "hot" if name.startswith(("hot/", "tmp/hot-")) else "rest"


def _live_bytes(con: pagelake.Connection) -> int:
    store = con._database.store
    snapshot = store.snapshot()
    live = 0.0
    for state in snapshot.tables.values():
        for group in state.row_groups:
            gone = sum(vector.count for vector in state.deletes.get(group.id, ()))
            pages = sum(HEADER_BYTES + chunk.page.length for chunk in group.chunks.values())
            live += pages * (group.rows - gone) / group.rows
    newest = checkpoints.versions(store.device)[-1:]
    live += sum(store.device.size(checkpoints.checkpoint_name(version)) for version in newest)
    horizon = store.log.horizon.read()
    live += sum(info.record_bytes for info in store.history() if info.version > horizon)
    return int(live)


class Workload:
    """The rounds.

    Args:
        path: Where the store lies.
        rows: Size of everything.
        turns: How often reclaim runs at the end of a round.
    """

    def __init__(self, path: Path, rows: int, turns: int = 1) -> None:
        self._path = path
        self._rows = rows
        self._turns = turns
        self._random = Random("space")
        self._round = 0
        self.con = pagelake.connect(path, settings={"snapshots_keep": 0})
        self.con.execute("CREATE TABLE events (load INTEGER, id BIGINT, x DOUBLE, s VARCHAR)")
        self.con.execute("CREATE TABLE accounts (id BIGINT, balance DOUBLE, name VARCHAR)")
        self.con.execute("CREATE TABLE ticks (tick INTEGER, v DOUBLE)")
        self.con.execute(
            "INSERT INTO accounts SELECT i, random() * 1e6, 'account ' || (random() * 1e9)::BIGINT "
            f"FROM range({rows}) r(i)"
        )

    def round(self) -> None:
        """One of everything."""
        self._round += 1
        number, rows, con = self._round, self._rows, self.con
        if number % KILLED_EVERY == 0:
            killed = subprocess.run([sys.executable, "-c", _WRITER, self._path], check=False)
            assert killed.returncode == -signal.SIGKILL
        con.execute(
            f"INSERT INTO events SELECT {number}, i, random(), 'event ' || (random() * 1e9)::INT "
            f"FROM range({rows}) r(i)"
        )
        con.execute(f"DELETE FROM events WHERE load <= {number - LOADS_KEPT}")
        con.execute(f"DELETE FROM events WHERE id % 50 = {number % 50}")
        for _ in range(3):
            first = self._random.randrange(rows)
            con.execute(
                "UPDATE accounts SET balance = random() WHERE id BETWEEN ? AND ?",
                (first, first + rows // 40),
            )
        con.execute(f"CREATE TABLE scratch AS SELECT * FROM events WHERE load = {number}")
        for n in range(SINGLE_COMMITS):
            con.execute("INSERT INTO ticks VALUES (?, ?)", (n, self._random.random()))
        con.execute("DROP TABLE scratch")
        con.execute("BEGIN")
        con.execute("INSERT INTO accounts SELECT id, balance, name FROM accounts LIMIT 50000")
        con.execute("ROLLBACK")
        con.execute(f"DELETE FROM ticks WHERE tick = {number % SINGLE_COMMITS}")
        con.sql("SELECT count(*), sum(x), max(s) FROM events").fetchall()
        if number % 3 == 0:
            con.execute("CALL pagelake.compact()")

    def reclaim(self) -> None:
        """What the background does once a minute."""
        self.con.execute("CALL pagelake.checkpoint()")
        for _ in range(self._turns):
            self.con.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)")
            self.con._database.maintenance.empty_sparse_segments()

    def close(self) -> None:
        """Close the store."""
        self.con.close()


def _mb(count: int) -> str:
    return f"{count / 1e6:8.2f}"


def run(workload: Workload, path: Path, *, rounds: int, seconds: float = 0.0) -> float:
    """Do rounds, print the room after each; returns the worst ratio of the second half.

    Args:
        workload: The rounds.
        path: Where the store lies.
        rounds: How many rounds; 0 for as many as there is time for.
        seconds: The time, when ``rounds`` is 0.
    """
    ratios: list[float] = []
    until = time.monotonic() + seconds
    print("round  before     live    pages      log checkpts     rest   ratio      hot   (MB)")
    while len(ratios) < rounds or (not rounds and time.monotonic() < until):
        workload.round()
        before = measure(workload.con, path)
        workload.reclaim()
        room = measure(workload.con, path)
        ratios.append(room.ratio)
        shown = (room.live, room.pages, room.log, room.checkpoints, room.rest)
        print(
            f"{len(ratios):5} {before.ratio:6.2f}x {' '.join(map(_mb, shown))} "
            f"{room.ratio:6.3f}x {_mb(room.hot)}",
            flush=True,
        )
    workload.close()
    return max(ratios[len(ratios) // 2 :])


def main() -> int:
    """Measure, print, and say whether the bar is met."""
    parser = argparse.ArgumentParser(description="Measure the room that a store takes.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of the workload")
    parser.add_argument("--minutes", type=float, default=0.0, help="time instead of rounds")
    parser.add_argument("--rows", type=int, default=ROWS, help="size of the tables")
    parser.add_argument("--whole-segments", action="store_true", help="make no holes in files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if options.whole_segments:
            stack.enter_context(patch.object(LocalDevice, "punch", lambda *_: None))
        path = Path(folder) / "bench.lake"
        workload = Workload(path, options.rows, WHOLE_TURNS if options.whole_segments else 1)
        rounds = 0 if options.minutes else options.rounds
        worst = run(workload, path, rounds=rounds, seconds=options.minutes * 60)
    print(f"allocated over live bytes, worst of the second half: {worst:.3f}x (bar {RATIO_MAX}x)")
    return 0 if worst <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
