"""Reclaim: freeing what no readable version needs.

In this order, so that a crash or a concurrent reader between any two steps meets nothing missing:
the oldest version to keep is chosen → a checkpoint of it (and of each tagged version) is written
→ the horizon is raised, durably → the pins of all processes are read → everything that a version
from the oldest pinned one on, a tag, or a living writer needs is marked → the rest is removed.

Of segments that nothing needs the name is removed. Of the others the room between the pages that
are needed is given back, where the device can (``Device.punch``): a page among them that a stale
reference meets is zeros, which no page is. Whoever still writes to a segment says up to where the
transactions that wrote it are over, and only what lies below that is looked at. Places are never
written twice, so what is dead stays so, however long ago it was found to be.

Where a device cannot give back parts of a file, segments in which too much is dead are named
(``PageStore.sparse``): compaction then writes their row groups anew, and once no version needs the
old ones the segments go whole.

Age is the log's own: the time between commits, each step counted up to an eighth of what is to
be kept. A clock that is set to 1970 ages nothing, one that is set to 2100 ages one step.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InvalidRequest, SnapshotGone, Unavailable
from . import pins
from .content.content_pages import content_pages, pages_of_state, stored_bytes
from .effects import Append, AttachKeyRuns, CloneTable, Delete, RestoreTable, Rewrite
from .failpoints import Failpoint
from .log import checkpoint as checkpoints
from .page import PAGE_ALIGNMENT, segment_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .content.content_pages import Places
    from .effects import DeleteVector, Effect, RowGroup
    from .keys.key_run import KeyRun
    from .page import PageRef
    from .page_store import PageStore
    from .snapshot import Snapshot, TableState
    from .store import Store

_STEPS = 8
_EXCESS_MAX = 0.15
"""Dead bytes that may stay for each byte that is needed: fewer would cost too many writes."""
_DEAD_MIN = 0.1
"""Share of a segment that must be dead for its live pages to be worth writing anew."""
_STAGING = "tmp"
_LEFTOVER_AGE_S = 3600.0
"""Age from which on a file without a name of its own is nobody's: commits take milliseconds, hot
segments minutes, and are written to all the time."""


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What reclaiming did.

    Attributes:
        horizon: The oldest version that can be read now, tagged ones aside.
        segments: Segments removed.
        bytes_freed: Bytes given back: of segments and left-over files removed, and of dead pages
            in segments that stay.
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
    """Pages that are needed by segment, with the versions whose checkpoints are.

    Pages are kept as flat numbers, offset and bytes: a store of a terabyte has millions.
    """

    pages: PageStore
    segments: dict[int, array[int]] = field(default_factory=lambda: defaultdict(_numbers))
    anchors: set[int] = field(default_factory=set)

    def state(self, state: TableState) -> None:
        """Mark a table."""
        self.groups(state.row_groups)
        for _, places in pages_of_state(self.pages, state):
            self.content(places)
        for vectors in state.deletes.values():
            self.vectors(vectors)
        self.key_runs(state.key_runs)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Mark all tables of a snapshot."""
        for state in snapshot.tables.values():
            self.state(state)

    def groups(self, groups: Iterable[RowGroup]) -> None:
        """Mark the pages of row groups."""
        for group in groups:
            for chunk in group.chunks.values():
                self._page(chunk.page)

    def content(self, places: Places) -> None:
        """Mark the pages that rows name."""
        numbers = np.stack([places["offset"], stored_bytes(places)], axis=1)
        for segment in np.unique(places["segment"]).tolist():
            self.segments[segment].frombytes(numbers[places["segment"] == segment].tobytes())

    def vectors(self, vectors: Iterable[DeleteVector]) -> None:
        """Mark the pages of delete vectors."""
        for vector in vectors:
            if vector.page is not None:
                self._page(vector.page)

    def key_runs(self, runs: Iterable[KeyRun]) -> None:
        """Mark the pages of key runs."""
        for run in runs:
            if run.page is not None:
                self._page(run.page)

    def _page(self, page: PageRef) -> None:
        self.segments[page.segment].extend((page.offset, page.stored_bytes))

    def gaps(self, segment: int, end: int) -> list[tuple[int, int]]:
        """Offset and length of what is not needed of a segment, up to an offset."""
        numbers = np.frombuffer(self.segments.get(segment, _numbers()), np.uint64)
        offsets, lengths = numbers.astype(np.int64).reshape(-1, 2).T
        order = np.argsort(offsets, kind="stable")
        ends = np.maximum.accumulate((offsets + lengths)[order])
        begins = np.minimum(np.concatenate([[0], ends]), end)
        stops = np.minimum(np.concatenate([offsets[order], [end]]), end)
        wide = stops > begins
        return list(zip(begins[wide].tolist(), (stops - begins)[wide].tolist(), strict=True))


def _numbers() -> array[int]:
    return array("Q")


