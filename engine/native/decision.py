"""Which statements the kernel runs itself, on native copies of the tables that they change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import Error
from ...sql import statement as st
from ...sql.tokens import tokenize

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

    from ...storage.effects import TableDefinition
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
        if _SEQUENCE.search(sql) or (snapshot.entries and _calls_macro(snapshot, sql)):
            return st.Native("SELECT", (), sql)
        if _ROWID.search(sql) and not _is_column(snapshot, "rowid"):
            return st.Native("SELECT", (), sql, all_tables=True)
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
    asks_rowid = _ROWID.search(sql) is not None and definition.column("rowid") is None
    if (
        _SEQUENCE.search(sql)
        or asks_rowid
        or any(c.default and _SEQUENCE.search(c.default) for c in definition.columns)
        or _has_foreign_keys(snapshot, definition)
        or (definition.generated and _meets_generated(statement))
    ):
        verb = type(statement).__name__.upper()
        only_adds = isinstance(statement, st.Insert) and not asks_rowid
        only_adds = only_adds and all(c.table != definition.id for c in definition.constraints)
        named = [token for token in tokenize(sql) if _is_named(token, statement.target.last)]
        return st.Native(verb, (statement.target,), sql, asks_rowid, only_adds and len(named) == 1)
    return statement


def _meets_generated(statement: st.Insert | st.Update | st.Delete) -> bool:
    """Tell whether generated columns matter to a statement: their values must be computable."""
    return isinstance(statement, st.Insert) or statement.returning is not None


def _is_named(token: Token, name: str) -> bool:
    return str(token.text).lower() == name.lower()


def _calls_macro(snapshot: Snapshot, sql: str) -> bool:
    """Tell whether a text calls a macro that uses a sequence."""
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


def _has_foreign_keys(snapshot: Snapshot, definition: TableDefinition) -> bool:
    if any(c.table for c in definition.constraints):
        return True
    return any(
        c.table == definition.id
        for state in snapshot.tables.values()
        for c in state.definition.constraints
    )
