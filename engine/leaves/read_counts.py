"""What streamed leaves have read in this process: the kernel cannot count what it does not read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ...storage.effects import RowGroup


@dataclass(slots=True)
class ReadCounts:
    """Running totals; whoever wants those of a statement takes a copy before and after it.

    Attributes:
        row_groups: Row groups decoded.
        row_groups_skipped: Row groups left out by their zone maps.
        rows: Rows in the row groups decoded.
        stored_bytes: Bytes of the column chunks decoded, as they are stored.
    """

    row_groups: int = 0
    row_groups_skipped: int = 0
    rows: int = 0
    stored_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def skip(self) -> None:
        """Count a row group that zone maps leave out."""
        with self._lock:
            self.row_groups_skipped += 1

    def read(self, group: RowGroup, columns: AbstractSet[int]) -> None:
        """Count a row group of which some columns are decoded."""
        stored_bytes = column_bytes(group, columns)
        with self._lock:
            self.row_groups += 1
            self.rows += group.rows
            self.stored_bytes += stored_bytes

    def copy(self) -> ReadCounts:
        """The totals as they are now."""
        with self._lock:
            return replace(self, _lock=threading.Lock())

    def since(self, before: ReadCounts) -> ReadCounts:
        """What was added to the totals since a copy was taken."""
        now = self.copy()
        return ReadCounts(
            now.row_groups - before.row_groups,
            now.row_groups_skipped - before.row_groups_skipped,
            now.rows - before.rows,
            now.stored_bytes - before.stored_bytes,
        )


def column_bytes(group: RowGroup, columns: AbstractSet[int] | None) -> int:
    """Stored bytes of some columns of a row group, or of all where columns is None."""
    if group.inline is not None:
        return len(group.inline)
    chunks = group.chunks.items()
    return sum(c.page.length for key, c in chunks if columns is None or key in columns)


STREAM_READS: Final = ReadCounts()
"""The totals of the process: a stream does not know which statement reads it."""
