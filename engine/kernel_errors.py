"""From the SQL kernel's errors to Pagelake's own.

Messages of the kernel are kept, except that internal names are taken out and the excerpt with
the caret becomes a position in the user's text.
"""

from __future__ import annotations

import errno
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import duckdb

from ..errors import (
    AlreadyExists,
    ConstraintViolation,
    Corrupt,
    Error,
    InternalError,
    Interrupted,
    InvalidRequest,
    InvalidValue,
    LimitExceeded,
    ParseError,
    StorageFull,
    Unavailable,
    UnknownName,
    Unsupported,
)
from ..sql.names import close_matches
from ..sql.tokens import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .session import Session

_LINE = re.compile(r"\n+LINE (\d+): (.*)\n( *)\^", re.DOTALL)
_INTERNAL = re.compile(r'"?\b(?:route|delta|hot|scratch)_[0-9a-f]{16}"?\.')
_LOCATION = re.compile(r"\b(?:part|position)_route_[0-9a-f]{16}\b")
_PLACE = "\nline "
_BEFORE_RELATIONS = r'(?:\b(?:from|join|into|update|table|view|using|copy)\s+|[,.]\s*)"?'
_MISSING_TABLE = re.compile(r"Table with name \"?(.+?)\"? does not exist")
_MISSING_COLUMN = re.compile(
    r'(?:Referenced column "(.+?)" not found|does not have a column (?:with name|named) "(.+?)")'
)
_INTERRUPTED = re.compile("Query interrupted|KeyboardInterrupt|INTERRUPT Error")
"""Ctrl-C as the client reports it, also when it came while Python was called from a scan."""
_STREAM_KIND = re.compile(r"([A-Za-z ]+) Error: ")
_NAMED = re.compile(r"(?:column|field|(?:function|type) with name) [\"']?([\w.]+)", re.IGNORECASE)
"""What an error of the kernel's that tells no place is about."""
_PREFIX = re.compile(r"^[\w ]+ Error: ")
_CARRIED = re.compile(r"pagelake error ([0-9a-f]{16})")
_CARRIED_MAX = 64
_carried: dict[str, Error] = {}


def carry(error: Error) -> RuntimeError:
    """Wrap an error of ours that must cross the kernel, which keeps no more than its text.

    ``translate`` gives the error back.
    """
    token = secrets.token_hex(8)
    _carried[token] = error
    while len(_carried) > _CARRIED_MAX:  # those of statements that failed twice at once
        _carried.pop(next(iter(_carried)), None)
    return RuntimeError(f"pagelake error {token}")


@contextmanager
def typed_memory_errors() -> Iterator[None]:
    """Give running out of memory its type, where no statement does."""
    try:
        yield
    except (MemoryError, duckdb.OutOfMemoryException) as error:
        raise LimitExceeded("the process has no memory left to open a store") from error


def _strip(message: str) -> tuple[str, int, int, str]:
    """Split a kernel message into text, line, column and the line's text."""
    match = _LINE.search(message)
    line = column = 0
    excerpt = ""
    if match is not None:
        shown = match[2].split("\n")[0]
        line, excerpt = int(match[1]), shown
        column = max(1, len(match[3]) - len(f"LINE {match[1]}: ") + 1)
        message = message[: match.start()]
    message = _INTERNAL.sub("", _PREFIX.sub("", message)).strip()
    message = _LOCATION.sub("rowid", message)
    return message, line, column, excerpt


def _place(sql: str, line: int, column: int, excerpt: str) -> tuple[int, int, str] | None:
    """Line, column and line's text in the user's statement; None where that cannot be told."""
    lines = sql.split("\n")
    if 1 <= line <= len(lines):
        full = lines[line - 1]
        if full.startswith(excerpt):
            return line, column, full
        core = excerpt.strip(". ")  # the kernel cuts long lines
        found = full.find(core) if core else -1
        if found >= 0:
            return line, column + found - excerpt.find(core), full
    # What the kernel ran was put together from the user's text: look for the word at the caret.
    word = re.match(r"\w+", excerpt[column - 1 :])
    hits = list(re.finditer(rf"\b{word[0]}\b", sql)) if word is not None else []
    if len(hits) != 1:
        return None
    begin = sql.rfind("\n", 0, hits[0].start()) + 1
    return (
        sql.count("\n", 0, begin) + 1,
        hits[0].start() - begin + 1,
        sql[begin:].split("\n", maxsplit=1)[0],
    )


