"""CLONE, RESTORE and TAG: statements about versions, which only record references.

A clone begins with the row groups that its source has at a version, a restored table gets its
own earlier ones back: no row is read or written, so that both take the same time and space
whatever the table's size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...errors import AlreadyExists, InvalidRequest, SnapshotGone, UnknownName
from ...sql import statement as st
from ...sql.names import close_matches
from ...sql.provider import RelationKind
from ...storage.effects import CloneTable, CreateTag, DropTag, RestoreTable
from ...storage.snapshot import OVERLAY_STAMP
from ..time_travel import tagged, version_at
from .change import target_table
from .ddl import make_room_for_table

if TYPE_CHECKING:
    from ...sql.references import At
    from ...storage.snapshot import TableState
    from .change import Change


Versioning = st.CloneTable | st.RestoreTable | st.CreateTag | st.DropTag
_OPERATIONS: Final = {
    st.CloneTable: "CLONE TABLE",
    st.RestoreTable: "RESTORE TABLE",
    st.CreateTag: "CREATE TAG",
    st.DropTag: "DROP TAG",
}


def verb(statement: Versioning) -> str:
    """Name of a change for the history."""
    return _OPERATIONS[type(statement)]


def run(change: Change, statement: Versioning) -> None:
    """Run one of these statements."""
    match statement:
        case st.CloneTable():
            clone(change, statement)
        case st.RestoreTable():
            restore(change, statement)
        case st.CreateTag():
            create_tag(change, statement)
        case st.DropTag():
            drop_tag(change, statement)


def clone(change: Change, statement: st.CloneTable) -> None:
    """Run CREATE TABLE … CLONE.

    Raises:
        UnknownName: There is, or was, no such table.
        SnapshotGone: The version can no longer be read.
        AlreadyExists: The name is taken.
    """
    room = make_room_for_table(change, statement)
    if room is None:
        return
    (table_id, schema, name), freed = room
    version = _version(change, statement.at)
    source = _source(change, statement, version)
    definition = replace(source.definition, id=table_id, schema=schema, name=name)
    effect = CloneTable(definition, source.definition.id, version)
    change.transaction.add("CLONE TABLE", *freed, effect)


def _version(change: Change, at: At | None) -> int:
    """The version that a statement names; the one that the transaction stands on by default."""
    if at is None:
        return change.transaction.base.version
    return version_at(change.session, at, change.transaction.snapshot)


def _source(change: Change, statement: st.CloneTable, version: int) -> TableState:
    """The table to clone, at the version."""
    session, snapshot, name = change.session, change.transaction.snapshot, statement.source
    if statement.at is None:
        state = target_table(session, name, "clone")
        if state.changed >= OVERLAY_STAMP:
            raise InvalidRequest(
                f'"{name.dotted}" was changed in this transaction and cannot be cloned yet',
                hint="COMMIT first",
            )
        return state
    catalog = session.catalog(snapshot).at(version)
    relation = catalog.resolve(name.parts)
    if relation is None or relation.kind is not RelationKind.TABLE:
        raise UnknownName(
            f'there was no table "{name.dotted}" at version {version}',
            name=name.dotted,
            suggestions=close_matches(name.last, catalog.names()),
        )
    return catalog.snapshot.tables[relation.key]


def restore(change: Change, statement: st.RestoreTable) -> None:
    """Run RESTORE TABLE.

    Raises:
        UnknownName: There is no such table.
        SnapshotGone: The version can no longer be read, or the table did not exist at it.
    """
    state = target_table(change.session, statement.name, "restore")
    version = _version(change, statement.at)
    effect = RestoreTable(state.definition.id, version)
    try:
        change.transaction.add("RESTORE TABLE", effect)
    except SnapshotGone as error:
        if error.hint is None:
            name = statement.name.dotted
            error.hint = (
                f"if another table had that name then: "
                f"CREATE OR REPLACE TABLE {name} CLONE {name} AT (VERSION => {version})"
            )
        raise


def create_tag(change: Change, statement: st.CreateTag) -> None:
    """Run CREATE TAG.

    Raises:
        AlreadyExists: There is a tag of that name.
        SnapshotGone: The version can no longer be read.
    """
    transaction = change.transaction
    if statement.name.lower() in transaction.snapshot.tags:
        if statement.if_not_exists:
            return
        raise AlreadyExists(
            f'there is a tag "{statement.name}" already',
            hint="DROP TAG it first, or choose another",
        )
    if statement.at is None and transaction.effects:
        raise InvalidRequest(
            "what this transaction changed has no version yet that could get a tag",
            hint="COMMIT first, or say AT (VERSION => …)",
        )
    version = _version(change, statement.at)
    transaction.add("CREATE TAG", CreateTag(statement.name, version))


def drop_tag(change: Change, statement: st.DropTag) -> None:
    """Run DROP TAG.

    Raises:
        UnknownName: There is no such tag.
    """
    if statement.if_exists and statement.name.lower() not in change.transaction.snapshot.tags:
        return
    tagged(change.transaction.snapshot, statement.name)
    change.transaction.add("DROP TAG", DropTag(statement.name))
