"""`report_large_old`: large files that were not written for some time."""

from __future__ import annotations

from .report import Arguments, Parameter, Report


def _query(given: Arguments) -> str:
    return f"""
        SELECT path, size, used, owner_name, mtime, atime
        FROM {given.source.entries}
        WHERE element_type = 'FILE' AND size > {given.sql("larger_than")}
          AND mtime < {given.before("older_than")} AND {given.below}
        ORDER BY size DESC, path"""


REPORT = Report(
    "large_old",
    "files larger than a size that were not written for a time, largest first",
    _query,
    (
        Parameter("older_than", "INTERVAL", "for how long", "INTERVAL 90 DAY"),
        Parameter("larger_than", "BIGINT", "bytes", "10_000_000_000"),
    ),
)
