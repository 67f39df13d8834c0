"""Rows in their Arrow form, and the way back to what the kernel's client gives of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from ...errors import Unsupported
from ...sql.column_types import column_type
from ...sql.tokens import quote
from ..result import Execution, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..session import Session

ROWS_IN_PYTHON_MAX = 2048
"""Rows that pyarrow turns into Python's values: the kernel is quicker with many."""
_PLAIN = frozenset(
    {
        "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
        "VARCHAR", "BLOB", "BOOLEAN", "DOUBLE", "DATE", "TIMESTAMP", "HUGEINT",
    }
)  # fmt: skip
"""Types whose values are the same from pyarrow, a HUGEINT's but for being a Decimal."""
_CAST_BACK = frozenset({"HUGEINT", "UUID", "JSON"})
"""Types that Arrow carries as another, of which a cast leads back without loss."""


def restoring_query(columns: Sequence[str], types: Sequence[str]) -> str | None:
    """The query over ``rows`` that gives columns c0, c1 … their names and SQL types back.

    None where Arrow does not carry some type without loss.
    """
    listed = []
    for number, (name, sql_type) in enumerate(zip(columns, types, strict=True)):
        if sql_type in _CAST_BACK or sql_type.startswith("ENUM("):
            listed.append(f"CAST(c{number} AS {sql_type}) AS {quote(name)}")
            continue
        try:
            carried = column_type(sql_type).identity
        except Unsupported:
            carried = False
        if not carried:
            return None
        listed.append(f"c{number} AS {quote(name)}")
    return f"SELECT {', '.join(listed)} FROM rows" if listed else None


def python_rows(rows: pa.Table, types: Sequence[str]) -> list[tuple[object, ...]] | None:
    """Few rows of plain types as the kernel's client gives them; None where only that knows how."""
    if rows.num_rows > ROWS_IN_PYTHON_MAX:
        return None
    if not all(t in _PLAIN or t.startswith("DECIMAL(") for t in types):
        return None
    try:
        columns = [column.to_pylist() for column in rows.columns]
    except (ValueError, OverflowError, pa.ArrowException):
        return None  # an infinite date, or one that Python does not have
    for number, sql_type in enumerate(types):
        if sql_type == "HUGEINT":
            columns[number] = [None if v is None else int(v) for v in columns[number]]
    return list(zip(*columns, strict=True))


class Restorer:
    """Gives results over Arrow rows, with the settings that a session has at the moment.

    Args:
        session: The session.
    """

    __slots__ = ("_session", "_settings")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.kernel_settings  # a time zone, for one, says how values look

    def result(self, rows: pa.Table, restoring: str) -> Result:
        """A result over rows.

        Args:
            rows: The rows.
            restoring: What `restoring_query` gave for their columns.
        """
        session = self._session
        cursor = session.database.kernel.cursor()
        for setting in self._settings:
            cursor.execute(setting)
        cursor.register("rows", rows.rename_columns([f"c{i}" for i in range(rows.num_columns)]))
        return Result(
            Execution(
                cursor,
                restoring,
                None,
                lambda _rows, _error, _drained: cursor.close(),
                session.database.abandoned.append,
                lambda error: session.translate(error, restoring),
                lambda: session.guard.watch(cursor),
            )
        )
