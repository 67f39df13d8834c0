"""A table leaf: how one table at one snapshot is put together from its parts.

    leaf = hot segments ∪ delta (fresh rows, native) ∪ stream (rows too many for a delta)
           each minus its deleted rows

A part knows which row group lies at which of its positions, so that a statement that finds
rows to delete can say which they were.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...sql.column_types import column_type
from ...sql.predicate import storage_value
from ...sql.tokens import quote
from ...storage.row_group import (
    read_kept_row_ids,
    read_row_group,
    read_row_ids,
    stored_schema,
    without,
)
from ...storage.scan import group_may_match
from .delta import DELTA_ROWS_MAX, Delta, ranges, total_rows
from .hot_tier import HotSegment, native_name
from .read_counts import STREAM_READS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from ...storage.effects import Column, RowGroup, TableDefinition
    from ...storage.snapshot import TableState
    from ...storage.store import Store
    from .leaf_source import Comparison

_GROUPS_AHEAD = 2
"""Row groups decoded ahead of the kernel: enough to keep two cores busy."""
POSITION = "position"
"""Column of a stream that counts its rows, deleted ones included."""


@dataclass(frozen=True, slots=True)
class Part:
    """A run of row groups that is read in one way.

    Attributes:
        kind: ``hot``, ``delta`` or ``stream``.
        source: Qualified name in the kernel.
        groups: The row groups that belong to the snapshot.
        offsets: Position of the first row of each row group in the source.
        conditions: SQL conditions that leave out rows which are not the snapshot's.
        deleted: Positions in the source that are deleted, sorted; empty for streams, which
            leave them out themselves.
        rows: Live rows.
        positioned: True when a column of the source tells a row's position, not its number.
        columns: Ids of the columns that the source has; None where it has all.
        cold: Ids of those that it leaves out, which are read from the row groups where they are
            named.
    """

    kind: str
    source: str
    groups: tuple[RowGroup, ...]
    offsets: dict[str, int]
    conditions: tuple[str, ...]
    deleted: npt.NDArray[np.int64]
    rows: int
    positioned: bool = False
    columns: frozenset[int] | None = None
    cold: frozenset[int] = frozenset()

    @property
    def position(self) -> str:
        """SQL for a row's position in the source."""
        return POSITION if self.kind == "stream" or self.positioned else "rowid"

    def locate(self, positions: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.uint32]]:
        """Turn positions in the source into positions in row groups."""
        ordered = sorted(self.groups, key=lambda g: self.offsets[g.id])
        starts = np.array([self.offsets[g.id] for g in ordered], dtype=np.int64)
        positions = np.unique(positions)
        owner = np.searchsorted(starts, positions, side="right") - 1
        found: dict[str, npt.NDArray[np.uint32]] = {}
        for index in np.unique(owner):
            group = ordered[index]
            local = positions[owner == index] - starts[index]
            found[group.id] = local.astype(np.uint32)
        return found


def row_ids(
    parts: Sequence[Part],
    part: npt.NDArray[np.int64],
    position: npt.NDArray[np.int64],
    store: Store,
    definition: TableDefinition,
    pending: str,
) -> pa.Array:
    """Row ids of rows that a statement located, in its order.

    Args:
        parts: The leaf's parts.
        part: For each row, which part it was found in.
        position: For each row, its position in that part's source.
        store: Where explicit row ids are read from.
        definition: The table.
        pending: Id of the open transaction: rows that it inserted itself have no id yet and get
            NULL, which means a new one.
    """
    ids = np.zeros(part.size, dtype=np.int64)
    unknown = np.zeros(part.size, dtype=bool)
    for number in np.unique(part):
        chosen = np.flatnonzero(part == number)
        source = parts[int(number)]
        ordered = sorted(source.groups, key=lambda g: source.offsets[g.id])
        starts = np.array([source.offsets[g.id] for g in ordered], dtype=np.int64)
        owner = np.searchsorted(starts, position[chosen], side="right") - 1
        for index in np.unique(owner):
            group = ordered[index]
            rows = chosen[owner == index]
            local = position[rows] - starts[index]
            if group.id.startswith(pending):
                kept = read_kept_row_ids(store, definition, group).take(pa.array(local))
                ids[rows] = kept.fill_null(0).to_numpy(zero_copy_only=False)
                unknown[rows] = kept.is_null().to_numpy(zero_copy_only=False)
            else:
                known = read_row_ids(store, definition, group)
                ids[rows] = known.to_numpy(zero_copy_only=False)[local]
    return pa.array(ids, mask=unknown)


