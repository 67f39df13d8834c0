"""`report_purge`: files that nobody has read or written for a long time."""

from __future__ import annotations

from .report import Arguments, Parameter, Report


def _query(given: Arguments) -> str:
    before = given.before("older_than")
    return f"""
        SELECT path, size, used, owner_name, mtime, atime,
               count(*) OVER () AS total_files, sum(used) OVER () AS total_used
        FROM {given.source.entries}
        WHERE element_type = 'FILE' AND mtime < {before} AND atime < {before} AND {given.below}
        ORDER BY used DESC, path"""


REPORT = Report(
    "purge",
    "files that were neither read nor written for a time, largest first, with their total",
    _query,
    (Parameter("older_than", "INTERVAL", "for how long", "INTERVAL 1 YEAR"),),
)
