"""``pagelake.segments``: the segment files, and how much of them the snapshot refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from ...storage.content.content_pages import pages_of_state, references
from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class Segments(Computed):
    """One row a segment file."""

    name: ClassVar[str] = "segments"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("segment", pa.string()),
            ("bytes", pa.int64()),
            ("live_bytes", pa.int64()),
            ("pages", pa.int64()),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return len(self._context.store.device.list("segments"))

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        live: dict[str, int] = {}
        pages: dict[str, int] = {}
        for state in self._context.snapshot.tables.values():
            for group in state.row_groups:
                for chunk in group.chunks.values():
                    name = f"{chunk.page.segment:016x}"
                    live[name] = live.get(name, 0) + chunk.page.stored_bytes
                    pages[name] = pages.get(name, 0) + 1
            for _, places in pages_of_state(self._context.store.pages, state):
                for page in references(places):
                    name = f"{page.segment:016x}"
                    live[name] = live.get(name, 0) + page.stored_bytes
                    pages[name] = pages.get(name, 0) + 1
        device = self._context.store.device
        names, sizes = [], []
        for name in device.list("segments"):
            try:
                sizes.append(device.size(f"segments/{name}"))
            except FileNotFoundError:
                continue
            names.append(name)
        return {
            "segment": [f"segments/{name}" for name in names],
            "bytes": list(sizes),
            "live_bytes": [live.get(name, 0) for name in names],
            "pages": [pages.get(name, 0) for name in names],
        }
