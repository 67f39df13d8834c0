"""Colours of SQL at the prompt and in `.schema`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from prompt_toolkit.lexers import Lexer, PygmentsLexer
from prompt_toolkit.styles import style_from_pygments_cls
from pygments.lexers.sql import PostgresLexer
from pygments.styles import get_style_by_name
from pygments.token import Keyword, Name
from pygments.util import ClassNotFound

from ...errors import InvalidRequest
from .keywords import KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prompt_toolkit.document import Document
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.styles import BaseStyle

_KEYWORDS = frozenset(KEYWORDS)


class DialectLexer(PostgresLexer):  # type: ignore[misc]  # Pygments has no types
    """SQL as PostgreSQL has it, with the keywords of our dialect, and functions set apart."""

    name = "Pagelake SQL"
    aliases = ()
    url = "https://duckdb.org/docs/sql/introduction"

    def get_tokens_unprocessed(
        self, text: str, *stack: object
    ) -> Iterator[tuple[int, object, str]]:
        """Yield position, token type and text of each token."""
        for position, kind, word in super().get_tokens_unprocessed(text, *stack):
            if kind in Name and kind is not Name.Builtin and word.upper() in _KEYWORDS:
                yield position, Keyword, word
            elif kind is Name and text.startswith("(", position + len(word)):
                yield position, Name.Function, word
            else:
                yield position, kind, word


class _ShellLexer(Lexer):
    """SQL, or the line of a dot command."""

    def __init__(self) -> None:
        self._sql = PygmentsLexer(DialectLexer, sync_from_start=True)

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Return a function that gives the styled text of a line."""
        if not document.text.lstrip().startswith("."):
            return self._sql.lex_document(document)
        lines = document.lines

        def styled(number: int) -> StyleAndTextTuples:
            name, blank, rest = lines[number].partition(" ")
            return [("class:pygments.keyword", name), ("", blank + rest)]

        return styled


@lru_cache(maxsize=1)
def shell_lexer() -> Lexer:
    """Return what colours the input of a prompt."""
    return _ShellLexer()


def theme_style(theme: str) -> BaseStyle:
    """Return the style of a theme.

    Raises:
        InvalidRequest: There is no such theme.
    """
    try:
        return style_from_pygments_cls(get_style_by_name(theme))
    except ClassNotFound as error:
        raise InvalidRequest(f"there is no theme {theme}", hint="name a Pygments style") from error
