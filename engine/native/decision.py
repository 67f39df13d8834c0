"""Which statements the kernel runs itself, on native copies of the tables that they change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import Error
from ...sql import statement as st
from ...sql.tokens import tokenize

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

    from ...storage.snapshot import Snapshot
    from ..session import Session

_SEQUENCE = re.compile(r"\b(nextval|currval|setval)\s*\(", re.IGNORECASE)
_ROWID = re.compile(r"\browid\b", re.IGNORECASE)


def as_native(
    session: Session, statement: st.Statement, sql: str, snapshot: Snapshot
) -> st.Statement:
    """A statement as it is to be run: by the kernel itself where only that is exact.

    Args:
        session: Whose statement it is.
        statement: What it asks for.
        sql: Its text for the kernel.
        snapshot: What it sees.
    """
    if isinstance(statement, st.Query):
        if _takes_value(snapshot, sql):
            by_row_id = asks_rowid(snapshot, sql) and not _is_column(snapshot, "rowid")
            return st.Native("SELECT", (), sql, all_tables=by_row_id)
        if asks_rowid(snapshot, sql) and not _is_column(snapshot, "rowid"):
            return st.Native("READ", (), sql, all_tables=True)
        return statement
    if not isinstance(statement, st.Insert | st.Update | st.Delete):
        return statement
    if session.is_temporary(statement.target):
        return statement
    try:
        state = snapshot.table(*session.qualify(statement.target, existing=True))
    except Error:
        return statement  # it will be told when it runs
    if state is None:
        return statement
    definition = state.definition
    by_row_id = asks_rowid(snapshot, sql) and definition.column("rowid") is None
    if (
        _takes_value(snapshot, sql)
        or by_row_id
        or any(c.default and _SEQUENCE.search(c.default) for c in definition.columns)
        or (definition.generated and _meets_generated(statement))
    ):
        verb = type(statement).__name__.upper()
        only_adds = isinstance(statement, st.Insert) and not by_row_id
        named = [token for token in tokenize(sql) if _is_named(token, statement.target.last)]
        return st.Native(verb, (statement.target,), sql, by_row_id, only_adds and len(named) == 1)
    return statement


def asks_rowid(snapshot: Snapshot, sql: str) -> bool:
    """Tell whether a text, or a view that it names, asks for row ids."""
    if _ROWID.search(sql) is not None:
        return True
    asking = {v.name.lower() for v in snapshot.views.values() if _ROWID.search(v.sql)}
    size = 0
    while size != len(asking):  # views of views
        size = len(asking)
        asking |= {
            view.name.lower()
            for view in snapshot.views.values()
            if asking & {str(token.text).lower() for token in tokenize(view.sql)}
        }
    return bool(asking) and any(str(token.text).lower() in asking for token in tokenize(sql))


def _meets_generated(statement: st.Insert | st.Update | st.Delete) -> bool:
    """Tell whether generated columns matter to a statement: their values must be computable."""
    return isinstance(statement, st.Insert) or statement.returning is not None


def _is_named(token: Token, name: str) -> bool:
    return str(token.text).lower() == name.lower()


def _takes_value(snapshot: Snapshot, sql: str) -> bool:
    """Tell whether a text, or a macro that it calls, uses a sequence."""
    if _SEQUENCE.search(sql):
        return True
    using = {
        entry.name.lower()
        for entry in snapshot.entries.values()
        if entry.kind in {"macro", "table_macro"} and _SEQUENCE.search(entry.sql)
    }
    return bool(using) and any(str(token.text).lower() in using for token in tokenize(sql))


def uses_sequence(sql: str) -> bool:
    """Tell whether a text calls for a sequence's value."""
    return _SEQUENCE.search(sql) is not None


def _is_column(snapshot: Snapshot, name: str) -> bool:
    return any(state.definition.column(name) for state in snapshot.tables.values())
