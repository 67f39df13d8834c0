"""Results: what a statement gives back, fetched when and how the caller likes.

A result is lazy: the kernel binds the query when the result is made, so that errors in names
surface at once, and runs it when the first row is asked for. Rows stream; nothing is collected
unless the form that was asked for is a whole (a table, a data frame).
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from ..errors import Closed, InvalidRequest, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    import polars as pl

    from ..sql.explain import Node
    from .kernel import Cursor, Parameters

_T = TypeVar("_T")
BATCH_ROWS = 122_880
"""Rows of a batch that a reader yields when the caller does not say otherwise."""


_ROWS_AHEAD = 1024
"""Rows that iteration fetches at once."""


@dataclass(slots=True)
class Timing:
    """Where the time of a statement went, in milliseconds.

    Attributes:
        planning_ms: From the text to something that the kernel can run.
        kernel_ms: Inside the kernel.
        total_ms: All of it, fetching included.
    """

    planning_ms: float = 0.0
    kernel_ms: float = 0.0
    total_ms: float = 0.0

    @property
    def overhead_ms(self) -> float:
        """What Pagelake added to the kernel's own time."""
        return max(0.0, self.total_ms - self.kernel_ms)


@dataclass(slots=True)
class Execution:
    """A statement ready to run on a kernel cursor.

    Attributes:
        cursor: The kernel cursor; nobody else uses it until ``finish``.
        sql: Text for the kernel.
        parameters: Its parameters.
        finish: Gives everything back; called once, with the number of rows, the error if there
            was one, and whether the kernel has no rows left.
        abandon: Takes a call to be made later, when nothing is under way: a result may be
            collected as garbage in any thread and at any point.
        translate: Turns the kernel's errors into Pagelake's.
        guard: Context in which the kernel runs: time-out and cancellation.
        again: After an error of the kernel gives another cursor on which the statement may
            succeed, or None.
    """

    cursor: Cursor
    sql: str
    parameters: Parameters
    finish: Callable[[int, BaseException | None, bool], None]
    abandon: Callable[[Callable[[], None]], None]
    translate: Callable[[BaseException], BaseException]
    guard: Callable[[], Any]
    again: Callable[[BaseException], Cursor | None] = lambda _: None


