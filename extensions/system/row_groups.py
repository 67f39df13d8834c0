"""``pagelake.row_groups``: the row groups of each table, with what is known of their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from ...storage.schema_path import dotted
from ...storage.sketch import Sketch
from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest
    from ...storage.effects import Column, RowGroup

_COLUMN = pa.struct(
    [
        ("name", pa.string()),
        ("codec", pa.string()),
        ("bytes", pa.int64()),
        ("min", pa.string()),
        ("max", pa.string()),
        ("null_count", pa.int64()),
        ("distinct_estimate", pa.int64()),
    ]
)


class RowGroups(Computed):
    """One row a row group; ``columns`` lists zone maps and sketches in the stored form."""

    name: ClassVar[str] = "row_groups"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("table_schema", pa.string()),
            ("table_name", pa.string()),
            ("row_group", pa.int64()),
            ("row_group_id", pa.string()),
            ("rows", pa.int64()),
            ("deleted_rows", pa.int64()),
            ("first_row_id", pa.int64()),
            ("inlined", pa.bool_()),
            ("bytes", pa.int64()),
            ("columns", pa.list_(_COLUMN)),
        ]
    )
    pruned_by: ClassVar[frozenset[str]] = frozenset({"table_name", "table_schema"})

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return sum(len(s.row_groups) for s in self._context.snapshot.tables.values())

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        detailed = request.columns is None or "columns" in request.columns
        rows: list[tuple[object, ...]] = []
        for state in self._tables(request):
            d = state.definition
            for ordinal, group in enumerate(state.row_groups):
                deleted = sum(v.count for v in state.deletes.get(group.id, ()))
                rows.append((
                    dotted(d.schema), d.name, ordinal, group.id, group.rows, deleted,
                    group.first_row_id, group.inline is not None, group.stored_bytes,
                    [_column(group, c) for c in d.columns] if detailed else None,
                ))  # fmt: skip
        return {name: [row[i] for row in rows] for i, name in enumerate(self.schema.names)}


def _column(group: RowGroup, column: Column) -> dict[str, object]:
    chunk = group.chunks.get(column.id)
    if chunk is None:
        return {"name": column.name}
    zone = chunk.zone
    return {
        "name": column.name,
        "codec": chunk.codec,
        "bytes": chunk.page.stored_bytes,
        "min": None if zone is None or zone.min is None else str(zone.min),
        "max": None if zone is None or zone.max is None else str(zone.max),
        "null_count": None if zone is None else zone.null_count,
        "distinct_estimate": None
        if chunk.sketch is None
        else Sketch.from_bytes(chunk.sketch).estimate(),
    }
