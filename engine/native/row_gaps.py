"""Gaps between row ids: native copies count past them with rows that are deleted again."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import duckdb

from ...errors import Unsupported
from ..keys.keyed_rows import PART

if TYPE_CHECKING:
    from ...storage.effects import TableDefinition
    from ..kernel import Cursor

BEFORE = "rows_before_5f1c0e7a9b3d4c21"
"""Schema of the rows as they were: one that no user has. Rows only counted have no part."""
PLACE = "place_5f1c0e7a9b3d4c21"
"""Column of row ids, in a query that has the user's columns too."""
_MISSING_MAX = 1_000_000
"""Rows counted at once: a copy of so many NULLs is still made in a moment."""
_MISSING_SINGLY_MAX = 2_000
"""Rows counted one by one, where constraints hold: each costs two statements."""


def require_few_gaps(definition: TableDefinition, rows: int, last: int) -> None:
    """Refuse a table that would take long to count through.

    Args:
        definition: The table.
        rows: How many rows it has.
        last: The highest row id.

    Raises:
        Unsupported: Too many row ids are missing.
    """
    most = _MISSING_SINGLY_MAX if _is_constrained(definition) else _MISSING_MAX
    if last + 1 - rows > most:
        raise Unsupported(
            f'too many rows of "{definition.name}" were deleted to count by rowid',
            construct="rowid of a table that many rows were deleted from",
            hint="name rows by a key",
        )


def fill_by_id(
    cursor: Cursor, table: str, before: str, listed: str, definition: TableDefinition
) -> None:
    """Fill a copy so that the kernel gives each row the row id that it has in ``before``.

    Args:
        cursor: Where both are.
        table: The copy, empty.
        before: Its rows in the order of their ids; rows without a part are only counted, and
            are gone from it afterwards.
        listed: The columns.
        definition: The table.

    Raises:
        Unsupported: The constraints do not let a row in twice.
    """
    copied = f"INSERT INTO {table} ({listed}) SELECT {listed} FROM {before}"
    counted = f"SELECT rowid FROM {before} WHERE {PART} IS NULL"
    missing = [int(row[0]) for row in cursor.execute(f"{counted} ORDER BY rowid").fetchall()]
    if not missing:
        cursor.execute(f"{copied} ORDER BY rowid")
        return
    if not _is_constrained(definition):
        cursor.execute(f"{copied} ORDER BY rowid")
        cursor.execute(f"DELETE FROM {table} WHERE rowid IN ({counted})")
    else:
        try:
            _fill_singly(cursor, table, copied, missing)
        except duckdb.ConstraintException as error:
            raise Unsupported(
                f'rows of "{definition.name}" were deleted: its constraints leave no way to count',
                construct="rowid of a table that many rows were deleted from",
                hint="name rows by a key",
            ) from error
    cursor.execute(f"DELETE FROM {before} WHERE {PART} IS NULL")


def _fill_singly(cursor: Cursor, table: str, copied: str, missing: list[int]) -> None:
    """Count past each gap with the row behind it, which every constraint lets in."""
    done = 0
    for _, run in groupby(enumerate(missing), lambda item: item[1] - item[0]):
        gap = [row_id for _, row_id in run]
        cursor.execute(f"{copied} WHERE rowid >= {done} AND rowid < {gap[0]} ORDER BY rowid")
        done = gap[-1] + 1
        for row_id in gap:
            cursor.execute(f"{copied} WHERE rowid = {done}")
            cursor.execute(f"DELETE FROM {table} WHERE rowid = {row_id}")
    cursor.execute(f"{copied} WHERE rowid >= {done} ORDER BY rowid")


def _is_constrained(definition: TableDefinition) -> bool:
    return bool(definition.constraints) or any(not c.nullable for c in definition.columns)
