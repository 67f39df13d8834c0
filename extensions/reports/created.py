"""`report_created`: what was made of late, and by whom."""

from __future__ import annotations

from .report import Arguments, Parameter, Report


def _query(given: Arguments) -> str:
    owner = "true" if given.values["owner"] is None else f"owner_name = {given.sql('owner')}"
    return f"""
        SELECT path, element_type, size, owner_name, creation_time
        FROM {given.source.entries}
        WHERE creation_time >= {given.before("since")} AND {owner} AND {given.below}
        ORDER BY creation_time DESC, path"""


REPORT = Report(
    "created",
    "what was created of late, newest first",
    _query,
    (
        Parameter("since", "INTERVAL", "how long ago at most", "INTERVAL 7 DAY"),
        Parameter("owner", "VARCHAR", "only what belongs to this owner"),
    ),
)
