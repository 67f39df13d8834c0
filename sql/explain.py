"""Drawing plans: one tree, each operator with its facts below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    return "\n".join(_cut(line, width) for line in _lines(root, "", "", is_root=True))


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def _lines(node: Node, prefix: str, branch: str, *, is_root: bool = False) -> Iterator[str]:
    yield f"{prefix}{branch}{node.title}"
    below = prefix if is_root else prefix + ("│   " if branch == "├── " else "    ")
    rail = "│   " if node.children else "    "
    for fact in node.facts:
        yield f"{below}{rail}{fact}"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(child, below, "└── " if last else "├── ")
