"""`report_ages`: a histogram of files by age."""

from __future__ import annotations

from ...errors import InvalidRequest
from ...sql.tokens import literal
from .report import Arguments, Parameter, Picture, Report

_TIMES = ("mtime", "atime", "ctime", "creation_time")
_BOUNDS = (
    ("up to a day", "INTERVAL 1 DAY"),
    ("up to a week", "INTERVAL 7 DAY"),
    ("up to a month", "INTERVAL 1 MONTH"),
    ("up to 3 months", "INTERVAL 3 MONTH"),
    ("up to a year", "INTERVAL 1 YEAR"),
    ("up to 2 years", "INTERVAL 2 YEAR"),
    ("up to 5 years", "INTERVAL 5 YEAR"),
)
_OLDER = "older"


def _query(given: Arguments) -> str:
    time = given.values["time"]
    if time not in _TIMES:
        raise InvalidRequest(
            f"files have no time {literal(str(time))}", hint=f"it is one of {', '.join(_TIMES)}"
        )
    now = "now() AT TIME ZONE 'UTC'"
    cases = " ".join(
        f"WHEN {time} >= CAST({now} - {interval} AS TIMESTAMP_NS) THEN {number}"
        for number, (_, interval) in enumerate(_BOUNDS)
    )
    names = ", ".join(literal(name) for name in (*(name for name, _ in _BOUNDS), _OLDER))
    return f"""
        SELECT ([{names}])[bucket + 1] AS age, files, bytes, used
        FROM (SELECT CASE WHEN {time} IS NULL THEN NULL {cases} ELSE {len(_BOUNDS)} END AS bucket,
                     count(*) AS files, sum(size)::BIGINT AS bytes, sum(used)::BIGINT AS used
              FROM {given.source.entries}
              WHERE element_type = 'FILE' AND {given.below}
              GROUP BY bucket)
        ORDER BY bucket"""


REPORT = Report(
    "ages",
    "files and bytes by the time since they were written or read",
    _query,
    (Parameter("time", "VARCHAR", f"one of {', '.join(_TIMES)}", "'mtime'"),),
    Picture("histogram", "age", "used"),
)