class Result:
    """Rows of one statement.

    Use one of the fetching methods; a result is read once, from its first row to its last.
    """

    def __init__(
        self, execution: Execution | None, *, count: int = -1, timing: Timing | None = None
    ) -> None:
        self._execution = execution
        self._count = count
        self._relation: Any = None
        self._started = False
        self._columns: list[str] | None = None
        self._types: list[str] | None = None
        self._rows = 0
        self._ahead: deque[tuple[Any, ...]] = deque()
        self.drained = True
        self.held: object = None
        self._pending_count: list[tuple[int]] | None = None
        self.timing = timing or Timing()
        if execution is None:
            self._columns, self._types = (["Count"], ["BIGINT"]) if count >= 0 else ([], [])
            self._pending_count = [(count,)] if count >= 0 else []

    # What it is

    @property
    def rowcount(self) -> int:
        """Rows changed by INSERT, UPDATE, DELETE or COPY; -1 for everything else."""
        return self._count

    @property
    def returns_rows(self) -> bool:
        """True for a query and for RETURNING; False where there is at most a count of rows."""
        return self._pending_count is None

    @property
    def columns(self) -> list[str]:
        """Column names."""
        self._describe()
        return list(self._columns or [])

    @property
    def types(self) -> list[str]:
        """SQL type texts of the columns."""
        self._describe()
        return list(self._types or [])

    @property
    def description(self) -> list[tuple[str, str, None, None, None, None, None]] | None:
        """PEP 249 description of the columns."""
        if not self.columns:
            return None
        described = zip(self.columns, self.types, strict=True)
        return [(name, type_, None, None, None, None, None) for name, type_ in described]

    # Fetching

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        if self._execution is None or self._started:
            return self._remaining_as_table()
        return self._whole(lambda relation: relation.to_arrow_table())

    def reader(self, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches of up to ``batch_rows`` rows, in bounded memory."""
        if self._execution is None or self._started:
            return self._remaining_as_table().to_reader(batch_rows)
        self.drained = False
        source = self._attempt(lambda: self._bound().to_arrow_reader(batch_rows))
        return pa.RecordBatchReader.from_batches(source.schema, self._batches(source))

    def df(self) -> pd.DataFrame:
        """All rows as a pandas data frame."""
        if self._execution is None or self._started:
            return self._remaining_as_table().to_pandas()
        return self._whole(lambda relation: relation.df())

    def pl(self) -> pl.DataFrame:
        """All rows as a polars data frame."""
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All remaining rows."""
        if self._pending_count is not None:
            rows, self._pending_count = self._pending_count, []
            return list(rows)
        ahead = self._take_ahead(len(self._ahead))
        if self._execution is None:
            return ahead
        rows = self._attempt(lambda: self._start().fetchall())
        self.drained = True
        self._note(len(rows))
        self.close()
        return ahead + rows if ahead else rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None behind the last."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Up to ``size`` further rows."""
        if self._pending_count is not None:
            rows, self._pending_count = self._pending_count[:size], self._pending_count[size:]
            return list(rows)
        if self._ahead:
            return self._take_ahead(size)
        if self._execution is None:
            return []
        rows = self._attempt(lambda: self._start().fetchmany(size))
        self._note(len(rows))
        if len(rows) < size:
            self.drained = True
            self.close()
        return rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while rows := self.fetchmany(_ROWS_AHEAD):
            # Kept here, not in the generator: whoever stops iterating may fetch the rest.
            self._ahead.extend(rows)
            while self._ahead:
                yield self._ahead.popleft()

    def _take_ahead(self, size: int) -> list[tuple[Any, ...]]:
        return [self._ahead.popleft() for _ in range(min(size, len(self._ahead)))]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the rows through the Arrow PyCapsule interface."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def show(self, max_rows: int = 40) -> None:
        """Print the first rows as a table."""
        import sys

        from .output.format import OutputOptions
        from .output.text_table import write

        write(self, sys.stdout.buffer, OutputOptions(max_rows=max_rows))

    def explain(self) -> str:
        """The plan of the query, as EXPLAIN prints it."""
        if self._explain is None:
            return "no plan is known of this statement"
        return self._explain()

    _explain: Callable[[], str] | None = None

    from_cache: bool = False
    """Whether the rows come from the result cache."""

    plan: Node | None = None
    """What EXPLAIN has drawn, for doors that draw it themselves."""

    def __repr__(self) -> str:
        if self._execution is None:
            return f"<Result rowcount={self._count}>"
        return f"<Result columns={self.columns}>"

    def close(self, error: BaseException | None = None) -> None:
        """Give the statement's resources back. Closing twice is allowed."""
        execution, self._execution = self._execution, None
        if execution is not None:
            begun = time.perf_counter()
            self._relation = None
            execution.finish(self._rows, error, self.drained)
            self.timing.total_ms += (time.perf_counter() - begun) * 1e3

    def __del__(self) -> None:
        # A result that nobody read must not keep its cursor and snapshot.
        execution = getattr(self, "_execution", None)  # None if even making it was interrupted
        if execution is not None:
            rows, drained = self._rows, self.drained
            execution.abandon(lambda: execution.finish(rows, None, drained))

    # Running

    def start(self) -> Result:
        """Run the statement now; its rows are fetched later."""
        if self._execution is not None:
            self._attempt(self._start)
        return self

    def _open(self) -> Execution:
        if self._execution is None:
            raise Closed("the result was read to its end, or closed")
        return self._execution

    def _start(self) -> Cursor:
        execution = self._open()
        if not self._started:
            self._started, self.drained = True, False
            if execution.parameters is None:
                execution.cursor.execute(execution.sql)
            else:
                execution.cursor.execute(execution.sql, execution.parameters)
            self._take_description(execution.cursor.description)
        return execution.cursor

    def _bound(self) -> Any:
        """The query bound by the kernel, not yet run."""
        execution = self._open()
        if self._relation is None:
            if execution.parameters is None:
                self._relation = execution.cursor.sql(execution.sql)
            else:
                self._relation = execution.cursor.sql(execution.sql, params=execution.parameters)
        return self._relation

    def _describe(self) -> None:
        if self._columns is None and self._execution is not None:
            with self._running():
                relation = self._bound()
                self._columns = list(relation.columns)
                self._types = [_type_text(t) for t in relation.types]

    def _take_description(self, description: Any) -> None:
        if self._columns is None:
            self._columns = [column[0] for column in description or []]
            self._types = [_type_text(column[1]) for column in description or []]

    def _attempt(self, fetch: Callable[[], _T]) -> _T:
        """Let the kernel run; once more from the beginning where that may help."""
        with self._running():
            try:
                return fetch()
            except duckdb.Error as error:
                cursor = None if self._rows else self._open().again(error)
                if cursor is None:
                    raise
                self._open().cursor = cursor
                self._relation, self._started = None, False
        with self._running():  # guards the other cursor
            return fetch()

    def _running(self) -> _Running:
        return _Running(self)

    def _whole(self, fetch: Callable[[Any], Any]) -> Any:
        whole = self._attempt(lambda: fetch(self._bound()))
        self._note(len(whole))
        self.close()
        return whole

    def _remaining_as_table(self) -> pa.Table:
        if self._ahead:
            raise InvalidRequest(
                "the result is being iterated over", hint="fetch the rest with fetchall"
            )
        if self._pending_count is not None:
            rows = self.fetchall()
            return pa.table({"Count": pa.array([r[0] for r in rows], pa.int64())}
                            if self._columns else {})  # fmt: skip
        if self._execution is None:
            return pa.table({})
        with warnings.catch_warnings():
            # The kernel's client advises its own other call, which is not the user's to make.
            warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)
            table: pa.Table = self._attempt(lambda: self._start().to_arrow_table())
        self.drained = True
        self._note(table.num_rows)
        self.close()
        return table

    def _batches(self, source: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                with self._running():
                    try:
                        batch = source.read_next_batch()
                    except StopIteration:
                        self.drained = True
                        break
                self._note(batch.num_rows)
                yield batch
        finally:
            del source
            self.close()

    def _note(self, rows: int) -> None:
        self._rows += rows


def _type_text(kind: object) -> str:
    # The kernel's own text for the type of a bare NULL has quotes, as if it were a user's type.
    text = str(kind)
    return "NULL" if text == '"NULL"' else text


class _Running:
    """Runs the kernel: measures it, guards it, and translates what it raises."""

    __slots__ = ("_begun", "_guard", "_result")

    def __init__(self, result: Result) -> None:
        self._result = result
        self._begun = 0.0
        self._guard: Any = None

    def __enter__(self) -> None:
        execution = self._result._open()
        self._guard = execution.guard()
        self._guard.__enter__()
        self._begun = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        spent = (time.perf_counter() - self._begun) * 1e3
        timing = self._result.timing
        timing.kernel_ms += spent
        timing.total_ms += spent
        execution = self._result._execution
        failure = error
        try:
            self._guard.__exit__(kind, error, trace)
        except Timeout as timeout:
            failure = timeout
        if failure is not None and not isinstance(failure, Closed) and execution is not None:
            translated = execution.translate(failure)
            self._result.close(translated)
            if translated is not error:
                raise translated from error