def _deleted(state: TableState, store: Store, groups: Sequence[RowGroup],
             offsets: dict[str, int]) -> npt.NDArray[np.int64]:  # fmt: skip
    if not state.deletes:
        return np.empty(0, dtype=np.int64)
    found = [
        vector.positions(store.pages).astype(np.int64) + offsets[group.id]
        for group in groups
        for vector in state.deletes.get(group.id, ())
    ]
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def _live(state: TableState, groups: Sequence[RowGroup]) -> int:
    if len(groups) == len(state.row_groups):
        return state.rows
    deleted = sum(v.count for g in groups for v in state.deletes.get(g.id, ()))
    return total_rows(groups) - deleted


def hot_part(state: TableState, store: Store, segment: HotSegment) -> Part:
    """The part of a table that a hot segment holds."""
    groups = tuple(g for g in state.row_groups if g.id in segment.offsets)
    present = {g.id for g in groups}
    position = POSITION if segment.positioned else "rowid"
    gone = tuple(
        f"{position} NOT BETWEEN {offset} AND {offset + segment.row_counts[group] - 1}"
        for group, offset in segment.offsets.items()
        if group not in present
    )
    # Where nothing was deleted since the segment was built, its rows are what is left.
    since = [
        g
        for g in groups
        if sum(v.count for v in state.deletes.get(g.id, ())) > segment.folded.get(g.id, 0)
    ]
    return Part(
        "hot",
        f"{segment.database}.main.rows",
        groups,
        segment.offsets,
        gone,
        _deleted(state, store, since, segment.offsets),
        _live(state, groups),
        segment.positioned,
        frozenset(segment.columns),
        frozenset(segment.cold),
    )


def delta_part(state: TableState, store: Store, groups: Sequence[RowGroup], delta: Delta) -> Part:
    """The part of a table that lies in a delta."""
    spans = ranges(groups, delta)
    conditions: tuple[str, ...] = ()
    if delta.grows or spans != [(0, delta.rows)]:
        # A tail may grow under a reader, so that even the whole of it has an end.
        chosen = " OR ".join(f"rowid BETWEEN {a} AND {b - 1}" for a, b in spans)
        conditions = (f"({chosen})",)
    deleted = _deleted(state, store, groups, delta.offsets)
    rows = _live(state, groups)
    return Part("delta", delta.name, tuple(groups), delta.offsets, conditions, deleted, rows)


def stream_part(state: TableState, groups: Sequence[RowGroup], source: str) -> Part:
    """The part of a table that is decoded as it is read."""
    offsets, position = {}, 0
    for group in groups:
        offsets[group.id] = position
        position += group.rows
    none = np.empty(0, dtype=np.int64)
    return Part("stream", source, tuple(groups), offsets, (), none, _live(state, groups))


def split_cold(
    state: TableState, segments: Sequence[HotSegment]
) -> tuple[list[RowGroup], list[RowGroup]]:
    """Row groups that are not hot, split into those for the delta and those to stream."""
    covered = {group for segment in segments for group in segment.offsets}
    cold: list[RowGroup] = state.row_groups[:]
    if covered:
        cold = [g for g in cold if g.id not in covered]
    rows = total_rows(cold) if covered else state.rows + state.deleted_rows
    if rows <= DELTA_ROWS_MAX:
        return cold, []
    # Large row groups stream; what trickled in after them is still cheap to hold.
    small = [g for g in cold if not g.chunks]
    if sum(g.rows for g in small) <= DELTA_ROWS_MAX:
        return small, [g for g in cold if g.chunks]
    return [], cold


