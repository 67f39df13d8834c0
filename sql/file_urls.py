"""URLs of stored files in a statement: `pagelake://…` where the kernel opens a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot.tokenizer_core import TokenType

from .references import FILE_READERS
from .tokens import literal, quote, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokenizer_core import Token

SCHEME: Final = "pagelake://"
"""What a URL of a stored file begins with."""
_BEFORE: Final = frozenset({"FROM", "JOIN"})
_IN_LISTS: Final = frozenset({TokenType.STRING, TokenType.COMMA, TokenType.L_BRACKET})


def with_prefix(sql: str, prefix: str) -> str:
    """Put a prefix before the path of each stored file that a statement opens.

    A text that only looks like a URL, and is compared or stored, stays as it is.
    """
    tokens = tokenize(sql)
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        text = str(token.text)
        if not text.startswith(SCHEME) or not _is_opened(tokens, index):
            continue
        written = quote if token.token_type is TokenType.IDENTIFIER else literal
        path = text.removeprefix(SCHEME).lstrip("/")
        changed = written(f"{SCHEME}/{prefix}/{path}")
        sql = sql[: token.start] + changed + sql[token.end + 1 :]
    return sql


def _is_opened(tokens: Sequence[Token], index: int) -> bool:
    """Tell whether the kernel takes a text for the name of a file."""
    if index and tokens[index - 1].text.upper() in _BEFORE:
        return True
    if tokens[index].token_type is not TokenType.STRING:
        return False
    at = index - 1
    while at > 0 and tokens[at].token_type in _IN_LISTS:
        at -= 1
    is_call = at > 0 and tokens[at].text == "("
    return is_call and str(tokens[at - 1].text).lower() in {*FILE_READERS, "glob"}
