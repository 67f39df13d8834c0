"""CREATE DIRECTORY: an empty one, or a clone of another with all that lies below it.

A clone has rows of its own, with handles of their own, and shares every byte with its source:
nothing is read or written but the rows of names. What happens to one of the two from then on
does not show in the other.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InvalidRequest
from ...sql.tokens import literal
from ...storage.content.tables import CHUNKS, EXTENTS, PACKS
from ...storage.content.tables import KEY as CONTENT_KEY
from ...storage.effects import Append, Rely
from ...storage.files.definition import (
    DIRECTORY,
    ELEMENT_COLUMNS,
    ELEMENTS,
    LINK,
)
from ...storage.files.file_error import FileError
from ...storage.files.operations import MakeDirectory, SetAttributes
from ...storage.keys.key_index import FoundRows, read_rows
from ...storage.row_group import RowGroupWriter
from ..result import Result
from .parents import MakeParents
from .place import shown, told, usual_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...sql import statement as st
    from ...storage.effects import Effect
    from ...storage.files.element import Element
    from ...storage.files.files import Files
    from ...storage.files.stored import Integers, StoredElements
    from ...storage.transaction import Transaction
    from ..statements.change import Change

OPERATION: Final = "CLONE"
BATCH_ROWS: Final = 1 << 16
"""Rows that are in memory at once."""
_NAMES: Final = tuple(column.name for column in ELEMENT_COLUMNS)
_IDS: Final = tuple(column.id for column in ELEMENT_COLUMNS)
_TIMES: Final = ("ctime", "creation_time", "linked_time")


def create_directory(change: Change, statement: st.CreateDirectory) -> Result:
    """Run CREATE DIRECTORY.

    Raises:
        FileError: The name is taken; there is no directory to clone.
        InvalidRequest: A path is not absolute.
    """
    files, transaction = change.session.database.files, change.transaction
    path = usual_path(statement.path)
    view = files.view(transaction.snapshot)
    try:
        if statement.if_not_exists and (there := view.find(path)) is not None:
            if there.is_directory:
                return Result(None)
            raise FileError(errno.EEXIST, path)
        if statement.source is None:
            files.apply(transaction, MakeParents(path), MakeDirectory(path))
            return Result(None)
        source = view.get(usual_path(statement.source))
        if not source.is_directory:
            raise InvalidRequest(
                f"{literal(shown(source.path))} is a {source.element_type} and no directory",
                hint="INSERT INTO files (path, content) SELECT … copies files; bytes are shared",
            )
        stored = view.stored
        made = files.apply(
            transaction,
            MakeParents(path),
            MakeDirectory(path, source.nfs_mode_bits, source.uid, source.gid),
            SetAttributes(path, _attributes(source)),
        )[1]
        assert made is not None, "it was made"
    except FileError as error:
        raise told(error) from error
    _Cloning(stored, source, made, transaction, files).run()
    return Result(None)


def _attributes(source: Element) -> dict[str, object]:
    names = ("mtime", "atime", "user_tags", "user_metadata", "content_type")
    return {name: getattr(source, name) for name in names}


@dataclass(slots=True)
class _Cloning:
    """One clone.

    Attributes:
        stored: The elements as they were before it was begun.
        source: The directory that is cloned.
        made: The clone's own, which is empty.
        transaction: Where the rows go.
        files: Gives new handles.
        old: Handles of the source and of all that lies below it, sorted.
        new: Those of the clone, in the same order.
        links: Handles of elements with further names below the source, sorted, for each of these.
    """

    stored: StoredElements
    source: Element
    made: Element
    transaction: Transaction
    files: Files
    old: Integers = field(init=False)
    new: Integers = field(init=False)
    links: Integers = field(init=False)

    def run(self) -> None:
        """Add the rows."""
        found = self._below()
        count = found.groups.size
        if not count:
            return
        facts = self.stored.read(found, ["handle", "element_type", "target"])
        numbers = [self.source.handle, *facts.column(0).to_pylist()]
        order = np.argsort(numbers)
        self.old = np.array(numbers, dtype=np.int64)[order]
        self.new = np.array([self.made.handle, *self.files.new_handles(count)])[order]
        is_link = pc.equal(facts.column(1), LINK)
        self.links = np.sort(facts.column(2).filter(is_link).to_numpy())
        store = self.stored.reader.store
        groups = RowGroupWriter(store, self.transaction, _IDS).write(self._batches(found))
        effects: list[Effect] = [Append(ELEMENTS, groups)]
        snapshot = self.transaction.snapshot
        # What is shared must not be swept meanwhile: all of it, as a list could be of any length.
        effects += [Rely(table, ()) for table in (CHUNKS, PACKS) if table in snapshot.tables]
        extents = self._extents()
        if extents is not None:
            writer = RowGroupWriter(store, self.transaction, list(map(int, extents.schema.names)))
            effects.append(Append(EXTENTS, writer.write([extents])))
        self.transaction.add(OPERATION, *effects)

    def _below(self) -> FoundRows:
        """Places of all rows below the source."""
        groups, positions = [], []
        frontier = np.array([self.source.handle], dtype=np.int64)
        while frontier.size:
            found = self.stored.children(frontier)
            groups.append(found.groups)
            positions.append(found.positions)
            frontier = self.stored.handles(self.stored.subdirectories(frontier))
        joined = np.concatenate(groups)
        return FoundRows(np.zeros(joined.size, dtype=np.int64), joined, np.concatenate(positions))

    def _batches(self, found: FoundRows) -> Iterator[pa.RecordBatch]:
        for start in range(0, found.groups.size, BATCH_ROWS):
            chosen = np.zeros(found.groups.size, dtype=bool)
            chosen[start : start + BATCH_ROWS] = True
            table = self._renewed(self.stored.read(found.chosen(chosen), _NAMES))
            names = [str(number) for number in _IDS]
            yield from table.rename_columns(names).combine_chunks().to_batches()

    def _renewed(self, table: pa.Table) -> pa.Table:
        """Rows of the source as those of the clone."""
        table = self._without_outer_links(table)
        columns = {name: table.column(name) for name in _NAMES}
        now = pa.scalar(self.made.ctime, columns["ctime"].type)
        paths = columns["parent_path"]
        tails = pc.utf8_slice_codeunits(paths, len(self.source.path.rstrip("/")))
        columns["parent_path"] = pc.binary_join_element_wise(self.made.path, tails, "")
        is_directory = pc.equal(columns["element_type"], DIRECTORY)
        columns["mtime"] = self._modified(table, is_directory)
        columns["bucket_id"] = self._buckets(columns["bucket_id"])
        columns["nlinks"] = pc.if_else(
            is_directory, columns["nlinks"], pa.array(self._names(table), pa.uint32())
        )
        for name in ("handle", "parent_handle", "subdirectory_of", "target"):
            columns[name] = self._mapped(columns[name])
        for name in _TIMES:
            columns[name] = pa.repeat(now, table.num_rows)
        return pa.table(columns)

    def _mapped(self, handles: pa.ChunkedArray) -> pa.Array:
        """New handles for old ones; others, and NULLs, stay."""
        known = handles.is_valid().to_numpy()
        numbers = handles.fill_null(0).to_numpy()
        at = np.minimum(self.old.searchsorted(numbers), self.old.size - 1)
        mapped = np.where(self.old[at] == numbers, self.new[at], numbers)
        return pa.array(mapped, pa.int64(), mask=~known)

    def _buckets(self, buckets: pa.ChunkedArray) -> pa.Array:
        """Buckets of the clone: one of its own, or that which it lies in."""
        outer = self.source.bucket_id
        if outer == self.source.handle:
            return self._mapped(buckets)
        is_outer = buckets.is_null() if outer is None else pc.equal(buckets, outer).fill_null(False)
        own = pa.scalar(self.made.bucket_id, pa.int64())
        return pc.if_else(is_outer, own, self._mapped(buckets))

    def _modified(self, table: pa.Table, is_directory: pa.ChunkedArray) -> pa.Array:
        """Times of change, in directories' rows with what came and went there."""
        times = table.column("mtime").cast(pa.int64()).to_numpy().copy()
        mask = is_directory.to_numpy()
        if mask.any():
            handles = table.column("handle").to_numpy()[mask]
            events = self.stored.event_times(handles)
            own = table.column("ctime").cast(pa.int64()).to_numpy()[mask]
            times[mask] = np.where(events > own, events, times[mask])
        return pa.array(times).cast(table.schema.field("mtime").type)

    def _names(self, table: pa.Table) -> Integers:
        """How many names each element has in the clone."""
        handles = table.column("handle").to_numpy()
        ends = self.links.searchsorted(handles, side="right")
        names: Integers = 1 + ends - self.links.searchsorted(handles, side="left")
        return names

    def _without_outer_links(self, table: pa.Table) -> pa.Table:
        """Rows in which further names of elements outside are files of their own."""
        targets = table.column("target")
        numbers = targets.fill_null(0).to_numpy()
        at = np.minimum(self.old.searchsorted(numbers), self.old.size - 1)
        outer = targets.is_valid().to_numpy() & (self.old[at] != numbers)
        if not outer.any():
            return table
        found = self.stored.by_handle(numbers[outer])
        order = np.argsort(found.keys, kind="stable")
        there = self.stored.read(found, _NAMES).take(pa.array(order))
        places = np.arange(table.num_rows)
        places[outer] = table.num_rows + np.arange(there.num_rows)
        chosen = pa.concat_tables([table, there]).take(pa.array(places))
        own = {"handle", "parent_handle", "parent_path", "name", "extension"}
        columns = {name: (table if name in own else chosen).column(name) for name in _NAMES}
        return pa.table(columns)

    def _extents(self) -> pa.RecordBatch | None:
        """Extents of contents that have more than stand in their elements' rows."""
        state = self.stored.snapshot.tables.get(EXTENTS)
        if state is None or not state.rows:
            return None
        keys = self.stored.reader.keys
        index = keys.of(state, CONTENT_KEY)
        assert index is not None, "whole numbers have codes"
        found = index.find(state, [pa.array(self.old)])
        if not found.keys.size:
            return None
        columns = state.definition.columns
        read = read_rows(keys.chunks, state, found.groups, found.positions, columns)
        arrays = [pa.array(self.new[found.keys]), *read[1:]]
        return pa.RecordBatch.from_arrays(arrays, names=[str(c.id) for c in columns])
