"""The Python door: connections and PEP 249 cursors over sessions."""

from __future__ import annotations

import sys
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from .. import errors
from ..errors import Closed, InvalidRequest, TypeMismatch
from ..sql.references import At
from ..sql.tokens import literal, quote
from ..storage.schema_path import dotted
from ..storage.store import STORE_FORMAT
from .database import MEMORY, Database
from .kernel_errors import typed_memory_errors
from .statements import describe
from .time_travel import version_at

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import FrameType, TracebackType

    import pandas as pd
    import polars as pl

    from .kernel import Parameters
    from .result import Result
    from .session import Session


class Cursor:
    """A cursor with a transaction of its own (PEP 249, and Pagelake's ways to fetch).

    Threads may share a connection, but each should use a cursor of its own.
    """

    arraysize = 1
    _count_is_a_row = False

    def __init__(self, session: Session, connection: Connection | None = None) -> None:
        self._session = session
        # A connection closes its database when nobody holds it any more; a cursor does.
        self._connection = connection
        self._result: Result | None = None
        self._finalizer = weakref.finalize(self, session.close)

    # Running

    def execute(self, sql: str, parameters: Parameters = None) -> Self:
        """Run a statement; parameters for ``?``, ``$1`` (a sequence) or ``$name`` (a mapping)."""
        self._run(sql, parameters, sys._getframe(1))
        return self

    def executemany(
        self, sql: str, rows: Iterable[Sequence[object] | Mapping[str, object]]
    ) -> Self:
        """Run a statement once for each set of parameters, in one transaction."""
        self._discard()
        self._result = self._session.execute_many(sql, list(rows))
        return self

    def sql(self, sql: str, parameters: Parameters = None) -> Result:
        """Run a statement; a query runs when its result is read."""
        result = self._session.execute(sql, parameters, frame=sys._getframe(1))
        result.held = self  # rows are read later: the connection must last as long
        return result

    def _run(self, sql: str, parameters: Parameters, frame: FrameType | None) -> None:
        self._discard()
        self._result = self._session.execute(sql, parameters, frame=frame).start()

    def _discard(self) -> None:
        if self._result is not None:
            self._result.close()
            self._result = None

    def append(self, table: str, rows: object) -> int:
        """Append Arrow data, or a data frame, to a table; columns are matched by name.

        Args:
            table: Name of the table, possibly with its schema.
            rows: Anything with the Arrow C stream interface (pyarrow, polars, pandas).

        Returns:
            The number of rows appended.

        Raises:
            TypeMismatch: A column cannot be converted; the error names it.
            UnknownName: A column is not the table's.
        """
        return append(self._session, table, rows)

    # Fetching

    def _open_result(self) -> Result:
        if self._result is None:
            raise Closed("no statement was executed", hint="call execute first")
        return self._result

    def _rows(self) -> Result:
        result = self._open_result()
        if not (result.returns_rows or self._count_is_a_row):
            raise InvalidRequest(
                "the statement returns no rows", hint="rowcount tells how many it changed"
            )
        return result

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None behind the last."""
        return self._rows().fetchone()

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Up to ``size`` (or ``arraysize``) further rows."""
        return self._rows().fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All remaining rows."""
        return self._rows().fetchall()

    def arrow(self) -> pa.Table:
        """All remaining rows as an Arrow table."""
        return self._open_result().arrow()

    def reader(self, batch_rows: int = 122_880) -> pa.RecordBatchReader:
        """All remaining rows as a stream of Arrow batches."""
        return self._open_result().reader(batch_rows)

    def df(self) -> pd.DataFrame:
        """All remaining rows as a pandas data frame."""
        return self._open_result().df()

    def pl(self) -> pl.DataFrame:
        """All remaining rows as a polars data frame."""
        return self._open_result().pl()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._open_result())

    @property
    def description(self) -> list[tuple[str, str, None, None, None, None, None]] | None:
        """Columns of the last statement's result, None where it has none."""
        return None if self._result is None else self._result.description

    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed, -1 where that is not known."""
        return -1 if self._result is None else self._result.rowcount

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing, as PEP 249 allows."""

    # Transactions and state

    def begin(self) -> Self:
        """Begin a transaction."""
        self._session.begin()
        return self

    def commit(self) -> None:
        """Commit the open transaction, if there is one."""
        self._session.commit()

    def rollback(self) -> None:
        """Roll the open transaction back, if there is one."""
        self._session.rollback()

    def interrupt(self) -> None:
        """Cancel what runs at the moment; from any thread. The connection stays usable."""
        self._session.interrupt()

    def statements(self, script: str) -> list[str]:
        """Split a script into its statements."""
        return self._session.statements(script)

    def snapshot(self) -> int:
        """The version that a statement would read now."""
        self._session.check_usable()
        return self._session.snapshot().version

    def table_names(self, schema: str | None = None) -> list[str]:
        """Names of the tables and views in a schema, the current one by default, sorted."""
        self._session.check_usable()
        snapshot, wanted = self._session.snapshot(), (schema or self._session.schema).lower()
        tables = [s.definition for s in snapshot.tables.values()]
        views = snapshot.views.values()
        names = {d.name for d in tables if dotted(d.schema).lower() == wanted}
        names |= {v.name for v in views if dotted(v.schema).lower() == wanted}
        return sorted(names)

    def close(self) -> None:
        """Roll back what is open and release the cursor. Closing twice is allowed."""
        self._discard()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Connection(Cursor):
    """An open database and its first cursor. Closing it closes the database."""

    # PEP 249 knows no execute on a connection: here it is DuckDB's, whose statements without
    # rows give their count as one.
    _count_is_a_row = True

    # PEP 249 asks for the exceptions on the connection too.
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError
    Warning = errors.Warning

    def __init__(self, database: Database, at: At | None = None) -> None:
        super().__init__(database.session())
        self._database = database
        self._version: int | None = None
        # Closing the database closes its sessions first; a second finalizer would come too late.
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, database.close)
        if at is not None:
            self._version = version_at(self._session, at, self._session.snapshot())
            self._session.stay_at(self._version)

    def cursor(self) -> Cursor:
        """A further cursor with a transaction of its own."""
        self._session.check_usable()
        session = self._database.session()
        if self._version is not None:
            session.stay_at(self._version)
        return Cursor(session, self)

    @property
    def path(self) -> str:
        """The store's directory, or ``:memory:``."""
        return self._database.path

    @property
    def read_only(self) -> bool:
        """True when the store was opened read-only."""
        return self._database.read_only

    @property
    def store_id(self) -> str:
        """The store's identity, made at random when it was created, in hexadecimal."""
        return self._database.store.id.hex()

    @property
    def format_version(self) -> int:
        """Version of the store's format on the device."""
        return STORE_FORMAT

    def schema_sql(self, table: str) -> str:
        """CREATE statement of a stored table or view, as `.schema` of the shell prints it.

        Args:
            table: Name of the table or view, possibly with its schema; quoted as in SQL where
                it needs quotes.

        Returns:
            The statement, with its semicolon.

        Raises:
            UnknownName: There is no such table or view.
        """
        return describe.schema_sql(self._session, table)

    def close(self) -> None:
        """Close the database and all its cursors. Closing twice is allowed."""
        super().close()
        self._database.close()