def _parse_error(message: str, sql: str) -> Error:
    text, line, column, excerpt = _strip(message)
    placed = _place(sql, line, column, excerpt) if line else None
    line, column, excerpt = placed or (1, 1, sql.split("\n", maxsplit=1)[0])
    return ParseError(text, line=line, column=column, excerpt=excerpt)


def _with_place(text: str, sql: str, line: int, column: int, excerpt: str) -> str:
    placed = _place(sql, line, column, excerpt) if line else None
    if placed is None:
        return text
    line, column, excerpt = placed
    return f"{text}{_PLACE}{line}, column {column}:\n  {excerpt}\n  {' ' * (column - 1)}^"


def located(error: Error, sql: str) -> Error:
    """Let an error about a name tell where a statement says that name.

    Args:
        error: Any error; one that tells a place already stays as it is.
        sql: The user's statement.
    """
    if isinstance(error, UnknownName) and error.name and _PLACE not in error.message:
        found = _find_name(sql, error.name, of_relation="column" not in error.message)
        if found is not None:
            begin = sql.rfind("\n", 0, found) + 1
            line, excerpt = sql.count("\n", 0, found) + 1, sql[begin:].split("\n", 1)[0]
            error.message = _with_place(error.message, sql, line, found - begin + 1, excerpt)
    elif isinstance(error, InvalidRequest) and not isinstance(error, ParseError):
        named = _NAMED.search(error.message)
        found = _find_name(sql, named[1], of_relation=False) if named is not None else None
        if found is not None and _PLACE not in error.message:
            begin = sql.rfind("\n", 0, found) + 1
            line, excerpt = sql.count("\n", 0, found) + 1, sql[begin:].split("\n", 1)[0]
            error.message = _with_place(error.message, sql, line, found - begin + 1, excerpt)
    return error


def _find_name(sql: str, name: str, *, of_relation: bool) -> int | None:
    """Offset of a name in a statement; that of a relation where relations stand, if it can be."""
    for word in dict.fromkeys((name, name.rsplit(".", maxsplit=1)[-1])):
        plain = rf"(?<!\w){re.escape(word)}(?!\w)"
        patterns = [rf"{_BEFORE_RELATIONS}({plain})"] if of_relation else []
        for pattern in (*patterns, f"({plain})"):
            found = re.search(pattern, sql, re.IGNORECASE)
            if found is not None:
                return found.start(1)
    return None


def _name_error(message: str, sql: str, columns: Iterable[str], tables: Iterable[str]) -> Error:
    text, line, column, excerpt = _strip(message)
    missing = _MISSING_COLUMN.search(text)
    if missing is not None:
        name = missing[1] or missing[2]
        shown = _with_place(f'there is no column "{name}"', sql, line, column, excerpt)
        return UnknownName(shown, name=name, suggestions=close_matches(name, columns))
    missing = _MISSING_TABLE.search(text)
    if missing is not None:
        name = missing[1]
        shown = _with_place(f'there is no table or view "{name}"', sql, line, column, excerpt)
        near = close_matches(name.split(".")[-1], tables)
        return UnknownName(shown, name=name, suggestions=near)
    if "already exists" in text:
        return AlreadyExists(text)
    if "does not exist" in text:
        return UnknownName(_with_place(text, sql, line, column, excerpt), name="", suggestions=())
    return InvalidRequest(_with_place(text, sql, line, column, excerpt))


def _out_of_memory(text: str) -> Error:
    # The kernel goes on with advice about settings, some of which are not the user's to set.
    text = text.partition("\n\nPossible solutions:")[0]
    return LimitExceeded(text, hint="raise memory_limit, or set fewer threads")


_SIMPLE: Final[tuple[tuple[type[BaseException], Callable[[str], Error]], ...]] = (
    (duckdb.ConstraintException, ConstraintViolation),
    (duckdb.ConversionException, InvalidValue),
    (duckdb.OutOfRangeException, InvalidValue),
    (duckdb.OutOfMemoryException, _out_of_memory),
    (duckdb.NotImplementedException, Unsupported),
    (duckdb.InvalidInputException, InvalidRequest),
    (duckdb.InvalidTypeException, InvalidRequest),
    (duckdb.TypeMismatchException, InvalidRequest),
    (duckdb.SyntaxException, InvalidRequest),
    (duckdb.PermissionException, Unsupported),
    (duckdb.InternalException, InternalError),
    (duckdb.FatalException, InternalError),
)


