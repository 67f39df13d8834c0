"""From a view to the effects of a transaction.

    rows changed singly     deleted by position, appended anew with the row id they had
    rows below a directory  the same, as columns: no row is looked at in Python
    rows that are new       appended, with their keys told

Small ones travel in the commit record, so that a create takes one sync; others go to pages.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..content.tables import EXTENTS, creation
from ..effects import (
    ROW_ID_COLUMN,
    Append,
    AppendedKeys,
    CreateSchema,
    CreateTable,
    Rely,
    RowGroup,
)
from ..keys.codes import key_codes
from ..keys.key_index import FoundRows
from ..row_group import (
    INLINE_BYTES_MAX,
    RowGroupWriter,
    flat,
)
from .definition import (
    ELEMENT_COLUMNS,
    ELEMENTS,
    ELEMENTS_TABLE,
    HANDLE_KEY,
    NAME_KEY,
    SCHEMA,
    TOUCH_COLUMNS,
    TOUCHES,
    TOUCHES_TABLE,
)
from .key_code import handle_code, name_code, packed
from .path import prefix_of
from .rows import batch_of, short_message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..content.content_store import ContentStore
    from ..delete_vector import Positions
    from ..effects import Effect
    from ..snapshot import Snapshot
    from ..store import Store
    from ..transaction import Transaction
    from .element import Element
    from .namespace import Below, Move, NamespaceView
    from .stored import Integers

OPERATION: Final = "FILES"
"""What the history says of a transaction."""
TOLD_MAX: Final = 4096
"""Keys that one record tells at most: 64 KiB of codes."""
RECORD_BYTES_MAX: Final = 1 << 20
"""Bytes of rows that a commit record takes at most; more go to pages."""
ROW_BYTES: Final = 512
"""About what a row takes besides its content."""
_ROWS_READ: Final = 1 << 14
"""Rows below a directory that are in memory at once."""
_COLUMN_IDS: Final = tuple(column.id for column in ELEMENT_COLUMNS)
_COLUMN_NAMES: Final = tuple(column.name for column in ELEMENT_COLUMNS)
_PARENT_PATH: Final = _COLUMN_NAMES.index("parent_path")
_BUCKET: Final = _COLUMN_NAMES.index("bucket_id")


class HandleTaken(Exception):
    """A handle that was given out exists already: another process has the same block of them."""


def write(
    view: NamespaceView, transaction: Transaction, content: ContentStore, *, blind: bool
) -> None:
    """Add what a view has changed to a transaction on the view's snapshot.

    Args:
        view: The view.
        transaction: The transaction.
        content: Where contents lie.
        blind: Nothing will be read in the transaction before it commits.

    Raises:
        HandleTaken: The view must be made anew.
        StorageFull: The device has no room.
        Conflict: Content that is shared is gone.
    """
    changes = _Changes(view, transaction)
    if view.founding:
        transaction.add(OPERATION, *founding(view.stored.snapshot))
    if changes.positions:
        transaction.delete(OPERATION, ELEMENTS, changes.vectors(), changes.removed_keys())
    effects: list[Effect] = [*changes.reliance(), *changes.appends(), *changes.touches()]
    effects.extend(changes.contents(content))
    add = transaction.add_blind if blind else transaction.add
    add(OPERATION, *effects)


def founding(snapshot: Snapshot) -> list[Effect]:
    """The effects that make the tables."""
    effects = creation(snapshot)
    if not effects and not snapshot.has_schema(SCHEMA):
        effects.append(CreateSchema(SCHEMA))
    tables = (ELEMENTS_TABLE, TOUCHES_TABLE)
    effects.extend(CreateTable(table) for table in tables if table.id not in snapshot.tables)
    return effects


@dataclass(slots=True)
class _Changes:
    """What a view has changed, sorted by what becomes of it.

    Attributes:
        view: The view.
        transaction: On the view's snapshot.
        positions: Deleted positions by index of row group.
        removed: Handles of rows that are deleted singly, replaced ones too.
        keyed: Rows whose keys are new.
        kept: Rows that are replaced under the keys that they had.
    """

    view: NamespaceView
    transaction: Transaction
    positions: dict[int, list[Integers]] = field(default_factory=lambda: defaultdict(list))
    removed: list[int] = field(default_factory=list)
    keyed: list[tuple[Element, int | None]] = field(default_factory=list)
    kept: list[tuple[Element, int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        stored, made = self.view.stored, self.view.made
        if stored.is_taken(made):
            raise HandleTaken
        for handle, row in self.view.rows.items():
            place = None if handle in made else stored.place(handle)
            if place is None:
                if row is not None:
                    self.keyed.append((row, None))
                continue
            before = stored.row(handle)
            assert before is not None
            self.positions[place.group].append(np.array([place.position], dtype=np.int64))
            self.removed.append(handle)
            if row is None:
                continue
            same = (before.parent_handle, before.name) == (row.parent_handle, row.name)
            (self.kept if same else self.keyed).append((row, stored.row_id(place)))
        for below in (*self.view.gone, *self.view.moved):
            self._delete(below)

    def _delete(self, below: Below) -> None:
        places = below.places
        order = np.argsort(places.groups, kind="stable")
        groups, firsts = np.unique(places.groups[order], return_index=True)
        bounds = [*firsts.tolist(), order.size]
        for number, group in enumerate(groups.tolist()):
            rows = order[bounds[number] : bounds[number + 1]]
            self.positions[group].append(places.positions[rows])

    def vectors(self) -> dict[str, Positions]:
        """Deleted positions by row group."""
        groups = self.view.stored.table.row_groups
        return {
            groups[index].id: np.unique(np.concatenate(positions)).astype(np.uint32)
            for index, positions in self.positions.items()
        }

    def removed_keys(self) -> tuple[AppendedKeys, ...]:
        """Keys of deleted rows: of those in trees the directories', which alone are relied on."""
        below = [part.directories for part in (*self.view.gone, *self.view.moved)]
        handles = np.unique(np.concatenate([np.array(self.removed, dtype=np.int64), *below]))
        if handles.size > TOLD_MAX:
            return ()
        codes = key_codes([pa.array(handles)]).codes
        return (AppendedKeys(HANDLE_KEY, codes.astype("<u8").tobytes()),)

    def reliance(self) -> list[Effect]:
        """That the directories that got new names in them are there."""
        codes = [handle_code(h) for h in self.view.relied if h not in self.view.made]
        if self.view.founding or not codes:
            return []
        return [Rely(ELEMENTS, (AppendedKeys(HANDLE_KEY, packed(codes)),))]

    # Rows

    def appends(self) -> list[Effect]:
        """New rows, and those that take the place of deleted ones."""
        effects: list[Effect] = []
        if self.keyed:
            groups = self._row_groups(self.keyed)
            effects.append(Append(ELEMENTS, groups, keyed=True, keys=self._told()))
        if self.kept:
            effects.append(Append(ELEMENTS, self._row_groups(self.kept)))
        if self.view.moved:
            groups = self._written(self._moved_rows())
            if groups:
                effects.append(Append(ELEMENTS, groups))
        return effects

    def _told(self) -> tuple[AppendedKeys, ...]:
        if len(self.keyed) > TOLD_MAX:
            return ()
        handles = [handle_code(row.handle) for row, _ in self.keyed]
        names = [name_code(row.parent_handle, row.name) for row, _ in self.keyed]
        return AppendedKeys(HANDLE_KEY, packed(handles)), AppendedKeys(NAME_KEY, packed(names))

    def _row_groups(self, rows: Sequence[tuple[Element, int | None]]) -> tuple[RowGroup, ...]:
        """Rows with their ids as row groups: in the record, or on pages if they are many."""
        content_bytes = sum(len(row.inline or b"") + len(row.extents or b"") for row, _ in rows)
        expected_bytes = content_bytes + len(rows) * ROW_BYTES
        if expected_bytes > RECORD_BYTES_MAX:
            return self._paged(rows)
        count = max(1, len(rows) * INLINE_BYTES_MAX // max(expected_bytes, INLINE_BYTES_MAX))
        pieces = [rows[at : at + count] for at in range(0, len(rows), count)]
        return tuple(group for piece in pieces for group in self._inlined(piece))

    def _paged(self, rows: Sequence[tuple[Element, int | None]]) -> tuple[RowGroup, ...]:
        columns, batch = _COLUMN_IDS, batch_of([row for row, _ in rows])
        if any(row_id is not None for _, row_id in rows):
            ids = pa.array([row_id for _, row_id in rows], pa.int64())
            columns = (*columns, ROW_ID_COLUMN)
            batch = batch.append_column(str(ROW_ID_COLUMN), ids)
        writer = RowGroupWriter(self._store, self.transaction, columns, inlines=False)
        return writer.write([batch])

    def _inlined(self, rows: Sequence[tuple[Element, int | None]]) -> tuple[RowGroup, ...]:
        """Row groups in the record, as few as there may be; a row too long goes to pages."""
        elements, ids = [row for row, _ in rows], [row_id for _, row_id in rows]
        told = None if ids.count(None) == len(ids) else ids
        columns, message = short_message_of(elements, told)
        if len(message) <= INLINE_BYTES_MAX:
            name = self.transaction.next_row_group_id()
            return (RowGroup(name, len(rows), inline=message, inline_columns=columns),)
        if len(rows) == 1:
            return self._paged(rows)
        half = len(rows) // 2
        return (*self._inlined(rows[:half]), *self._inlined(rows[half:]))

    @property
    def _store(self) -> Store:
        return self.view.stored.reader.store

    def _written(self, batches: Iterable[pa.RecordBatch]) -> tuple[RowGroup, ...]:
        columns = (*_COLUMN_IDS, ROW_ID_COLUMN)
        return RowGroupWriter(self._store, self.transaction, columns).write(batches)

    def _moved_rows(self) -> Iterator[pa.RecordBatch]:
        """Rows below directories that were renamed, as they are now."""
        stored, moved = self.view.stored, self.view.moved
        groups = np.concatenate([below.places.groups for below in moved])
        positions = np.concatenate([below.places.positions for below in moved])
        # Once each, in the order in which they lie.
        both = np.unique(np.stack([groups, positions], axis=1), axis=0)
        for start in range(0, len(both), _ROWS_READ):
            groups, positions = both[start : start + _ROWS_READ].T
            found = FoundRows(np.zeros(groups.size, dtype=np.int64), groups, positions)
            table = stored.read(found, _COLUMN_NAMES, row_ids=True)
            kept = self._still_below(table.column(0).to_numpy())
            table = table.filter(pa.array(kept))
            for move in self.view.moves:
                table = _moved(table, move)
            names = [*map(str, _COLUMN_IDS), str(ROW_ID_COLUMN)]
            yield from table.rename_columns(names).combine_chunks().to_batches()

    def _still_below(self, handles: Integers) -> npt.NDArray[np.bool_]:
        singly = np.fromiter(self.view.rows, np.int64, len(self.view.rows))
        mask: npt.NDArray[np.bool_] = ~np.isin(handles, singly)
        for below in self.view.gone:
            mask &= ~np.isin(handles, below.handles)
        return mask

    # What goes with them

    def touches(self) -> list[Effect]:
        """Moments at which something was taken out of directories that are still there."""
        touched = {
            handle: time
            for handle, time in self.view.touched.items()
            if self.view.row(handle) is not None
        }
        if not touched:
            return []
        batch = pa.RecordBatch.from_arrays(
            [
                pa.array(list(touched), pa.int64()),
                pa.array(list(touched.values()), TOUCH_COLUMNS[1].arrow_type),
            ],
            names=[str(column.id) for column in TOUCH_COLUMNS],
        )
        ids = [column.id for column in TOUCH_COLUMNS]
        groups = RowGroupWriter(self._store, self.transaction, ids).write([batch])
        return [Append(TOUCHES, groups)]

    def contents(self, content: ContentStore) -> list[Effect]:
        """Rows of contents that are new, and of those that go."""
        effects: list[Effect] = []
        lost: list[Integers] = [below.handles for below in self.view.gone]
        snapshot = self.transaction.snapshot
        for handle, written in self.view.contents.items():
            if self.view.rows.get(handle) is None:
                continue
            if written is not None and (written.staged or written.far_extents is not None):
                effects.extend(content.effects(snapshot, handle, written))
            elif self._had_far_extents(handle):
                lost.append(np.array([handle], dtype=np.int64))
        single = [h for h in self.removed if self.view.rows[h] is None]
        lost.append(np.array([h for h in single if self._had_far_extents(h)], dtype=np.int64))
        handles = np.concatenate(lost)
        far = snapshot.tables.get(EXTENTS)
        if handles.size and far is not None and far.rows:
            effects.extend(content.removed(snapshot, handles))
        return effects

    def _had_far_extents(self, handle: int) -> bool:
        if handle in self.view.made:
            return False
        row = self.view.stored.row(handle)
        return (
            row is not None and row.is_file and bool(row.size) and not (row.inline or row.extents)
        )


def _moved(table: pa.Table, move: Move) -> pa.Table:
    """Rows after a move, whether they were below the directory or not."""
    paths = table.column(_PARENT_PATH)
    encoded = flat(paths).dictionary_encode()
    known = encoded.dictionary
    below = pc.or_(
        pc.equal(known, move.old_path), pc.starts_with(known, pattern=prefix_of(move.old_path))
    )
    moved = pc.binary_join_element_wise(
        move.new_path, pc.utf8_slice_codeunits(known, len(move.old_path)), ""
    )
    taken = pc.if_else(below, moved, known).take(encoded.indices)
    table = table.set_column(_PARENT_PATH, _COLUMN_NAMES[_PARENT_PATH], taken)
    if move.old_bucket == move.new_bucket:
        return table
    buckets = table.column(_BUCKET)
    same = (
        pc.is_null(buckets) if move.old_bucket is None else pc.equal(buckets, move.old_bucket)
    ).fill_null(False)
    new = pa.scalar(move.new_bucket, pa.int64())
    changed = pc.if_else(pc.and_(below.take(encoded.indices), same), new, buckets)
    return table.set_column(_BUCKET, _COLUMN_NAMES[_BUCKET], changed)
