"""Durable creates a second: rows of 4 KiB with two keys against the same rows without.

    python -m tests.bench.keyed_commits [--writers 8] [--seconds 2] [--rounds 3] [--view-ms 500]

A create looks its keys up in a snapshot that may be old, appends its row with both keys told, and
relies on the row of its directory; one durable transaction each, below SQL. *Blind* appends the
same row and looks nothing up. Writers are processes, and then threads of one process. Keyed and
blind take turns, because disks change their speed from one second to the next: judge by pairs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

import pagelake
from pagelake.errors import Conflict
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.effects import Append, AppendedKeys, Rely, RowGroup
from pagelake.storage.files.key_code import handle_code, name_code, packed
from pagelake.storage.keys.key_index import KeyIndexes
from pagelake.storage.store import Store
from tests.multiprocess.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pagelake.storage.snapshot import Snapshot, TableState
    from tests.multiprocess.fleet import Channel

BAR_PER_S = 1000
"""Keyed creates a second that 8 writers must reach together."""
CONTENT_BYTES = 4096
HANDLES_EACH = 1 << 32
COLUMNS = "handle BIGINT, parent BIGINT, name VARCHAR, content BLOB"
KEYS = "PRIMARY KEY (handle), UNIQUE (parent, name)"
HANDLE, PLACE = (1,), (2, 3)
"""Column ids of the keys."""
ROOT = 1


@dataclass(slots=True)
class Creator:
    """Creates rows in one process, for any number of threads.

    Attributes:
        store: The store.
        keyed: Look up and tell keys.
        view_s: How old the snapshot may be in which keys are looked up.
    """

    store: Store
    keyed: bool
    view_s: float
    _indexes: KeyIndexes = field(init=False)
    _view: Snapshot | None = None
    _viewed_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._indexes = KeyIndexes(self.store)

    def _base(self) -> tuple[Snapshot, TableState]:
        with self._lock:
            if self._view is None or time.monotonic() > self._viewed_at + self.view_s:
                self._view, self._viewed_at = self.store.head.newest(sync=False), time.monotonic()
            state = self._view.table("main", "files")
            assert state is not None
            return self._view, state

    def create(self, handle: int, name: str, content: bytes) -> int:
        """Create a row, durably; returns the version.

        Raises:
            FileExistsError: Its handle or its name is taken.
        """
        while True:
            base, state = self._base()
            values = ([handle], [ROOT], [name], [content])
            columns = state.definition.columns
            arrays = [pa.array(v, c.arrow_type) for v, c in zip(values, columns, strict=True)]
            batch = pa.RecordBatch.from_arrays(arrays, [str(c.id) for c in columns])
            transaction = self.store.begin_blind(base if self.keyed else None)
            group = RowGroup(
                transaction.next_row_group_id(),
                1,
                inline=batch.serialize().to_pybytes(),
                inline_columns=tuple(c.id for c in columns),
            )
            table = state.definition.id
            if self.keyed:
                told = (
                    self._told(state, HANDLE, handle_code(handle), arrays),
                    self._told(state, PLACE, name_code(ROOT, name), arrays),
                )
                parent = AppendedKeys(HANDLE, packed([handle_code(ROOT)]))
                append = Append(table, (group,), True, told)
                transaction.add_blind("CREATE", append, Rely(table, (parent,)))
            else:
                transaction.add_blind("CREATE", Append(table, (group,)))
            try:
                return transaction.commit()
            except Conflict:
                self._view = None

    def _told(
        self, state: TableState, key: tuple[int, ...], code: int, arrays: Sequence[pa.Array]
    ) -> AppendedKeys:
        index = self._indexes.of(state, key)
        assert index is not None
        rows, _ = index.candidates(state, np.array([code], dtype=np.uint64))
        # Values are compared only where there is a row of the same code.
        if rows.keys.size and index.find(state, [arrays[c - 1] for c in key]).keys.size:
            raise FileExistsError(key)
        return AppendedKeys(key, packed([code]))


def prepare(path: Path, *, keyed: bool) -> None:
    """Make a store with the table and the root directory in it."""
    with pagelake.connect(path, settings={"background_maintenance": False}) as db:
        db.execute(f"CREATE TABLE files ({COLUMNS}{', ' + KEYS if keyed else ''})")
        db.execute("INSERT INTO files VALUES (?, 0, '', NULL)", [ROOT])


def _run(creator: Creator, writer: int, seconds: float) -> int:
    content = os.urandom(CONTENT_BYTES)
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        creator.create(writer * HANDLES_EACH + number, f"{writer} {number}", content)
    return number


def process(
    channel: Channel, path: str, writer: int, keyed: bool, seconds: float, view_s: float
) -> None:
    """Role of one process: creates for some time, and tells how many."""
    store = Store(LocalDevice(path, create=False))
    creator = Creator(store, keyed, view_s)
    creator.create(writer * HANDLES_EACH, f"{writer} first", b"")
    channel.send("ready")
    channel.receive()
    cpu = time.process_time()
    created = _run(creator, writer, seconds)
    channel.send([created, time.process_time() - cpu])
    store.close()


@dataclass(frozen=True, slots=True)
class Rate:
    """Creates a second of all writers, and the CPU time of one, in microseconds."""

    per_s: float
    cpu_us: float


def of_processes(path: Path, writers: int, keyed: bool, seconds: float, view_s: float) -> Rate:
    """Measure processes on a new store."""
    prepare(path, keyed=keyed)
    with Fleet() as fleet:
        members = [
            fleet.start("bench.keyed_commits:process", str(path), n + 1, keyed, seconds, view_s)
            for n in range(writers)
        ]
        fleet.together(members)
        answers = [member.receive() for member in members]
    created = sum(answer[0] for answer in answers)
    _verify(path, created + writers)
    return Rate(created / seconds, 1e6 * sum(answer[1] for answer in answers) / max(created, 1))


def of_threads(path: Path, writers: int, keyed: bool, seconds: float, view_s: float) -> Rate:
    """Measure threads of this process on a new store."""
    prepare(path, keyed=keyed)
    store = Store(LocalDevice(path, create=False))
    creator = Creator(store, keyed, view_s)
    created = [0] * writers

    def run(writer: int) -> None:
        created[writer] = _run(creator, writer + 1, seconds)

    threads = [threading.Thread(target=run, args=(writer,)) for writer in range(writers)]
    cpu = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu = time.process_time() - cpu
    store.close()
    _verify(path, sum(created))
    return Rate(sum(created) / seconds, 1e6 * cpu / max(sum(created), 1))


def _verify(path: Path, created: int) -> None:
    """Every create that was answered is there, once."""
    with pagelake.connect(path, settings={"background_maintenance": False}) as db:
        found = db.execute("SELECT count(*), count(DISTINCT (parent, name)) FROM files").fetchone()
    if found != (created + 1, created + 1):
        raise SystemExit(f"{found} instead of {created + 1} rows")


def measure(
    folder: Path, writers: int, seconds: float, rounds: int, view_s: float
) -> dict[str, list[Rate]]:
    """Measure all four in turns."""
    rates: dict[str, list[Rate]] = {}
    for turn in range(rounds):
        for name, how in (("processes", of_processes), ("threads", of_threads)):
            for keyed in (True, False):
                kind = f"{name}, {'keyed' if keyed else 'blind'}"
                path = folder / f"{kind} {turn}.lake"
                rates.setdefault(kind, []).append(how(path, writers, keyed, seconds, view_s))
    return rates


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 when the bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.keyed_commits")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--view-ms", type=float, default=500.0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="pagelake-keyed-") as folder:
        rates = measure(
            Path(folder), options.writers, options.seconds, options.rounds, options.view_ms / 1e3
        )
    print(f"durable creates of {CONTENT_BYTES:,} bytes a second, {options.writers} writers, "
          f"{options.rounds} rounds (bar {BAR_PER_S:,})")  # fmt: skip
    met = True
    for kind, found in rates.items():
        speeds = [rate.per_s for rate in found]
        median = statistics.median(speeds)
        met = met and (median >= BAR_PER_S or "blind" in kind)
        cpu = statistics.median(rate.cpu_us for rate in found)
        print(f"{kind:17} {median:7,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f}), "
              f"{cpu:,.0f} µs of CPU each")  # fmt: skip
    print("bar met" if met else "bar missed")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
