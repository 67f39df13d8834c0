"""Several processes on one device, killed and struck by power failures, all from one seed.

``python -m tests.crash.simulate [--seed N] [--lives N] [--seeds N]``

A life ends with the power: the next one begins with a state that the failure may have left. Each
process inserts runs of rows and deletes or updates runs of its own, so what must be there does
not depend on who commits first: everything acknowledged, and every transaction whole. The last
line printed is a hash of the schedule and of every byte written; equal seeds print equal hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

import pyarrow as pa

from pagelake.errors import Conflict
from pagelake.storage import row_group
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.crash_states import Disk
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import RecordingDevice, Trace
from pagelake.storage.devices.simulation import Scheduler
from pagelake.storage.effects import Append, CreateTable
from pagelake.storage.environment import Environment
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_compaction
from pagelake.storage.row_group import RowGroupWriter, read_row_group
from pagelake.storage.store import Store
from tests.crash.oracle import stored_rows
from tests.unit.storage.builders import TABLE, definition

if TYPE_CHECKING:
    from pagelake.storage.snapshot import Snapshot
    from pagelake.storage.transaction import Transaction

PROCESSES = 4
ROWS_MAX = 6
INLINE_ROWS_MAX = 3
"""Rows up to which an insert has no pages: both kinds should be common."""
STEPS = 6
"""Transactions of a process in a life."""


@dataclass(slots=True)
class Simulation:
    """One seed's run.

    Attributes:
        seed: Decides everything.
        sure: Rows of runs that must be there, by run.
        unsure: By run, what may be there instead: None stands for nothing.
        commits: How many were acknowledged.
        conflicts: How many were refused.
        kills: How many processes were killed.
    """

    seed: int
    sure: dict[int, int] = field(default_factory=dict)
    unsure: dict[int, int] = field(default_factory=dict)
    commits: int = 0
    conflicts: int = 0
    kills: int = 0
    _digest: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    _runs: int = 0

    def run(self, lives: int) -> str:
        """Let the power fail so many times; returns the hash of all that happened."""
        random = Random(f"simulation {self.seed}")
        files: dict[str, bytes] = {}
        with patch.object(row_group, "INLINE_ROWS_MAX", INLINE_ROWS_MAX):
            for life in range(lives):
                files = self._life(Random(f"{self.seed} life {life}"), files, random)
        return self._digest.hexdigest()

    def _life(self, random: Random, files: dict[str, bytes], fate: Random) -> dict[str, bytes]:
        scheduler = Scheduler(random)
        device = RecordingDevice(MemoryDevice(files), trace=Trace(files), before=scheduler.switch)
        environment = Environment(scheduler.now_us, random.randbytes, threads=False)
        store = Store(device, environment=environment)
        self._settle(store)
        store.close()
        names = [f"process {number}" for number in range(PROCESSES)]
        kill_after = {name: random.randrange(400) for name in names if random.random() < 0.5}
        killed = scheduler.run(
            {name: lambda: _Process(self, device, environment, random).live() for name in names},
            kill_after,
        )
        self.kills += len(killed)
        self._digest.update(repr((scheduler.schedule, device.trace.calls)).encode())
        # The power may fail at any call; what was promised after that one was never promised, so
        # it fails at the last.
        disk = Disk.after(device.trace.initial, device.trace.calls)
        return dict(fate.choice(list(disk.states(fate, samples=30))).files)

    def _settle(self, store: Store) -> None:
        """Check what is there, and from here on expect exactly that."""
        snapshot = store.snapshot()
        if TABLE not in snapshot.tables:
            assert not self.sure, "the table is lost"
            transaction = store.begin()
            transaction.add("CREATE TABLE", CreateTable(definition()))
            transaction.commit()
            return
        found = runs(store, snapshot)
        expected = dict(self.sure)
        for run, count in self.unsure.items():
            assert found.get(run, 0) in {count, self.sure.get(run, 0)}, f"run {run} is torn"
            expected[run] = found.get(run, 0)
        assert found == {run: count for run, count in expected.items() if count}
        self.sure, self.unsure = found, {}

    def new_run(self) -> int:
        """A number that no run had."""
        self._runs += 1
        return self._runs


def runs(store: Store, snapshot: Snapshot) -> dict[int, int]:
    """How many rows each run has."""
    state = snapshot.tables[TABLE]
    counts: dict[int, int] = {}
    for group, _, gone in stored_rows(store, state):
        batch = read_row_group(store, state.definition, group, state.definition.columns)
        for position, run in enumerate(batch.column(0).to_pylist()):
            if position not in gone:
                counts[run] = counts.get(run, 0) + 1
    return counts


@dataclass(slots=True)
class _Process:
    simulation: Simulation
    device: RecordingDevice
    environment: Environment
    random: Random
    mine: list[int] = field(default_factory=list)

    def live(self) -> None:
        store = Store(self.device, environment=self.environment)
        for _ in range(STEPS):
            try:
                self._step(store)
            except Conflict:
                self.simulation.conflicts += 1
        store.close()

    def _step(self, store: Store) -> None:
        match self.random.choice(("insert", "insert", "insert", "delete", "upkeep")):
            case "delete" if self.mine:
                self._delete(store, self.random.choice(self.mine))
            case "upkeep":
                self._upkeep(store)
            case _:
                self._insert(store)

    def _insert(self, store: Store) -> None:
        run, rows = self.simulation.new_run(), self.random.randint(1, ROWS_MAX)
        transaction = store.begin()
        batch = pa.record_batch([pa.array([run] * rows, pa.int64())], names=["1"])
        writer = RowGroupWriter(store, transaction, [1])
        transaction.add("INSERT", Append(TABLE, writer.write([batch])))
        self._commit(transaction, run, rows)
        self.mine.append(run)

    def _delete(self, store: Store, run: int) -> None:
        transaction = store.begin()
        state = transaction.snapshot.tables[TABLE]
        positions = {}
        for group, _, gone in stored_rows(store, state):
            column = read_row_group(store, state.definition, group, state.definition.columns)
            hit = [p for p, r in enumerate(column.column(0).to_pylist()) if r == run]
            positions[group.id] = positions_of([p for p in hit if p not in gone])
        transaction.delete("DELETE", TABLE, positions)
        self._commit(transaction, run, 0)
        self.mine.remove(run)

    def _commit(self, transaction: Transaction, run: int, rows: int) -> None:
        simulation = self.simulation
        simulation.unsure[run] = rows
        try:
            transaction.commit()
        except Conflict:
            del simulation.unsure[run]
            raise
        del simulation.unsure[run]
        simulation.sure[run] = rows
        simulation.commits += 1

    def _upkeep(self, store: Store) -> None:
        match self.random.choice(("checkpoint", "fold", "reclaim", "compact")):
            case "checkpoint":
                store.checkpoint()
            case "fold":
                store.checkpoint()
                store.fold()
            case "reclaim":
                store.reclaim(0)
            case _:
                state = store.snapshot().tables[TABLE]
                if steps := plan_compaction(state, eager=True):
                    rewrite(store, TABLE, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate several processes from a seed.")
    parser.add_argument("--seed", type=int, default=0, help="decides everything")
    parser.add_argument("--lives", type=int, default=5, help="how often the power fails")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, from that one on")
    options = parser.parse_args()
    began = time.perf_counter()
    for seed in range(options.seed, options.seed + options.seeds):
        simulation = Simulation(seed)
        digest = simulation.run(options.lives)
        print(
            f"seed {seed}: {options.lives} lives, {simulation.commits} commits, "
            f"{simulation.conflicts} conflicts, {simulation.kills} kills, nothing lost"
        )
        print(f"trace {digest}", flush=True)
    if options.seeds > 1:
        rate = options.seeds / (time.perf_counter() - began)
        print(f"{options.seeds:,} seeds, {rate:.1f} a second")


if __name__ == "__main__":
    main()
