"""Parameter markers of a statement: ``?``, ``$1`` and ``$name``, with their places in the text."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot.tokenizer_core import TokenType

from .tokens import tokenize


@dataclass(frozen=True, slots=True)
class Marker:
    """One marker.

    Attributes:
        key: The name or number behind ``$``; for ``?`` its ordinal among them, from 1.
        positional: True for ``?``.
        start: Offset of its first character.
        end: Offset behind its last character.
    """

    key: str
    positional: bool
    start: int
    end: int


def markers(sql: str) -> list[Marker]:
    """Find the parameter markers of a statement, in its order."""
    found: list[Marker] = []
    tokens, ordinal = tokenize(sql), 0
    for index, token in enumerate(tokens):
        # The tokenizer takes ``?::`` for one operator.
        if token.token_type in {TokenType.PLACEHOLDER, TokenType.QDCOLON}:
            ordinal += 1
            found.append(Marker(str(ordinal), True, token.start, token.start + 1))
        elif token.token_type is TokenType.PARAMETER and index + 1 < len(tokens):
            after = tokens[index + 1]
            if after.start == token.end + 1:
                found.append(Marker(str(after.text), False, token.start, after.end + 1))
    return found
