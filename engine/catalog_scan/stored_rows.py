"""Rows of a catalog as a rescan reads them: with their places, so that it can change them.

    place = index of the row group << 32 | position in it

Row groups are read in parallel, column by column, and only those rows are kept that somebody wants:
memory is bounded by what is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...extensions.catalog.labels import OUTSIDE
from ...extensions.catalog.names import bytes_of
from ...extensions.catalog.rescan.differ import numbers, plain
from ...extensions.catalog.rescan.known import OWN, TOTALS, Known, parents
from ...storage.row_group import read_columns, read_kept_row_ids, read_row_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ...storage.delete_vector import Positions
    from ...storage.effects import Column, RowGroup
    from ...storage.snapshot import TableState
    from ...storage.store import Store

PLACE: Final = "place"
"""Column that tells where a row lies."""

PLACE_BITS: Final = 32

MARK: Final = b"\xf4\x8f"
"""How the bytes begin that stand in text for a byte of a name that is not UTF-8."""

_PATH: Final = ("parent_path", "name")

Integers = Any
"""An array of int64."""


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The rows of one table.

    Attributes:
        store: Where they lie.
        state: The table.
        pending: Id of the open transaction: rows that it wrote itself have no row id yet.
    """

    store: Store
    state: TableState
    pending: str

    def read(self, names: Sequence[str] | None = None) -> pa.Table:
        """Return all rows: some of their columns by name, all by default, and `PLACE`."""
        columns = self._columns(names)
        groups = range(len(self.state.row_groups))
        return self._gathered(groups, lambda at: self._taken(at, columns, self._live(at)), columns)

    def where(self, name: str, value: str, names: Sequence[str]) -> pa.Table:
        """Return the rows that have a value in a column of text."""
        condition, columns = self._columns([name]), self._columns(names)

        def part(at: int) -> pa.Table:
            (tested,) = self._decoded(at, condition)
            found = np.asarray(pc.equal(tested.cast(pa.string()), value))
            live = self._live(at)
            wanted = np.flatnonzero(found) if live is None else live[found[live]]
            return self._taken(at, columns, wanted)

        return self._gathered(range(len(self.state.row_groups)), part, columns)

    def where_in(self, name: str, values: Integers, names: Sequence[str] | None = None) -> pa.Table:
        """Return the rows that have one of some numbers in a column.

        Args:
            name: The column, of 64-bit integers without NULL.
            values: The numbers, rising.
            names: Which columns to return; all by default.
        """
        (condition,), columns = self._columns([name]), self._columns(names)

        def part(at: int) -> pa.Table:
            (tested,) = self._decoded(at, [condition])
            wanted = _places_of(np.asarray(tested), values)
            live = self._live(at)
            if live is not None:
                wanted = wanted[np.isin(wanted, live, assume_unique=True)]
            return self._taken(at, columns, wanted)

        groups = [
            at
            for at, group in enumerate(self.state.row_groups)
            if len(values) and _may_hold(group, condition, values)
        ]
        return self._gathered(groups, part, columns)

    def at(self, places: Integers, names: Sequence[str] | None = None) -> pa.Table:
        """Return the rows in some places, which rise."""
        columns = self._columns(names)
        groups, positions = places >> PLACE_BITS, places & (2**PLACE_BITS - 1)
        return self._gathered(
            np.unique(groups).tolist(),
            lambda at: self._taken(at, columns, positions[groups == at]),
            columns,
        )

    def row_ids(self, places: Integers) -> pa.Array:
        """Return the ids of the rows in some places; NULL where a row has none yet."""
        groups, positions = places >> PLACE_BITS, places & (2**PLACE_BITS - 1)
        ids = np.zeros(len(places), dtype=np.int64)
        missing = np.zeros(len(places), dtype=np.bool_)
        for at in np.unique(groups).tolist():
            group, here = self.state.row_groups[at], np.flatnonzero(groups == at)
            is_pending = group.id.startswith(self.pending)
            ask = read_kept_row_ids if is_pending else read_row_ids
            known = ask(self.store, self.state.definition, group).take(pa.array(positions[here]))
            ids[here] = np.asarray(known.fill_null(0))
            missing[here] = np.asarray(known.is_null())
        return pa.array(ids, mask=missing)

    def positions(self, places: Integers) -> dict[str, Positions]:
        """Return places as positions by row group."""
        groups, positions = places >> PLACE_BITS, places & (2**PLACE_BITS - 1)
        return {
            self.state.row_groups[at].id: np.unique(positions[groups == at]).astype(np.uint32)
            for at in np.unique(groups).tolist()
        }

    # Reading

    def _columns(self, names: Sequence[str] | None) -> list[Column]:
        columns = self.state.definition.columns
        if names is None:
            return list(columns)
        by_name = {column.name: column for column in columns}
        return [by_name[name] for name in names]

    def _live(self, at: int) -> Integers | None:
        """Return the positions that are not deleted; None: none is."""
        group = self.state.row_groups[at]
        vectors = self.state.deletes.get(group.id, ())
        if not vectors:
            return None
        live = np.ones(group.rows, dtype=np.bool_)
        for vector in vectors:
            live[vector.positions(self.store.pages)] = False
        return np.flatnonzero(live)

    def _decoded(self, at: int, columns: Sequence[Column]) -> list[pa.Array]:
        group, definition = self.state.row_groups[at], self.state.definition
        return read_columns(self.store.pages, definition, group, columns, dictionary=True)

    def _taken(self, at: int, columns: Sequence[Column], positions: Integers | None) -> pa.Table:
        arrays = {}
        if positions is not None and not len(positions):
            return _empty(columns)
        chosen = None if positions is None else pa.array(positions)
        for column in columns:
            (array,) = self._decoded(at, [column])
            arrays[column.name] = array if chosen is None else array.take(chosen)
        if positions is None:
            positions = np.arange(self.state.row_groups[at].rows)
        arrays[PLACE] = pa.array(positions.astype(np.int64) + (at << PLACE_BITS))
        return plain(pa.table(arrays))

    def _gathered(
        self, groups: Iterable[int], part: Callable[[int], pa.Table], columns: Sequence[Column]
    ) -> pa.Table:
        parts = [found for found in self.store.executor.map(part, groups) if len(found)]
        return plain(pa.concat_tables(parts)) if parts else _empty(columns)


