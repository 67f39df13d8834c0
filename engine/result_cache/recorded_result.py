"""Results that are kept in the cache when they were read to their end."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from ...errors import InvalidRequest
from ..result import BATCH_ROWS, Execution, Result, Timing
from .rows import python_rows, restoring_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from .serving import Recording

_T = TypeVar("_T")
_PATIENCE_S = 0.05
"""How long an interrupt is given before it is sent again."""
ROWS_AT_ONCE = 16_384
"""Rows of a batch where Python's values are wanted: few, so that the first ones come soon."""


class RecordedResult(Result):
    """A result of the kernel whose rows pass in their Arrow form, and are noted on their way.

    They are noted for as long as they are few enough to be kept. A result that is not read to
    its end, or fails, is not kept.

    Args:
        execution: The statement.
        timing: Where its time is noted.
        recording: Where its rows go.
    """

    def __init__(self, execution: Execution, timing: Timing, recording: Recording) -> None:
        super().__init__(execution, timing=timing)
        self._recording: Recording | None = recording
        self._restoring: str | None = None
        self._is_fetched = False
        self._is_given = False
        self._source: Any = None
        self._schema: pa.Schema | None = None
        self._tape: list[pa.RecordBatch] | None = None
        self._tape_bytes = 0
        self._unread: deque[pa.RecordBatch] = deque()
        self._current: pa.RecordBatch | None = None
        self._values: deque[tuple[Any, ...]] = deque()
        self._is_over = False

    def _records(self) -> Recording | None:
        """Where rows go; None where Arrow does not carry them without loss."""
        recording = self._recording
        if recording is None or self._restoring is not None:
            return recording
        if self._execution is None:
            return None  # closed before anything was read
        self._describe()
        self._restoring = restoring_query(self._columns or [], self._types or [])
        if self._restoring is None:
            recording.refuse()
            self._recording = None
        return self._recording

    # As a whole

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        if self._records() is None:
            return super().arrow()
        if self._is_fetched:
            return self._remaining_as_table()
        if self._execution is None:
            return pa.table({})
        interrupt = self._execution.cursor.interrupt
        rows: pa.Table = self._whole(lambda kernel: interruptible(kernel.to_arrow_table, interrupt))
        self._keep(rows)
        return rows

    def df(self) -> pd.DataFrame:
        """All rows as a pandas data frame."""
        recording = self._records()
        if recording is None:
            return super().df()
        if self._is_fetched or self._execution is None:
            return self.arrow().to_pandas()
        assert self._restoring is not None
        return recording.restorer.result(self.arrow(), self._restoring).df()

    def _remaining_as_table(self) -> pa.Table:
        if self._recording is None:
            return super()._remaining_as_table()
        if self._ahead:
            raise InvalidRequest(
                "the result is being iterated over", hint="fetch the rest with fetchall"
            )
        left = self._left()
        return pa.table({}) if left is None else left

    # Batch by batch

    def start(self) -> Result:
        """Run the statement now; its rows are fetched later."""
        if self._execution is None or self._records() is None:
            return super().start()
        self._read_on()
        return self

    def reader(self, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches of up to ``batch_rows`` rows, in bounded memory."""
        if self._records() is not None:
            if self._is_fetched or self._execution is None:
                return self.arrow().to_reader(batch_rows)
            self._tape = []
        return super().reader(batch_rows)

    def _batches(self, source: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        schema = source.schema
        with closing(super()._batches(source)) as batches:  # type: ignore[type-var]
            for batch in batches:
                self._note_batch(batch)
                yield batch
        self._keep_tape(schema)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All remaining rows."""
        if self._records() is None:
            return super().fetchall()
        rows = self._take_ahead(len(self._ahead))
        if self._execution is not None and not self._is_fetched:
            return self._python(self.arrow())
        left = self._left()
        return rows if left is None else rows + self._python(left)

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Up to ``size`` further rows."""
        if self._records() is None:
            return super().fetchmany(size)
        if self._ahead:
            return self._take_ahead(size)
        while len(self._values) < size and (self._unread or self._execution is not None):
            if not self._unread:
                self._read_on()
                continue
            self._current = self._unread.popleft()
            self._values.extend(self._python(pa.Table.from_batches([self._current])))
        self._is_given = True
        rows = [self._values.popleft() for _ in range(min(size, len(self._values)))]
        self._is_over |= len(rows) < size
        return rows

    def _read_on(self) -> None:
        """Read the next batch, or find that there is none."""
        self._is_fetched = True
        batch = self._attempt(self._next_batch)
        if batch is not None:
            self._note(batch.num_rows)
            self._note_batch(batch)
            self._unread.append(batch)
            return
        self._schema, self._source = self._source.schema, None
        self.drained = True
        super().close()
        self._keep_tape(self._schema)

    def _next_batch(self) -> pa.RecordBatch | None:
        if self._source is None or self._relation is None:  # the first time, or once more
            self._source = None
            self._tape, self._tape_bytes, self.drained = [], 0, False
            self._unread.clear()
        relation = self._bound()

        def read() -> pa.RecordBatch | None:
            if self._source is None:
                self._source = relation.to_arrow_reader(ROWS_AT_ONCE)
            return next(self._source, None)

        try:
            return interruptible(read, self._open().cursor.interrupt)
        except duckdb.Error:
            if not self._is_given:
                self._rows = 0  # nobody has seen them: the statement may be run once more
            raise

    def _left(self) -> pa.Table | None:
        """The rows that were not given out, as Arrow; None once the end was met."""
        while self._execution is not None:
            self._read_on()
        if self._is_over or self._schema is None:
            return None
        self._is_over = True
        left = list(self._unread)
        self._unread.clear()
        if self._current is not None and self._values:
            left.insert(0, self._current.slice(self._current.num_rows - len(self._values)))
        self._values.clear()
        self._current = None
        return pa.Table.from_batches(left, self._schema)

    def _python(self, rows: pa.Table) -> list[tuple[Any, ...]]:
        values = python_rows(rows, self._types or [])
        if values is not None:
            return values
        assert self._recording is not None
        assert self._restoring is not None
        return self._recording.restorer.result(rows, self._restoring).fetchall()

    # Noting

    def _note_batch(self, batch: pa.RecordBatch) -> None:
        if self._tape is None or self._recording is None:
            return
        self._tape_bytes += batch.get_total_buffer_size()
        self._tape.append(batch)
        if self._tape_bytes > self._recording.bytes_max:
            self._tape = None
            self._recording.refuse()

    def _keep_tape(self, schema: pa.Schema) -> None:
        tape, self._tape = self._tape, None
        if tape is not None:
            self._keep(pa.Table.from_batches(tape, schema))

    def _keep(self, rows: pa.Table) -> None:
        if self._recording is not None and self._restoring is not None:
            self._recording.keep(rows, self._columns or [], self._types or [], self._restoring)

    def close(self, error: BaseException | None = None) -> None:
        """Give the statement's resources back. Closing twice is allowed."""
        self._unread.clear()
        self._values.clear()
        self._current, self._source, self._is_over = None, None, True
        if error is not None or not self.drained:
            self._tape = None
        super().close(error)


def interruptible(read: Callable[[], _T], interrupt: Callable[[], None]) -> _T:
    """Wait for something in a way that Ctrl-C ends, which the kernel notices late or never.

    Args:
        read: What is waited for.
        interrupt: Makes it end soon.
    """
    if threading.current_thread() is not threading.main_thread():
        return read()  # which no signal reaches
    answer: list[_T] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            answer.append(read())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        done.wait()
    except BaseException:
        interrupt()
        # Nobody else may use the cursor before, and the first interrupt may have come too soon.
        while not done.wait(_PATIENCE_S) and thread.ident is not None:
            interrupt()
        raise
    if failure:
        raise failure[0]
    return answer[0]
