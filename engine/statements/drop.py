"""DROP TABLE, VIEW and SCHEMA: what is wrong with the names is told before the kernel is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InvalidRequest, UnknownName
from ...sql.names import close_matches
from ..native.objects import drop_objects

if TYPE_CHECKING:
    from ...sql import statement as st
    from ...sql.tokens import Name
    from ...storage.snapshot import Snapshot
    from ..session import Session
    from .change import Change


def drop(change: Change, statement: st.Drop, sql: str) -> None:
    """Run DROP TABLE, VIEW or SCHEMA.

    Raises:
        UnknownName: There is no such thing.
        InvalidRequest: It is of another kind, or others depend on it.
        Denied: It is the system's.
    """
    for name in statement.names:
        if statement.kind == "SCHEMA":
            _require_schema(change.transaction.snapshot, name, statement)
        else:
            _require_relation(change.session, change.transaction.snapshot, name, statement)
    drop_objects(change, sql, f"DROP {statement.kind}")


def _require_relation(session: Session, snapshot: Snapshot, name: Name, statement: st.Drop) -> None:
    try:
        schema, relation = session.qualify(name, existing=True)
    except UnknownName:
        if statement.if_exists:
            return
        raise
    found = "table" if snapshot.table(schema, relation) is not None else ""
    found = found or ("view" if snapshot.view(schema, relation) is not None else "")
    kind = statement.kind.lower()
    if found and found != kind:
        raise InvalidRequest(f'"{relation}" is a {found}', hint=f"say DROP {found.upper()}")
    if not found and not statement.if_exists:
        raise UnknownName(
            f'there is no {kind} "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(relation, session.catalog().names()),
        )


def _require_schema(snapshot: Snapshot, name: Name, statement: st.Drop) -> None:
    found = next((s for s in snapshot.schemas if s.lower() == name.last.lower()), None)
    if found is None:
        if statement.if_exists:
            return
        raise UnknownName(
            f'there is no schema "{name.last}"',
            name=name.last,
            suggestions=close_matches(name.last, snapshot.schemas),
        )
    if found == "main":
        raise InvalidRequest('the schema "main" cannot be dropped')
    if statement.cascade:
        return
    relations = [s.definition.schema for s in snapshot.tables.values()]
    relations += [view.schema for view in snapshot.views.values()]
    if found in relations:
        raise InvalidRequest(
            f'the schema "{found}" is not empty', hint=f"say DROP SCHEMA {found} CASCADE"
        )
