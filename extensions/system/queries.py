"""``pagelake.queries``: the statements that this process runs and ran of late."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from ...sql.provider import ScanRequest
from .computed import Computed


class Queries(Computed):
    """One row a statement, oldest first."""

    name: ClassVar[str] = "queries"
    schema: ClassVar[pa.Schema] = pa.schema([
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
    ])

    def estimated_rows(self) -> int:
        return 1000

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        rows = self._context.queries()
        return {name: [row[name] for row in rows] for name in self.schema.names}
