"""``pagelake.result_cache``: what this process keeps of answers, and how often that served."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class ResultCacheRelation(Computed):
    """One row."""

    name: ClassVar[str] = "result_cache"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("entries", pa.int64()),
            ("bytes", pa.int64()),
            ("bytes_max", pa.int64()),
            ("hits", pa.int64()),
            ("misses", pa.int64()),
            ("stored", pa.int64()),
            ("evicted", pa.int64()),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return 1

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        rows = self._context.result_cache()
        return {name: [row[name] for row in rows] for name in self.schema.names}
