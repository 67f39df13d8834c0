"""``pagelake.snapshots``: the versions of the store and what made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class Snapshots(Computed):
    """One row a version, oldest first."""

    name: ClassVar[str] = "snapshots"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("version", pa.int64()),
            ("time", pa.timestamp("us", "UTC")),
            ("operation", pa.string()),
            ("transactions", pa.int64()),
            ("rows_added", pa.int64()),
            ("rows_deleted", pa.int64()),
            ("record_bytes", pa.int64()),
            ("message", pa.string()),
            ("author", pa.string()),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return min(self._context.snapshot.version, len(self._context.store.history()))

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        newest = self._context.snapshot.version
        commits = [c for c in self._context.store.history() if c.version <= newest]
        return {
            "version": [c.version for c in commits],
            "time": [c.time_us for c in commits],
            "operation": [c.operation for c in commits],
            "transactions": [c.transactions for c in commits],
            "rows_added": [c.rows_added for c in commits],
            "rows_deleted": [c.rows_deleted for c in commits],
            "record_bytes": [c.record_bytes for c in commits],
            "message": [c.message for c in commits],
            "author": [c.author for c in commits],
        }
