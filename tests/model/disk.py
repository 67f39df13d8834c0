"""The disk of the model: names, what is durable of them, and what a power failure leaves.

A name has a *history*: what it led to when its folder was last synced, and everything since. The
last entry is what processes see; a power failure leaves any of them.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_SEGMENT, UNSYNCED, DURABLE, DROPPED = range(4)
"""What a transaction's segment can be; its bytes and its name are made durable together."""


class Record(NamedTuple):
    """A commit record: its bytes say who staged it on what, and not which version it gets."""

    author: int
    base: int
    transactions: tuple[int, ...]


class Bundle(NamedTuple):
    """Records of successive versions in one file."""

    first: int
    records: tuple[Record, ...]
    durable: bool

    @property
    def last(self) -> int:
        """The last version in it."""
        return self.first + len(self.records) - 1


class Checkpoint(NamedTuple):
    """A snapshot written out whole: the records that lead to it stand for its content."""

    version: int
    records: tuple[Record, ...]
    durable: bool


class Offer(NamedTuple):
    """A transaction that any process may commit."""

    transaction: int
    base: int
    owner: int


class Disk(NamedTuple):
    """Everything that is in files.

    Attributes:
        loose: History of each version's name, from version 1 on.
        boundary: History of the boundary.
        horizon: History of the horizon.
        bundles: Bundles.
        checkpoints: Checkpoints.
        segments: State of each transaction's segment.
        offers: Offers that can be found.
        withdrawn: Offers that were removed, but that a power failure may bring back.
    """

    loose: tuple[tuple[Record | None, ...], ...]
    boundary: tuple[int, ...]
    horizon: tuple[int, ...]
    bundles: tuple[Bundle, ...]
    checkpoints: tuple[Checkpoint, ...]
    segments: tuple[int, ...]
    offers: tuple[Offer, ...] = ()
    withdrawn: tuple[Offer, ...] = ()

    def at(self, version: int) -> Record | None:
        """The loose record under a version's name."""
        return self.loose[version - 1][-1] if version <= len(self.loose) else None

    def named(self, version: int, record: Record | None) -> Disk:
        """With a version's name given to a record, or taken away."""
        history = (*self.loose[version - 1], record)
        return self._replace(loose=(*self.loose[: version - 1], history, *self.loose[version:]))

    def log_synced(self) -> Disk:
        """With the names of loose records durable as they are."""
        return self._replace(loose=tuple(history[-1:] for history in self.loose))

    def settled(self) -> Disk:
        """The same to all processes, with nothing left that a power failure could undo."""
        return self.log_synced()._replace(
            boundary=self.boundary[-1:],
            horizon=self.horizon[-1:],
            bundles=tuple(b._replace(durable=True) for b in self.bundles),
            checkpoints=tuple(c._replace(durable=True) for c in self.checkpoints),
            withdrawn=(),
        )

    def with_segments(self, state: int, *transactions: int) -> Disk:
        """With segments in another state."""
        segments = list(self.segments)
        for transaction in transactions:
            segments[transaction] = state
        return self._replace(segments=tuple(segments))

    def bundled(self, version: int) -> Record | None:
        """A version's record in whichever bundle."""
        for bundle in self.bundles:
            if bundle.first <= version <= bundle.last:
                return bundle.records[version - bundle.first]
        return None

    def record(self, version: int) -> Record | None:
        """A version's record, wherever it is to be looked for."""
        return self.at(version) if version > self.boundary[-1] else self.bundled(version)

    def checkpoint(self, upto: int | None = None) -> Checkpoint:
        """The newest checkpoint, at or before a version; the empty store's where there is none."""
        found = [c for c in self.checkpoints if upto is None or c.version <= upto]
        return max(found, default=Checkpoint(0, (), durable=True))

    def rebuilt(self, version: int) -> tuple[Record, ...] | None:
        """The records up to a version, as a fresh process finds them; None when it cannot."""
        records = self.checkpoint(version).records
        while len(records) < version:
            record = self.record(len(records) + 1)
            if record is None:
                return None
            records = (*records, record)
        return records

    def checkpointed(self, version: int, records: tuple[Record, ...], *, durable: bool) -> Disk:
        """With a checkpoint; one that is there already stays as it is, and may become durable."""
        kept = tuple(c for c in self.checkpoints if c.version != version)
        added = Checkpoint(version, records[:version], durable)
        return self._replace(checkpoints=tuple(sorted((*kept, added))))

    def after_power_failure(self) -> Iterator[Disk]:
        """Every disk that a power failure can leave."""
        choices = itertools.product(
            itertools.product(*(dict.fromkeys(history) for history in self.loose)),
            dict.fromkeys(self.boundary),
            dict.fromkeys(self.horizon),
            _kept(self.bundles),
            _kept(self.checkpoints),
        )
        segments = tuple(NO_SEGMENT if state == UNSYNCED else state for state in self.segments)
        for loose, boundary, horizon, bundles, checkpoints in choices:
            yield Disk(
                tuple((record,) for record in loose),
                (boundary,),
                (horizon,),
                bundles,
                checkpoints,
                segments,
                offers=(*self.offers, *self.withdrawn),
            )


def _kept(files: tuple[Bundle, ...] | tuple[Checkpoint, ...]) -> Iterator[tuple[object, ...]]:
    """Every subset of files that may be left; those that are, are durable."""
    choices = [[file] if file.durable else [file._replace(durable=True), None] for file in files]
    for chosen in itertools.product(*choices):
        yield tuple(file for file in chosen if file is not None)
