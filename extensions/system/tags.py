"""``pagelake.tags``: the versions that have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class Tags(Computed):
    """One row a tag, by name."""

    name: ClassVar[str] = "tags"
    schema: ClassVar[pa.Schema] = pa.schema([("tag", pa.string()), ("version", pa.int64())])

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return len(self._context.snapshot.tags)

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        tags = sorted(self._context.snapshot.tags.items())
        return {"tag": [name for name, _ in tags], "version": [version for _, version in tags]}
