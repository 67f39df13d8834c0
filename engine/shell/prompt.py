"""The interactive prompt: history, highlighting, completion, and lines that make a statement."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import ColorDepth

from ...errors import Error
from .scanner import is_complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.lexers import Lexer

    from ..connection import Connection

PROMPT = "pagelake> "
CONTINUATION = "     ...> "
COLUMN_TABLES_MAX = 20
"""Tables of one statement whose columns are completed: each costs a look at its schema."""

_WORD = re.compile(r"[\w.\"]+$")
_AFTER_TABLE_WORD = re.compile(
    r"\b(?:from|join|into|update|table|describe|using)\s+[\w.\"]*$", re.IGNORECASE
)
_KEYWORD_TEXT = """
    ALL ALTER ANALYZE AND ANTI AS ASC ASOF AT BEGIN BETWEEN BY CALL CASE CAST CHECK COLUMN
    COMMIT CONFLICT CREATE CROSS CUBE DEFAULT DELETE DESC DESCRIBE DISTINCT DO DROP ELSE END
    EXCEPT EXCLUDE EXISTS EXPLAIN FALSE FILTER FIRST FOLLOWING FROM FULL GROUP GROUPING HAVING
    IF ILIKE IN INDEX INNER INSERT INTERSECT INTERVAL INTO IS JOIN KEY LAST LATERAL LEFT LIKE
    LIMIT MERGE NATURAL NOT NOTHING NULL NULLS OFFSET ON OR ORDER OUTER OVER PARTITION PIVOT
    PRECEDING PRIMARY QUALIFY RANGE RECURSIVE REFERENCES RENAME REPLACE RETURNING RIGHT
    ROLLBACK ROLLUP ROWS SAVEPOINT SCHEMA SELECT SEMI SET SETS SHOW SIMILAR SUMMARIZE TABLE
    TEMP THEN TIMESTAMP TO TRUE TRUNCATE UNBOUNDED UNION UNIQUE UNPIVOT UPDATE USING VALUES
    VERSION VIEW WHEN WHERE WINDOW WITH
"""
KEYWORDS = tuple(_KEYWORD_TEXT.split())


def open_prompt(con: Connection) -> Callable[[], str]:
    """Return a function that reads one complete input from the terminal.

    The function returns statements or a dot command; it raises EOFError on Ctrl-D and
    KeyboardInterrupt on Ctrl-C, which discards what was typed.
    """
    plain = bool(os.environ.get("NO_COLOR"))
    session: PromptSession[str] = PromptSession(
        message=PROMPT,
        prompt_continuation=CONTINUATION,
        history=open_history(),
        lexer=None if plain else _sql_lexer(),
        color_depth=ColorDepth.DEPTH_1_BIT if plain else None,
        completer=SqlCompleter(con),
        complete_while_typing=False,
        enable_history_search=True,
        enable_suspend=True,
        enable_open_in_editor=True,
        multiline=True,
        key_bindings=_key_bindings(),
    )
    return session.prompt


def open_history() -> History:
    """Open the history file, readable by its owner only: statements may hold secrets.

    It is `pagelake/history` under XDG_STATE_HOME, or under ~/.local/state. Where it cannot be
    written, the history lasts as long as the shell.
    """
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "pagelake" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def _sql_lexer() -> Lexer:
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexers.sql import PostgresLexer

    return PygmentsLexer(PostgresLexer)


def _key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @Condition
    def waits_for_more() -> bool:
        from prompt_toolkit.application import get_app

        return not is_complete(get_app().current_buffer.text)

    @bindings.add("enter", filter=~waits_for_more)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


class SqlCompleter(Completer):
    """Completes dot commands, keywords, table names and the columns of tables already named."""

    def __init__(self, con: Connection) -> None:
        self._con = con
        self._version: int | None = None
        self._tables: list[str] = []
        self._columns: dict[str, list[str]] = {}

    def get_completions(self, document: Document, _event: CompleteEvent) -> Iterator[Completion]:
        """Yield what may stand at the cursor."""
        before = document.text_before_cursor
        match = _WORD.search(before)
        word = match.group() if match else ""
        if before.lstrip() == word and word.startswith("."):
            from .commands import COMMANDS

            yield from _matching(word, list(COMMANDS))
            return
        try:
            names = self._names(before, document.text, word)
        except Error:
            # A completion that fails, say on a closed connection, completes nothing.
            names = []
        qualifier, dot, rest = word.rpartition(".")
        yield from _matching(rest if dot and names else word, names)
        if word and not dot and not qualifier and not _AFTER_TABLE_WORD.search(before):
            yield from _matching(word, [_in_case_of(word, keyword) for keyword in KEYWORDS])

    def _names(self, before: str, text: str, word: str) -> list[str]:
        self._refresh()
        if "." in word:
            return self._columns_of(word.rpartition(".")[0], text)
        if _AFTER_TABLE_WORD.search(before):
            return self._tables
        words = set(re.findall(r"\w+", text.lower()))
        named = [table for table in self._tables if table.rpartition(".")[2].lower() in words]
        columns = {c for table in named[:COLUMN_TABLES_MAX] for c in self._table_columns(table)}
        return sorted(columns) + self._tables

    def _refresh(self) -> None:
        version = self._con.snapshot()
        if version != self._version:
            self._tables = sorted(self._con.table_names())
            self._columns.clear()
            self._version = version

    def _columns_of(self, qualifier: str, text: str) -> list[str]:
        """Return the columns of a table or of the table that an alias stands for."""
        by_name = {table.lower(): table for table in self._tables}
        table = by_name.get(qualifier.lower())
        if table is None and qualifier:
            alias = re.search(
                rf"([\w.]+)\s+(?:as\s+)?{re.escape(qualifier)}\b", text, re.IGNORECASE
            )
            table = by_name.get(alias.group(1).lower()) if alias else None
        return [] if table is None else self._table_columns(table)

    def _table_columns(self, table: str) -> list[str]:
        if table not in self._columns:
            from .commands import quoted_name

            shape = self._con.sql(f"SELECT * FROM {quoted_name(table)} LIMIT 0")
            self._columns[table] = list(shape.columns)
        return self._columns[table]


def _matching(word: str, names: list[str]) -> Iterator[Completion]:
    start = word.lower()
    for name in names:
        if name.lower().startswith(start):
            yield Completion(name, start_position=-len(word))


def _in_case_of(word: str, keyword: str) -> str:
    return keyword.lower() if word.islower() else keyword