@typed_memory_errors()
def connect(
    path: str | os.PathLike[str] = MEMORY,
    *,
    devices: Sequence[str | os.PathLike[str]] = (),
    parity: int | None = None,
    read_only: bool = False,
    at: int | str | datetime | None = None,
    settings: Mapping[str, object] | None = None,
) -> Connection:
    """Open a store, created when it does not exist.

    Args:
        path: A directory, or ``:memory:`` for a throw-away store; left out with devices. Any one
            directory of a store over several devices opens it.
        devices: Directories to spread the store over.
        parity: How many of them may be lost; None for what the store was created with.
        read_only: Refuse changes and create nothing.
        at: Read everything as of this version, time or tag, and refuse changes; a time without
            a zone is UTC.
        settings: Settings by name, such as ``{"memory_limit": "4GB"}``.

    Raises:
        SnapshotGone: The version that ``at`` names does not exist, or was reclaimed.
        UnknownName: There is no tag of that name.
        NotAStore: The path cannot be a store.
        FormatTooNew: A later version of Pagelake wrote it.
        Corrupt: The log is damaged.
    """
    if at is None:
        return Connection(
            Database(path, devices=devices, parity=parity, read_only=read_only, settings=settings)
        )
    # Writable where it can be, so that the version is pinned; never so as to create a store.
    exists = any(Path(root).is_dir() for root in devices or (path,))
    database = Database(
        path, devices=devices, parity=parity, read_only=read_only or not exists, settings=settings
    )
    try:
        return Connection(database, _at(at))
    except BaseException:
        database.close()
        raise


