"""Results that come from the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from ...errors import InvalidRequest
from ..result import BATCH_ROWS, Result
from .rows import python_rows

if TYPE_CHECKING:
    import pandas as pd

    from .cache import Entry
    from .rows import Restorer


class StoredResult(Result):
    """A result whose rows are there already.

    Args:
        entry: What the cache has.
        restorer: Turns Arrow rows into the kernel's own where other forms are asked for.
    """

    from_cache = True

    def __init__(self, entry: Entry, restorer: Restorer) -> None:
        super().__init__(None)
        self._pending_count = None
        self._columns, self._types = list(entry.columns), list(entry.types)
        self._entry: Entry | None = entry
        self._restorer = restorer
        self._at = 0
        self._values: list[tuple[object, ...]] | None = None
        self._streamed: Result | None = None

    def start(self) -> Result:
        """There is nothing to run; the rows are fetched later."""
        self._started = True
        return self

    def fetchall(self) -> list[tuple[object, ...]]:
        """All remaining rows."""
        ahead = self._take_ahead(len(self._ahead))
        entry = self._entry
        if entry is None:
            return ahead
        return ahead + self.fetchmany(entry.rows.num_rows - self._at + 1)

    def fetchmany(self, size: int = 1) -> list[tuple[object, ...]]:
        """Up to ``size`` further rows."""
        if self._ahead:
            return self._take_ahead(size)
        entry = self._entry
        if entry is None:
            return []
        if self._values is None and self._streamed is None:
            self._values = python_rows(entry.rows, entry.types)
            if self._values is None:
                self._streamed = self._restorer.result(entry.rows, entry.restoring)
        if self._values is not None:
            rows = self._values[self._at : self._at + size]
        else:
            assert self._streamed is not None
            whole = size >= entry.rows.num_rows - self._at
            rows = self._streamed.fetchall() if whole else self._streamed.fetchmany(size)
        self._at += len(rows)
        if len(rows) < size:
            self.close()
        return rows

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self._remaining_as_table()

    def reader(self, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches of up to ``batch_rows`` rows."""
        return self._remaining_as_table().to_reader(batch_rows)

    def df(self) -> pd.DataFrame:
        """All rows as a pandas data frame."""
        if self._entry is None or self._started or self._at or self._ahead:
            return self._remaining_as_table().to_pandas()
        entry = self._entry
        self.close()
        return self._restorer.result(entry.rows, entry.restoring).df()

    def _remaining_as_table(self) -> pa.Table:
        if self._ahead:
            raise InvalidRequest(
                "the result is being iterated over", hint="fetch the rest with fetchall"
            )
        entry, start = self._entry, self._at
        self.close()
        return pa.table({}) if entry is None else entry.rows.slice(start)

    def __repr__(self) -> str:
        return f"<Result columns={self.columns}>"

    def close(self, error: BaseException | None = None) -> None:
        """Let go of the rows. Closing twice is allowed."""
        self._entry = self._values = None
        streamed, self._streamed = self._streamed, None
        if streamed is not None:
            streamed.close()
        super().close(error)
