"""Processes create and remove in the same directories: ``python -m tests.multiprocess.creators``.

A row is a number: a directory below ``WIDTH``, or ``directory * WIDTH + name`` for what is in it.
Numbers are unique. Who creates in a directory relies on its row, and looks names up in a snapshot
that may be old; who removes one has looked whether it is empty. Some compact meanwhile, and some
are killed. Afterwards the log is gone through version by version: a number is there once at most
and in a directory that is there, and each commit that was answered is in it, once, where it was
told to be.
"""

from __future__ import annotations

import argparse
import random
import select
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pagelake.errors import Conflict
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.effects import Append, AppendedKeys, CreateTable, Delete, Rely, Rewrite
from pagelake.storage.keys.key_index import KeyIndexes
from pagelake.storage.log.commit_log import record_name
from pagelake.storage.log.record import decode
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_compaction
from pagelake.storage.row_group import read_row_group
from pagelake.storage.store import Store
from tests.multiprocess.fleet import Fleet
from tests.unit.storage.builders import TABLE, definition, inline_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pagelake.storage.effects import Effect, RowGroup
    from pagelake.storage.snapshot import Snapshot
    from tests.multiprocess.fleet import Channel, Member

WIDTH = 1000
DIRECTORIES, NAMES = 3, 4
"""So few that processes meet all the time."""
KEEP_VIEW = 0.8
"""How likely a creator goes on with the snapshot that it has."""


def keys(numbers: Iterable[int]) -> tuple[AppendedKeys, ...]:
    """What is told of some numbers."""
    codes = np.array([*numbers], "<i8").view("<u8") ^ np.uint64(1 << 63)
    return (AppendedKeys((1,), codes.astype("<u8").tobytes()),)


@dataclass(slots=True)
class Actor:
    """Creates and removes in one process."""

    store: Store
    random: random.Random
    indexes: KeyIndexes = field(init=False)
    view: Snapshot | None = None

    def __post_init__(self) -> None:
        self.indexes = KeyIndexes(self.store)

    def there(self, snapshot: Snapshot, *numbers: int) -> dict[int, tuple[str, int]]:
        """Which numbers a snapshot has, and where: row group and position."""
        state = snapshot.tables[TABLE]
        index = self.indexes.of(state, (1,))
        assert index is not None
        codes = np.frombuffer(keys(numbers)[0].codes, "<u8")
        rows, _ = index.candidates(state, codes)
        found = zip(rows.keys.tolist(), rows.groups.tolist(), rows.positions.tolist(), strict=True)
        return {numbers[key]: (state.row_groups[group].id, at) for key, group, at in found}

    def act(self) -> tuple[str, int] | None:
        """Do something; returns the transaction and its version, None where there was nothing."""
        directory = self.random.randrange(1, DIRECTORIES + 1)
        entry = directory * WIDTH + self.random.randrange(NAMES)
        choice = self.random.random()
        if choice < 0.5:
            return self.create(entry, directory)
        if choice < 0.65:
            return self.create(directory)
        return self.remove(entry if choice < 0.85 else directory)

    def create(self, number: int, directory: int | None = None) -> tuple[str, int] | None:
        if self.view is None or self.random.random() > KEEP_VIEW:
            self.view = self.store.head.newest(sync=False)
        wanted = (number,) if directory is None else (number, directory)
        there = self.there(self.view, *wanted)
        if number in there or (directory is not None and directory not in there):
            self.view = None
            return None
        transaction = self.store.begin_blind(self.view)
        group = inline_group(transaction.next_row_group_id(), [number])
        transaction.add_blind("CREATE", Append(TABLE, (group,), True, keys([number])))
        if directory is not None:
            transaction.add_blind("CREATE", Rely(TABLE, keys([directory])))
        try:
            return transaction.id, transaction.commit()
        except Conflict:
            self.view = None
            return None

    def remove(self, number: int) -> tuple[str, int] | None:
        transaction = self.store.begin(durable=False)
        try:
            within = range(number * WIDTH, number * WIDTH + NAMES) if number < WIDTH else ()
            there = self.there(transaction.base, number, *within)
            if [*there] != [number]:
                return None
            group, position = there[number]
            transaction.delete("REMOVE", TABLE, {group: positions_of([position])}, keys([number]))
            with suppress(Conflict):
                return transaction.id, transaction.commit()
            return None
        finally:
            transaction.rollback()

    def compact(self) -> None:
        state = self.store.snapshot().tables[TABLE]
        if steps := plan_compaction(state, eager=True):
            with suppress(Conflict):
                rewrite(self.store, TABLE, steps)


