"""Files as what a statement changes: whether it does, and which columns it can give and set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest, UnknownName, Unsupported
from ...extensions.files.relations import BYTES_OF, COLUMNS, FILES, SCHEMA, VIEWS, bytes_sql
from ...sql import statement as st
from ...sql.column_types import converted
from ...sql.names import close_matches
from ...storage.effects import Constraint, TableDefinition
from ...storage.row_group import stored_schema
from ..statements.fast_insert import FastInsert, compile_insert
from ..statements.shadow import plain_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...sql.tokens import Name
    from ...storage.effects import Column
    from ..session import Session

TYPES: Final = {name: sql_type for name, sql_type, _ in COLUMNS}
GIVEN: Final = (
    "path",
    "content",
    "element_type",
    "content_type",
    "user_tags",
    "user_metadata",
    "symlink_path",
    "nfs_mode_bits",
    "uid",
    "gid",
    "atime",
    "mtime",
    "major_device",
    "minor_device",
)
"""Columns that INSERT takes, `path` always among them."""
PLAIN: Final = (
    "content_type",
    "user_tags",
    "user_metadata",
    "nfs_mode_bits",
    "uid",
    "gid",
    "atime",
    "mtime",
)
"""Columns that UPDATE only writes down."""
SET: Final = ("path", "parent_path", "name", "content", *PLAIN)
"""Columns that UPDATE takes."""
DEFINITION_ID: Final = f"{SCHEMA}.{FILES}"
"""Id of the definitions of what an INSERT gives; no table has it."""


def target_of(session: Session, statement: st.Statement) -> str | None:
    """The view of files that a statement is to change, None for any other statement.

    Raises:
        Unsupported: Files cannot be changed in that way.
    """
    match statement:
        case st.Insert(target=name) | st.Update(target=name) | st.Delete(target=name):
            return relation_of(session, name)
    refused = _refused(session, statement)
    if refused is not None:
        what, hint = refused
        raise Unsupported(f"{what} is not supported", construct=what, hint=hint)
    return None


def _refused(session: Session, statement: st.Statement) -> tuple[str, str | None] | None:
    """What a statement would do to files that cannot be done, and what can."""
    names: tuple[Name, ...] = ()
    verb, hint = "", None
    match statement:
        case st.Native(verb=verb, targets=names):
            what = {"INSERT": "INSERT … ON CONFLICT", "WITH": "a CTE that changes files"}
            verb = what.get(verb, verb)
            hint = "say INSERT, UPDATE and DELETE one after the other, in a transaction"
        case st.CopyFrom(target=name):
            verb, names, hint = "COPY FROM", (name,), "INSERT INTO files … SELECT … FROM the file"
        case st.CloneTable(source=name):
            verb, names = "CREATE TABLE … CLONE", (name,)
            hint = "CREATE DIRECTORY '/b' CLONE '/a' clones files, CREATE TABLE … AS keeps rows"
        case st.RestoreTable(name=name):
            verb, names, hint = "RESTORE", (name,), "read them: FROM files AT (VERSION => …)"
        case st.Drop(names=names, kind=kind) if kind in {"TABLE", "VIEW"}:
            verb, hint = f"DROP {kind}", "they are always there"
        case st.Alter(name=name, kind=kind):
            verb, names = f"ALTER {kind}", (name,)
        case st.CreateIndex(table=name):
            verb, names, hint = "CREATE INDEX", (name,), "paths and handles are indexed already"
    for name in names:
        found = relation_of(session, name)
        if found is not None:
            return f"{verb} of {found}", hint
    return None


def relation_of(session: Session, name: Name) -> str | None:
    """The view of files that a name means, None where it means anything else."""
    if name.last.lower() not in VIEWS:
        return None
    catalog = session.catalog()
    relation = catalog.resolve(name.parts)
    if relation is None or relation.version is not None or not catalog.is_built_in(relation):
        return None
    return relation.name


def given_definition(columns: Sequence[str] | None) -> TableDefinition:
    """What an INSERT gives, as the definition of a table.

    Args:
        columns: The columns that it lists.

    Raises:
        InvalidRequest: It lists none, not the path, one twice, or one that cannot be given.
        UnknownName: There is no such column.
    """
    if columns is None:
        raise InvalidRequest(
            "INSERT INTO files needs the names of the columns that it gives",
            hint="INSERT INTO files (path, content) VALUES ('/hello.txt', 'hello')",
        )
    names = [require_column(name, GIVEN, "given") for name in columns]
    if len(set(names)) < len(names):
        raise InvalidRequest("a column is listed twice")
    if "path" not in names:
        raise InvalidRequest(
            "INSERT INTO files needs the path", hint="list it: INSERT INTO files (path, content)"
        )
    listed = tuple(plain_column(number, name, TYPES[name]) for number, name in enumerate(names, 1))
    key = Constraint("unique", (names.index("path") + 1,))
    return TableDefinition(DEFINITION_ID, SCHEMA, FILES, listed, len(listed) + 1, (key,))


def given_item(expression: str, column: Column) -> str:
    """Any expression converted to a column of files: of a text, content has the UTF-8 bytes."""
    if column.name == "content":
        return f"{BYTES_OF}({expression})"  # which may be a parameter, and must stand there once
    return converted(expression, column.type)


def given_column(name: str, column: Column) -> str:
    """The same of a column's name, in texts that nobody binds to macros."""
    if column.name == "content":
        return bytes_sql(name)
    return converted(name, column.type)


def require_column(name: str, allowed: Sequence[str], verb: str) -> str:
    """The folded name of a column that a statement gives or sets.

    Raises:
        UnknownName: There is no such column.
        InvalidRequest: It is computed, or told by the store.
    """
    folded = name.lower()
    if folded in allowed:
        return folded
    if folded not in TYPES:
        raise UnknownName(
            f'files have no column "{name}"', name=name, suggestions=close_matches(name, TYPES)
        )
    hints = {
        "size": "it follows from the content",
        "handle": "the store gives it, for life",
        "user_tags_count": "set user_tags",
        "owner_name": "set uid",
        "group_owner_name": "set gid",
        "login_name": "set uid",
        "name_bytes": "set name",
        "search_path": "set path",
        "phandle": "the store gives it, for life",
    }
    raise InvalidRequest(
        f'the column "{folded}" of files cannot be {verb}',
        hint=hints.get(folded, f"those that can: {', '.join(allowed)}"),
    )


def compiled_insert(statement: st.Insert) -> FastInsert | None:
    """An INSERT of literals and parameters that needs no kernel, None for any other."""
    if statement.columns is None:
        return None
    definition = given_definition(statement.columns)
    return compile_insert(statement, definition, stored_schema(definition.columns))