def _empty(columns: Sequence[Column]) -> pa.Table:
    fields = [(column.name, column.arrow_type) for column in columns]
    return plain(pa.schema([*fields, (PLACE, pa.int64())]).empty_table())


def _may_hold(group: RowGroup, column: Column, values: Integers) -> bool:
    chunk = group.chunks.get(column.id)
    if chunk is None or chunk.zone is None or chunk.zone.min is None or chunk.zone.max is None:
        return True
    first = int(np.searchsorted(values, int(chunk.zone.min)))
    return first < len(values) and int(values[first]) <= int(chunk.zone.max)


def _places_of(column: Integers, values: Integers) -> Integers:
    """Return where a column has one of some rising values."""
    if len(column) and (column[1:] >= column[:-1]).all():
        # Sorted, as the rows of a first scan are: each value is a range.
        starts = np.searchsorted(column, values, side="left")
        counts = np.searchsorted(column, values, side="right") - starts
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(starts, counts) + offsets
    return np.flatnonzero(np.isin(column, values))


def load_directories(directories: StoredRows) -> tuple[pa.Table, list[bytes]]:
    """Read the directories' table: its rows in the order of labels, and their paths."""
    rows = directories.read()
    label = numbers(rows, "label")
    if (label[1:] < label[:-1]).any():
        rows = plain(rows.take(pa.array(np.argsort(label))))
    return rows, _exact(rows["path"].combine_chunks())


