"""Making a statement smaller while what is wrong with it stays.

Works on tokens, so it knows no grammar: anything in brackets, and any run of tokens, is left out
in turn, largest first; a bracket is also tried without what is around it. Whether what is left
still says something is for the engines to tell.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIME_S: Final = 20.0
"""How long one statement is worked on."""
_TOKEN: Final = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|\$?\w+(?:\.\w+)*|->>?|::|:=|[<>=!~^@/|&]+|\S"
)
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


def shrink(sql: str, still: Callable[[str], bool], seconds: float = TIME_S) -> str:
    """Make a statement smaller.

    Args:
        sql: A statement for which ``still`` holds.
        still: Whether a statement shows what this one shows.
        seconds: When to stop.

    Returns:
        A statement for which ``still`` holds, from which nothing more can be left out, or that is
        as far as the time allowed.
    """
    deadline = time.monotonic() + seconds
    tokens = _TOKEN.findall(sql)
    if not still(" ".join(tokens)):
        return sql
    smaller = True
    while smaller and time.monotonic() < deadline:
        smaller = False
        for candidate in _candidates(tokens):
            if time.monotonic() >= deadline:
                break
            if still(" ".join(candidate)):
                tokens, smaller = candidate, True
                break
    return " ".join(tokens)


def _candidates(tokens: list[str]) -> Iterator[list[str]]:
    """Smaller lists of tokens, the smallest first."""
    pairs = _brackets(tokens)
    for begin, end in sorted(pairs, key=lambda pair: pair[0] - pair[1]):
        if tokens[begin + 1 : begin + 2] in (["SELECT"], ["FROM"], ["WITH"]):
            yield tokens[begin + 1 : end]  # a subquery alone
    spans = sorted(_spans(tokens, pairs), key=lambda span: span[0] - span[1])
    for begin, end in spans:
        yield [*tokens[:begin], *tokens[end:]]
        if end - begin > 1:
            yield [*tokens[:begin], "NULL", *tokens[end:]]
    for begin, end in pairs:
        yield [*tokens[:begin], *tokens[begin + 1 : end], *tokens[end + 1 :]]


def _brackets(tokens: list[str]) -> list[tuple[int, int]]:
    """First and last token of everything in brackets."""
    opened: list[int] = []
    found = []
    for place, token in enumerate(tokens):
        if token in _CLOSING:
            opened.append(place)
        elif opened and token == _CLOSING[tokens[opened[-1]]]:
            found.append((opened.pop(), place))
    return found


def _spans(tokens: list[str], pairs: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """Runs of tokens in which brackets are balanced: begins and ends."""
    ends = dict(pairs)
    spans = set()
    for begin in range(len(tokens)):
        place = begin
        while place < len(tokens) and tokens[place] not in {")", "]", "}"}:
            place = ends.get(place, place) + 1
            if len(spans) < 20_000:
                spans.add((begin, place))
    spans.discard((0, len(tokens)))
    return spans
