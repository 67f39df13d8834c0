"""Every error that Pagelake raises, as one tree.

The names on the left are PEP 249's, so that code written for any database driver catches them; the
names under them say what the caller should do. `retryable` errors are marked with *.

    Exception
    ├── Warning
    └── Error
        ├── InterfaceError              the connection was used wrongly
        │   ├── Closed                  open it again
        │   └── ForkedConnection        connect again in the child process
        └── DatabaseError
            ├── Corrupt                 stored bytes are not what was written: never retry
            ├── DataError
            │   └── InvalidValue        correct the value in the row
            ├── IntegrityError
            │   └── ConstraintViolation correct the row
            ├── InternalError           a defect of Pagelake: please report it
            ├── NotSupportedError
            │   └── Unsupported         say it another way
            ├── OperationalError
            │   ├── Conflict *          run the transaction again
            │   ├── Denied              ask for the privilege
            │   ├── FileError           look at its errno, as after a system call
            │   ├── FormatTooNew        install a newer Pagelake
            │   ├── Interrupted         it was cancelled, as asked
            │   ├── NotAStore           give another path
            │   ├── OutcomeUnknown      read again before repeating the write
            │   ├── SnapshotGone        read a newer snapshot
            │   ├── TransactionAborted  say ROLLBACK
            │   └── Unavailable *       try again later
            │       ├── LimitExceeded * ask for less, or raise the limit
            │       ├── StorageFull *   make room
            │       └── Timeout *       allow more time
            └── ProgrammingError
                └── InvalidRequest      correct the statement
                    ├── AlreadyExists   choose another name, or say IF NOT EXISTS
                    ├── ParseError      correct the text at the line and column shown
                    ├── TypeMismatch    add a cast (a DataError too)
                    └── UnknownName     correct the name; near ones are suggested

A class, its `code` and its `retryable` flag are stable; the text of a message is not. Messages
never hold values that the caller may not see. Arguments after the message are given by keyword.
"""

from __future__ import annotations

import errno as numbers
import os
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


class Warning(Exception):
    """Tell the caller of something important that did not stop the statement (PEP 249)."""


