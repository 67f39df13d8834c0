"""DROP TABLE, VIEW and SCHEMA: what is wrong with the names is told before the kernel is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Denied, InvalidRequest, UnknownName
from ...sql.names import close_matches
from ...sql.tokens import quote
from ...storage.schema_path import enclosing, innermost, is_within, joined
from ..catalog import RESERVED_SCHEMAS
from ..native.objects import drop_objects

_OBJECTS = {"sequence", "macro", "table_macro", "type"}

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
    snapshot = change.transaction.snapshot
    for name in statement.names:
        if statement.kind == "SCHEMA":
            found = _required_schema(change.session, snapshot, name, statement)
            inside = [s for s in snapshot.schemas if is_within(s, found)] if found else []
            # The kernel is asked on a copy, whose schemas have nothing to do with each other.
            sql = "; ".join([*(f"DROP SCHEMA {quote(s)} CASCADE" for s in inside), sql])
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


def _required_schema(
    session: Session, snapshot: Snapshot, name: Name, statement: st.Drop
) -> str | None:
    """The schema that is to be dropped, under which name it is kept; None if that is allowed."""
    path = schema_path(session, snapshot, name)
    found = next((s for s in snapshot.schemas if s.lower() == path.lower()), None)
    if found is None:
        if statement.if_exists:
            return None
        require_enclosing(snapshot, path)
        raise UnknownName(
            f'there is no schema "{path}"',
            name=name.last,
            suggestions=close_matches(path, snapshot.schemas),
        )
    if found.lower() in RESERVED_SCHEMAS:
        raise Denied(f'the schema "{found}" is reserved for the system')
    if found == "main":
        raise InvalidRequest('the schema "main" cannot be dropped')
    if not statement.cascade:
        require_empty(snapshot, found)
    return found


def schema_path(session: Session, snapshot: Snapshot, name: Name) -> str:
    """The name under which the schema is kept, or would be, that a dotted name means."""
    parts, store = list(name.parts), session.database.name.lower()
    if len(parts) > 1 and parts[0].lower() == store and not snapshot.has_schema(store):
        parts = parts[1:]
    return joined(*parts)


def require_enclosing(snapshot: Snapshot, path: str) -> None:
    """Require the schemas around a nested schema.

    Raises:
        UnknownName: One of them does not exist.
    """
    for depth, schema in enumerate(enclosing(path)):
        if not snapshot.has_schema(schema):
            missing = innermost(schema)
            what = f'the parent schema "{missing}" does not exist'
            raise UnknownName(
                what if depth else f'"{missing}" is not a catalog or schema', name=missing
            )


def require_empty(snapshot: Snapshot, schema: str) -> None:
    """Refuse to drop a schema with something in it.

    Raises:
        InvalidRequest: It is not empty.
    """
    used = [s.definition.schema for s in snapshot.tables.values()]
    used += [view.schema for view in snapshot.views.values()]
    used += [entry.schema for entry in snapshot.entries.values() if entry.kind in _OBJECTS]
    used += [schema for inner in snapshot.schemas for schema in enclosing(inner)]
    if schema.lower() in {name.lower() for name in used}:
        raise InvalidRequest(
            f'the schema "{schema}" is not empty', hint=f"say DROP SCHEMA {schema} CASCADE"
        )
