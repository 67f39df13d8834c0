"""Reclaim: freeing what no readable version needs.

In this order, so that a crash or a concurrent reader between any two steps meets nothing missing:
the oldest version to keep is chosen → a checkpoint of it (and of each tagged version) is written
→ the horizon is raised, durably → the pins of all processes are read → everything that a version
from the oldest pinned one on, a tag, or a living writer needs is marked → the rest is removed.

Age is the log's own: the time between commits, each step counted up to an eighth of what is to
be kept. A clock that is set to 1970 ages nothing, one that is set to 2100 ages one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import InvalidRequest, SnapshotGone
from . import pins
from .effects import Append, CloneTable, Delete, RestoreTable, Rewrite
from .failpoints import Failpoint
from .log import checkpoint as checkpoints
from .page import segment_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .effects import DeleteVector, Effect, RowGroup
    from .snapshot import Snapshot, TableState
    from .store import Store

_STEPS = 8


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What reclaiming did.

    Attributes:
        horizon: The oldest version that can be read now, tagged ones aside.
        segments: Segments removed.
        bytes_freed: Bytes of the segments removed.
        bundles: Log bundles removed.
        checkpoints: Checkpoints removed.
        held_back_by: Oldest version that a reader still holds below the horizon, or None.
    """

    horizon: int
    segments: int
    bytes_freed: int
    bundles: int
    checkpoints: int
    held_back_by: int | None


@dataclass(slots=True)
class _Marked:
    """Segments that are needed, with the versions whose checkpoints are."""

    segments: set[int] = field(default_factory=set)
    anchors: set[int] = field(default_factory=set)

    def state(self, state: TableState) -> None:
        """Mark a table."""
        self.groups(state.row_groups)
        for vectors in state.deletes.values():
            self.vectors(vectors)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Mark all tables of a snapshot."""
        for state in snapshot.tables.values():
            self.state(state)

    def groups(self, groups: Iterable[RowGroup]) -> None:
        """Mark the pages of row groups."""
        for group in groups:
            self.segments.update(chunk.page.segment for chunk in group.chunks.values())

    def vectors(self, vectors: Iterable[DeleteVector]) -> None:
        """Mark the pages of delete vectors."""
        self.segments.update(v.page.segment for v in vectors if v.page is not None)


class Reclaimer:
    """One run of reclaim.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._device = store.device
        self._log = store.log

    def run(self, keep_us: int) -> Reclaimed:
        """Raise the horizon as far as age allows, and free what lies below it.

        Args:
            keep_us: Age up to which versions stay readable, in microseconds of the log's time.

        Raises:
            InvalidRequest: The age is negative.
        """
        if keep_us < 0:
            raise InvalidRequest("the time to keep must not be negative")
        store = self._store
        store.fold()
        newest = store.snapshot()
        horizon = max(self._log.horizon.read(), self._expired(newest.version, keep_us))
        anchors = {horizon, *newest.tags.values(), *self._referred(horizon, newest.version)}
        for version in sorted(anchors):
            store.write_checkpoint(store.head.at(version))
        self._reach(Failpoint.RECLAIM_ANCHORED)
        self._log.horizon.raise_to(horizon)
        self._reach(Failpoint.RECLAIM_HORIZON_RAISED)
        # In this order: a segment that is in the list and held by nobody afterwards was committed
        # before the newest version is looked up, or never will be.
        store.pins.settle()
        segments = self._device.list("segments")
        writing = set(pins.held_segments(self._device))
        pinned = min(pins.held_versions(self._device), default=horizon)
        floor = min(horizon, pinned)
        try:
            marked = self._mark(floor)
        except SnapshotGone:
            if self._log.horizon.read() <= floor:
                raise
            # Another process reclaims further at this moment, and frees what would be freed here.
            return Reclaimed(self._log.horizon.seen, 0, 0, 0, 0, None)
        marked.anchors.update(anchors)
        removed, freed = self._drop_segments(segments, marked.segments | writing)
        return Reclaimed(
            horizon,
            removed,
            freed,
            self._log.bundles.drop(floor - 1),
            self._drop_checkpoints(floor, marked.anchors),
            pinned if pinned < horizon else None,
        )

    def _reach(self, failpoint: Failpoint) -> None:
        self._store.environment.reach(failpoint)

    def _expired(self, newest: int, keep_us: int) -> int:
        """The oldest version that is still to be kept."""
        if keep_us == 0:
            return newest
        age, later, oldest = 0, 0, newest
        for info in reversed(self._store.history()):
            if later:
                age += min(max(later - info.time_us, 0), keep_us // _STEPS + 1)
            if age > keep_us:
                break
            oldest, later = info.version, info.time_us
        return oldest

    def _referred(self, horizon: int, newest: int) -> set[int]:
        """Versions below the horizon at which kept records' clones and restores begin."""
        return {
            effect.version
            for _, effects in self._store.changes(horizon, newest)
            for effect in effects
            if isinstance(effect, CloneTable | RestoreTable) and effect.version < horizon
        }

    def _mark(self, floor: int) -> _Marked:
        """Everything that versions from ``floor`` on and tagged versions need."""
        store, marked = self._store, _Marked()
        marked.anchors.add(floor)
        marked.snapshot(store.head.at(floor))
        newest = store.snapshot()
        for version in set(newest.tags.values()):
            if version < floor:
                marked.snapshot(store.head.at(version))
        for _, effects in store.changes(floor, newest.version):
            for effect in effects:
                self._mark_effect(marked, effect)
        return marked

    def _mark_effect(self, marked: _Marked, effect: Effect) -> None:
        match effect:
            case Append(_, groups) | Rewrite(_, _, groups):
                marked.groups(groups)
            case Delete(_, vectors):
                marked.vectors(vectors.values())
            case CloneTable(_, table, version) | RestoreTable(table, version):
                marked.state(self._store.head.table_at(table, version))

    def _drop_segments(self, names: Iterable[str], needed: set[int]) -> tuple[int, int]:
        removed = freed = 0
        for name in names:
            if len(name) != 16 or int(name, 16) in needed:
                continue
            path = segment_name(int(name, 16))
            try:
                freed += self._device.size(path)
            except FileNotFoundError:
                continue
            self._device.unlink(path)
            removed += 1
            self._reach(Failpoint.RECLAIM_SEGMENT_DROPPED)
        return removed, freed

    def _drop_checkpoints(self, floor: int, anchors: set[int]) -> int:
        gone = [v for v in checkpoints.versions(self._device) if v < floor and v not in anchors]
        for version in gone:
            self._device.unlink(checkpoints.checkpoint_name(version))
        return len(gone)
