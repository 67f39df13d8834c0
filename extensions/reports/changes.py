"""`report_changes`: what was created, deleted, modified or moved between two versions."""

from __future__ import annotations

from ...errors import InvalidRequest
from ...sql.tokens import literal
from .report import Arguments, Parameter, Report

_KINDS = ("created", "deleted", "modified", "moved")


def _query(given: Arguments) -> str:
    kind = given.values["kind"]
    if kind is not None and kind not in _KINDS:
        raise InvalidRequest(
            f"{literal(kind)} is no kind of change", hint=f"it is one of {', '.join(_KINDS)}"
        )
    wanted = "true" if kind is None else f"change_type = {given.sql('kind')}"
    path = given.values["path"]
    below = "true"
    if path is not None:
        prefix = literal(path.rstrip("/") + "/")
        below = f"(starts_with(path, {prefix}) OR starts_with(old_path, {prefix}))"
    return f"""
        SELECT version, change_type, path, old_path, element_type, size, mtime
        FROM {given.source.changes(given.values["first"], given.values["last"])}
        WHERE {wanted} AND {below}
        ORDER BY coalesce(path, old_path), version"""


REPORT = Report(
    "changes",
    "what was created, deleted, modified or moved by the versions from one to another",
    _query,
    (
        Parameter("first", "BIGINT", "the first version whose changes count", None),
        Parameter("last", "BIGINT", "the last one", None),
        Parameter("kind", "VARCHAR", f"only these: {', '.join(_KINDS)}"),
    ),
)
