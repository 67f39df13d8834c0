"""`report_usage`: entries and bytes by owner, or by something else that entries have."""

from __future__ import annotations

from ...errors import InvalidRequest
from ...sql.tokens import literal, quote
from .report import Arguments, Parameter, Picture, Report

_COLUMNS = (
    "owner_name",
    "uid",
    "group_owner_name",
    "gid",
    "extension",
    "element_type",
    "tenant_id",
    "content_type",
)
_TAG = "user_tags."


def _query(given: Arguments) -> str:
    by = given.values["by"] or ""
    if by in _COLUMNS:
        key = by
    elif by.startswith(_TAG) and by != _TAG:
        key = f"user_tags[{literal(by.removeprefix(_TAG))}]"
    else:
        raise InvalidRequest(
            f"usage cannot be told by {literal(by)}",
            hint=f"by is one of {', '.join(_COLUMNS)}, or a tag: '{_TAG}project'",
        )
    return f"""
        SELECT {key} AS {quote(by)}, count(*) AS entries,
               count(*) FILTER (element_type = 'FILE') AS files,
               sum(size)::BIGINT AS bytes, sum(used)::BIGINT AS used,
               min(mtime) AS oldest_mtime, max(mtime) AS newest_mtime
        FROM {given.source.entries}
        WHERE {given.below}
        GROUP BY ALL ORDER BY used DESC, 1"""


REPORT = Report(
    "usage",
    "entries and bytes by owner, group, extension or tag",
    _query,
    (Parameter("by", "VARCHAR", "a column, or a tag as 'user_tags.NAME'", "'owner_name'"),),
    Picture("treemap", "", "used"),
)