def role(channel: Channel, path: str, seed: int) -> None:
    """One process; tells what it was told, line by line, until it is told to stop."""
    with closing(Store(LocalDevice(path, create=False))) as store:
        actor = Actor(store, random.Random(seed))
        channel.send("ready")
        channel.receive()
        while not select.select([channel.end], [], [], 0)[0]:
            if seed % 4 == 0 and actor.random.random() < 0.05:
                actor.compact()
            done = actor.act()
            if done is not None:
                channel.send(done)


@dataclass(slots=True)
class Replay:
    """The rows after some versions, as the effects tell them."""

    store: Store
    rows: dict[str, list[int]] = field(default_factory=dict)
    live: Counter[int] = field(default_factory=Counter)
    dead: set[tuple[str, int]] = field(default_factory=set)

    def apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(_, groups):
                    for group in groups:
                        self.rows[group.id] = self._numbers(group)
                        self.live.update(self.rows[group.id])
                case Delete(_, vectors):
                    for group, vector in vectors.items():
                        for at in vector.positions(self.store.pages).tolist():
                            assert (group, at) not in self.dead, "a row was deleted twice"
                            self.dead.add((group, at))
                            self.live[self.rows[group][at]] -= 1
                case Rewrite(_, removed, added):
                    before = [
                        number
                        for group in removed
                        for at, number in enumerate(self.rows.pop(group))
                        if (group, at) not in self.dead
                    ]
                    self.rows.update((group.id, self._numbers(group)) for group in added)
                    after = [number for group in added for number in self.rows[group.id]]
                    assert sorted(before) == sorted(after), "a rewrite changed rows"

    def _numbers(self, group: RowGroup) -> list[int]:
        table = definition()
        batch = read_row_group(self.store, table, group, table.columns)
        numbers: list[int] = batch.column(0).to_pylist()
        return numbers

    def verify(self, version: int) -> None:
        """Check what must hold at every version."""
        there = {number for number, count in self.live.items() if count}
        twice = [number for number, count in self.live.items() if count not in (0, 1)]
        assert not twice, f"version {version}: {twice} more than once"
        lost = [n for n in there if n >= WIDTH and n // WIDTH not in there]
        assert not lost, f"version {version}: {lost} in no directory"


def verify(path: Path, answered: Sequence[tuple[str, int]]) -> tuple[int, int]:
    """Go through the log; returns the number of versions and of transactions in it."""
    with closing(Store(LocalDevice(path, create=False), read_only=True)) as store:
        replay, found = Replay(store), dict[str, int]()
        for version in range(1, store.snapshot().version + 1):
            content = store.log.read(version)
            assert content is not None
            record = decode(content, store_id=store.id, name=record_name(version))
            for transaction in record.transactions:
                assert transaction.id not in found, "a transaction was committed twice"
                found[transaction.id] = version
                replay.apply(transaction.effects)
            replay.verify(version)
        wrong = [(t, v) for t, v in answered if found.get(t) != v]
        assert not wrong, f"answered, and not in the log there: {wrong[:3]}"
        return version, len(found)


def run(
    path: Path, processes: int, seconds: float, kills: int = 1, seed: int = 0
) -> tuple[int, int, int]:
    """Have processes meet, and check; returns commits answered, versions and transactions.

    Args:
        path: Where the store is made.
        processes: How many there are at once.
        seconds: How long they go on.
        kills: How many of them are killed, one after the other; others come for them.
        seed: Of what they do.
    """
    with closing(Store(LocalDevice(path, create=True))) as store:
        transaction = store.begin()
        transaction.add("CREATE TABLE", CreateTable(definition()))
        transaction.commit()
    with Fleet() as fleet:

        def begin(count: int) -> list[Member]:
            first = len(fleet.members)
            begun = [
                fleet.start("multiprocess.creators:role", str(path), seed + first + n)
                for n in range(count)
            ]
            fleet.together(begun)
            return begun

        alive = begin(processes)
        for _ in range(kills):
            time.sleep(seconds / (kills + 1))  # in the middle of it, whatever it does
            alive.pop(0).kill()
            alive += begin(1)
        time.sleep(seconds / (kills + 1))
        for member in alive:
            member.send("stop")
        answered = [(t, v) for member in fleet.members for t, v in member.rest()]
    return (len(answered), *verify(path, answered))


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.multiprocess.creators")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pagelake-creators-") as folder:
        path = Path(folder) / "store"
        answered, versions, found = run(
            path, options.processes, options.seconds, options.kills, options.seed
        )
    print(f"{answered:,} commits answered, {found:,} in {versions:,} versions, nothing wrong")


if __name__ == "__main__":
    main()
