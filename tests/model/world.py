"""What a model is made of: transactions, processes, the state of all, and what must always hold."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from tests.model.disk import DURABLE, UNSYNCED, Disk, Record
from tests.model.explore import Violated


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a transaction does.

    Attributes:
        appends: It adds a segment of its own.
        removes: Segments whose row groups it replaces; it conflicts with others that do.
        clones: The old version whose segments it takes over, or 0.
        tags: The old version that it gives a name, or 0.
        adds: Keys that it appends; nobody else may.
        relies: Rows that it needs, by key.
        takes: Rows that it deletes, by key.
        alone: It is not offered to others.
    """

    appends: bool = True
    removes: frozenset[int] = frozenset()
    clones: int = 0
    tags: int = 0
    adds: frozenset[int] = frozenset()
    relies: frozenset[int] = frozenset()
    takes: frozenset[int] = frozenset()
    alone: bool = False

    @property
    def names(self) -> int:
        """The old version that it refers to, or 0."""
        return self.clones or self.tags


APPEND = Transaction()
INLINE = Transaction(appends=False)


@dataclass(frozen=True, slots=True)
class World:
    """A scenario.

    Attributes:
        transactions: All of them; number 0 is committed as version 1 before anything begins.
        writers: The transactions of each writer, in order.
        reclaimers: What each reclaimer does: ``fold``, ``reclaim``.
        readers: How many readers there are; each reads one snapshot.
        versions: How many versions there can be.
        kills: How many processes are killed, at any step.
        failures: How often the power fails.
        combine: Writers offer their transactions, and commit each other's.
        withdraw: Offerers lose patience.
        stale: Writers may stand on version 1, however much they know.
        without: Guards that are left out, to see that they are needed.
    """

    transactions: tuple[Transaction, ...]
    writers: tuple[tuple[int, ...], ...]
    reclaimers: tuple[tuple[str, ...], ...] = ()
    readers: int = 0
    versions: int = 4
    kills: int = 0
    failures: int = 0
    combine: bool = False
    withdraw: bool = False
    stale: bool = False
    without: frozenset[str] = field(default_factory=frozenset)

    def conflict(self, mine: int, theirs: int) -> bool:
        """Whether two transactions do not commute; a change does not commute with itself."""
        ours, others = self.transactions[mine], self.transactions[theirs]
        missed = ours.relies & others.takes
        if self.guarded("a record tells what it relies on"):
            missed |= ours.takes & others.relies
        return bool(ours.removes & others.removes or ours.adds & others.adds or missed)

    def refuses(self, mine: int, records: tuple[Record, ...]) -> bool:
        """Whether what is there refuses a transaction: its key exists, its directory is gone."""
        return any(self.excludes(mine, n) for record in records for n in record.transactions)

    def excludes(self, one: int, other: int) -> bool:
        """Whether of two transactions one at most may happen."""
        ours, others = self.transactions[one], self.transactions[other]
        missed = ours.relies & others.takes or ours.takes & others.relies
        return one != other and bool(ours.adds & others.adds or missed)

    def guarded(self, guard: str) -> bool:
        """Whether a guard is in place."""
        return guard not in self.without


class Process(NamedTuple):
    """A process: where it is, and what it knows and holds.

    Attributes:
        at: Its next step.
        todo: What is left to do, the present piece included.
        known: The records that its head has applied, and before them those in its checkpoint.
        blank: Versions up to which it has only a checkpoint: it never looked at their records.
        loose: Records read that it does not believe yet.
        then: Where it goes on when it has followed the log.
        base: The version that its transaction or its reading stands on.
        staged: The record that it tries to link.
        pending: Transactions that the record is for, as (transaction, base).
        pin: The oldest version that it tells others it reads, or -1.
        holds: Segments that it tells others it writes.
        offered: Its transaction is offered.
        found: What a reclaimer has found: segments, held ones, floor.
    """

    at: str
    todo: tuple[object, ...]
    known: tuple[Record, ...] = ()
    blank: int = 0
    loose: tuple[Record, ...] = ()
    then: str = ""
    base: int = 0
    staged: Record | None = None
    pending: tuple[tuple[int, int], ...] = ()
    pin: int = -1
    holds: tuple[int, ...] = ()
    offered: bool = False
    found: tuple[frozenset[int], frozenset[int], int] | None = None


