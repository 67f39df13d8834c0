"""Results over rows that were read without the kernel."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..result import BATCH_ROWS, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    import pyarrow as pa


class RowsResult(Result):
    """Rows that are there already, as Python values; other forms are made by the kernel.

    Args:
        columns: Their columns' names.
        types: SQL type texts of the columns.
        rows: The rows.
        rest: Gives a result of the rows from a number on, of the same types, by the kernel.
    """

    def __init__(
        self,
        columns: Sequence[str],
        types: Sequence[str],
        rows: Sequence[tuple[object, ...]],
        rest: Callable[[int], Result],
    ) -> None:
        super().__init__(None)
        self._pending_count = None
        self._columns, self._types = list(columns), list(types)
        self._ahead = deque(rows)
        self._all = len(rows)
        self._rest = rest
        self._rows = len(rows)

    def _remaining(self) -> Result:
        result = self._rest(self._all - len(self._ahead))
        self._ahead.clear()
        return result

    def fetchmany(self, size: int = 1) -> list[tuple[object, ...]]:
        """Up to ``size`` further rows."""
        return self._take_ahead(size)

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self._remaining().arrow()

    def reader(self, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches."""
        return self._remaining().reader(batch_rows)

    def df(self) -> pd.DataFrame:
        """All rows as a pandas data frame."""
        return self._remaining().df()

    def __repr__(self) -> str:
        return f"<Result columns={self.columns}>"

    def close(self, error: BaseException | None = None) -> None:
        """Forget the rows. Closing twice is allowed."""
        self._ahead.clear()
        super().close(error)
