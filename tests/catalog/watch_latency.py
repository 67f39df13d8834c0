"""How long a change of a watched tree takes to be visible in SQL, to another process.

    python -m tests.catalog.watch_latency [--tree DIR] [--changes N] [--work DIR]

`pagelake scan --watch` runs as a process of its own over DIR, in which a directory is made where
files are then created, renamed and deleted, one at a time. This process asks its own connection
until it sees each change. Printed are the median and the longest.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import pagelake

if TYPE_CHECKING:
    from pagelake import Connection

SECONDS_MAX: Final = 1.0
PATIENCE_SECONDS: Final = 60.0
ASKED: Final = "SELECT count(*) FROM catalog.watched WHERE name = $1"


def seen_after(con: Connection, name: str, count: int) -> float:
    """Ask until a name is there, or is gone; return how long that took, in seconds."""
    began = time.perf_counter()
    while con.sql(ASKED, [name]).fetchall() != [(count,)]:
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise TimeoutError(f"{name} was not seen")
        time.sleep(0.01)
    return time.perf_counter() - began


def measure(tree: Path, work: Path, changes: int) -> list[float]:
    """Return how long each change took, in seconds."""
    with tempfile.TemporaryDirectory(dir=tree, prefix="watch-") as inside:
        store = Path(tempfile.mkdtemp(dir=work, prefix="watch-")) / "store"
        command = ["-c", "from pagelake.engine.cli import main; main()", "scan", str(tree)]
        options = [str(store), "--name", "watched", "--watch", "--json"]
        with subprocess.Popen(
            [sys.executable, *command, *options], stdout=subprocess.PIPE, text=True
        ) as watch:
            try:
                assert watch.stdout is not None
                print("scanned:", watch.stdout.readline().strip(), flush=True)
                with pagelake.connect(store) as con:
                    found = [_change(con, Path(inside), number) for number in range(changes)]
            finally:
                watch.send_signal(signal.SIGINT)
                watch.communicate(timeout=PATIENCE_SECONDS)
            assert watch.returncode == 0, watch.returncode
    return found


def _change(con: Connection, inside: Path, number: int) -> float:
    """Make one change: a file comes, gets another name, or goes."""
    kind = number % 3
    name = f"{inside.name}-{number // 3}"
    if kind == 0:
        (inside / name).write_bytes(b"new")
        return seen_after(con, name, 1)
    if kind == 1:
        (inside / name).rename(inside / f"{name}-moved")
        return seen_after(con, f"{name}-moved", 1)
    os.unlink(inside / f"{name}-moved")
    return seen_after(con, f"{name}-moved", 0)


def main() -> int:
    """Run by the command line."""
    parser = argparse.ArgumentParser(description="Times the way from a change to SQL.")
    parser.add_argument("--tree", type=Path, default=Path("/usr"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--changes", type=int, default=50)
    given = parser.parse_args()
    found = measure(given.tree, given.work, given.changes)
    middle, longest = median(found), max(found)
    print(f"{len(found)} changes: median {middle:.3f} s, longest {longest:.3f} s (bar 1 s)")
    return 0 if longest <= SECONDS_MAX else 1


if __name__ == "__main__":
    raise SystemExit(main())
