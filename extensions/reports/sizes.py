"""`report_sizes`: a histogram of files by size."""

from __future__ import annotations

from .report import Arguments, Picture, Report

_STEP = 16
"""Each bar holds files up to this many times as large as the one before."""
_BARS = ("empty", "16 B", "256 B", "4 KiB", "64 KiB", "1 MiB", "16 MiB", "256 MiB", "4 GiB")
_LARGER = "larger"


def _query(given: Arguments) -> str:
    cases = " ".join(f"WHEN size <= {_STEP**n} THEN {n}" for n in range(1, len(_BARS)))
    names = ", ".join([f"'{_BARS[0]}'", *(f"'up to {b}'" for b in _BARS[1:]), f"'{_LARGER}'"])
    return f"""
        SELECT ([{names}])[bucket + 1] AS file_size, files, bytes, used
        FROM (SELECT CASE WHEN size = 0 THEN 0 {cases} ELSE {len(_BARS)} END AS bucket,
                     count(*) AS files, sum(size)::BIGINT AS bytes, sum(used)::BIGINT AS used
              FROM {given.source.entries}
              WHERE element_type = 'FILE' AND {given.below}
              GROUP BY bucket)
        ORDER BY bucket"""


REPORT = Report(
    "sizes",
    "files and bytes by the size of files",
    _query,
    picture=Picture("histogram", "file_size", "files", unit=""),
)