class Error(Exception):
    """Catch this to catch everything that Pagelake raises.

    Args:
        message: What happened, in a sentence, with the names involved.
        hint: What to do about it, where there is something better to say than the class does.

    Attributes:
        code: A stable name of the class for programs, logs and other languages.
        retryable: Whether the same request may succeed when it is simply made again.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # `args` holds the message only, and every further attribute is a keyword with a default,
        # so that an error survives the trip back from a worker process.
        # A schema within a schema is kept under its path, with this sign between the names.
        message = message.replace("\x1f", ".")
        super().__init__(message)
        self.message = message
        self.hint = None if hint is None else hint.replace("\x1f", ".")

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class InterfaceError(Error):
    """Correct the calling program: the driver was used in a way it cannot be (PEP 249)."""

    code = "interface_error"


class DatabaseError(Error):
    """Handle as a failure of the database, as opposed to the driver (PEP 249)."""

    code = "database_error"


class DataError(DatabaseError):
    """Correct the values: they do not fit their types (PEP 249)."""

    code = "data_error"


class OperationalError(DatabaseError):
    """Look at the surroundings: the statement is fine, its circumstances are not (PEP 249)."""

    code = "operational_error"


class IntegrityError(DatabaseError):
    """Correct the rows: they contradict the schema (PEP 249)."""

    code = "integrity_error"


class InternalError(DatabaseError):
    """Please report it, with the statement: this is a defect of Pagelake (PEP 249)."""

    code = "internal_error"


class ProgrammingError(DatabaseError):
    """Correct the statement or its parameters (PEP 249)."""

    code = "programming_error"


class NotSupportedError(DatabaseError):
    """Do without: the database does not offer this (PEP 249)."""

    code = "not_supported_error"


class Closed(InterfaceError):
    """Open a new connection, cursor or result: this one was closed."""

    code = "closed"


class ForkedConnection(InterfaceError):
    """Connect again in the child process: a connection cannot cross a fork."""

    code = "forked_connection"


class InvalidRequest(ProgrammingError):
    """Correct the request; repeating it unchanged fails again."""

    code = "invalid_request"


class ParseError(InvalidRequest):
    """Correct the text at the place shown.

    Args:
        message: What was found, and what was expected.
        line: Line of the spot, counted from 1; unknown when None.
        column: Column of the spot in characters, counted from 1; unknown when None.
        excerpt: The source line that holds the spot, without its line break.
        hint: What to write instead, where that is known.
    """

    code = "parse_error"

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        excerpt: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column
        self.excerpt = excerpt

    def __str__(self) -> str:
        lines = [self.message]
        if self.line is not None:
            place = f"line {self.line}"
            if self.column is not None:
                place += f", column {self.column}"
            lines[0] = f"{self.message} ({place})"
        if self.excerpt is not None:
            lines.append(f"  {self.excerpt}")
            if self.column is not None:
                # Tabs are kept before the caret, so that it stands under the spot at any tab width.
                before = self.excerpt[: self.column - 1].ljust(self.column - 1)
                lines.append("  " + "".join("\t" if c == "\t" else " " for c in before) + "^")
        if self.hint is not None:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class UnknownName(InvalidRequest):
    """Correct the name, or create what it names.

    Args:
        message: Which kind of thing was looked for, under which name.
        name: The name as it was written.
        suggestions: Names that exist and look like it, the nearest first.
        hint: What to do instead; the suggestions make one when it is absent.
    """

    code = "unknown_name"

    def __init__(
        self,
        message: str,
        *,
        name: str | None = None,
        suggestions: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.suggestions = tuple(suggestions)

    def __str__(self) -> str:
        text = self.message
        if self.suggestions:
            quoted = [f'"{suggestion}"' for suggestion in self.suggestions]
            *others, last = quoted
            choice = f"{', '.join(others)} or {last}" if others else last
            text += f"\nDid you mean {choice}?"
        return text if self.hint is None else f"{text}\nhint: {self.hint}"


class TypeMismatch(InvalidRequest, DataError):
    """Add a cast, or use a column of the type that is asked for.

    Args:
        message: The type found and the type expected.
        column: The column or expression that has the wrong type.
        hint: The cast to write, where there is one.
    """

    code = "type_mismatch"

    def __init__(self, message: str, *, column: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.column = column


class AlreadyExists(InvalidRequest):
    """Choose another name, or say IF NOT EXISTS or OR REPLACE."""

    code = "already_exists"


class ConstraintViolation(IntegrityError):
    """Correct the row: NOT NULL, CHECK, UNIQUE, a primary or a foreign key forbids it."""

    code = "constraint_violation"


class InvalidValue(DataError):
    """Correct the value: it cannot be converted, is out of range, or divides by zero."""

    code = "invalid_value"


class Unsupported(NotSupportedError):
    """Say it another way: Pagelake understands the construct and does not offer it.

    Args:
        message: What is not offered, and why where that helps.
        construct: The construct itself, e.g. `CREATE SEQUENCE`.
        hint: Another way to the same end.
    """

    code = "unsupported"

    def __init__(
        self, message: str, *, construct: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.construct = construct


class Denied(OperationalError):
    """Ask for the privilege, or open the store for writing."""

    code = "denied"


class Conflict(OperationalError):
    """Run the whole transaction again: another one committed first, this one left no trace."""

    code = "conflict"
    retryable = True


class TransactionAborted(OperationalError):
    """Say ROLLBACK: an earlier statement failed and the transaction takes no further ones."""

    code = "transaction_aborted"

    def __init__(
        self,
        message: str = "current transaction is aborted, say ROLLBACK",
        *,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)


class Unavailable(OperationalError):
    """Try again later: something needed is missing or busy at the moment."""

    code = "unavailable"
    retryable = True


class LimitExceeded(Unavailable):
    """Ask for less at a time, or raise the limit that the message names."""

    code = "limit_exceeded"


class Timeout(Unavailable):
    """Allow more time, or try again when there is less to wait for; nothing was changed."""

    code = "timeout"


class StorageFull(Unavailable):
    """Make room on the device and try again; nothing was changed."""

    code = "storage_full"


class FileError(OperationalError):
    """Look at `errno`: an operation on stored files is refused as a file system would refuse it.

    Args:
        errno: One of the `errno` module's numbers.
        path: What it is about; lone surrogates and control characters are shown escaped.

    Attributes:
        errno: The number.
        path: What it is about.
    """

    code = "file_error"

    def __init__(self, errno: int, path: object = "") -> None:
        name = numbers.errorcode.get(errno, str(errno))
        about = f": {path!r}" if path != "" else ""
        super().__init__(f"[{name}] {os.strerror(errno)}{about}")
        self.errno = errno
        self.path = path

    def __reduce__(self) -> tuple[type[FileError], tuple[int, object]]:
        return FileError, (self.errno, self.path)


class Interrupted(OperationalError):
    """Nothing to do: the statement was cancelled on request and changed nothing."""

    code = "interrupted"


class Corrupt(DatabaseError):
    """Never retry; restore the file named, or delete it when it is a derived one.

    Stored bytes do not match their checksum, or contradict what refers to them. `pagelake check`
    lists everything that is affected.

    Args:
        message: What was expected and what was found.
        file: Path of the file inside the store.
        offset: Where the page starts in the file, in bytes.
        hint: How to repair it, where that is known.
    """

    code = "corrupt"

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        offset: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.offset = offset

    def __str__(self) -> str:
        if self.file is None:
            return super().__str__()
        place = self.file if self.offset is None else f"{self.file} at byte {self.offset}"
        text = f"{self.message} ({place})"
        return text if self.hint is None else f"{text}\nhint: {self.hint}"


class FormatTooNew(OperationalError):
    """Install a newer Pagelake: a later version wrote this store."""

    code = "format_too_new"


class NotAStore(OperationalError):
    """Give another path: there is no store here, and none can be made."""

    code = "not_a_store"


class SnapshotGone(OperationalError):
    """Read a newer snapshot: this one's pages have been reclaimed."""

    code = "snapshot_gone"


class OutcomeUnknown(OperationalError):
    """Read again before repeating the write: the commit may or may not have happened."""

    code = "outcome_unknown"


# The status of a process that ends with an error, after the BSD list in sysexits.h, where shell
# scripts and supervisors look: 75 is the one that is worth another try. The nearest class wins.
_EXIT_CODES: Final[dict[type[BaseException], int]] = {
    KeyboardInterrupt: 130,
    Interrupted: 130,  # 128 + SIGINT, as shells report it
    InvalidRequest: 65,
    DataError: 65,
    IntegrityError: 65,
    NotSupportedError: 65,
    TransactionAborted: 65,
    NotAStore: 66,
    SnapshotGone: 66,
    InterfaceError: 70,
    InternalError: 70,
    Corrupt: 74,
    Conflict: 75,
    Unavailable: 75,
    OutcomeUnknown: 76,
    Denied: 77,
    FormatTooNew: 78,
}


def exit_code(error: BaseException) -> int:
    """Give the status that the command line exits with after an error.

    Args:
        error: What ended the command.

    Returns:
        1 for anything that is not in the table, never 0, and never 2, which means a wrong use of
        the command line itself.
    """
    for ancestor in type(error).__mro__:
        if ancestor in _EXIT_CODES:
            return _EXIT_CODES[ancestor]
    return 1
