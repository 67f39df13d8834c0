"""Finds where statements end, without parsing them.

A statement ends at a `;` that is not inside quotes, dollar quotes or a comment. The shell needs
to know this while a statement is still being typed, when no parser would accept it; a line that
begins with a dot, where a statement would begin, is a command of the shell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# An identifier swallows what would otherwise look like an escape string (`type'x'`) or the start
# of a dollar quote (`a$b$`).
_TOKEN = re.compile(
    r"""
      (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<escape>[eE]')
    | (?P<string>')
    | (?P<name>")
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<end>;)
    | (?P<space>\s+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_STRING_END = re.compile(r"[^']*(?:''[^']*)*'")
_ESCAPE_END = re.compile(r"(?:[^'\\]|\\.|'')*'", re.DOTALL)
_NAME_END = re.compile(r'[^"]*(?:""[^"]*)*"')
_BLOCK_PART = re.compile(r"/\*|\*/")
_CLOSERS = {"string": _STRING_END, "escape": _ESCAPE_END, "name": _NAME_END}
_COMMAND = re.compile(r"[ \t]*(\.[^\n]*)\n?")


@dataclass(frozen=True, slots=True)
class Item:
    """One statement or dot command of a script.

    Attributes:
        text: The statement with its `;`, or the command's line.
        line: Line of the script it starts on, counted from 1.
        is_command: Whether it is a dot command.
        is_closed: Whether the statement has its `;`; commands always are.
    """

    text: str
    line: int
    is_command: bool
    is_closed: bool


def script_items(script: str) -> Iterator[Item]:
    """Yield the statements and dot commands of a script in order.

    Text that holds only white space and comments yields nothing. What follows the last `;` is
    yielded as an item that is not closed.
    """
    start = 0
    line = 1
    while start < len(script):
        blank = _skip_blank(script, start)
        line += script.count("\n", start, blank)
        start = blank
        if start >= len(script):
            return
        command = _COMMAND.match(script, start) if _begins_line(script, start) else None
        if command is not None:
            yield Item(command.group(1).rstrip(), line, is_command=True, is_closed=True)
            end = command.end()
        else:
            end, closed = _statement_end(script, start)
            text = script[start:end]
            if text.strip(" \t\r\n;"):
                yield Item(text, line, is_command=False, is_closed=closed)
        line += script.count("\n", start, end)
        start = end


def is_complete(text: str) -> bool:
    """Return whether what was typed so far can be run: nothing in it waits for more.

    Empty text and text that holds only comments are complete; an open block comment is not.
    """
    items = list(script_items(text))
    return all(item.is_closed for item in items)


def _begins_line(script: str, position: int) -> bool:
    return not script[script.rfind("\n", 0, position) + 1 : position].strip()


def _skip_blank(script: str, start: int) -> int:
    """Return where the next statement begins: after white space and whole comments."""
    while (match := _TOKEN.match(script, start)) is not None:
        if match.lastgroup in {"space", "line"}:
            start = match.end()
        elif match.lastgroup == "block":
            end = _block_end(script, match.end())
            if end is None:
                return start
            start = end
        else:
            return start
    return start


def _statement_end(script: str, start: int) -> tuple[int, bool]:
    """Return where the statement ends, and whether it ends in `;`."""
    while (match := _TOKEN.match(script, start)) is not None:
        kind = match.lastgroup or "other"
        end: int | None = match.end()
        if kind == "end":
            return match.end(), True
        if kind in _CLOSERS:
            closer = _CLOSERS[kind].match(script, match.end())
            end = None if closer is None else closer.end()
        elif kind == "block":
            end = _block_end(script, match.end())
        elif kind == "dollar":
            closing = script.find(match.group(), match.end())
            end = None if closing < 0 else closing + len(match.group())
        if end is None:
            break
        start = end
    return len(script), False


def _block_end(script: str, start: int) -> int | None:
    """Return where a block comment ends (they nest), or None when it stays open."""
    depth = 1
    for part in _BLOCK_PART.finditer(script, start):
        depth += 1 if part.group() == "/*" else -1
        if depth == 0:
            return part.end()
    return None
