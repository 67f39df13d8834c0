"""UPDATE files: what is only written down as a table's, contents and names by operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...errors import InvalidRequest
from ...extensions.files.relations import ELEMENTS, HIDDEN_SCHEMA
from ...sql import statement as st
from ...sql.tokens import Name, literal, quote
from ...storage.files.definition import FILE
from ...storage.files.file_error import FileError
from ...storage.files.name import require_name
from ...storage.files.operations import SetAttributes, Write
from ...storage.files.path import join, parent_of
from ..result import Result
from ..statements.modify import update_table
from ..statements.shadow import plain_column
from .found_rows import OWN, found_query, found_rows, rows_of
from .insert_files import require_files
from .new_content import new_contents
from .place import shown, told
from .rename import Renaming, rename_all
from .returned import returned_rows
from .target import PLAIN, SET, TYPES, given_column, require_column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ...storage.files.namespace import Operation
    from ..statements.change import Change

_NEVER_NULL: Final = frozenset({"nfs_mode_bits", "uid", "gid", "atime", "mtime"})
_MODE_MAX: Final = 0o7777
_NAMES: Final = frozenset({"path", "parent_path", "name"})


def update(change: Change, statement: st.Update, target: str) -> Result:
    """Run UPDATE files.

    Raises:
        FileError: A name is taken, or can be none.
        InvalidRequest: A column cannot be set, or a value is none for it.
        Unsupported: It is UPDATE objects.
    """
    require_files(target, "UPDATE")
    assigned: dict[str, str] = {}
    for name, expression in statement.assignments:
        column = require_column(name, SET, "set")
        if column in assigned:
            raise InvalidRequest(f'column "{column}" is assigned twice')
        is_default = expression.strip().upper() == "DEFAULT"
        assigned[column] = "NULL" if is_default else f"({expression}\n)"
    if "path" in assigned and not _NAMES.isdisjoint(assigned.keys() - {"path"}):
        raise InvalidRequest("the path says parent_path and name: set it, or these")
    if set(assigned) <= set(PLAIN):
        return _update_plain(change, statement, assigned)
    return _update_each(change, statement, assigned)


def _value(column: str, expression: str) -> str:
    """The new value of a column, converted, and refused where it can be none."""
    value = given_column(expression, plain_column(0, column, TYPES[column]))
    if column in _NEVER_NULL:
        told = literal(f"{column} of a file cannot be NULL")
        value = f"coalesce({value}, error({told}))"
    if column == "nfs_mode_bits":
        told = literal(f"nfs_mode_bits are from 0 to {_MODE_MAX}")
        value = f"CASE WHEN {value} BETWEEN 0 AND {_MODE_MAX} THEN {value} ELSE error({told}) END"
    return value


def _update_plain(change: Change, statement: st.Update, assigned: dict[str, str]) -> Result:
    """Write new values down, of very many rows as of one.

    A directory's row gets the mtime that the view tells: its new ctime hides what the view had
    added to it.
    """
    columns = list(assigned)
    found = found_query(statement, list(assigned.values()), ("handle", "mtime"))
    listed = ", ".join(
        f"{_value(name, f'f.x{number}')} AS x{number}" for number, name in enumerate(columns)
    )
    source = f"(SELECT f.handle, f.mtime, {listed} FROM ({found}\n) AS f) AS f"
    now = f"make_timestamp_ns({change.session.database.environment.now_us() * 1000})"
    values = {"mtime": "f.mtime", "ctime": now}
    values |= {name: f"f.x{number}" for number, name in enumerate(columns)}
    state = change.transaction.snapshot.table(HIDDEN_SCHEMA, ELEMENTS)
    if state is None:
        return Result(None, count=0)
    plain = st.Update(
        Name((HIDDEN_SCHEMA, ELEMENTS), 0, 0),
        "e",
        tuple(values.items()),
        source,
        "e.handle = f.handle",
        None if statement.returning is None else "handle",
    )
    result = update_table(change, state, plain)
    if statement.returning is None:
        return result
    handles = [row[0] for row in result.fetchall()]
    return returned_rows(change, handles, statement.returning, statement.alias)


def _update_each(change: Change, statement: st.Update, assigned: dict[str, str]) -> Result:
    """Write contents, rename, and change attributes, element by element."""
    columns = list(assigned)
    found = found_query(statement, list(assigned.values()))
    values = ", ".join(
        f"{_value(name, f'f.x{number}')} AS {quote(name if name in PLAIN else f'new {name}')}"
        for number, name in enumerate(columns)
    )
    own = ", ".join(f"f.{name}" for name in OWN)
    sql = f"SELECT {own}, {values} FROM ({found}\n) AS f"
    files, transaction = change.session.database.files, change.transaction
    renamings: list[Renaming] = []
    handles: list[int] = []
    try:
        for batch in found_rows(change, sql):
            rows = rows_of(batch)
            operations = [*_writes(change, rows)] if "content" in assigned else []
            operations += _attributes(rows, assigned)
            if operations:
                files.apply(transaction, *operations)
            handles += [row["handle"] for row in rows]
            if not _NAMES.isdisjoint(assigned):
                renamings += map(_renaming, rows)
        token = change.session.database.environment.random_bytes(8).hex()
        files.apply(transaction, *rename_all(renamings, token))
    except FileError as error:
        raise told(error) from error
    if statement.returning is not None:
        return returned_rows(change, handles, statement.returning, statement.alias)
    return Result(None, count=len(handles))


def _writes(change: Change, rows: Sequence[dict[str, Any]]) -> Iterator[Operation]:
    """New contents of files."""
    for row in rows:
        if row["element_type"] != FILE:
            raise InvalidRequest(
                f"{literal(shown(row['path']))} is a {row['element_type']}, "
                "and only a FILE has content",
                hint="leave it out: … AND element_type = 'FILE'",
            )
    content = change.session.database.files.content
    contents = new_contents(content, change.transaction, [row["new content"] for row in rows])
    for row, written in zip(rows, contents, strict=True):
        yield Write(row["handle"], written or content.inline(b""))


def _attributes(rows: Sequence[dict[str, Any]], assigned: Collection[str]) -> Iterator[Operation]:
    """New values of columns that are only written down."""
    names = [name for name in assigned if name in PLAIN]
    for row in rows if names else ():
        yield SetAttributes(row["handle"], {name: row[name] for name in names})


def _renaming(row: dict[str, Any]) -> Renaming:
    path = row.get("new path", row["path"])
    if "new path" not in row:
        parent = row.get("new parent_path", parent_of(row["path"])[0])
        name = row.get("new name", row["name"])
        path = None if parent is None or name is None else join(parent, require_name(name))
    return Renaming(row["handle"], row["parent_handle"], row["path"], row["element_type"], path)
