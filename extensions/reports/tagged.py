"""`report_tagged`: entries by a tag."""

from __future__ import annotations

from .report import Arguments, Parameter, Report


def _query(given: Arguments) -> str:
    tag = f"user_tags[{given.sql('tag')}]"
    wanted = "IS NOT NULL" if given.values["value"] is None else f"= {given.sql('value')}"
    return f"""
        SELECT path, element_type, size, owner_name, {tag} AS value, mtime
        FROM {given.source.entries}
        WHERE {tag} {wanted} AND {given.below}
        ORDER BY path"""


REPORT = Report(
    "tagged",
    "entries that have a tag, or one with a certain value",
    _query,
    (
        Parameter("tag", "VARCHAR", "the tag's name", None),
        Parameter("value", "VARCHAR", "the value wanted; any where it is left out"),
    ),
)
