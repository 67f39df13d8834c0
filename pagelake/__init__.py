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
    from collections.abc import Mapping, Sequence
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
    "Binary",
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
            long as the connection. Left out when there are `devices`.
        devices: Directories to spread the store over, best each on a disk of its own, named in
            any order; as many as `parity` may be missing.
        parity: How many of the devices may be lost without losing a row, 1 when a new store is
            made and nothing is said; None for what the store was created with.
        read_only: Refuse every statement that would write; the store must exist.
        at: Read everything as of a version (an int), a time (a datetime, UTC where it has no
            zone) or a tag (its name), and refuse every statement that would write.
        settings: Values of settings by name, as for `SET`, e.g. `{"memory_limit": "4GB"}`.

    Returns:
        A connection; statements autocommit until `BEGIN` is said.

    Raises:
        NotAStore: The path is a file, is not writable, holds something other than a store, or is
            on a file system whose links are not atomic.
        FormatTooNew: A newer Pagelake wrote the store.
        InvalidRequest: A setting is unknown or its value is out of range.
        SnapshotGone: The version to read does not exist, or was reclaimed.
        UnknownName: There is no tag of that name.
    """
    from .engine.connection import connect as open_connection

    return open_connection(
        path, devices=devices, parity=parity, read_only=read_only, at=at, settings=settings
    )


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
