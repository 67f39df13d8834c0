"""``pagelake.pages``: every page that the snapshot refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from ...storage.content.content_pages import pages_of_state, references
from ...storage.page import segment_name
from ...storage.schema_path import dotted
from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class Pages(Computed):
    """One row a page."""

    name: ClassVar[str] = "pages"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("segment", pa.string()),
            ("offset", pa.int64()),
            ("length", pa.int64()),
            ("stored_bytes", pa.int64()),
            ("kind", pa.string()),
            ("codec", pa.string()),
            ("checksum", pa.string()),
            ("table_schema", pa.string()),
            ("table_name", pa.string()),
            ("column_name", pa.string()),
            ("row_group_id", pa.string()),
        ]
    )
    pruned_by: ClassVar[frozenset[str]] = frozenset({"table_name", "table_schema"})

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return sum(
            len(s.row_groups) * len(s.definition.columns)
            for s in self._context.snapshot.tables.values()
        )

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        rows: list[tuple[object, ...]] = []
        for state in self._tables(request):
            d = state.definition
            names = {c.id: c.name for c in d.columns}
            for group in state.row_groups:
                for column, chunk in group.chunks.items():
                    page = chunk.page
                    kind = "row ids" if column < 0 else "column chunk"
                    rows.append((
                        segment_name(page.segment), page.offset, page.length, page.stored_bytes,
                        kind, chunk.codec, f"{page.checksum:016x}",
                        dotted(d.schema), d.name, names.get(column), group.id,
                    ))  # fmt: skip
                for vector in state.deletes.get(group.id, ()):
                    if vector.page is not None:
                        page = vector.page
                        rows.append((
                            segment_name(page.segment), page.offset, page.length,
                            page.stored_bytes, "delete vector", "delete vector",
                            f"{page.checksum:016x}", dotted(d.schema), d.name, None, group.id,
                        ))  # fmt: skip
            for group, places in pages_of_state(self._context.store.pages, state):
                rows += [
                    (
                        segment_name(page.segment), page.offset, page.length, page.stored_bytes,
                        "content", "pack", f"{page.checksum:016x}",
                        dotted(d.schema), d.name, None, group.id,
                    )
                    for page in references(places)
                ]  # fmt: skip
        return {name: [row[i] for row in rows] for i, name in enumerate(self.schema.names)}
