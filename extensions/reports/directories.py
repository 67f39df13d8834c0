"""`report_directories`: what the directories at a depth take."""

from __future__ import annotations

from .ancestors import DEPTH, by_ancestor, depth_of
from .report import Arguments, Picture, Report


def _query(given: Arguments) -> str:
    if given.source.directories is None:
        return by_ancestor(given, "true")
    listed = given.source.directories
    base = "depth = 0" if given.values["path"] is None else f"path = {given.sql('path')}"
    return f"""
        WITH base AS (SELECT depth, label, last_label FROM {listed} WHERE {base})
        SELECT d.path AS directory, d.entries - d.directories AS files, d.bytes, d.used,
               d.newest_mtime
        FROM {listed} d, base
        WHERE d.depth = base.depth + {depth_of(given)}
          AND d.label BETWEEN base.label AND base.last_label
        ORDER BY d.used DESC, 1"""


REPORT = Report(
    "directories",
    "what each directory at a depth takes, with all below it",
    _query,
    (DEPTH,),
    Picture("treemap", "directory", "used"),
)
