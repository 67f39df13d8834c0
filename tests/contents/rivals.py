"""Writers of contents that share most bytes, against a sweep and a reclaim that never rest.

    python -m tests.contents.rivals [--seconds N] [--writers N] [--seed N]

Each writer has a store of its own on one directory, as a process has, and files of its own whose
contents are put together from a few blocks: so nearly every chunk that one of them refers to is
one that another one has just removed. Meanwhile maintenance sweeps without any grace, seals,
compacts and reclaims. At the end every file must be what its writer thinks, and the check clean.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from pagelake.errors import Conflict, SnapshotGone
from pagelake.storage.content.sweep import Sweeper
from pagelake.storage.content.tables import CHUNKS, ELEMENTS, EXTENTS, PACKS
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.maintenance.check import verify_store
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_compaction, plan_sealing
from tests.unit.storage.content.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCKS = [Random(number).randbytes(30_000) for number in range(12)]


@dataclass(slots=True)
class Writer:
    """One writer, and what it thinks of its files."""

    number: int
    shelf: Shelf
    random: Random
    files: dict[int, bytes] = field(default_factory=dict)
    done: int = 0

    def step(self) -> None:
        """Write, edit, copy, remove or read a file."""
        handle = self.number * 1000 + self.random.randrange(8)
        match self.random.choice(("write", "write", "edit", "share", "remove", "read")):
            case "write":
                content = b"".join(self.random.choices(BLOCKS, k=self.random.randint(0, 5)))
                self.shelf.put(handle, content + self.random.randbytes(self.random.randrange(99)))
                self.files[handle] = self.read(handle)
                assert self.files[handle].startswith(content)
            case "edit" if handle in self.files:
                self.edit(handle)
            case "share" if handle in self.files:
                other = self.number * 1000 + self.random.randrange(8)
                self.pinned(lambda: self.share(handle, other))
            case "remove" if handle in self.files:
                self.again(lambda: self.shelf.remove(handle))
                del self.files[handle]
            case "read" if handle in self.files:
                assert self.read(handle) == self.files[handle]
        self.done += 1

    def edit(self, handle: int) -> None:
        content = bytearray(self.files[handle])
        piece = self.random.choice(BLOCKS)[: self.random.randrange(3000)]
        offset = self.random.randint(0, len(content))

        def act() -> None:
            snapshot = self.shelf.store.snapshot()
            file = self.shelf.files(snapshot)[handle]
            with self.shelf.contents.edit(snapshot, file) as editor:
                editor.write_at(offset, piece)
                made = editor.finish()
            self.shelf.put(handle, made)

        self.pinned(act)
        content[offset : offset + len(piece)] = piece
        self.files[handle] = bytes(content)

    def share(self, handle: int, other: int) -> None:
        snapshot = self.shelf.store.snapshot()
        file = self.shelf.files(snapshot)[handle]
        self.shelf.put(other, self.shelf.contents.share(snapshot, file))
        self.files[other] = self.files[handle]

    def read(self, handle: int) -> bytes:
        found: list[bytes] = []
        self.pinned(lambda: found.append(self.shelf.get(handle)))
        return found[-1]

    def pinned(self, act: Callable[[], None]) -> None:
        """Do something that reads, with a version held that is no newer than what it reads."""
        while True:
            try:
                with self.shelf.store.pin(self.shelf.store.snapshot().version):
                    return act()
            except SnapshotGone:
                continue

    @staticmethod
    def again(act: Callable[[], object]) -> None:
        while True:
            try:
                act()
            except Conflict:
                continue
            return


@dataclass(slots=True)
class Upkeep:
    """What maintenance does, without rest."""

    shelf: Shelf
    random: Random
    swept: int = 0
    reclaimed: int = 0

    def step(self) -> None:
        store = self.shelf.store
        try:
            self.swept += Sweeper(store).run(0.0, age_s=0.0).chunks
            self.reclaimed += store.reclaim(0).bytes_freed
            table = self.random.choice((ELEMENTS, EXTENTS, CHUNKS, PACKS))
            state = store.snapshot().tables[table]
            seal = self.random.random() < 0.5
            steps = (
                plan_sealing(state, groups_min=2) if seal else plan_compaction(state, eager=True)
            )
            rewrite(store, table, steps[:1])
            if self.random.random() < 0.2:
                store.checkpoint()
        except (Conflict, SnapshotGone):
            return


def run(directory: Path, seconds: float, writers: int, seed: int) -> str:
    """Let writers and upkeep run against each other; returns what they did."""
    shelves = [
        Shelf(LocalDevice(directory / "store", create=True), threads=True)
        for _ in range(writers + 1)
    ]
    actors = [Writer(n, shelves[n], Random(f"{seed} {n}")) for n in range(writers)]
    upkeep = Upkeep(shelves[-1], Random(seed))
    failures: list[BaseException] = []
    until = time.monotonic() + seconds

    def live(actor: Writer | Upkeep) -> None:
        try:
            while time.monotonic() < until and not failures:
                actor.step()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=live, args=(actor,)) for actor in (*actors, upkeep)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    found = {handle: shelves[0].get(handle) for handle in shelves[0].files()}
    expected = {handle: content for actor in actors for handle, content in actor.files.items()}
    assert found == expected
    assert verify_store(shelves[0].store) == []
    for shelf in shelves:
        shelf.close()
    done = sum(actor.done for actor in actors)
    return f"{done} steps, {upkeep.swept} chunks swept, {upkeep.reclaimed:,} bytes reclaimed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(run(Path(directory), options.seconds, options.writers, options.seed))


if __name__ == "__main__":
    main()
