"""INSERT INTO files: each row makes a file, a directory or a link, and its parents with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...errors import InvalidRequest, Unsupported
from ...extensions.files.relations import FILES, OBJECTS
from ...sql.tokens import literal
from ...storage.files.definition import DIRECTORY, FILE, SPECIAL, SYMLINK
from ...storage.files.file_error import FileError
from ...storage.files.operations import (
    Create,
    MakeDirectory,
    MakeSpecial,
    MakeSymlink,
    SetAttributes,
)
from ...storage.snapshot import TableState
from ..result import Result
from ..statements.insert import RowSource, converted_values, storing_query, target_columns
from .found_rows import rows_of
from .new_content import new_contents
from .parents import MakeParents
from .place import shown, told, usual_path
from .returned import returned_rows
from .target import GIVEN, given_column, given_definition, given_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from ...sql import statement as st
    from ...storage.content.content import Content
    from ...storage.effects import Column
    from ...storage.files.namespace import Operation
    from ..statements.change import Change

BATCH_ROWS: Final = 4096
"""Rows whose effects are put together."""
_ATTRIBUTES: Final = ("content_type", "user_tags", "user_metadata", "atime", "mtime")
_FILE_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o755
_MODE_MAX: Final = 0o7777
_KINDS: Final = (FILE, DIRECTORY, SYMLINK, *sorted(SPECIAL))


@dataclass(frozen=True, slots=True)
class _Row:
    """What one row gives."""

    path: str
    element_type: str
    content: bytes | None
    symlink_path: str | None
    mode: int
    uid: int
    gid: int
    device: tuple[int, int]
    attributes: dict[str, object]


def insert(change: Change, statement: st.Insert, target: str) -> Result:
    """Run INSERT INTO files.

    Raises:
        FileError: There is something of that name already, or it can be no name.
        InvalidRequest: A row is none of a file.
        Unsupported: It is INSERT INTO objects.
    """
    require_files(target, "INSERT INTO")
    if statement.source is None:
        raise InvalidRequest("INSERT INTO files needs the path", hint="DEFAULT VALUES have none")
    definition = given_definition(GIVEN if statement.by_name else statement.columns)
    source = RowSource(
        statement.ctes + converted_values(statement.source, definition.columns, given_item),
        definition.columns,
        by_name=statement.by_name,
    )
    state = TableState(definition)
    opened = change.open(source.sql)
    drained = False
    try:
        targets = target_columns(change, opened, FILES, source, state)
        sql = storing_query(state, source.sql, targets, given_column)
        with change.session.guard.watch(opened.cursor):
            made = insert_batches(change, change.read(opened, sql), definition.columns)
        drained = True
    finally:
        opened.close(drained=drained)
    if statement.returning is not None:
        return returned_rows(change, made, statement.returning)
    return Result(None, count=len(made))


def require_files(target: str, verb: str) -> None:
    """Refuse to change objects by another name than that of files.

    Raises:
        Unsupported: It is the view of objects.
    """
    if target == OBJECTS:
        raise Unsupported(
            f"{verb} objects is not supported",
            construct=f"{verb} objects",
            hint="objects are files that lie in buckets: say it of files",
        )


def insert_batches(
    change: Change, batches: Iterable[pa.RecordBatch], columns: Sequence[Column]
) -> list[int]:
    """Make what the rows of batches say.

    Args:
        change: The statement's surroundings.
        batches: The columns that are given, as they are stored.
        columns: Their definitions, in order.

    Returns:
        The handles of the new elements, in order.
    """
    files, transaction = change.session.database.files, change.transaction
    handles: list[int] = []
    names = [column.name for column in columns]
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            part = batch.slice(start, BATCH_ROWS).rename_columns(names)
            rows = [_row(given) for given in rows_of(part)]
            contents = new_contents(files.content, transaction, [row.content for row in rows])
            operations = [
                operation
                for row, content in zip(rows, contents, strict=True)
                for operation in _made(row, content)
            ]
            try:
                answers = files.apply(transaction, *operations)
            except FileError as error:
                raise told(error) from error
            handles += [
                answer.handle
                for operation, answer in zip(operations, answers, strict=True)
                if answer is not None and not isinstance(operation, SetAttributes)
            ]
    return handles


def _row(given: dict[str, Any]) -> _Row:
    """One row, checked as far as it can be without looking at the store.

    Raises:
        InvalidRequest: What it gives does not go together.
    """
    path = given["path"]
    if path is None:
        raise InvalidRequest("the path of a file cannot be NULL")
    path, kind = usual_path(path), given.get("element_type")
    content, symlink_path = given.get("content"), given.get("symlink_path")
    ends_open = given["path"].endswith("/") and path != "/"
    if kind is None:
        kind = SYMLINK if symlink_path is not None else FILE
        if ends_open and content is None and kind == FILE:
            kind = DIRECTORY
    kind = kind.upper()
    shown_path = literal(shown(given["path"]))
    if kind not in _KINDS:
        raise InvalidRequest(
            f"{shown_path}: there is no element_type {literal(shown(kind))}",
            hint=f"those that can be made: {', '.join(_KINDS)}",
        )
    if ends_open and kind != DIRECTORY:
        raise InvalidRequest(
            f"{shown_path} ends with a slash, as only a directory's path can",
            hint="leave the slash out",
        )
    if content is not None and kind != FILE:
        raise InvalidRequest(f"{shown_path}: only a FILE has content, and this is to be a {kind}")
    if (symlink_path is not None) != (kind == SYMLINK):
        raise InvalidRequest(
            f"{shown_path}: a symbolic link, and nothing else, has a symlink_path",
            hint="give element_type 'SYMLINK' and the symlink_path, or neither",
        )
    mode = given.get("nfs_mode_bits")
    if mode is not None and not 0 <= mode <= _MODE_MAX:
        raise InvalidRequest(f"{shown_path}: nfs_mode_bits are from 0 to {_MODE_MAX}, not {mode}")
    if mode is None:
        mode = _DIRECTORY_MODE if kind == DIRECTORY else _FILE_MODE
    return _Row(
        path,
        kind,
        content,
        symlink_path,
        mode,
        os.getuid() if given.get("uid") is None else given["uid"],
        os.getgid() if given.get("gid") is None else given["gid"],
        (given.get("major_device") or 0, given.get("minor_device") or 0),
        {name: given[name] for name in _ATTRIBUTES if given.get(name) is not None},
    )


def _made(row: _Row, content: Content | None) -> Iterator[Operation]:
    """The operations that make what a row says."""
    owner = (row.uid, row.gid)
    match row.element_type:
        case "FILE":
            yield Create(
                row.path, content, row.mode, *owner, attributes=row.attributes, parents=True
            )
            return
        case "DIR":
            yield MakeDirectory(row.path, row.mode, *owner, parents=True)
        case "SYMLINK":
            yield MakeParents(row.path)
            yield MakeSymlink(row.path, row.symlink_path or "", *owner)
        case kind:
            yield MakeParents(row.path)
            yield MakeSpecial(row.path, kind, row.mode, *row.device, *owner)
    if row.attributes:
        yield SetAttributes(row.path, row.attributes)
