"""Pagelake: a SQL-first analytical database engine over one shared flash-page store.

    import pagelake

    with pagelake.connect("my.lake") as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        db.sql("SELECT count(*) FROM t").show()

The module follows PEP 249. Everything but `connect` and the errors is loaded on first use:
importing DuckDB, Arrow and the parser takes half a second, which `pagelake --help` and programs
that may never open a store should not pay.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from .errors import (
    AlreadyExists,
    Closed,
    Conflict,
    ConstraintViolation,
    Corrupt,
    DatabaseError,
    DataError,
    Denied,
    Error,
    FileError,
    ForkedConnection,
    FormatTooNew,
    IntegrityError,
    InterfaceError,
    InternalError,
    Interrupted,
    InvalidRequest,
    InvalidValue,
    LimitExceeded,
    NotAStore,
    NotSupportedError,
    OperationalError,
    OutcomeUnknown,
    ParseError,
    ProgrammingError,
    SnapshotGone,
    StorageFull,
    Timeout,
    TransactionAborted,
    TypeMismatch,
    Unavailable,
    UnknownName,
    Unsupported,
    Warning,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from .engine.connection import Connection, Cursor
    from .engine.dbapi_types import (
        BINARY,
        DATETIME,
        NUMBER,
        ROWID,
        STRING,
        Binary,
        Date,
        DateFromTicks,
        Time,
        TimeFromTicks,
        Timestamp,
        TimestampFromTicks,
    )
    from .engine.result import Result
    from .engine.safekeeping.check import CheckReport
    from .storage.maintenance.backup import Backup

__version__: Final = "0.1.0"

# PEP 249: the version of the interface; threads may share the module and connections; `?` marks
# a parameter (`$1` and `$name` are accepted too).
apilevel: Final = "2.0"
threadsafety: Final = 2
paramstyle: Final = "qmark"

_LAZY: Final = {
    "Connection": ".engine.connection",
    "Cursor": ".engine.connection",
    "Result": ".engine.result",
    "Backup": ".storage.maintenance.backup",
    "CheckReport": ".engine.safekeeping.check",
    "BINARY": ".engine.dbapi_types",
    "DATETIME": ".engine.dbapi_types",
    "NUMBER": ".engine.dbapi_types",
    "ROWID": ".engine.dbapi_types",
    "STRING": ".engine.dbapi_types",
    "Binary": ".engine.dbapi_types",
    "Date": ".engine.dbapi_types",
    "DateFromTicks": ".engine.dbapi_types",
    "Time": ".engine.dbapi_types",
    "TimeFromTicks": ".engine.dbapi_types",
    "Timestamp": ".engine.dbapi_types",
    "TimestampFromTicks": ".engine.dbapi_types",
}

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "AlreadyExists",
    "Backup",
    "Binary",
    "CheckReport",
    "Closed",
    "Conflict",
    "Connection",
    "ConstraintViolation",
    "Corrupt",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Denied",
    "Error",
    "FileError",
    "ForkedConnection",
    "FormatTooNew",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "Interrupted",
    "InvalidRequest",
    "InvalidValue",
    "LimitExceeded",
    "NotAStore",
    "NotSupportedError",
    "OperationalError",
    "OutcomeUnknown",
    "ParseError",
    "ProgrammingError",
    "Result",
    "SnapshotGone",
    "StorageFull",
    "Time",
    "TimeFromTicks",
    "Timeout",
    "Timestamp",
    "TimestampFromTicks",
    "TransactionAborted",
    "TypeMismatch",
    "Unavailable",
    "UnknownName",
    "Unsupported",
    "Warning",
    "__version__",
    "apilevel",
    "backup",
    "check",
    "connect",
    "paramstyle",
    "threadsafety",
]


def connect(
    path: str | os.PathLike[str] = ":memory:",
    *,
    devices: Sequence[str | os.PathLike[str]] = (),
    parity: int | None = None,
    read_only: bool = False,
    at: int | str | datetime | None = None,
    settings: Mapping[str, object] | None = None,
) -> Connection:
    """Open a store and return a connection to it.

    Args:
        path: The store's directory, created if absent; `":memory:"` for a store that lives as
            long as the connection. Left out when there are `devices`; any one directory of a store
            over several devices opens it.
        devices: Directories to spread the store over, best each on a disk of its own, named in
            any order; as many as `parity` may be missing.
        parity: How many of the devices may be lost without losing a row, 1 when a new store is
            made and nothing is said; None for what the store was created with.
        read_only: Refuse every statement that would write; the store must exist. Where its
            directory can be written all the same, a file in `pins/` tells other processes which
            versions are being read, so that they are kept. On media that cannot be written a
            statement fails with SnapshotGone when its version is reclaimed elsewhere meanwhile.
        at: Read everything as of a version (an int), a time (a datetime, UTC where it has no
            zone) or a tag (its name), and refuse every statement that would write.
        settings: Values of settings by name, as for `SET`, e.g. `{"memory_limit": "4GB"}`.

    Returns:
        A connection; statements autocommit until `BEGIN` is said.

    Raises:
        NotAStore: The path is a file, is not writable, holds something other than a store, or is
            on a file system whose links are not atomic.
        FormatTooNew: A newer Pagelake wrote the store.
        Corrupt: The log is damaged.
        Unavailable: More devices are missing than the parity allows.
        InvalidRequest: A setting is unknown or its value is out of range.
        SnapshotGone: The version to read does not exist, or was reclaimed.
        UnknownName: There is no tag of that name.
    """
    from .engine.connection import connect as open_connection

    return open_connection(
        path, devices=devices, parity=parity, read_only=read_only, at=at, settings=settings
    )


def backup(
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    destination: str | os.PathLike[str],
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Backup:
    """Copy a store, which may be in use, into a directory; again only what is new.

    The copy is a store of the same identity at the version that the store has now, with the older
    versions that can still be read. What is copied is verified. An interrupted backup is completed
    by the next one, and the copy stays at the version it was at until then.

    Args:
        store: Its directory, or the directories of a store over several devices.
        destination: An empty or new directory outside of the store, or that of an earlier backup.
        progress: Told what is being copied, the bytes done and the bytes in all.

    Returns:
        The version of the copy, the bytes copied and the seconds it took.

    Raises:
        InvalidRequest: The destination lies in the store, or the store in it.
        NotAStore: There is no store, or the destination holds something else.
        Denied: The destination was written to by itself, or is newer than the store.
        Corrupt: The store is damaged.
        StorageFull: No room in the destination; it stays at the version it was at.
    """
    from .engine.safekeeping.backup import backup as copy_store

    return copy_store(store, destination, progress=progress)


def check(
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    repair: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> CheckReport:
    """Verify every checksum, reference, count and bound of a store, which may be in use.

    Args:
        store: Its directory, or the directories of a store over several devices.
        repair: Make good what can be made good: derived files, and what parity still tells.
        progress: Told what is being looked at, the bytes done and the bytes in all.

    Returns:
        What was found and repaired; its `damaged` is 0 for a sound store.

    Raises:
        NotAStore: There is no store.
        FormatTooNew: A newer Pagelake wrote it.
    """
    from .engine.safekeeping.check import check as check_store

    return check_store(store, repair=repair, progress=progress)


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module, __name__), name)
    globals()[name] = value  # the next access does not come here again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
