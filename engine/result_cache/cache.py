"""What the result cache holds: whole results by the identity of their statement.

A process has one cache for each store that it opened, shared by all connections of that store.
Nothing is ever made invalid by a commit: a key tells the state of all that was read, so that an
answer about a past state is merely asked for no more, and is the least recently used one soon.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pyarrow as pa

PART_OF_BUDGET = 4
"""A result may take one in so many bytes of the budget: a larger one would drive out too many."""
ENTRY_BYTES = 2048
"""What is counted for an entry besides its rows: its key, and Python's own objects around it."""
UNFIT_MAX = 1024
"""Keys remembered for a result that cannot be kept, so that it is not noted again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole result.

    Attributes:
        rows: The rows, in the Arrow form that `Result.arrow` gives.
        columns: Names of the columns.
        types: SQL type texts of the columns.
        restoring: A query over ``rows``, its columns named c0, c1 …, that gives the columns back
            in their SQL types.
        bytes: What it counts for.
    """

    rows: pa.Table
    columns: tuple[str, ...]
    types: tuple[str, ...]
    restoring: str
    bytes: int


class ResultCache:
    """Results by key within a budget of bytes; the least recently used ones go first.

    Args:
        bytes_max: The budget; 0 is off.

    Attributes:
        bytes_max: The budget.
        epoch: Part of every key; another one than before where what was stored may be wrong.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.epoch = 0
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._unfit: OrderedDict[Hashable, None] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._stored = self._evicted = 0
        self._lock = threading.Lock()

    @property
    def entry_bytes_max(self) -> int:
        """The largest result that is kept."""
        return self.bytes_max // PART_OF_BUDGET

    def get(self, key: Hashable) -> Entry | None:
        """The result of a key, which is now the one used last."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._misses += 1
                return None
            self._hits += 1
            self._entries.move_to_end(key)
            return entry

    def contains(self, key: Hashable) -> bool:
        """Tell whether a result is there, without using it."""
        return key in self._entries

    def put(self, key: Hashable, entry: Entry, epoch: int) -> None:
        """Keep a result, if it is small enough.

        Args:
            key: Its key.
            entry: The result.
            epoch: What ``epoch`` was when its statement was planned.
        """
        if entry.bytes > self.entry_bytes_max:
            self.note_unfit(key)
            return
        with self._lock:
            if epoch != self.epoch or entry.bytes > self.entry_bytes_max or key in self._entries:
                return
            # Counted before it is there, and again below: an interrupt in between counts too much.
            self._bytes += entry.bytes
            self._entries[key] = entry
            self._stored += 1
            self._shrink()

    def note_unfit(self, key: Hashable) -> None:
        """Remember that the result of a key is not one to keep."""
        with self._lock:
            self._unfit[key] = None
            while len(self._unfit) > UNFIT_MAX:
                self._unfit.popitem(last=False)

    def is_unfit(self, key: Hashable) -> bool:
        """Tell whether the result of a key is known not to be one to keep."""
        return key in self._unfit

    def resize(self, bytes_max: int) -> None:
        """Change the budget, and free what is beyond it."""
        with self._lock:
            if bytes_max == self.bytes_max:
                return
            self.bytes_max = bytes_max
            self._unfit.clear()
            for key in [k for k, e in self._entries.items() if e.bytes > self.entry_bytes_max]:
                self._drop(key)
            self._shrink()

    def forget(self) -> None:
        """Drop everything: what is under way is not kept either."""
        with self._lock:
            self.epoch += 1
            self._entries.clear()
            self._unfit.clear()
            self._bytes = 0

    def rows(self) -> list[dict[str, object]]:
        """The row of ``pagelake.result_cache``."""
        with self._lock:
            return [
                {
                    "entries": len(self._entries),
                    "bytes": self._bytes,
                    "bytes_max": self.bytes_max,
                    "hits": self._hits,
                    "misses": self._misses,
                    "stored": self._stored,
                    "evicted": self._evicted,
                }
            ]

    def _shrink(self) -> None:
        if self._bytes <= self.bytes_max:
            return
        self._bytes = sum(entry.bytes for entry in self._entries.values())
        while self._bytes > self.bytes_max:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        self._bytes -= self._entries.pop(key).bytes
        self._evicted += 1
