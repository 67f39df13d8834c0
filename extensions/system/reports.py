"""``pagelake.reports``: the reports over catalogs of files, with their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from ..reports import REPORTS
from .computed import Computed

if TYPE_CHECKING:
    from ...sql.provider import ScanRequest


class ReportsRelation(Computed):
    """One row a report."""

    name: ClassVar[str] = "reports"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("report", pa.string()),
            ("example", pa.string()),
            ("description", pa.string()),
            ("parameters", pa.string()),
        ]
    )

    def estimated_rows(self) -> int:
        """How many rows it has."""
        return len(REPORTS)

    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column."""
        reports = REPORTS.values()
        told = [
            ", ".join(f"{p.name} {p.sql_type}" for p in report.parameters) for report in reports
        ]
        return {
            "report": list(REPORTS),
            "example": [report.example for report in reports],
            "description": [report.about for report in reports],
            "parameters": list(told),
        }