def select_columns(columns: Sequence[Column], part: Part) -> str:
    """The select list that gives the columns of a part, named ``leaf``, the user's names."""
    if part.kind == "stream":
        return ", ".join(
            f"{column_type(c.type, collation=c.collation).from_storage(quote(str(c.id)))} "
            f"AS {quote(c.name)}"
            for c in columns
        )
    return ", ".join(f"leaf.{native_name(c)} AS {quote(c.name)}" for c in columns)


def guarded(part: Part, anchor: str) -> str:
    """A WHERE that leaves out what is not the snapshot's, empty where all is.

    A condition on nothing but a row's number goes into the kernel's scan, and where that is then
    also to read the rows of a LIMIT late, the kernel fails. So the condition names a column too.

    Args:
        part: The part.
        anchor: A native column of it.
    """
    if not part.conditions:
        return ""
    both = " AND ".join(part.conditions)
    if part.position != "rowid":
        return f" WHERE {both}"
    return f" WHERE CASE WHEN leaf.{anchor} IS NULL THEN {both} ELSE {both} END"


@dataclass(frozen=True, slots=True)
class StreamedGroups:
    """Row groups as a kernel leaf: pruned by zone map, decoded column by column.

    Attributes:
        store: Where they lie.
        state: The table at the snapshot.
        groups: The row groups, in order.
    """

    store: Store
    state: TableState
    groups: tuple[RowGroup, ...]

    def schema(self) -> pa.Schema:
        """The stored columns by id, and the position."""
        return stored_schema(self.state.definition.columns).append(pa.field(POSITION, pa.int64()))

    def rows(self) -> int:
        """Live rows."""
        return _live(self.state, self.groups)

    def batches(
        self, columns: Sequence[str], comparisons: Sequence[Comparison]
    ) -> Iterator[pa.RecordBatch]:
        """Decode what is asked for, a few row groups ahead of the kernel."""
        by_id = {str(c.id): c for c in self.state.definition.columns}
        predicates = _stored(comparisons, by_id)
        flying: deque[Future[pa.RecordBatch]] = deque()
        position = 0
        wanted = {by_id[name].id for name in columns if name in by_id}
        try:
            for group in self.groups:
                start, position = position, position + group.rows
                if not group_may_match(group, predicates):
                    STREAM_READS.skip()
                    continue
                STREAM_READS.read(group, wanted)
                flying.append(
                    self.store.executor.submit(self._decode, group, start, columns, by_id)
                )
                if len(flying) > _GROUPS_AHEAD:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for future in flying:
                future.cancel()

    def _decode(
        self, group: RowGroup, start: int, columns: Sequence[str], by_id: dict[str, Column]
    ) -> pa.RecordBatch:
        """One row group's live rows."""
        wanted = [by_id[name] for name in columns if name in by_id]
        batch = read_row_group(self.store, self.state.definition, group, wanted)
        arrays = dict(zip([str(c.id) for c in wanted], batch.columns, strict=False))
        if POSITION in columns or not wanted:
            arrays[POSITION] = pa.array(np.arange(start, start + group.rows, dtype=np.int64))
        batch = pa.RecordBatch.from_pydict(
            {name: arrays[name] for name in (columns or (POSITION,))}
        )
        for vector in _merged(self.state, self.store, group):
            batch = without(batch, vector)
        return batch


def _merged(state: TableState, store: Store, group: RowGroup) -> Iterator[npt.NDArray[np.uint32]]:
    vectors = [v.positions(store.pages) for v in state.deletes.get(group.id, ())]
    if vectors:
        yield np.concatenate(vectors)


def _stored(
    comparisons: Sequence[Comparison], by_id: dict[str, Column]
) -> list[tuple[int, str, object]]:
    """Comparisons with stored values, those that zone maps understand."""
    usable: list[tuple[int, str, object]] = []
    for name, op, values in comparisons:
        column = by_id.get(name)
        if column is None or not column_type(column.type, collation=column.collation).ordered:
            continue
        stored = [storage_value(value, column.type) for value in values]
        if any(value is None for value in stored):
            continue
        constant: object = stored if op == "in" else (stored[0] if stored else None)
        usable.append((column.id, op, constant))
    return usable
