"""``pagelake.queries``: the statements that this process runs and ran of late."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class Queries(Computed):
    """One row a statement, oldest first."""

    name: ClassVar[str] = "queries"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.int64()),
            ("sql", pa.string()),
            ("state", pa.string()),
            ("started", pa.timestamp("us", "UTC")),
            ("total_ms", pa.float64()),
            ("planning_ms", pa.float64()),
            ("kernel_ms", pa.float64()),
            ("rows", pa.int64()),
            ("plan_cached", pa.bool_()),
            ("version", pa.int64()),
            ("error", pa.string()),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return 1000

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        rows = self._context.queries()
        return {name: [row[name] for row in rows] for name in self.schema.names}
