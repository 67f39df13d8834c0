"""``pagelake.maintenance``: what this process did of late to keep the store in shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class MaintenanceRelation(Computed):
    """One row a task, oldest first; the last hundred."""

    name: ClassVar[str] = "maintenance"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("task", pa.string()),
            ("table_schema", pa.string()),
            ("table_name", pa.string()),
            ("state", pa.string()),
            ("started", pa.timestamp("us", "UTC")),
            ("seconds", pa.float64()),
            ("rows", pa.int64()),
            ("bytes_read", pa.int64()),
            ("bytes_written", pa.int64()),
            ("message", pa.string()),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return 100

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        rows = self._context.maintenance()
        return {name: [row[name] for row in rows] for name in self.schema.names}
