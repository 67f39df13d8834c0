"""Mixed load for as long as one likes: ``python -m tests.torture.soak --minutes 120``.

Writers keep a table at a steady size while readers ask, maintenance runs behind them and old
versions are reclaimed. Memory, open files and temporary files of every process are measured all
the time; after a warm-up they must stay flat, as must the store itself.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pagelake
from tests.multiprocess.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.multiprocess.fleet import Channel, Member

WRITERS = 2
READERS = 2
BATCH_ROWS = 500
BATCHES_KEPT = 40
"""Batches of a writer that the table holds; older ones are deleted."""
PAUSE_S = 0.02
SAMPLE_S = 1.0
WARM_UP = 0.4
"""Part of the time after which nothing may grow any more."""
FLAT = 0.05
SLACK = {
    "rss": 8 << 20, "files": 8, "segments": 8, "removed segments": 8, "temporary bytes": 1 << 20,
    "store bytes": 4 << 20,
}  # fmt: skip
"""Differences too small to count: an allocator's arena, a connection's descriptors."""
SETTINGS = {"threads": 1, "lock_timeout": "60s", "memory_limit": "256MB"}
RECLAIM_EVERY = 30


def write(channel: Channel, path: str, writer: int) -> None:
    """Insert, update and delete until told to stop."""
    db, run = pagelake.connect(path, settings=SETTINGS), 0
    for run in _until_told(channel):
        with suppress(pagelake.Conflict):
            db.execute(
                f"INSERT INTO load SELECT ?, ?, hash(r) % 1000, 'text ' || hash(r, ?) "
                f"FROM range({BATCH_ROWS}) t(r)",
                [writer, run, run],
            )
            db.execute("INSERT INTO load VALUES (?, ?, 1, 'one')", [writer, run])
            db.execute(
                "UPDATE load SET amount = amount + 1 WHERE writer = ? AND run = ?",
                [writer, run - 3],
            )
            db.execute(
                "DELETE FROM load WHERE writer = ? AND run < ?", [writer, run - BATCHES_KEPT]
            )
        if run % RECLAIM_EVERY == RECLAIM_EVERY - 1:
            # A rewrite gives way to whoever changed the same rows meanwhile.
            with suppress(pagelake.Conflict):
                db.execute("CALL pagelake.compact('load')")
            db.execute("CALL pagelake.checkpoint()")
            db.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)")
    db.close()
    channel.send(["stopped", run])


def read(channel: Channel, path: str, reader: int) -> None:
    """Ask this and that until told to stop."""
    db, run = pagelake.connect(path, settings=SETTINGS, read_only=reader % 2 == 0), 0
    chance = random.Random(reader)
    questions = (
        "SELECT writer, count(*), sum(amount) FROM load GROUP BY writer",
        "SELECT run, max(note) FROM load GROUP BY run ORDER BY run DESC LIMIT 5",
        "SELECT a.run, count(*) FROM load a JOIN load b USING (run, amount) GROUP BY 1 LIMIT 9",
        "SELECT * FROM load WHERE amount = 7 ORDER BY note LIMIT 10",
    )
    for run in _until_told(channel):
        with suppress(pagelake.SnapshotGone):
            if run % 10 == 9:
                db.execute("SELECT count(*) FROM load").fetchall()
                with db.cursor() as cursor:
                    cursor.execute(chance.choice(questions)).fetchall()
            else:
                db.execute(chance.choice(questions)).fetchall()
    db.close()
    channel.send(["stopped", run])


def _until_told(channel: Channel) -> _Rounds:
    return _Rounds(channel)


class _Rounds:
    """Numbers, one a round, until the test says something."""

    def __init__(self, channel: Channel) -> None:
        self._told = threading.Event()
        threading.Thread(target=self._wait, args=(channel,), daemon=True).start()
        self._round = -1

    def _wait(self, channel: Channel) -> None:
        channel.receive()
        self._told.set()

    def __iter__(self) -> _Rounds:
        return self

    def __next__(self) -> int:
        # A steady load, not the most that the machine can do.
        if self._told.wait(PAUSE_S):
            raise StopIteration
        self._round += 1
        return self._round


@dataclass(slots=True)
class Meter:
    """Measures by name, and when each was taken.

    Attributes:
        series: For each name of a measure, (seconds, value).
    """

    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def note(self, name: str, seconds: float, value: float) -> None:
        """Keep one value."""
        self.series.setdefault(name, []).append((seconds, value))

    def growing(self) -> list[str]:
        """What is wrong: measures that are not flat after the warm-up."""
        return [said for name in self.series if (said := self.compare(name)) and "GROWS" in said]

    def compare(self, name: str) -> str:
        """How the last part of a series compares with the one after the warm-up."""
        taken = self.series[name]
        begin = taken[0][0] + (taken[-1][0] - taken[0][0]) * WARM_UP
        steady = [value for seconds, value in taken if seconds >= begin]
        third = max(1, len(steady) // 3)
        first, last = statistics.median(steady[:third]), statistics.median(steady[-third:])
        slack = max(first * FLAT, SLACK[name.partition(" of ")[0]])
        verdict = "GROWS" if last - first > slack else "flat"
        change = (last - first) / first * 100 if first else 0.0
        return f"{name}: {_shown(first)} -> {_shown(last)} ({change:+.1f} %), {verdict}"


def _shown(value: float) -> str:
    return f"{value / (1 << 20):.1f} MiB" if value >= 1 << 16 else f"{value:.0f}"


def _tree_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            # Files come and go.
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).stat().st_size
    return total


def _opened(pid: int) -> list[str]:
    """Paths of the files that a process has open."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


