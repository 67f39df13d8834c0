"""Connections as SQLAlchemy expects them: one transaction, many cursors.

A cursor of Pagelake's has a transaction of its own, and statements outside of one commit
themselves. Here a session of Pagelake's is the connection, and its cursors only hold results.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from ....errors import Closed
from ....sql import statement as st
from ....sql.classify import classify
from ....sql.tokens import split
from ...statements.constraint_names import written_in_body

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...connection import Cursor as Session
    from ...result import Result
    from ...statements.constraint_names import Written

_TEMPORARY = re.compile(r"\s*CREATE\s+(OR\s+REPLACE\s+)?(\w+\s+)?TEMP(ORARY)?\b", re.IGNORECASE)


class DriverConnection:
    """A connection with one transaction, which its first statement after `begin` begins.

    What it reads is as of that statement, not of `begin`: a pool's connection may have waited.

    Args:
        session: The cursor of Pagelake's that runs its statements.

    Attributes:
        temporary: Constraints of temporary tables as they were written, by the tables' folded
            names: the kernel, whose own these tables are, forgets what constraints are called.
    """

    def __init__(self, session: Session) -> None:
        self.temporary: dict[str, list[Written]] = {}
        self._session: Session | None = session
        self._is_to_begin = False
        self.autocommit = False
        self.isolation_level = "SNAPSHOT"

    @property
    def session(self) -> Session:
        """The cursor of Pagelake's that runs the statements.

        Raises:
            Closed: The connection was closed.
        """
        if self._session is None:
            raise Closed("the connection is closed", hint="connect again")
        return self._session

    def cursor(self) -> DriverCursor:
        """A cursor in the connection's transaction."""
        return DriverCursor(self)

    def begin(self) -> None:
        """Begin a transaction, unless every statement commits itself."""
        self._is_to_begin = not self.autocommit

    def ready(self) -> Session:
        """The session, in a transaction if it is to be in one."""
        session = self.session
        if self._is_to_begin:
            session.begin()
            self._is_to_begin = False
        return session

    def commit(self) -> None:
        """Commit the open transaction, if there is one."""
        self._is_to_begin = False
        self.session.commit()

    def rollback(self) -> None:
        """Roll the open transaction back, if there is one."""
        self._is_to_begin = False
        self.session.rollback()

    def note(self, sql: str) -> None:
        """Keep the names of constraints that a statement, which has run, gave a temporary table."""
        if _TEMPORARY.match(sql) is None:
            return
        for text in split(sql):
            made = classify(text)
            if isinstance(made, st.CreateTable) and made.temporary:
                name, written = made.name.last.lower(), written_in_body(made.body)
                if not made.if_not_exists or name not in self.temporary:
                    self.temporary[name] = written

    def interrupt(self) -> None:
        """Cancel what runs at the moment; from any thread."""
        self.session.interrupt()

    def close(self) -> None:
        """Roll back what is open and let the session go. Closing twice is allowed."""
        if self._session is not None:
            self._session.close()
            self._session = None  # the last one closes the store


class DriverCursor:
    """Runs statements in its connection's transaction and holds the last one's result."""

    arraysize = 1
    lastrowid = None

    def __init__(self, connection: DriverConnection) -> None:
        self.connection = connection
        self.rowcount = -1
        self._result: Result | None = None
        self._rows: Iterator[tuple[Any, ...]] | None = None
        self._collected = False

    def execute(self, sql: str, parameters: Any = None) -> DriverCursor:
        """Run a statement."""
        self.close()
        result = self.connection.ready().sql(sql, parameters or None).start()
        self._result, self.rowcount = result, result.rowcount
        self.connection.note(sql)
        return self

    def executemany(self, sql: str, rows: Sequence[Any]) -> DriverCursor:
        """Run a statement once for each set of parameters, as one bulk change where it can be."""
        self.close()
        session = self.connection.ready()
        session.executemany(sql, rows)
        self.rowcount = session.rowcount
        return self

    def execute_returning(self, sql: str, rows: Sequence[Any]) -> DriverCursor:
        """Run a statement for each set of parameters and keep the rows it returns, in order."""
        self.close()
        session, found = self.connection.ready(), []
        for row in rows:
            self._result = session.sql(sql, row).start()
            found += self._result.fetchall()
        self._rows, self._collected, self.rowcount = iter(found), True, len(found)
        return self

    @property
    def description(self) -> list[tuple[str, str, None, None, None, None, None]] | None:
        """Columns of the last statement's rows, None where it returns none."""
        if self._result is None or not self._result.returns_rows:
            return None
        return self._result.description

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None behind the last; rows are taken from the kernel by the thousand."""
        if self._rows is None:
            self._rows = iter(self._open())
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Up to `size` (or `arraysize`) further rows."""
        count = self.arraysize if size is None else size
        if self._collected and self._rows is not None:
            return list(islice(self._rows, count))
        return self._open().fetchmany(count)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All remaining rows."""
        if self._collected and self._rows is not None:
            return list(self._rows)
        return self._open().fetchall()

    def close(self) -> None:
        """Give the result back; the cursor can be used again."""
        if self._result is not None:
            self._result.close()
        self._result, self._rows, self._collected, self.rowcount = None, None, False, -1

    def _open(self) -> Result:
        if self._result is None:
            raise Closed("no statement was executed", hint="call execute first")
        return self._result

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing, as PEP 249 allows."""
