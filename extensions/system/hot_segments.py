"""``pagelake.hot_segments``: the hot tier's files, and what they cover of the snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class HotSegments(Computed):
    """One row a hot segment."""

    name: ClassVar[str] = "hot_segments"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("table_schema", pa.string()),
            ("table_name", pa.string()),
            ("file", pa.string()),
            ("bytes", pa.int64()),
            ("rows", pa.int64()),
            ("row_groups", pa.int64()),
            ("live_rows", pa.int64()),
            ("used", pa.bool_()),
            ("kernel", pa.string()),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return len(self._context.snapshot.tables)

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        rows = self._context.hot_segments()
        return {name: [row[name] for row in rows] for name in self.schema.names}
