"""Time to open a store with many versions: ``python -m tests.bench.open_store``.

The versions are one-row inserts, committed one by one in memory and written to a directory; then
maintenance runs as it does in the background (sealing, checkpoint, folding). Every opening is
measured in a process of its own, after the imports: on the wall, and in processor time, which other
work on the machine does not stretch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pagelake
import pagelake.engine.connection
from pagelake.extensions.registry import builtin_registry
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import CreateTable
from pagelake.storage.environment import Environment
from pagelake.storage.store import Store
from tests.unit.storage.builders import append, commit, definition

BAR_MS = 50
RUNS = 20
WAYS = ("store", "connect", "connect read-only")


def build(path: Path, versions: int) -> None:
    """Write a store with that many versions, and let maintenance see to it."""
    memory = MemoryDevice()
    store = Store(memory, environment=Environment(threads=False))
    commit(store, CreateTable(definition()))
    for number in range(versions - 1):
        transaction = store.begin()
        append(transaction, [number])
        transaction.commit()
    LocalDevice(path, create=True).close()
    for folder in ("", "log"):
        for name in memory.list(folder):
            whole = f"{folder}/{name}".lstrip("/")
            (path / whole).write_bytes(memory.read(whole))
    with pagelake.connect(path, settings={"background_maintenance": False}) as db:
        db.execute("CALL pagelake.compact('t')")
        db.execute("CALL pagelake.checkpoint()")
        db.execute("CALL pagelake.checkpoint()")
        db.execute("CREATE SCHEMA one_more")
        db.execute("CALL pagelake.checkpoint()")


def open_once(path: Path, way: str) -> tuple[float, float]:
    """Open the store in this process; returns milliseconds on the wall and of the processor."""
    builtin_registry()  # imports what it names
    wall, busy = time.perf_counter(), time.process_time()
    if way == "store":
        opened: Store | pagelake.Connection = Store(LocalDevice(path, create=True))
    else:
        opened = pagelake.connect(path, read_only=way != "connect")
    took = (time.perf_counter() - wall) * 1e3, (time.process_time() - busy) * 1e3
    opened.close()
    return took


def measure(path: Path, way: str, runs: int) -> tuple[float, float]:
    """Medians over fresh processes: milliseconds on the wall and of the processor."""
    command = [sys.executable, "-m", "tests.bench.open_store", "--open", str(path), "--way", way]
    found = [json.loads(subprocess.check_output(command)) for _ in range(runs)]
    return statistics.median(f[0] for f in found), statistics.median(f[1] for f in found)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--keep", type=Path, help="use the store in this directory, or leave it")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, default=WAYS[0], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open is not None:
        print(json.dumps(open_once(given.open, given.way)))
        return
    with tempfile.TemporaryDirectory(prefix="pagelake-open-") as folder:
        path = given.keep or Path(folder) / "many.lake"
        if not path.exists():
            begun = time.perf_counter()
            build(path, given.versions)
            print(f"built in {time.perf_counter() - begun:.0f} s")
        with pagelake.connect(path, read_only=True) as db:
            counted = db.sql("SELECT count(*) FROM pagelake.snapshots").fetchone()
        assert counted is not None
        loose = sum(1 for name in (path / "log").iterdir() if name.name.isdigit())
        print(f"{counted[0]:,} versions, {loose} loose records; medians of {given.runs} processes:")
        for way in WAYS:
            wall, busy = measure(path, way, given.runs)
            print(f"  {way:<18} {wall:6.1f} ms, processor {busy:6.1f} ms   (bar {BAR_MS} ms)")


if __name__ == "__main__":
    main()
