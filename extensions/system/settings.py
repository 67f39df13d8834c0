"""``pagelake.settings``: every setting with its value, unit and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class SettingsRelation(Computed):
    """One row a setting, with the value that holds for the connection that asks."""

    name: ClassVar[str] = "settings"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("name", pa.string()),
            ("value", pa.string()),
            ("default", pa.string()),
            ("unit", pa.string()),
            ("scope", pa.string()),
            ("description", pa.string()),
        ]
    )

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        return 10

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        rows = self._context.settings()
        return {name: [row[name] for row in rows] for name in self.schema.names}
