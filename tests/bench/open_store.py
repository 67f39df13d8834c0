"""Time to open a store with many versions: ``python -m tests.bench.open_store``.

The versions are one-row inserts, made in memory and written to a directory; then maintenance
runs as it does in the background (sealing, checkpoint, folding), and the store is opened again
and again, each time in a fresh state of the process's own structures.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pagelake
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import CreateTable
from pagelake.storage.environment import Environment
from pagelake.storage.store import Store
from tests.unit.storage.builders import append, commit, definition

BAR_MS = 50


def build(path: Path, versions: int) -> None:
    """Write a store with that many versions."""
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


def main() -> None:
    """Print the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=100_000)
    versions = parser.parse_args().versions
    with tempfile.TemporaryDirectory(prefix="pagelake-open-") as folder:
        path = Path(folder) / "many.lake"
        build(path, versions)
        begun = time.perf_counter()
        with pagelake.connect(path) as db:
            print(f"opened unfolded in {(time.perf_counter() - begun) * 1e3:,.0f} ms")
            db.execute("CALL pagelake.compact('t')")
            db.execute("CALL pagelake.checkpoint()")
            db.execute("CALL pagelake.checkpoint()")
            db.execute("CREATE SCHEMA one_more")
            db.execute("CALL pagelake.checkpoint()")
        stores, connections = [], []
        for _ in range(9):
            begun = time.perf_counter()
            store = Store(LocalDevice(path, create=True))
            stores.append((time.perf_counter() - begun) * 1e3)
            version = store.known_version
            store.close()
            begun = time.perf_counter()
            with pagelake.connect(path) as db:
                connections.append((time.perf_counter() - begun) * 1e3)
                count = db.sql("SELECT count(*) FROM t").fetchone()
        assert count == (versions - 1,)
        loose = sum(1 for name in (path / "log").iterdir() if name.name.isdigit())
        print(
            f"{version:,} versions ({loose} loose records): store opened in "
            f"{statistics.median(stores):.1f} ms, connect {statistics.median(connections):.1f} ms "
            f"(bar {BAR_MS})"
        )


if __name__ == "__main__":
    main()
