"""Power failures under contents: every file of every state is whole, or not there yet.

    python -m tests.contents.power_failures [--states N] [--seed N]

One store writes, replaces, edits and removes contents, settles, sweeps and reclaims, on a device
that records its calls. Then the power fails after every call; each state that this can leave is
opened, must show a version between the last one promised and the last one begun with exactly the
bytes of each file, must pass the check, and must take a further content.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from pagelake.storage.content.sweep import Sweeper
from pagelake.storage.content.tables import ELEMENTS
from pagelake.storage.devices.crash_states import Disk
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import Mark, RecordingDevice
from pagelake.storage.environment import Environment
from pagelake.storage.maintenance.check import verify_store
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_sealing
from pagelake.storage.store import Store
from tests.unit.storage.content.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.content.content import Content
    from pagelake.storage.devices.crash_states import CrashState

CHECK_EVERY = 8
SAMPLES = 2


class Lost(AssertionError):
    """A state in which something is not as it was promised."""


@dataclass(slots=True)
class Life:
    """What one process does, and what each version must hold."""

    seed: str
    device: RecordingDevice = field(default_factory=lambda: RecordingDevice(MemoryDevice()))
    expected: dict[int, dict[int, bytes]] = field(default_factory=lambda: {0: {}})
    clock: int = 1_000_000

    def now_us(self) -> int:
        self.clock += 1000
        return self.clock

    def live(self) -> None:
        """Some of everything that happens to contents."""
        random = Random(self.seed)
        environment = Environment(now_us=self.now_us, random_bytes=random.randbytes, threads=False)
        self.device.mark("begun 1")
        shelf = Shelf(self.device, environment=environment)
        self.expected[1] = {}
        self.device.mark("acknowledged 1")
        base = random.randbytes(60_000)

        def put(handle: int, content: bytes) -> None:
            made = shelf.write(content)
            self.commit(shelf, {handle: content}, lambda: shelf.put(handle, made))

        put(1, base)
        put(2, b"small")
        put(3, base[:30_000] + b"edited" + base[30_006:])
        self.edit(shelf, random)
        put(1, random.randbytes(40_000))
        self.maintain(shelf, lambda: self.seal(shelf))
        put(4, base)
        self.commit(shelf, {3: None}, lambda: shelf.remove(3))
        self.maintain(shelf, lambda: Sweeper(shelf.store).run(0.0, age_s=0.0))
        shelf.store.checkpoint()
        late = shelf.write(base)
        self.commit(shelf, {4: None}, lambda: shelf.remove(4))
        self.maintain(shelf, lambda: Sweeper(shelf.store).run(0.0, age_s=0.0))
        shelf.store.reclaim(0)
        self.commit(shelf, {5: base}, lambda: shelf.put(5, late))
        shelf.store.reclaim(0)
        with shelf.contents.write() as writer:
            writer.write(random.randbytes(30_000))
        put(6, base[10_000:] + b"more")
        shelf.close()

    def edit(self, shelf: Shelf, random: Random) -> None:
        content = bytearray(self.expected[max(self.expected)][1])
        with shelf.contents.edit(shelf.store.snapshot(), shelf.file(1)) as editor:
            for _ in range(2):
                offset, piece = random.randrange(50_000), random.randbytes(500)
                editor.write_at(offset, piece)
                content[offset : offset + 500] = piece
            editor.truncate(55_000)
            made: Content = editor.finish()
        self.commit(shelf, {1: bytes(content[:55_000])}, lambda: shelf.put(1, made))

    def commit(
        self, shelf: Shelf, changes: dict[int, bytes | None], act: Callable[[], object]
    ) -> None:
        """Do what makes one version."""
        version = max(self.expected) + 1
        files = self.expected[version - 1] | changes
        self.expected[version] = {h: c for h, c in files.items() if c is not None}
        self.device.mark(f"begun {version}")
        act()
        assert shelf.store.snapshot().version == version
        self.device.mark(f"acknowledged {version}")

    def maintain(self, shelf: Shelf, act: Callable[[], object]) -> None:
        """Do what changes no content, in some versions."""
        before = max(self.expected)
        for more in range(1, 9):
            self.expected[before + more] = self.expected[before]
        self.device.mark(f"begun {before + 8}")
        act()
        reached = shelf.store.snapshot().version
        assert reached > before
        for version in [v for v in self.expected if v > reached]:
            del self.expected[version]
        self.device.mark(f"acknowledged {reached}")

    @staticmethod
    def seal(shelf: Shelf) -> None:
        steps = plan_sealing(shelf.store.snapshot().tables[ELEMENTS], groups_min=1)
        rewrite(shelf.store, ELEMENTS, steps)


def judge(life: Life, state: CrashState, seen: dict[bytes, int]) -> int:
    """Open a state; returns the version it shows."""
    if state.digest in seen:
        return seen[state.digest]
    device = MemoryDevice(state.files)
    environment = Environment(threads=False)
    if ELEMENTS not in Store(device, environment=environment).snapshot().tables:
        seen[state.digest] = 0
        return 0
    shelf = Shelf(device)
    version = seen[state.digest] = shelf.store.snapshot().version
    expected = life.expected[version]
    found = {handle: shelf.get(handle) for handle in shelf.files()}
    if found != expected:
        wrong = {h for h in found.keys() | expected.keys() if found.get(h) != expected.get(h)}
        raise Lost(f"version {version} holds other contents in {sorted(wrong)}")
    if state.digest[0] % CHECK_EVERY == 0 and (damage := verify_store(shelf.store)):
        raise Lost(f"check finds {damage}")
    content = next(iter(expected.values()), b"") + b"after"
    shelf.put(99, content)
    shelf.store.reclaim(0)
    if shelf.get(99) != content or any(shelf.get(h) != c for h, c in expected.items()):
        raise Lost("a content after reopening did not last")
    shelf.close()
    return version


def explore(states: int, seed: int) -> int:
    """Open states of one life after another until there were enough; returns how many."""
    total = 0
    while not total or total < states:
        life = Life(f"contents {seed}")
        life.live()
        random, seen = Random(seed), dict[bytes, int]()
        disk = Disk.after({}, [])
        promised = begun = 0
        every = max(1, len(life.device.trace.calls) * 6 // max(states, 1))
        for number, call in enumerate(life.device.trace.calls):
            disk.apply(call)
            if isinstance(call, Mark):
                word, _, version = call.text.partition(" ")
                promised = int(version) if word == "acknowledged" else promised
                begun = int(version) if word == "begun" else begun
            if number % every:
                continue
            for state in disk.states(random, samples=SAMPLES):
                where = f"{life.seed}, after call {number + 1}: {state.description}"
                try:
                    shown = judge(life, state, seen)
                except Exception as error:
                    raise Lost(f"{where}: {error!r}") from error
                if not promised <= shown <= begun:
                    raise Lost(f"{where}: {shown} is shown, {promised} promised, {begun} begun")
        total += len(seen)
        seed += 1
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{explore(options.states, options.seed):,} states, 0 lost")


if __name__ == "__main__":
    main()