def sparse_segments(segments: Iterable[tuple[int, int, int]]) -> frozenset[int]:
    """Segments to be emptied so that what stays is not much larger than what is needed.

    Args:
        segments: Of each its id, its bytes and how many of them are dead and stay allocated.
    """
    held = sorted(segments, key=lambda s: (s[2] / max(s[1], 1), s[0]), reverse=True)
    excess = sum(dead for _, _, dead in held)
    needed = sum(size for _, size, _ in held) - excess
    sparse = set()
    for segment, size, dead in held:
        if excess <= _EXCESS_MAX * needed or dead <= _DEAD_MIN * size:
            break
        sparse.add(segment)
        excess -= dead
    return frozenset(sparse)


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
        writing = pins.held_segments(self._device)
        pinned = min(pins.held_versions(self._device), default=horizon)
        floor = min(horizon, pinned)
        try:
            marked = self._mark(floor, anchors)
        except SnapshotGone:
            if self._log.horizon.read() <= floor:
                raise
            # Another process reclaims further at this moment, and frees what would be freed here.
            return Reclaimed(self._log.horizon.seen, 0, 0, 0, 0, None)
        removed, freed = self._drop_segments(segments, marked.segments.keys() | writing.keys())
        freed += self._punch_segments(segments, marked, writing)
        freed += self._drop_leftovers()
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

    def _mark(self, floor: int, anchors: set[int]) -> _Marked:
        """Everything that versions from ``floor`` on and tagged versions need."""
        store, marked = self._store, _Marked(self._store.pages, anchors={floor, *anchors})
        marked.snapshot(store.head.at(floor))
        newest = store.snapshot()
        for version in set(newest.tags.values()):
            if version < floor:
                self._anchor(marked, version)
                marked.snapshot(store.head.at(version))
        for _, effects in store.changes(floor, newest.version):
            for effect in effects:
                if isinstance(effect, CloneTable | RestoreTable) and effect.version < floor:
                    self._anchor(marked, effect.version)
                self._mark_effect(marked, effect)
        return marked

    def _mark_effect(self, marked: _Marked, effect: Effect) -> None:
        match effect:
            case Append(table, groups) | Rewrite(table, _, groups):
                marked.groups(groups)
                for _, places in content_pages(marked.pages, table, groups):
                    marked.content(places)
            case Delete(_, vectors):
                marked.vectors(vectors.values())
            case AttachKeyRuns(_, runs):
                marked.key_runs(runs)
            case CloneTable(_, table, version) | RestoreTable(table, version):
                marked.state(self._store.head.table_at(table, version))

    def _anchor(self, marked: _Marked, version: int) -> None:
        """Keep a version that a record names which was committed after the anchors were chosen."""
        if version not in marked.anchors:
            self._store.write_checkpoint(self._store.head.at(version))
            marked.anchors.add(version)

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

    def _punch_segments(
        self, names: Iterable[str], marked: _Marked, writing: Mapping[int, int]
    ) -> int:
        """Give back the room of dead pages; returns the bytes."""
        freed, kept = 0, list[tuple[int, int, int]]()
        for name in names:
            if len(name) != 16:
                continue
            segment = int(name, 16)
            if segment not in marked.segments and segment not in writing:
                continue
            path = segment_name(segment)
            try:
                size = self._device.size(path)
            except FileNotFoundError:
                continue
            size -= size % PAGE_ALIGNMENT
            gaps = marked.gaps(segment, min(size, writing.get(segment, size)))
            given_back = self._device.punch(path, gaps) if gaps else 0
            self._reach(Failpoint.RECLAIM_SEGMENT_PUNCHED)
            freed += given_back or 0
            dead = sum(length for _, length in gaps) if given_back is None else 0
            kept.append((segment, size, dead))
        sparse = sparse_segments(kept)
        self._store.pages.retire(sparse)
        self._store.pages.sparse = sparse - writing.keys()
        return freed

    def _drop_leftovers(self) -> int:
        """Remove files that killed processes left without a name of their own; returns the bytes.

        Whose file is removed too early, because it was stopped, fails to publish it and has lost
        nothing. The age is the file system's: between two files of its own.
        """
        names = self._device.list(_STAGING)
        if not names:
            return 0
        clock = f"{_STAGING}/clock-{self._store.environment.random_bytes(8).hex()}"
        staged = self._device.stage(b"")
        try:
            staged.link(clock)
            now_s = self._device.modified_s(clock)
        finally:
            staged.discard()
            self._device.unlink(clock)
        freed = 0
        for path in (f"{_STAGING}/{name}" for name in names):
            # What the kernel spilled into a folder goes with its process.
            with suppress(FileNotFoundError, Unavailable):
                if now_s - self._device.modified_s(path) > _LEFTOVER_AGE_S:
                    size = self._device.size(path)
                    self._device.unlink(path)
                    freed += size
        return freed

    def _drop_checkpoints(self, floor: int, anchors: set[int]) -> int:
        gone = [v for v in checkpoints.versions(self._device) if v < floor and v not in anchors]
        for version in gone:
            self._device.unlink(checkpoints.checkpoint_name(version))
        return len(gone)
