"""Columns that hot segments leave out: their values, by a row's position in the segment.

    SELECT leaf.c1 AS name, cold_…(7, leaf.rowid, …) AS atime FROM hot_….main.rows AS leaf

A hot copy of every column of a wide table is larger than the table itself. What questions seldom
name is left out, and read from the row groups where a statement does name it, through a function
that the kernel calls with positions: after other conditions have left few rows over, and of the
largest rows by another column for these alone.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ...errors import Error, InternalError
from ...storage.keys.chunk_cache import ChunkCache
from ..kernel_errors import carry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from ...storage.effects import Column, RowGroup, TableDefinition
    from ...storage.page_store import PageStore
    from ..kernel import Kernel

COLD_BYTES_MAX: Final = 128 << 20
"""Decoded bytes kept: of each column of a row group about one megabyte."""
_FEW_ROWS: Final = 32
_FEW_MAX: Final = 8_192
"""Answers for few rows that are kept: a statement that comes again decodes nothing."""
_TYPES: Final = frozenset({
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "BOOLEAN", "FLOAT", "DOUBLE", "DATE", "TIMESTAMP", "TIMESTAMP_NS", "VARCHAR", "BLOB",
    "MAP(VARCHAR, VARCHAR)",
})  # fmt: skip
"""Types whose stored values are the kernel's own."""


def hot_columns(definition: TableDefinition) -> tuple[Column, ...]:
    """The columns of a table that its hot segments hold; never none."""
    kept = tuple(c for c in definition.columns if not _is_cold(definition, c))
    return kept or definition.columns


def cold_columns(definition: TableDefinition) -> tuple[Column, ...]:
    """The columns of a table that its hot segments leave out."""
    kept = {c.id for c in hot_columns(definition)}
    return tuple(c for c in definition.columns if c.id not in kept)


def _is_cold(definition: TableDefinition, column: Column) -> bool:
    return column.id in definition.cold and column.type in _TYPES and column.collation is None


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """One column of the row groups of one part of a leaf.

    Attributes:
        definition: The table.
        column: The column.
        starts: Position of the first row of each row group, ascending.
        groups: The row groups; None for those that the leaf's snapshot has not.
    """

    definition: TableDefinition
    column: Column
    starts: tuple[int, ...]
    groups: tuple[RowGroup | None, ...]


class ColdColumns:
    """Gives the kernel values of columns that hot segments leave out.

    Args:
        kernel: Who asks.
        pages: Where they are read from.
    """

    def __init__(self, kernel: Kernel, pages: PageStore) -> None:
        self._kernel = kernel
        self._chunks = ChunkCache(pages, COLD_BYTES_MAX)
        self._sources: dict[int, _Source] = {}
        self._functions: dict[str, str] = {}
        self._few: OrderedDict[tuple[str, int, bytes, bytes], pa.Array] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        # One of its own: the kernel may ask for values while somebody offers a column.
        self._few_lock = threading.Lock()

    def offer(
        self,
        definition: TableDefinition,
        column: Column,
        groups: Sequence[RowGroup],
        offsets: Mapping[str, int],
    ) -> tuple[int, str]:
        """Make a column readable by position, until ``withdraw``.

        Args:
            definition: The table.
            column: One of its columns, which `hot_columns` leaves out.
            groups: The row groups to read it from.
            offsets: Position of the first row of each row group, by id, and of those which are
                not among them: their rows get NULL, as nobody wants them.

        Returns:
            A number for ``withdraw``, and the name of a function of that number, of a row's
            position, and of a BOOLEAN that is not looked at.
        """
        known = {group.id: group for group in groups}
        ordered = sorted(offsets, key=offsets.__getitem__)
        starts = tuple(offsets[group] for group in ordered)
        source = _Source(definition, column, starts, tuple(map(known.get, ordered)))
        with self._lock:
            number = next(self._numbers)
            self._sources[number] = source
            function = self._functions.get(column.type)
            if function is None:
                # A weak reference: the kernel would otherwise keep all that it can reach.
                function = self._kernel.scalar_function(
                    "cold",
                    _called(weakref.ref(self), column.arrow_type),
                    ("BIGINT", "BIGINT", "BOOLEAN"),
                    column.type,
                )
                self._functions[column.type] = function
        return number, function

    def withdraw(self, numbers: Sequence[int]) -> None:
        """Forget columns that nobody reads any more."""
        with self._lock:
            for number in numbers:
                self._sources.pop(number, None)

    def values(self, number: int, positions: npt.NDArray[np.int64]) -> pa.Array:
        """Values of a column at some positions, in their order.

        Raises:
            Corrupt: A row group is damaged.
        """
        source = self._sources.get(number)
        if source is None:
            raise InternalError("a column was read after its leaf had gone")
        if not positions.size:
            return pa.array([], source.column.arrow_type)
        first, last = int(positions.min()), int(positions.max())
        index = bisect_right(source.starts, first) - 1
        if index == bisect_right(source.starts, last) - 1:
            return self._within(source, index, positions)
        owners = np.searchsorted(source.starts, positions, side="right") - 1
        order = np.argsort(owners, kind="stable")
        owned, begins = np.unique(owners[order], return_index=True)
        bounds = [*begins.tolist(), positions.size]
        pieces = [
            self._within(source, owner, positions[order[bounds[i] : bounds[i + 1]]])
            for i, owner in enumerate(owned.tolist())
        ]
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        return pa.concat_arrays(pieces).take(pa.array(back))

    def _within(self, source: _Source, index: int, positions: npt.NDArray[np.int64]) -> pa.Array:
        """Values of rows of one row group."""
        group = source.groups[index] if index >= 0 else None
        if group is None:
            # The kernel may compute a value before the condition that leaves its row out.
            return pa.nulls(positions.size, source.column.arrow_type)
        local = positions - source.starts[index]
        if local.size <= _FEW_ROWS:
            return self._of_few(source, group, local)
        array = self._chunks.column(source.definition, group, source.column)
        is_run = local[-1] - local[0] == local.size - 1 and bool((np.diff(local) == 1).all())
        return array.slice(int(local[0]), local.size) if is_run else array.take(pa.array(local))

    def _of_few(self, source: _Source, group: RowGroup, local: npt.NDArray[np.int64]) -> pa.Array:
        """Values of some rows: the largest hundred lie in nearly as many row groups."""
        key = (group.id, source.column.id, source.column.arrow, local.tobytes())
        with self._few_lock:
            known = self._few.get(key)
            if known is not None:
                self._few.move_to_end(key)
                return known
        array = self._chunks.column(source.definition, group, source.column)
        found = array.take(pa.array(local))
        with self._few_lock:
            self._few[key] = found
            if len(self._few) > _FEW_MAX:
                self._few.popitem(last=False)
        return found


def _called(
    columns: weakref.ref[ColdColumns], type_: pa.DataType
) -> Callable[[pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray], pa.Array]:
    """What the kernel calls: with the same number for all rows, and with their positions."""

    def values(
        numbers: pa.ChunkedArray, positions: pa.ChunkedArray, _: pa.ChunkedArray
    ) -> pa.Array:
        owner = columns()
        try:
            if owner is None:
                raise InternalError("a column was read after its store was closed")
            if not len(positions):
                return pa.array([], type_)
            wanted = positions.fill_null(-1) if positions.null_count else positions
            return owner.values(numbers[0].as_py(), wanted.to_numpy())
        except Error as error:
            raise carry(error) from error

    return values