def load_known(
    rows: pa.Table, paths: list[bytes], entries: StoredRows, *, one_file_system: bool
) -> Known:
    """Read what the last scan knew of directories.

    Args:
        rows: Rows of the directories' table, in the order of labels.
        paths: Their paths.
        entries: The entries.
        one_file_system: Whether it entered no other file system than the root's.
    """
    label, depth = numbers(rows, "label"), np.asarray(rows["depth"]).astype(np.int64)
    names = ["directory", "name", "device", "inode", "creation_time", "mtime", "ctime"]
    own = entries.where("element_type", "DIR", names)
    order = _own_entries(own, label, depth)
    if order is None:
        found = pc.index_in(
            rows["path"], value_set=paths_of(entries.where("element_type", "DIR", _PATH))
        )
        assert not found.null_count, "a directory is an entry too"
        order = np.asarray(found).astype(np.int64)
    own = own.drop_columns(["directory", "name"])
    identity = {
        ours: numbers(own, theirs)[order]
        for ours, theirs in (
            *(("device", "device"), ("inode", "inode"), ("birth", "creation_time")),
            *(("mtime", "mtime"), ("ctime", "ctime")),
        )
    }
    listed = np.ones(len(rows), dtype=np.bool_)
    if one_file_system:
        listed = identity["device"] == identity["device"][0]
    return Known(
        paths,
        label,
        numbers(rows, "last_label"),
        depth,
        listed,
        identity,
        {name: numbers(rows, name) for name in (*TOTALS, *OWN)},
        numbers(rows, PLACE),
        numbers(own, PLACE)[order],
        rows["path"].combine_chunks(),
    )


def _own_entries(own: pa.Table, label: Integers, depth: Integers) -> Integers | None:
    """Match directories with their entries without looking at whole paths.

    Of the directories in one, both have the order of names.

    Args:
        own: Entries of directories: `directory` and `name`, in any order.
        label: Labels of the directories, rising.
        depth: Their depths.

    Returns:
        For each directory its entry; None where names in another order than their text's are among
        them.
    """
    name = own["name"].combine_chunks()
    if len(own) != len(label) or _holds(name, MARK):
        return None
    parent = parents(depth)
    above = np.where(parent >= 0, label[parent], OUTSIDE)
    directory = numbers(own, "directory")
    order = np.argsort(directory, kind="stable")
    directory, name = directory[order], name.take(pa.array(order))
    falling = np.asarray(pc.greater(name[:-1], name[1:])) & (directory[1:] == directory[:-1])
    if falling.any():
        # Rows that were written later stand behind the others of their directory.
        mixed = np.flatnonzero(np.isin(directory, directory[1:][falling]))
        keys = zip(directory[mixed].tolist(), name.take(pa.array(mixed)).to_pylist(), strict=True)
        of_key = [(label_of, text.encode()) for label_of, text in keys]
        order[mixed] = order[mixed[sorted(range(len(mixed)), key=of_key.__getitem__)]]
    matched = np.empty(len(order), dtype=np.int64)
    matched[np.argsort(above, kind="stable")] = order
    return matched


def _exact(texts: pa.Array) -> list[bytes]:
    """Return the bytes of paths; most are those of their text."""
    paths: list[bytes] = texts.cast(pa.binary()).to_pylist()
    if not _holds(texts, MARK):
        return paths
    return [bytes_of(path.decode()) if MARK in path else path for path in paths]


def _holds(texts: pa.Array, part: bytes) -> bool:
    content = texts.buffers()[2]
    return content is not None and part in memoryview(content).tobytes()


def paths_of(rows: pa.Table) -> pa.Array:
    """Return the paths of entries from their directories' and their names."""
    parent = rows["parent_path"]
    parent = pc.if_else(pc.equal(parent, "/"), "", parent)
    paths = pc.binary_join_element_wise(parent, rows["name"], "/")
    return paths.combine_chunks() if isinstance(paths, pa.ChunkedArray) else paths
