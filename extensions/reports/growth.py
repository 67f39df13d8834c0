"""`report_growth`: where bytes were written of late."""

from __future__ import annotations

from .ancestors import DEPTH, by_ancestor
from .report import Arguments, Parameter, Picture, Report


def _query(given: Arguments) -> str:
    return by_ancestor(given, f"mtime >= {given.before('since')}")


REPORT = Report(
    "growth",
    "files and bytes written of late, by the directory at a depth",
    _query,
    (DEPTH, Parameter("since", "INTERVAL", "how long ago at most", "INTERVAL 7 DAY")),
    Picture("treemap", "directory", "used"),
)
