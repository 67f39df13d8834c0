"""Decoded column chunks that point lookups read again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..row_group import read_columns

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..effects import Column, RowGroup, TableDefinition
    from ..page_store import PageStore
    from .key_run import Integers

CHUNKS_BYTES_MAX = 512 << 20
"""Decoded bytes kept: the columns of some ten million rows that are looked up by key."""
_ENTRY_BYTES = 256
"""What an entry takes besides its values."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A decoded column.

    Attributes:
        array: Its values.
        numbers: The same as numpy has them, where they are plain numbers without NULL: it takes
            some of them at a third of Arrow's cost.
        size: Bytes it takes.
    """

    array: pa.Array
    numbers: npt.NDArray[np.generic] | None
    size: int

    @classmethod
    def of(cls, array: pa.Array) -> _Chunk:
        type_ = array.type
        plain = pa.types.is_integer(type_) or pa.types.is_floating(type_)
        numbers = array.to_numpy() if plain and not array.null_count else None
        return cls(array, numbers, array.nbytes + _ENTRY_BYTES)


class ChunkCache:
    """Columns of row groups, the least recently used go first.

    Args:
        pages: Where they are read from.
        bytes_max: Bytes kept at most.
    """

    def __init__(self, pages: PageStore, bytes_max: int = CHUNKS_BYTES_MAX) -> None:
        self._pages = pages
        self._bytes_max = bytes_max
        self._held: OrderedDict[tuple[str, int, bytes], _Chunk] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def column(self, definition: TableDefinition, group: RowGroup, column: Column) -> pa.Array:
        """A column of a row group in its stored type, deleted rows included.

        Raises:
            Corrupt: It is damaged.
        """
        return self._chunk(definition, group, column).array

    def taken(
        self, definition: TableDefinition, group: RowGroup, column: Column, positions: Integers
    ) -> Any:
        """Values of a column at some positions: of plain numbers a numpy array, else Arrow's.

        Raises:
            Corrupt: The column is damaged.
        """
        chunk = self._chunk(definition, group, column)
        if chunk.numbers is not None:
            return chunk.numbers[positions]
        return chunk.array.take(pa.array(positions))

    def _chunk(self, definition: TableDefinition, group: RowGroup, column: Column) -> _Chunk:
        name = (group.id, column.id, column.arrow)
        with self._lock:
            held = self._held.get(name)
            if held is not None:
                self._held.move_to_end(name)
                return held
        chunk = _Chunk.of(read_columns(self._pages, definition, group, [column])[0])
        with self._lock:
            if name not in self._held and chunk.size <= self._bytes_max:
                self._held[name] = chunk
                self._bytes += chunk.size
                while self._bytes > self._bytes_max:
                    _, dropped = self._held.popitem(last=False)
                    self._bytes -= dropped.size
        return chunk

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._bytes = 0
