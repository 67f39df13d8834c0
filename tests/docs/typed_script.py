"""A user's script under ``mypy --strict``: it is checked, and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, reveal_type

import pagelake

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable
    from pathlib import Path


def opened(path: Path, when: datetime.datetime) -> pagelake.Connection:
    pagelake.connect(path, read_only=True, at=when).close()
    pagelake.connect(devices=[path, "b"], parity=1, at="tag", settings={"threads": 2}).close()
    db = pagelake.connect("my.lake", at=3)
    reveal_type(db)  # pagelake.engine.connection.Connection
    return db


def executed(db: pagelake.Connection) -> None:
    reveal_type(db.execute("SELECT ?", [1]))  # pagelake.engine.connection.Connection
    reveal_type(db.executemany("SELECT $a", [{"a": 1}]))  # pagelake.engine.connection.Connection
    reveal_type(db.cursor())  # pagelake.engine.connection.Cursor
    reveal_type(db.sql("SELECT $a", {"a": 1}))  # pagelake.engine.result.Result
    reveal_type(db.append("t", object()))  # int
    reveal_type(db.fetchone())  # tuple[Any, ...] | None
    reveal_type(db.fetchmany(5))  # list[tuple[Any, ...]]
    reveal_type(db.fetchall())  # list[tuple[Any, ...]]
    reveal_type(db.arrow())  # pyarrow.Table
    reveal_type(db.reader(1_000))  # pyarrow.RecordBatchReader
    reveal_type(db.df())  # pandas.DataFrame
    reveal_type(db.pl())  # polars.DataFrame
    reveal_type(db.description)  # list[tuple[str, str, None, None, None, None, None]] | None
    reveal_type(db.rowcount)  # int
    reveal_type(db.arraysize)  # int
    reveal_type(db.begin())  # pagelake.engine.connection.Connection
    db.commit()
    db.rollback()
    db.interrupt()
    db.setinputsizes([1])
    db.setoutputsize(1)
    for row in db:
        reveal_type(row)  # tuple[Any, ...]
    with db.cursor() as cursor:
        reveal_type(cursor.execute("SELECT 1"))  # pagelake.engine.connection.Cursor


def described(db: pagelake.Connection) -> None:
    reveal_type(db.statements("SELECT 1; SELECT 2"))  # list[str]
    reveal_type(db.snapshot())  # int
    reveal_type(db.table_names("main"))  # list[str]
    reveal_type(db.path)  # str
    reveal_type(db.read_only)  # bool
    reveal_type(db.store_id)  # str
    reveal_type(db.format_version)  # int
    reveal_type(db.schema_sql("t"))  # str
    db.close()


def read(result: pagelake.Result) -> None:
    reveal_type(result.columns)  # list[str]
    reveal_type(result.types)  # list[str]
    reveal_type(result.description)  # list[tuple[str, str, None, None, None, None, None]] | None
    reveal_type(result.rowcount)  # int
    reveal_type(result.returns_rows)  # bool
    reveal_type(result.explain())  # str
    reveal_type(result.start())  # pagelake.engine.result.Result
    reveal_type(result.arrow())  # pyarrow.Table
    reveal_type(result.reader())  # pyarrow.RecordBatchReader
    reveal_type(result.df())  # pandas.DataFrame
    reveal_type(result.pl())  # polars.DataFrame
    reveal_type(result.fetchall())  # list[tuple[Any, ...]]
    reveal_type(result.fetchmany(2))  # list[tuple[Any, ...]]
    reveal_type(result.fetchone())  # tuple[Any, ...] | None
    reveal_type(result.timing.total_ms)  # float
    result.show(max_rows=5)
    result.close()


def kept(progress: Callable[[str, int, int], None]) -> tuple[pagelake.Backup, pagelake.CheckReport]:
    done = pagelake.backup("my.lake", "copy.lake", progress=progress)
    reveal_type(done.version)  # int
    reveal_type(done.bytes_copied)  # int
    reveal_type(done.seconds)  # float
    report = pagelake.check(["a", "b"], repair=True, progress=progress)
    reveal_type(report.damaged)  # int
    for finding in report.findings + report.left:
        reveal_type(finding.affects)  # tuple[str, ...]
    for repair in report.repairs:
        reveal_type(repair.done)  # bool
    return done, report


def module() -> tuple[str, str, int, str]:
    reveal_type(pagelake.Date(2026, 9, 1))  # datetime.date
    reveal_type(pagelake.Time(12, 30))  # datetime.time
    reveal_type(pagelake.Timestamp(2026, 9, 1))  # datetime.datetime
    reveal_type(pagelake.DateFromTicks(0.0))  # datetime.date
    reveal_type(pagelake.TimeFromTicks(0.0))  # datetime.time
    reveal_type(pagelake.TimestampFromTicks(0.0))  # datetime.datetime
    reveal_type(pagelake.Binary(b"x"))  # bytes
    kinds = [pagelake.STRING, pagelake.BINARY, pagelake.NUMBER, pagelake.DATETIME, pagelake.ROWID]
    reveal_type(kinds)  # list[pagelake.engine.dbapi_types.TypeObject]
    return pagelake.__version__, pagelake.apilevel, pagelake.threadsafety, pagelake.paramstyle


def handled(error: pagelake.Error) -> bool:
    reveal_type(error.hint)  # str | None
    match error:
        case pagelake.ParseError():
            reveal_type(error.line)  # int | None
        case pagelake.UnknownName():
            reveal_type(error.suggestions)  # tuple[str, ...]
        case pagelake.TypeMismatch():
            reveal_type(error.column)  # str | None
        case pagelake.Unsupported():
            reveal_type(error.construct)  # str | None
        case pagelake.Corrupt():
            reveal_type(error.offset)  # int | None
        case pagelake.FileError():
            reveal_type(error.errno)  # int
        case pagelake.Conflict() | pagelake.Timeout() | pagelake.StorageFull():
            return True
        case pagelake.LimitExceeded() | pagelake.Unavailable() | pagelake.OutcomeUnknown():
            return error.retryable
    return isinstance(error, OTHERS)


OTHERS: tuple[type[pagelake.Error], ...] = (
    pagelake.AlreadyExists, pagelake.Closed, pagelake.ConstraintViolation, pagelake.DataError,
    pagelake.DatabaseError, pagelake.Denied, pagelake.ForkedConnection, pagelake.FormatTooNew,
    pagelake.IntegrityError, pagelake.InterfaceError, pagelake.InternalError,
    pagelake.Interrupted, pagelake.InvalidRequest, pagelake.InvalidValue, pagelake.NotAStore,
    pagelake.NotSupportedError, pagelake.OperationalError, pagelake.ProgrammingError,
    pagelake.SnapshotGone, pagelake.TransactionAborted,
)  # fmt: skip
WARNINGS: type[Exception] = pagelake.Warning
CURSORS: Callable[[pagelake.Connection], pagelake.Cursor] = pagelake.Connection.cursor
