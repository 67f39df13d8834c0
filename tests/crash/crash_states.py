"""Rebuilds every state that a power failure can leave of the workloads, and reopens each.

``python -m tests.crash.crash_states [--full] [--states N] [--seed N] [--workload NAME]``

Each workload is recorded once a seed. Then the power fails after every call of it, and

- at once: every state of the model is opened, must show a version between the last one promised
  and the last one begun with exactly its rows, and must take a further commit that lasts;
- after the process was killed there, and another one has taken over with what the first had not
  synced still unsynced;
- after the power had failed there before: recovery itself is recorded and fails again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from pagelake.storage.devices.crash_states import Disk
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import Mark, Trace
from pagelake.storage.maintenance.check import verify_store
from pagelake.storage.store import Store
from tests.crash.oracle import Reader, Run
from tests.crash.workloads import WORKLOADS, after_recovery

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.devices.crash_states import CrashState
    from pagelake.storage.devices.recording_device import Call

STATES_DEFAULT = 20_000
STATES_FULL = 300_000
SAMPLES = 3
"""Random states after each call, beside the systematic ones."""
KILLS = 5
"""Calls of a workload at which its process is killed and another takes over."""
RECOVERIES = 5
"""States whose recovery is recorded, in each workload."""
CHECK_EVERY = 8
"""One state in so many also goes through the whole check, which takes as long as all the rest."""
PAST_EVERY = 4
"""In one state out of so many, every version that can still be read is read, not only the newest
one, the oldest one and the tagged ones."""


class Lost(AssertionError):
    """A state in which something is not as it was promised."""


@dataclass(slots=True)
class Explorer:
    """Goes through the states of one workload, until there were enough.

    Attributes:
        workload: What is done.
        target: How many different states to open.
        states: How many were opened.
    """

    workload: Callable[[Run], None]
    target: int
    states: int = 0
    _seen: dict[bytes, int] = field(default_factory=dict)
    _reader: Reader = field(default_factory=Reader)
    _depth: int = 1
    _seeds: int = 0

    def explore(self, seed: int) -> None:
        """Open the states of one seed after another until there were enough."""
        while not self._seeds or self.states < self.target:
            self._seen.clear()
            self._reader = Reader()
            self._one_seed(f"{self.workload.__name__} {seed}")
            self._seeds += 1
            seed += 1

    def _enough(self) -> bool:
        # The first seed goes through all phases, whatever the target.
        return self._seeds > 0 and self.states >= self.target

    def _one_seed(self, seed: str) -> None:
        run = Run(seed)
        self.workload(run)
        run.close()
        random = Random(f"{seed} crashes")
        kept = self._crash_everywhere(run, Trace(), random)
        self._kill(run, random)
        for state, promised in kept:
            self._recover(run, state, promised, random)

    def _crash_everywhere(
        self, run: Run, before: Trace, random: Random, promised: int = 0, begun: int = 0
    ) -> list[tuple[CrashState, int]]:
        """Let the power fail after each call that ``before`` does not hold yet.

        Returns:
            A random few of the states, each with the version that was promised by then.
        """
        trace = run.device.trace
        disk = Disk.after(trace.initial, before.calls)
        for call in before.calls:
            promised, begun = _promises(call, promised, begun)
        kept: list[tuple[CrashState, int]] = []
        found = 0
        for cut in range(len(before.calls), len(trace.calls)):
            if self._enough():
                break
            disk.apply(trace.calls[cut])
            promised, begun = _promises(trace.calls[cut], promised, begun)
            for state in disk.states(random, samples=SAMPLES):
                where = f"{run.seed}, after call {cut + 1} ({_named(trace.calls[cut])})"
                if self._judge(run, state, promised, begun, where):
                    found += 1
                    if len(kept) < RECOVERIES:
                        kept.append((state, promised))
                    elif random.random() < RECOVERIES / found:
                        kept[random.randrange(RECOVERIES)] = (state, promised)
        return kept

    def _judge(self, run: Run, state: CrashState, promised: int, begun: int, where: str) -> bool:
        """Open a state, unless an equal one was; tells whether it was new.

        Raises:
            Lost: It does not show what it must.
        """
        version = self._seen.get(state.digest)
        new = version is None
        try:
            if version is None:
                version = self._reopen(run, state)
                self._seen[state.digest] = version
                self.states += 1
            if not promised <= version <= begun:
                raise Lost(f"version {version} is shown; {promised} was promised, {begun} begun")
        except Exception as error:
            raise Lost(f"{where}: {state.description}: {error!r}") from error
        return new

    def _reopen(self, run: Run, state: CrashState) -> int:
        """Check what a state shows, and that it can be written to; returns its version."""
        version = self._shown(run, state)
        after = Run(f"{run.seed} after", trace=Trace(state.files), before=run, version=version)
        store = after.open()
        work = after.begin(store)
        tables = after.expected[version]
        if tables:
            work.append(min(tables), 1)
        else:
            work.create("t", "k")
        work.commit()
        trace = after.device.trace
        if state.digest[0] % CHECK_EVERY == 0 and (damage := verify_store(store)):
            raise Lost(f"check finds {damage}")
        if self._shown(after, Disk.after(trace.initial, trace.calls).durable()) != version + 1:
            raise Lost("a commit after reopening did not last")
        after.close()
        return version

    def _shown(self, run: Run, state: CrashState) -> int:
        store = Store(MemoryDevice(state.files), environment=run.environment)
        snapshot = store.snapshot()
        past = {*snapshot.tags.values(), store.log.horizon.read()} - {0}
        if state.digest[1] % PAST_EVERY == 0:
            past.update(info.version for info in store.history())
        for shown in (snapshot, *(store.snapshot_at(version) for version in past)):
            if self._reader.content(store, shown) != run.expected.get(shown.version):
                raise Lost(f"version {shown.version} holds other rows than were committed")
        store.close()
        return snapshot.version

    def _kill(self, run: Run, random: Random) -> None:
        """Kill the process at some calls, let another take over, and let the power fail then."""
        trace = run.device.trace
        cuts = random.sample(range(len(trace.calls)), min(KILLS, len(trace.calls)))
        for cut in sorted(cuts):
            if self._enough():
                return
            before = trace.prefix(cut)
            disk = Disk.after(before.initial, before.calls)
            seed = f"{run.seed}, killed after call {cut}"
            files = disk.visible()
            version = self._version(run, files)
            heir = Run(seed, trace=before, files=files, before=run, version=version)
            after_recovery(heir)
            heir.close()
            self._crash_everywhere(heir, trace.prefix(cut), random)

    def _recover(self, run: Run, state: CrashState, promised: int, random: Random) -> None:
        """Record how a state is recovered, and let the power fail again meanwhile."""
        if self._enough():
            return
        seed = f"{run.seed}, recovered from {state.digest.hex()}"
        version = self._version(run, dict(state.files))
        heir = Run(seed, trace=Trace(state.files), before=run, version=version)
        after_recovery(heir)
        heir.close()
        kept = self._crash_everywhere(heir, Trace(state.files), random, promised, version)
        if self._depth < 2 and kept:
            self._depth += 1
            self._recover(heir, *random.choice(kept), random)
            self._depth -= 1

    @staticmethod
    def _version(run: Run, files: dict[str, bytes]) -> int:
        store = Store(MemoryDevice(files), environment=run.environment)
        version = store.snapshot().version
        store.close()
        return version


def _promises(call: Call, promised: int, begun: int) -> tuple[int, int]:
    if isinstance(call, Mark):
        what, version = call.text.split()
        if what == "begun":
            return promised, int(version)
        return int(version), max(begun, int(version))
    return promised, begun


def _named(call: Call) -> str:
    name = getattr(call, "name", getattr(call, "folder", getattr(call, "text", "")))
    return f"{type(call).__name__} {name}".strip()


def explore(workload: Callable[[Run], None], *, states: int, seed: int) -> int:
    """Open at least so many different states of one workload; returns how many.

    Raises:
        Lost: One of them does not show what it must.
    """
    explorer = Explorer(workload, states)
    explorer.explore(seed)
    return explorer.states


def main() -> None:
    parser = argparse.ArgumentParser(description="Replay crash states of the storage layer.")
    parser.add_argument("--full", action="store_true", help=f"{STATES_FULL:,} states")
    parser.add_argument("--states", type=int, default=0, help="so many states")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--workload", choices=[w.__name__ for w in WORKLOADS])
    options = parser.parse_args()
    workloads = [w for w in WORKLOADS if options.workload in {None, w.__name__}]
    target = options.states or (STATES_FULL if options.full else STATES_DEFAULT)
    share = -(-target // len(workloads))
    total, lost = 0, 0
    for workload in workloads:
        began = time.perf_counter()
        try:
            states = explore(workload, states=share, seed=options.seed)
        except Lost as error:
            print(f"LOST: {error}", flush=True)
            lost += 1
            continue
        total += states
        seconds = time.perf_counter() - began
        print(f"{workload.__name__:20} {states:7,} states in {seconds:.1f} s", flush=True)
    print(f"seed {options.seed}: {total:,} states, {lost} lost")
    raise SystemExit(1 if lost else 0)


if __name__ == "__main__":
    main()
