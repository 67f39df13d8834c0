"""Decoded column chunks that point lookups read again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from ..row_group import read_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from ..effects import Column, RowGroup, TableDefinition
    from ..page_store import PageStore

CHUNKS_BYTES_MAX = 512 << 20
"""Decoded bytes kept: the columns of some ten million rows that are looked up by key."""
_ENTRY_BYTES = 256
"""What an entry takes besides its values."""


class ChunkCache:
    """Columns of row groups, the least recently used go first.

    Args:
        pages: Where they are read from.
        bytes_max: Bytes kept at most.
    """

    def __init__(self, pages: PageStore, bytes_max: int = CHUNKS_BYTES_MAX) -> None:
        self._pages = pages
        self._bytes_max = bytes_max
        self._held: OrderedDict[tuple[str, int, bytes], tuple[pa.Array, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def column(self, definition: TableDefinition, group: RowGroup, column: Column) -> pa.Array:
        """A column of a row group in its stored type, deleted rows included.

        Raises:
            Corrupt: It is damaged.
        """
        name = (group.id, column.id, column.arrow)
        with self._lock:
            held = self._held.get(name)
            if held is not None:
                self._held.move_to_end(name)
                return held[0]
        (array,) = read_columns(self._pages, definition, group, [column])
        size = array.nbytes + _ENTRY_BYTES
        with self._lock:
            if name not in self._held and size <= self._bytes_max:
                self._held[name] = (array, size)
                self._bytes += size
                while self._bytes > self._bytes_max:
                    _, (_, freed) = self._held.popitem(last=False)
                    self._bytes -= freed
        return array

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._bytes = 0
