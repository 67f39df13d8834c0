"""COPY … TO 'pagelake://…': the kernel writes, and the store commits when it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import Denied, OutcomeUnknown
from ...sql.file_urls import SCHEME
from ...sql.tokens import literal
from ...storage.files.file_error import FileError
from ...storage.files.operations import Create
from ..result import Result
from .new_content import hold
from .place import told, usual_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...sql import statement as st
    from ...storage.content.content import Content
    from ...storage.transaction import Transaction
    from ..session import Session

OPERATION = "COPY TO"


def copy_to_stored(
    session: Session, statement: st.CopyTo, run: Callable[[st.CopyTo], Result]
) -> Result:
    """Run COPY TO with a stored file, or a directory of them, as its target.

    Args:
        session: Whose statement it is.
        statement: The statement.
        run: Runs it with the target that it is given.

    Raises:
        FileError: There is a directory at the path, or a part of it is a file.
        Denied: The store was opened read-only, or as of a version.
    """
    session.require_present(OPERATION)
    database = session.database
    if database.read_only:
        raise Denied(f"{OPERATION}: the store was opened read-only", hint="open it writable")
    path = usual_path(statement.target.strip("'").replace("''", "'"))
    prefix = database.urls.enter(session.snapshot())
    committed: bool | None = False
    contents: dict[str, Content] = {}
    try:
        target = literal(f"{SCHEME}/{prefix}{path}")
        result = run(replace(statement, target=target))
        contents = database.urls.take(prefix)
        session.writing(OPERATION, lambda t: _write(session, t, contents))
        committed = True
    except OutcomeUnknown:
        committed = None
        raise
    finally:
        contents |= database.urls.take(prefix)
        if not (session.in_transaction and committed):  # its end is told to each content there
            for content in contents.values():
                database.files.content.release(content, committed=committed)
    return result


def _write(session: Session, transaction: Transaction, contents: dict[str, Content]) -> Result:
    files = session.database.files
    operations = [
        Create(path, content, exclusive=False, parents=True) for path, content in contents.items()
    ]
    try:
        files.apply(transaction, *operations)
    except FileError as error:
        raise told(error) from error
    if session.in_transaction:
        for content in contents.values():
            hold(files.content, transaction, content)
    return Result(None)
