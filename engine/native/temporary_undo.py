"""What ROLLBACK does to temporary relations.

They live on a kernel cursor of the session that commits each statement, for the routes that it
reads change from statement to statement. So that a transaction can be taken back, the rows of a
temporary table are copied, inside the kernel, before the transaction first changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...sql.tokens import quote, tokenize

if TYPE_CHECKING:
    from ..kernel import Cursor, Kernel

_OBJECTS: Final = (
    "SELECT 'VIEW', view_name, sql FROM duckdb_views() WHERE temporary AND NOT internal UNION ALL "
    "SELECT 'TABLE', table_name, sql FROM duckdb_tables() WHERE temporary UNION ALL "
    "SELECT 'INDEX', index_name, sql FROM duckdb_indexes() WHERE database_name = 'temp'"
)
_COLUMNS: Final = (
    "SELECT column_name FROM duckdb_columns() WHERE database_name = 'temp' AND table_name = $1 "
    "AND NOT is_generated ORDER BY column_index"
)
Objects = dict[tuple[str, str], str]
"""Text of each temporary object by kind and name."""


class TemporaryUndo:
    """The temporary relations as they were before the open transaction.

    Args:
        kernel: Gives names to copies.
        cursor: The session's own, at rest.
    """

    def __init__(self, kernel: Kernel, cursor: Cursor) -> None:
        self._kernel, self._cursor = kernel, cursor
        self._objects = _objects(cursor)
        self._kept: dict[str, str] = {}

    def keep(self, sql: str) -> None:
        """Copy the tables that a statement names, unless that was done before."""
        words = {str(token.text).lower() for token in tokenize(sql)}
        for kind, name in self._objects:
            if kind == "TABLE" and name.lower() in words and name not in self._kept:
                copy = self._kernel.name("before")
                self._cursor.execute(f"CREATE TABLE memory.main.{copy} AS FROM temp.{quote(name)}")
                self._kept[name] = copy

    def undo(self) -> None:
        """Make the relations what they were, and forget the copies."""
        now = _objects(self._cursor)
        for (kind, name), sql in now.items():
            is_same = self._objects.get((kind, name)) == sql
            if kind != "INDEX" and (not is_same or name in self._kept):
                self._cursor.execute(f"DROP {kind} IF EXISTS temp.{quote(name)}")
        left = _objects(self._cursor)
        for kind in ("TABLE", "INDEX", "VIEW"):
            for (known, name), sql in self._objects.items():
                if known != kind or (known, name) in left:
                    continue
                if kind == "TABLE":
                    self._refill(name, sql)
                else:
                    self._cursor.execute(sql)
        self.forget()

    def _refill(self, name: str, sql: str) -> None:
        self._cursor.execute(sql)
        copy = f"memory.main.{self._kept[name]}"
        written = self._cursor.execute(_COLUMNS, [name]).fetchall()
        listed = ", ".join(quote(column) for (column,) in written)
        self._cursor.execute(
            f"INSERT INTO temp.{quote(name)} ({listed}) SELECT {listed} FROM {copy}"
        )

    def forget(self) -> None:
        """Drop the copies."""
        for copy in self._kept.values():
            self._cursor.execute(f"DROP TABLE memory.main.{copy}")
        self._kept.clear()


def _objects(cursor: Cursor) -> Objects:
    return {(kind, name): sql for kind, name, sql in cursor.execute(_OBJECTS).fetchall()}
