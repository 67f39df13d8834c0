"""Rows at hand: what only native copies can answer, computed before the statement that wants it.

``CREATE TABLE … AS SELECT nextval(…)`` and ``… AS SELECT rowid …`` read their rows from here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...sql import statement as st
from ...sql.column_types import column_type
from ...sql.tokens import quote
from ..statements.change import Change
from ..statements.copy import Holder
from .decision import as_native
from .mirror import native_answer

if TYPE_CHECKING:
    from types import FrameType

    from ...storage.transaction import Transaction
    from ..result import Result
    from ..session import Session

_ROWS = "rows_at_hand_5f1c0e7a9b3d4c21"
"""Name of the rows: one that no user has."""


def is_needed(session: Session, query: str | None) -> bool:
    """Tell whether only native copies can answer a query."""
    return query is not None and isinstance(
        as_native(session, st.Query(query), query, session.snapshot()), st.Native
    )


def at_hand(change: Change, query: str) -> tuple[Change, str]:
    """Compute a query's rows now where only native copies can answer it.

    Args:
        change: The statement's surroundings.
        query: The query.

    Returns:
        The surroundings in which the second, a query that gives the same rows, can be run.
    """
    statement = as_native(change.session, st.Query(query), query, change.transaction.snapshot)
    if not isinstance(statement, st.Native):
        return change, query
    answer = native_answer(change, statement)
    listed = ", ".join(
        f"{column_type(text).from_storage(f'c{index}')} AS {quote(name)}"
        for index, (name, text) in enumerate(zip(answer.names, answer.types, strict=True), 1)
    )
    held = Holder({_ROWS: answer.rows})
    surroundings = replace(change, parameters=None, frame=held.frame())
    return surroundings, f"SELECT {listed} FROM {_ROWS}"


def create_temporary(
    session: Session, statement: st.CreateTable, sql: str, frame: FrameType | None
) -> Result:
    """Run CREATE TEMPORARY TABLE … AS over rows at hand.

    Args:
        session: Whose statement it is.
        statement: The statement; its query needs native copies.
        sql: Its text.
        frame: The caller's frame, to find objects that it names.
    """
    wanted = statement.query or ""

    def create(transaction: Transaction) -> Result:
        surroundings, query = at_hand(Change(session, transaction, None, frame), wanted)
        head, _, tail = sql.rpartition(wanted)
        result = session.pass_through(f"{head}{query}{tail}", None, surroundings.frame)
        session.has_kernel_state = True
        return result

    return session.writing("CREATE TABLE", create)