def sample(meter: Meter, seconds: float, members: dict[str, Member], folder: Path) -> None:
    """Measure every process, the temporary files and the store."""
    for name, member in members.items():
        status = Path(f"/proc/{member.pid}/status").read_text()
        rss = [line for line in status.splitlines() if line.startswith("VmRSS")]
        if not rss:
            raise AssertionError(f"{name} has ended: {member.rest()}")
        rss_kib = int(rss[0].split()[1])
        meter.note(f"rss of {name}", seconds, rss_kib * 1024)
        opened = _opened(member.pid)
        meter.note(f"files of {name}", seconds, len(opened))
        removed = sum(path.endswith(" (deleted)") and "/segments/" in path for path in opened)
        meter.note(f"removed segments of {name}", seconds, removed)
    meter.note("temporary bytes of all", seconds, _tree_bytes(folder / "tmp"))
    meter.note("segments of the store", seconds, len(os.listdir(folder / "store" / "segments")))
    meter.note("files of pins", seconds, len(os.listdir(folder / "store" / "pins")))
    meter.note("temporary bytes of the store", seconds, _tree_bytes(folder / "store" / "tmp"))
    meter.note("store bytes of all", seconds, _tree_bytes(folder / "store"))


def soak(seconds: float, say: Callable[[str], object] = print) -> tuple[Meter, int]:
    """Run the load that long; what was measured, and how many rounds were done."""
    meter = Meter()
    with tempfile.TemporaryDirectory(prefix="pagelake-soak-") as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        path = folder / "store"
        with pagelake.connect(path) as db:
            db.execute("CREATE TABLE load (writer BIGINT, run BIGINT, amount BIGINT, note VARCHAR)")
        with Fleet({"TMPDIR": str(folder / "tmp")}) as fleet:
            members = {
                f"writer {n}": fleet.start("torture.soak:write", str(path), n)
                for n in range(WRITERS)
            }
            members |= {
                f"reader {n}": fleet.start("torture.soak:read", str(path), n)
                for n in range(READERS)
            }
            begun = said = time.monotonic()
            while (now := time.monotonic()) - begun < seconds:
                sample(meter, now - begun, members, folder)
                time.sleep(SAMPLE_S)
                if now - said > 60:
                    said = now
                    say(f"{(now - begun) / 60:.0f} min")
            rounds = 0
            for member in members.values():
                member.send("stop")
            for member in members.values():
                rounds += sum(value[1] for value in member.rest())
    return meter, rounds


def main() -> None:
    """Soak, and say what grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak")
    parser.add_argument("--minutes", type=float, default=120)
    arguments = parser.parse_args()
    meter, rounds = soak(arguments.minutes * 60, lambda text: print(text, flush=True))
    print(f"{rounds:,} rounds of {WRITERS} writers and {READERS} readers; after the warm-up:")
    print(*(meter.compare(name) for name in meter.series), sep="\n")
    sys.exit(bool(meter.growing()))


if __name__ == "__main__":
    main()
