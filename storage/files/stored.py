"""Elements as a snapshot of the store has them, found by key.

    handle, or parent and name -> code -> places (`keys.key_index`) -> rows

What was found stays known from version to version (`known_rows`), so that looking again costs a
dictionary's time even where others write all the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..keys.key_index import FoundRows
from ..row_group import read_columns, read_row_ids
from .definition import (
    ELEMENT_COLUMNS,
    ELEMENTS,
    HANDLE_KEY,
    NAME_KEY,
    PARENT_KEY,
    ROOT_HANDLE,
    SUBDIRECTORY_KEY,
    TARGET_KEY,
    TOUCHED_KEY,
    TOUCHES,
)
from .element import Element, root_element
from .key_code import handle_code, name_code
from .known_rows import KnownRows
from .latest_times import LatestTimes
from .rows import elements_of, read_places
from .usage import TotalUsage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..effects import RowGroup
    from ..keys.key_index import KeyIndex, KeyIndexes
    from ..snapshot import Snapshot, TableState
    from ..store import Store

Integers = npt.NDArray[np.int64]

_BATCHES_MAX: Final = 256
"""Decoded row groups that are kept: small ones, which lie in commit records."""


_AHEAD: Final = 256
"""New handles that are looked for at once."""


@dataclass(slots=True)
class Place:
    """Where a row lies: the index of its row group in the table, and its position there."""

    group: int
    position: int


class ElementReader:
    """Reads elements of any snapshot of a store; what it remembers is shared by all threads.

    Args:
        store: The store.
        keys: Its key indexes.
    """

    def __init__(self, store: Store, keys: KeyIndexes) -> None:
        self.store = store
        self.keys = keys
        self.known = KnownRows(store)
        self.free = (-1, 0, 0)
        self._batches: dict[str, list[pa.Array]] = {}
        self.added = LatestTimes(store, "parent_handle", "linked_time")
        self.taken = LatestTimes(store, "handle", "time")
        self.total = TotalUsage(store)

    def row(self, state: TableState, place: Place) -> Element:
        """The row at a place.

        Raises:
            Corrupt: It cannot be read.
        """
        group = state.row_groups[place.group]
        if group.inline is None:
            chunks = self.keys.chunks
            arrays = [chunks.column(state.definition, group, c) for c in ELEMENT_COLUMNS]
        else:
            arrays = self._decoded(state, group)
        return elements_of([array.slice(place.position, 1) for array in arrays])[0]

    def _decoded(self, state: TableState, group: RowGroup) -> list[pa.Array]:
        arrays = self._batches.get(group.id)
        if arrays is None:
            arrays = read_columns(self.store.pages, state.definition, group, ELEMENT_COLUMNS)
            if len(self._batches) >= _BATCHES_MAX:
                self._batches.clear()
            self._batches[group.id] = arrays
        return arrays


class StoredElements:
    """Elements of one snapshot.

    Args:
        reader: Reads rows.
        snapshot: The snapshot; a pending one of a transaction too.
    """

    def __init__(self, reader: ElementReader, snapshot: Snapshot) -> None:
        self.reader = reader
        self.snapshot = snapshot
        self.state = snapshot.tables.get(ELEMENTS)
        self._known = reader.known if reader.known.follow(snapshot) else None

    # One row

    def row(self, handle: int) -> Element | None:
        """The row of a handle; rows of further names have handles of their own."""
        if self.state is None:
            return root_element(0) if handle == ROOT_HANDLE else None
        known = self._known and self._known.row(handle, self.snapshot.version)
        if known:
            return known
        for place in self._places(HANDLE_KEY, handle_code(handle)):
            row = self.reader.row(self.state, place)
            if row.handle == handle:
                return self._noted(row)
        return None

    def child(self, parent: int, name: str) -> Element | None:
        """The row of a name in a directory: that of the element, or of a further name."""
        if self.state is None:
            return None
        known = self._known and self._known.child(parent, name, self.snapshot.version)
        if known:
            return known
        for place in self._places(NAME_KEY, name_code(parent, name)):
            row = self.reader.row(self.state, place)
            if row.parent_handle == parent and row.name == name:
                return self._noted(row)
        return None

    def _noted(self, row: Element) -> Element:
        if self._known is not None:
            self._known.note(row, self.snapshot.version)
        return row

    def place(self, handle: int) -> Place | None:
        """Where the row of a handle lies, None where there is none."""
        if self.state is None:
            return None
        return next(iter(self._places(HANDLE_KEY, handle_code(handle))), None)

    def row_id(self, place: Place) -> int:
        """Row id of the row at a place."""
        group = self.table.row_groups[place.group]
        first: int = group.first_row_id
        if not group.explicit_row_ids:
            return first + place.position
        ids = read_row_ids(self.reader.store, self.table.definition, group)
        row_id: int = ids[place.position].as_py()
        return row_id

    def _places(self, key: tuple[int, ...], code: int) -> list[Place]:
        rows, _ = self._index(key).candidates(self.table, np.array([code], dtype=np.uint64))
        places = zip(rows.groups.tolist(), rows.positions.tolist(), strict=True)
        return [Place(group, position) for group, position in places]

    @property
    def table(self) -> TableState:
        """The table of elements, which is there."""
        assert self.state is not None
        return self.state

    def _index(self, key: tuple[int, ...]) -> KeyIndex:
        index = self.reader.keys.of(self.table, key)
        assert index is not None, "its columns have codes"
        return index

    # Many rows

    def is_taken(self, handles: Collection[int]) -> bool:
        """Tell whether one of some handles exists."""
        if self.state is None or not handles:
            return False
        first, last = min(handles), max(handles)
        version, low, high = self.reader.free
        if version == self.snapshot.version and low <= first and last < high:
            return False
        # Those that come next as well: most snapshots serve many creates.
        end = max(last + 1, first + _AHEAD) if last - first < _AHEAD else first
        numbers = [*range(first, end), *(handles if end == first else ())]
        codes = np.array([handle_code(number) for number in numbers], dtype=np.uint64)
        if self._index(HANDLE_KEY).candidates(self.state, codes)[0].keys.size:
            exact = np.array([handle_code(handle) for handle in handles], dtype=np.uint64)
            return bool(self._index(HANDLE_KEY).candidates(self.state, exact)[0].keys.size)
        if not self.snapshot.overlay:
            self.reader.free = self.snapshot.version, first, end
        return False

    def by_handle(self, handles: Integers) -> FoundRows:
        """Places of rows by handle."""
        return self._find(HANDLE_KEY, handles)

    def children(self, parents: Integers) -> FoundRows:
        """Places of the rows of all names in some directories."""
        return self._find(PARENT_KEY, parents)

    def subdirectories(self, parents: Integers) -> FoundRows:
        """Places of the directories in some directories."""
        return self._find(SUBDIRECTORY_KEY, parents)

    def links_to(self, handles: Integers) -> FoundRows:
        """Places of the rows of further names of some elements."""
        return self._find(TARGET_KEY, handles)

    def _find(self, key: tuple[int, ...], numbers: Integers) -> FoundRows:
        if self.state is None or not numbers.size:
            none = np.empty(0, dtype=np.int64)
            return FoundRows(none, none, none)
        return self._index(key).find(self.state, [pa.array(numbers)])

    def read(self, found: FoundRows, columns: Sequence[str], *, row_ids: bool = False) -> pa.Table:
        """Columns of rows, in the order of the places; row ids come last, named `row_id`."""
        return read_places(self.reader, self.table, found, columns, row_ids=row_ids)

    def handles(self, found: FoundRows) -> Integers:
        """Handles of rows."""
        if not found.groups.size:
            return np.empty(0, dtype=np.int64)
        handles: Integers = self.read(found, ["handle"]).column(0).to_numpy()
        return handles

    # Directory times

    def event_times(self, directories: Integers) -> Integers:
        """When something was last added to directories or taken out of them.

        Returns:
            Nanoseconds since 1970, one for each directory; 0 where nothing is known.
        """
        latest = np.zeros(directories.size, dtype=np.int64)
        if self.state is not None:
            latest = self.reader.added.of(self.state, directories, self._added_times)
        touches = self.snapshot.tables.get(TOUCHES)
        if touches is not None and touches.rows:
            taken = partial(self._taken_times, touches)
            latest = np.maximum(latest, self.reader.taken.of(touches, directories, taken))
        return latest

    def _added_times(self, directories: Integers) -> Integers:
        latest = np.zeros(directories.size, dtype=np.int64)
        found = self.children(directories)
        if found.keys.size:
            times = self.read(found, ["linked_time"]).column(0).cast(pa.int64()).fill_null(0)
            np.maximum.at(latest, found.keys, times.to_numpy())
        return latest

    def _taken_times(self, touches: TableState, directories: Integers) -> Integers:
        latest = np.zeros(directories.size, dtype=np.int64)
        index = self.reader.keys.of(touches, TOUCHED_KEY)
        assert index is not None
        found = index.find(touches, [pa.array(directories)])
        if found.keys.size:
            table = read_places(self.reader, touches, found, ["time"])
            np.maximum.at(latest, found.keys, table.column(0).cast(pa.int64()).to_numpy())
        return latest