_STREAMED: Final[dict[str, type[duckdb.Error]]] = {
    "Constraint": duckdb.ConstraintException,
    "Conversion": duckdb.ConversionException,
    "FATAL": duckdb.FatalException,
    "INTERNAL": duckdb.InternalException,
    "IO": duckdb.IOException,
    "Invalid Input": duckdb.InvalidInputException,
    "Mismatch Type": duckdb.TypeMismatchException,
    "Not implemented": duckdb.NotImplementedException,
    "Out of Memory": duckdb.OutOfMemoryException,
    "Out of Range": duckdb.OutOfRangeException,
}
"""Kinds of the kernel's errors by the word that their texts begin with: a stream of batches
carries no more than the text, in an OSError."""


def _from_os(error: OSError, sql: str) -> Error:
    """The error of a stream, or of the operating system."""
    kind = _STREAM_KIND.match(str(error))
    if kind is not None:
        return translate(_STREAMED.get(kind[1], duckdb.Error)(str(error)), sql)
    if error.errno is None:
        return InternalError(f"{type(error).__name__}: {error}")
    place = "" if error.filename is None else f": {error.filename}"
    text = f"{error.strerror}{place}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(text, hint="make room and run the statement again")
    return Unavailable(text, hint="look at the device, then run the statement again")


def is_hot_damage(error: BaseException) -> bool:
    """Tell whether the kernel stumbled over a native file, which only hot segments are."""
    return isinstance(error, duckdb.Error) and "corrupt database file" in str(error).lower()


def translate(
    error: BaseException,
    sql: str,
    *,
    columns: Iterable[str] = (),
    tables: Iterable[str] = (),
) -> Error:
    """Turn an error of the kernel into one of Pagelake's.

    Args:
        error: What the kernel raised.
        sql: The user's statement, for the place of the error.
        columns: Column names that could have been meant.
        tables: Table names that could have been meant.
    """
    message = str(error)
    if isinstance(error, Error):
        return error
    token = _CARRIED.search(message)
    if token is not None and (own := _carried.pop(token[1], None)) is not None:
        return own
    if isinstance(error, duckdb.ParserException):
        return _parse_error(message, sql)
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return _name_error(message, sql, columns, tables)
    if isinstance(error, duckdb.InterruptException) or _INTERRUPTED.search(message):
        return Interrupted("the statement was cancelled")
    if isinstance(error, MemoryError):
        return LimitExceeded("the process has no memory left for this")
    if isinstance(error, OSError):
        return _from_os(error, sql)
    if not isinstance(error, duckdb.Error):
        return InternalError(f"{type(error).__name__}: {message}")
    text, line, column, excerpt = _strip(message)
    if is_hot_damage(error):
        return Corrupt(
            f"a hot segment is damaged and was given up: {text}",
            hint="run the statement again: it then reads the truth",
        )
    if text.startswith(("CSV Error on Line", "Division by zero")):
        return InvalidValue(_with_place(text, sql, line, column, excerpt))
    if isinstance(error, duckdb.IOException):
        if "No space left" in text or "could not write" in text.lower():
            return StorageFull(text)
        return InvalidRequest(text)
    if "positional parameters" in text:
        return InvalidRequest(text, hint="pass a list for ? and $1, a dictionary for $name")
    for kind, make in _SIMPLE:
        if isinstance(error, kind):
            return make(_with_place(text, sql, line, column, excerpt))
    return InvalidRequest(_with_place(text, sql, line, column, excerpt))


def statements_of(session: Session, script: str) -> list[str]:
    """Split a script into statements.

    Raises:
        ParseError: A quote or comment is not closed, or it is no text at all.
    """
    try:
        script.encode()
    except UnicodeEncodeError as error:
        raise ParseError(f"not a text: {error.reason} at offset {error.start}") from error
    try:
        return split(script)
    except ParseError:
        try:
            session.database.kernel.parse(script)
        except duckdb.Error as error:
            raise session.translate(error, script) from error  # it knows the place better
        raise
