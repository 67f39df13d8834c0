"""Queries about queries: DESCRIBE of a query, and plans as values.

They read no rows, and what they tell is about tables: which columns are keys, what is scanned.
In a route there are views, so they are bound over the catalog's copy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...sql.binder import bind
from ...sql.provider import RelationKind
from ...sql.tokens import TokenStream

if TYPE_CHECKING:
    from ...sql.logical import LogicalPlan
    from ...storage.snapshot import Snapshot
    from ..session import Session

_POSSIBLE = re.compile(r"(^|\()\s*(DESCRIBE|DESC|SHOW)\s|\bjson_serialize_plan\s*\(", re.IGNORECASE)
_DESCRIBING = {"DESCRIBE", "DESC", "SHOW"}
_KINDS = {RelationKind.TABLE, RelationKind.VIEW, RelationKind.ENTRY}


def is_about_query(session: Session, logical: LogicalPlan, snapshot: Snapshot) -> bool:
    """Tell whether a query reads no rows, but describes or plans queries over stored tables."""
    if not _POSSIBLE.search(logical.sql) or session.has_kernel_state or logical.foreign:
        return False
    relations = logical.relations
    if not relations or any(r.kind not in _KINDS or r.version is not None for r in relations):
        return False
    return not bind(_around(logical.sql), session.catalog(snapshot)).leaves


def _around(sql: str) -> str:
    """What of a text is not in the queries that it is about."""
    stream, kept, start = TokenStream(sql), "", 0
    if stream.word() in _DESCRIBING:
        return ""
    while not stream.at_end():
        inside = stream.word() == "(" and stream.word(1) in _DESCRIBING
        if inside or (stream.word() == "JSON_SERIALIZE_PLAN" and stream.word(1) == "("):
            stream.at += not inside
            kept += sql[start : stream.offset] + "(SELECT NULL)"
            stream.skip_balanced()
            start = stream.behind
        else:
            stream.at += 1
    return kept + sql[start:]
