"""Tokens of a statement, with their places in its text.

Pagelake rewrites only what must change and splices it into the user's own text by token
position: what the kernel sees is the user's dialect, not a generator's idea of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from sqlglot.dialects import DuckDB
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from ..errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Dialect(DuckDB):  # type: ignore[misc]
    """DuckDB's dialect, except that no word swallows the rest of a statement as one string."""

    class Tokenizer(DuckDB.Tokenizer):  # type: ignore[misc]
        COMMANDS: ClassVar[set[TokenType]] = set()


class _WithoutTags(DuckDB):  # type: ignore[misc]
    """The same without `$tag$ … $tag$`, for which sqlglot takes the text from `$a` to `$b`."""

    class Tokenizer(DuckDB.Tokenizer):  # type: ignore[misc]
        COMMANDS: ClassVar[set[TokenType]] = set()
        HEREDOC_STRINGS: ClassVar[list[str]] = []
        RAW_STRINGS: ClassVar[list[tuple[str, str]]] = [("$$", "$$")]


_DIALECT = _Dialect()
_WITHOUT_TAGS = _WithoutTags()
_TAG = re.compile(r"\$[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*\$")
_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_LITERALS = {
    TokenType.STRING,
    TokenType.NUMBER,
    TokenType.HEREDOC_STRING,
    TokenType.RAW_STRING,
    TokenType.BYTE_STRING,
    TokenType.IDENTIFIER,
}


def quote(name: str) -> str:
    """A name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Text as a string literal."""
    return "'" + text.replace("'", "''") + "'"


def dialect_of(sql: str) -> DuckDB:
    """The dialect that reads a text: few statements have tagged strings, many have parameters."""
    return _DIALECT if _TAG.search(sql) else _WITHOUT_TAGS


def tokenize(sql: str) -> list[Token]:
    """Cut a text into tokens; comments are no tokens.

    Raises:
        ParseError: A quote or comment is not closed.
    """
    return list(_tokenize_cached(sql))


@lru_cache(maxsize=64)
def _tokenize_cached(sql: str) -> tuple[Token, ...]:
    """Planning asks for the tokens of a text several times."""
    try:
        return tuple(dialect_of(sql).tokenize(sql))
    except TokenError as error:
        line = sql.count("\n") + 1
        raise ParseError(
            f"syntax error: {str(error).splitlines()[0]}",
            line=line,
            column=len(sql) - (sql.rfind("\n") + 1) + 1,
            excerpt=sql.splitlines()[-1] if sql else "",
        ) from error


def split(sql: str) -> list[str]:
    """Split a script into its statements, comments kept, empty ones dropped.

    Raises:
        ParseError: A quote or comment is not closed.
    """
    statements, start, tokens_seen = [], 0, False
    for token in tokenize(sql):
        if token.token_type is TokenType.SEMICOLON:
            if tokens_seen:
                statements.append(sql[start : token.start].strip())
            start, tokens_seen = token.end + 1, False
        else:
            tokens_seen = True
    if tokens_seen:
        statements.append(sql[start:].strip())
    return statements


@dataclass(frozen=True, slots=True)
class Name:
    """A possibly qualified name and its place in the text.

    Attributes:
        parts: Unquoted parts, outermost first.
        start: Offset of its first character.
        end: Offset behind its last character.
    """

    parts: tuple[str, ...]
    start: int
    end: int

    @property
    def last(self) -> str:
        """The innermost part."""
        return self.parts[-1]

    @property
    def dotted(self) -> str:
        """The name as one would write it without quotes."""
        return ".".join(self.parts)


class TokenStream:
    """Reads a statement token by token.

    Args:
        sql: The statement's text.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.tokens: Sequence[Token] = _tokenize_cached(sql)
        self.at = 0

    def at_end(self) -> bool:
        """True behind the last token."""
        return self.at >= len(self.tokens)

    @property
    def offset(self) -> int:
        """Offset of the next token, or of the end of the text."""
        return len(self.sql) if self.at_end() else self.tokens[self.at].start

    @property
    def behind(self) -> int:
        """Offset behind the token read last."""
        return 0 if self.at == 0 else self.tokens[self.at - 1].end + 1

    def word(self, ahead: int = 0) -> str:
        """The next token as an upper-case word; empty for literals, quoted names and the end."""
        index = self.at + ahead
        if index >= len(self.tokens):
            return ""
        token = self.tokens[index]
        return "" if token.token_type in _LITERALS else token.text.upper()

    def accept(self, *words: str) -> bool:
        """Step over the words when they come next."""
        if all(self.word(i) == word for i, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Step over the words or complain."""
        if not self.accept(*words):
            raise self.error(f"expected {' '.join(words)}")

    def error(self, what: str) -> ParseError:
        """A syntax error at the next token."""
        offset = self.offset
        line = self.sql.count("\n", 0, offset) + 1
        begin = self.sql.rfind("\n", 0, offset) + 1
        excerpt = self.sql[begin:].split("\n", 1)[0]
        return ParseError(
            f"syntax error: {what}", line=line, column=offset - begin + 1, excerpt=excerpt
        )

    def identifier(self) -> str:
        """Read one identifier, unquoted."""
        if self.at_end():
            raise self.error("expected a name")
        token = self.tokens[self.at]
        quoted = token.token_type is TokenType.IDENTIFIER
        first = token.text[:1]  # what is not ASCII is a letter to the kernel, signs too
        if not quoted and not (first.isalpha() or first == "_" or not first.isascii()):
            raise self.error("expected a name")
        self.at += 1
        return str(token.text)

    def name(self) -> Name:
        """Read a possibly qualified name."""
        start = self.offset
        parts = [self.identifier()]
        while self.word() == "." and self.word(1) != "*":
            self.at += 1
            parts.append(self.identifier())
        return Name(tuple(parts), start, self.behind)

    def names_in_parentheses(self) -> tuple[str, ...]:
        """Read ``(a, b, …)``."""
        self.expect("(")
        names = [self.identifier()]
        while self.accept(",") and self.word() != ")":
            names.append(self.identifier())
        self.expect(")")
        return tuple(names)

    def skip_balanced(self) -> None:
        """Step over one token, or over a whole bracketed group."""
        depth = 0
        while not self.at_end():
            kind = self.tokens[self.at].token_type
            depth += (kind in _OPEN) - (kind in _CLOSE)
            self.at += 1
            if depth <= 0:
                return

    def text_until(self, *words: str) -> str:
        """The text up to the first of some words outside brackets, or to the end."""
        start = self.offset
        stop = start
        while not self.at_end():
            # IS DISTINCT FROM is an operator, not the beginning of a FROM clause.
            operator = self.word() == "FROM" and self.at > 0 and self.word(-1) == "DISTINCT"
            if self.word() in words and not operator:
                break
            self.skip_balanced()
            stop = self.behind
        return self.sql[start:stop]

    def rest(self) -> str:
        """The text from here to the end."""
        start = self.offset
        self.at = len(self.tokens)
        return self.sql[start:]