def _at(at: int | str | datetime) -> At:
    """What ``connect`` was asked for as the clause of a statement."""
    match at:
        case bool():
            raise InvalidRequest("a version is a number, not a bool")
        case int():
            return At("VERSION", str(at))
        case str():
            return At("TAG", literal(at))
        case datetime():
            moment = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            return At("TIMESTAMP", literal(moment.isoformat()))
    raise InvalidRequest(
        f"cannot read as of a {type(at).__name__}",
        hint="give a version as a number, a time as a datetime, or the name of a tag",
    )


def append(session: Session, table: str, rows: object) -> int:
    """Append Arrow data or a data frame to a table by column name."""
    from .caller_scope import is_tabular
    from .statements.copy import Holder

    if not is_tabular(rows):
        raise InvalidRequest(
            f"cannot append a {type(rows).__name__}",
            hint="pass an Arrow table, a stream of batches, or a pandas or polars data frame",
        )
    rows = _validated(rows)
    holder = Holder({"pagelake_appended_rows": rows})
    target = ".".join(quote(part) for part in table.split("."))
    sql = f"INSERT INTO {target} BY NAME SELECT * FROM pagelake_appended_rows"
    try:
        return session.execute(sql, frame=holder.frame()).rowcount
    except errors.InvalidValue as error:
        column = _unconvertible(session, table, holder)
        if column is None:
            raise
        raise TypeMismatch(f'column "{column}": {error.message}', column=column) from error


def _validated(rows: object) -> object:
    """Check foreign Arrow memory before the kernel touches it."""
    if isinstance(rows, pa.Table | pa.RecordBatch):
        try:
            rows.validate(full=True)
        except pa.ArrowInvalid as error:
            raise errors.InvalidValue(f"the Arrow data is not valid: {error}") from error
    return rows


def _unconvertible(session: Session, table: str, holder: Any) -> str | None:
    """The first column whose values do not fit the table, for the error message."""
    rows = holder.f_locals["pagelake_appended_rows"]
    if isinstance(rows, pa.RecordBatchReader) or not hasattr(rows, "__arrow_c_stream__"):
        return None  # read already, or in no form whose columns could be looked at one by one
    if not isinstance(rows, pa.Table):
        rows = pa.table(rows)
    relation = session.catalog().resolve(table.split("."))
    types = {} if relation is None else {c.name.lower(): c.type for c in relation.columns}
    for name in rows.column_names:
        if name.lower() not in types:
            continue
        probe = f"SELECT count(CAST({quote(name)} AS {types[name.lower()]})) "
        try:
            session.execute(probe + "FROM pagelake_appended_rows", frame=holder.frame()).fetchall()
        except errors.Error:
            return str(name)
    return None