class State(NamedTuple):
    """Everything at one moment.

    Attributes:
        disk: The files.
        processes: Writers, then reclaimers, then readers.
        acknowledged: Transactions that were answered, with the version they got.
        refused: Transactions whose users were told that they did not happen.
        shown: The records behind what readers were shown.
        kills: How many processes may still be killed.
        failures: How often the power may still fail.
    """

    disk: Disk
    processes: tuple[Process, ...]
    acknowledged: frozenset[tuple[int, int]]
    refused: frozenset[int]
    shown: tuple[Record, ...]
    kills: int
    failures: int

    def with_process(self, number: int, process: Process, disk: Disk | None = None) -> State:
        """With one process, and perhaps the disk, as they are after a step."""
        processes = (*self.processes[:number], process, *self.processes[number + 1 :])
        return self._replace(processes=processes, disk=self.disk if disk is None else disk)


@cache
def live(transactions: tuple[Transaction, ...], records: tuple[Record, ...]) -> frozenset[int]:
    """Segments that the newest of some versions needs."""
    segments: frozenset[int] = frozenset()
    for record in records:
        for number in record.transactions:
            transaction = transactions[number]
            segments -= transaction.removes
            if transaction.appends:
                segments |= {number}
            if transaction.clones:
                segments |= live(transactions, records[: transaction.clones])
    return segments


def tagged(world: World, records: tuple[Record, ...]) -> set[int]:
    """Versions that have a tag."""
    numbers = [number for record in records for number in record.transactions]
    return {world.transactions[number].tags for number in numbers} - {0}


def check(world: World, state: State) -> None:
    """Open the disk as a fresh process would, and look for what was promised.

    Raises:
        Violated: Something is missing, twice, or not readable.
    """
    disk = state.disk
    records = _opened(world, disk)
    numbers = [number for record in records for number in record.transactions]
    if len(numbers) != len(set(numbers)):
        raise Violated(f"a transaction is in the log twice: {numbers}")
    for one, other in itertools.combinations(numbers, 2):
        if world.excludes(one, other):
            raise Violated(f"transactions {one} and {other} are both in the log")
    for number, version in state.acknowledged:
        if len(records) < version or number not in records[version - 1].transactions:
            raise Violated(f"transaction {number}, acknowledged as version {version}, is lost")
    if records[: len(state.shown)] != state.shown:
        raise Violated("a version that was shown to a reader is lost or has become another")
    for number in state.refused.intersection(numbers):
        raise Violated(f"transaction {number} was refused, and is in the log")
    oldest = max(disk.horizon[-1], 1)
    for version in {*range(oldest, len(records) + 1), *tagged(world, records)}:
        rebuilt = disk.rebuilt(version)
        if rebuilt is None:
            raise Violated(f"version {version} cannot be rebuilt")
        for segment in live(world.transactions, rebuilt):
            if disk.segments[segment] not in {UNSYNCED, DURABLE}:
                raise Violated(f"segment {segment}, which version {version} needs, is not there")


def _opened(world: World, disk: Disk) -> tuple[Record, ...]:
    records = disk.checkpoint().records
    while True:
        record = disk.record(len(records) + 1)
        if record is None:
            break
        for number in record.transactions:
            version = world.transactions[number].clones
            if version and disk.rebuilt(version) is None:
                raise Violated(f"version {version}, which a clone begins at, cannot be rebuilt")
        records = (*records, record)
    if len(records) < disk.boundary[-1]:
        raise Violated(f"version {len(records) + 1} is gone: the log cannot be followed")
    return records
