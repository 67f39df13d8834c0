"""Drawing plans: one tree, each operator with its facts below it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FACT_LINES_MAX = 6
_FACT_WIDTH_MIN = 40
"""Characters of a fact on a line, however deep its operator lies."""


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of a plan.

    Attributes:
        title: Its name, and what it reads if it is a leaf.
        facts: What else is known of it, a line each.
        children: The operators that feed it.
        rows: Rows that it gives, or is expected to give.
        seconds: Time that it took itself; None where it did not run.
    """

    title: str
    facts: tuple[str, ...] = ()
    children: tuple[Node, ...] = ()
    rows: int | None = None
    seconds: float | None = None


def draw(root: Node, *, width: int) -> str:
    """Draw a plan as text.

    Example:
        >>> print(draw(Node("JOIN", ("a = b",), (Node("SCAN t"), Node("SCAN u"))), width=40))
        JOIN
        │   a = b
        ├── SCAN t
        └── SCAN u
    """
    return "\n".join(_lines(root, "", "", width, is_root=True))


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def _folded(fact: str, room: int) -> list[str]:
    """A fact on as many lines as it needs, up to a few."""
    room = max(room, _FACT_WIDTH_MIN)
    return textwrap.wrap(
        fact[: (room + 1) * _FACT_LINES_MAX],  # lists of values can be very long
        room,
        subsequent_indent="  ",
        break_on_hyphens=False,
        max_lines=_FACT_LINES_MAX,
        placeholder="…",
    )


def _lines(
    node: Node, prefix: str, branch: str, width: int, *, is_root: bool = False
) -> Iterator[str]:
    yield _cut(f"{prefix}{branch}{node.title}", width)
    below = prefix if is_root else prefix + ("│   " if branch == "├── " else "    ")
    rail = "│   " if node.children else "    "
    for fact in node.facts:
        for line in _folded(fact, width - len(below) - len(rail)):
            yield f"{below}{rail}{line}"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(child, below, "└── " if last else "├── ", width)
