"""Every short sequence of operations, with a power failure after every call of the last one.

``python -m tests.crash.exhaustive [--length N] [--every N] [--offset N] [--recovery]``

A small store is prepared; then all sequences of up to three of the ``KINDS`` are done to it, as in
"Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing" (OSDI 2018). The states that a
failure leaves during the earlier operations are those of the shorter sequence, so each sequence
adds those of its last operation. ``--recovery`` goes the other way: one operation, and then
failures three levels deep: during it, during its recovery, and during the recovery of that.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from pagelake.storage.devices.crash_states import Disk
from pagelake.storage.devices.recording_device import Trace
from tests.crash.crash_states import Explorer, Lost
from tests.crash.oracle import Run
from tests.crash.workloads import after_recovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pagelake.storage.devices.crash_states import CrashState
    from pagelake.storage.store import Store

LENGTH_MAX = 3
LEVELS = 3
WIDTHS = (8, 3)
"""States of the first and the second level whose recovery is recorded."""


class NotApplicable(Exception):
    """An operation that can do nothing here: the sequence is one of those without it."""


def _table(run: Run) -> str:
    """The table that everything is done to: the one whose name comes first."""
    names = sorted(run.expected[run.version])
    if not names:
        raise NotApplicable
    return names[0]


def _rows(run: Run, most: int) -> list[int]:
    rows = run.pick(_table(run), most)
    if not rows:
        raise NotApplicable
    return rows


def create(run: Run, store: Store) -> None:
    run.begin(store).create(f"u{run.version}", "k").append(f"u{run.version}", 1).commit()


def append(run: Run, store: Store) -> None:
    run.begin(store).append(_table(run), 2).commit()


def append_pages(run: Run, store: Store) -> None:
    run.begin(store).append(_table(run), 3, pages=True).commit()


def delete(run: Run, store: Store) -> None:
    run.begin(store).delete(_table(run), _rows(run, 2)).commit()


def delete_pages(run: Run, store: Store) -> None:
    run.begin(store).delete(_table(run), _rows(run, 3), pages=True).commit()


def update(run: Run, store: Store) -> None:
    run.begin(store).update(_table(run), _rows(run, 2), pages=True).commit()


def add_column(run: Run, store: Store) -> None:
    run.begin(store).add_column(_table(run), f"k{run.version}").commit()


def drop(run: Run, store: Store) -> None:
    run.begin(store).drop(_table(run)).commit()


def compact(run: Run, store: Store) -> None:
    before = run.version
    run.compact(store, _table(run))
    if run.version == before:
        raise NotApplicable


def checkpoint(run: Run, store: Store) -> None:
    store.checkpoint()


def fold(run: Run, store: Store) -> None:
    store.checkpoint()
    if not store.fold():
        raise NotApplicable


def reclaim(run: Run, store: Store) -> None:
    store.reclaim(0)


def clone(run: Run, store: Store) -> None:
    version = store.log.horizon.read() or 1
    table = _table(run)
    if table not in run.expected[version]:
        raise NotApplicable
    run.begin(store).clone(table, version, f"c{run.version}").commit()


def restore(run: Run, store: Store) -> None:
    version = store.log.horizon.read() or 1
    table = _table(run)
    then = store.snapshot_at(version).table("main", table)
    now = store.snapshot().table("main", table)
    if then is None or now is None or then.definition.id != now.definition.id:
        raise NotApplicable
    run.begin(store).restore(table, version).commit()


def tag(run: Run, store: Store) -> None:
    name = f"tag {run.version}"
    if name in store.snapshot().tags:
        raise NotApplicable
    run.begin(store).tag(name, run.version).commit()


KINDS: tuple[Callable[[Run, Store], None], ...] = (
    create,
    append,
    append_pages,
    delete,
    delete_pages,
    update,
    add_column,
    drop,
    compact,
    checkpoint,
    fold,
    reclaim,
    clone,
    restore,
    tag,
)


@dataclass(slots=True)
class Exhaustive:
    """Goes through sequences.

    Attributes:
        sequences: How many could be done.
        skipped: How many could not, because an operation had nothing to do.
        states: How many different states were opened.
    """

    sequences: int = 0
    skipped: int = 0
    states: int = 0
    _files: dict[str, bytes] = field(default_factory=dict)
    _setup: Run = field(init=False)

    def __post_init__(self) -> None:
        self._setup = Run("exhaustive")
        store = self._setup.open()
        begin = self._setup.begin
        begin(store).create("t", "k", "v").append("t", 3).append("t", 4, pages=True).commit()
        begin(store).append("t", 2).commit()
        store.checkpoint()
        self._setup.close()
        trace = self._setup.device.trace
        self._files = Disk.after(trace.initial, trace.calls).visible()

    def run(self, sequences: Iterable[Sequence[Callable[[Run, Store], None]]]) -> None:
        """Do each sequence, and let the power fail during its last operation.

        Raises:
            Lost: A state does not show what it must.
        """
        for sequence in sequences:
            done = self._do(sequence)
            if done is None:
                self.skipped += 1
                continue
            self.sequences += 1
            run, before = done
            self._explorer(run, before)

    def _do(self, sequence: Sequence[Callable[[Run, Store], None]]) -> tuple[Run, Trace] | None:
        """Do a sequence; returns the run, and its trace before the last operation."""
        name = ", ".join(operation.__name__ for operation in sequence)
        trace = Trace(self._files)
        run = Run(name, trace=trace, before=self._setup, version=self._setup.version)
        store = run.open()
        try:
            for operation in sequence[:-1]:
                operation(run, store)
            before = trace.prefix(len(trace.calls))
            sequence[-1](run, store)
        except NotApplicable:
            return None
        finally:
            run.close()
        return run, before

    def _explorer(self, run: Run, before: Trace) -> list[tuple[CrashState, int]]:
        explorer = Explorer(after_recovery, target=1 << 62)
        promised = self._setup.version
        try:
            return explorer._crash_everywhere(run, before, Random(run.seed), promised, promised)
        finally:
            self.states += explorer.states

    # Recovery

    def recover(self, kinds: Sequence[Callable[[Run, Store], None]] = KINDS) -> None:
        """Let the power fail three levels deep, for each kind of operation.

        Raises:
            Lost: A state does not show what it must.
        """
        for kind in kinds:
            done = self._do((kind,))
            if done is None:
                self.skipped += 1
                continue
            self.sequences += 1
            kept = self._explorer(*done)
            self._level(done[0], kept, 0)

    def _level(self, run: Run, kept: list[tuple[CrashState, int]], level: int) -> None:
        random = Random(f"{run.seed} level {level}")
        for state, promised in random.sample(kept, min(WIDTHS[level], len(kept))):
            seed = f"{run.seed}, recovered from {state.digest.hex()}"
            version = Explorer._version(run, dict(state.files))
            heir = Run(seed, trace=Trace(state.files), before=run, version=version)
            after_recovery(heir)
            heir.close()
            explorer = Explorer(after_recovery, target=1 << 62)
            left = explorer._crash_everywhere(heir, Trace(state.files), random, promised, version)
            self.states += explorer.states
            if level + 2 < LEVELS:
                self._level(heir, left, level + 1)


def sequences(length: int) -> Iterator[tuple[Callable[[Run, Store], None], ...]]:
    """All sequences of up to so many operations, the short ones first."""
    for size in range(1, length + 1):
        yield from itertools.product(KINDS, repeat=size)


def main() -> None:
    parser = argparse.ArgumentParser(description="Do every short sequence of operations.")
    parser.add_argument("--length", type=int, default=LENGTH_MAX, help="operations at most")
    parser.add_argument("--every", type=int, default=1, help="do one sequence in so many")
    parser.add_argument("--offset", type=int, default=0, help="begin at this one")
    parser.add_argument("--recovery", action="store_true", help="failures three levels deep")
    options = parser.parse_args()
    began = time.perf_counter()
    exhaustive, lost = Exhaustive(), 0
    try:
        if options.recovery:
            exhaustive.recover()
        else:
            chosen = itertools.islice(
                sequences(options.length), options.offset, None, options.every
            )
            exhaustive.run(chosen)
    except Lost as error:
        print(f"LOST: {error}", flush=True)
        lost = 1
    print(
        f"{exhaustive.sequences:,} sequences, {exhaustive.skipped:,} not applicable, "
        f"{exhaustive.states:,} states in {time.perf_counter() - began:.0f} s, {lost} lost"
    )
    raise SystemExit(lost)


if __name__ == "__main__":
    main()
