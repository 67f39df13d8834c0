"""``pagelake.relations``: tables and views, with their sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from ...storage.schema_path import dotted
from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class Relations(Computed):
    """One row a table or view."""

    name: ClassVar[str] = "relations"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("table_schema", pa.string()),
            ("table_name", pa.string()),
            ("kind", pa.string()),
            ("table_id", pa.string()),
            ("columns", pa.int64()),
            ("rows", pa.int64()),
            ("row_groups", pa.int64()),
            ("deleted_rows", pa.int64()),
            ("bytes", pa.int64()),
            ("changed_version", pa.int64()),
        ]
    )
    pruned_by: ClassVar[frozenset[str]] = frozenset({"table_name", "table_schema"})

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        snapshot = self._context.snapshot
        return len(snapshot.tables) + len(snapshot.views)

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        rows: list[tuple[object, ...]] = []
        for state in self._tables(request):
            d = state.definition
            rows.append((
                dotted(d.schema), d.name, "table", d.id, len(d.columns), state.rows,
                len(state.row_groups), state.deleted_rows,
                sum(g.stored_bytes for g in state.row_groups), min(state.changed, 1 << 62),
            ))  # fmt: skip
        rows.extend(
            (dotted(v.schema), v.name, "view", None, None, None, None, None, None, None)
            for v in self._context.snapshot.views.values()
        )
        return {name: [row[i] for row in rows] for i, name in enumerate(self.schema.names)}
