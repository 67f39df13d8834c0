"""Draws a plan for a terminal: a tree with bars beside it, as wide as each operator is costly.

    QUERY                                  took 41.2 ms
    └── HASH_GROUP_BY                      ███████           12.3 ms  33%  4 rows
        │   Groups: l_returnflag
        └── TABLE_SCAN main.lineitem       ██████████████    24.9 ms  67%  5,916,591 rows

The cost is the time an operator took itself or, of a plan that did not run, the rows that it is
expected to give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .terminal import ELLIPSIS, cell_width, clip, visible
from .text_table import BOLD, DIM, RESET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...sql.explain import Node

BAR_CELLS_MIN, BAR_CELLS_MAX = 6, 24
LABEL_CELLS = 30
"""Room behind a bar: time, share and rows."""

TITLE_CELLS_MIN = 24
TITLE_ROOM = 12
"""Cells left for a title, however deep it lies."""

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_RED, _YELLOW, _GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"
_MUCH, _SOME = 0.5, 0.15
"""Shares of the cost from which a bar is red, and yellow."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the drawing: the rails before the text, the text, and the operator it names."""

    rails: str
    text: str
    node: Node | None = None


def draw_plan(root: Node, *, width: int, colour: bool) -> list[str]:
    """Draw a plan.

    Args:
        root: The root operator.
        width: Cells of the window.
        colour: Whether escape sequences may be used.

    Returns:
        Lines that are safe to print, none wider than the window.
    """
    lines = list(_lines(root, "", "", is_root=True))
    nodes = list(_nodes(root))
    costs = [_cost(node, nodes) for node in nodes]
    longest = max((cell_width(_left(line)) for line in lines if line.node is not None), default=0)
    bar_cells = max(BAR_CELLS_MIN, min(BAR_CELLS_MAX, width - LABEL_CELLS - longest - 2))
    left = max(TITLE_CELLS_MIN, min(longest + 2, width - bar_cells - LABEL_CELLS))
    drawing = _Drawing(width, left, bar_cells, max(costs, default=0.0), sum(costs), nodes, colour)
    return [drawing.line(line) for line in lines]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What all lines of a drawing share."""

    width: int
    left: int
    bar_cells: int
    most: float
    total: float
    nodes: list[Node]
    colour: bool

    def line(self, line: _Line) -> str:
        # Of a plan that is deeper than the window is wide, the outer rails are left out.
        room = self.left - TITLE_ROOM
        rails = line.rails if len(line.rails) <= room else f"{ELLIPSIS}{line.rails[1 - room :]}"
        if line.node is None:
            return f"{rails}{self._in(DIM, clip(line.text, self.width - len(rails)))}"
        title = clip(line.text, self.left - len(rails) - 1)
        blanks = " " * (self.left - len(rails) - cell_width(title))
        bar, label = self._bar(line.node)
        room = max(0, self.width - self.left - self.bar_cells - 1)
        behind = f"{bar} {clip(label, room)}".rstrip() if label else ""
        return f"{rails}{self._in(BOLD, title)}{blanks}{behind}".rstrip()

    def _bar(self, node: Node) -> tuple[str, str]:
        cost = _cost(node, self.nodes)
        if node.rows is None and node.seconds is None:
            return "", ""
        share = cost / self.total if self.total else 0.0
        eighths = round(cost / self.most * self.bar_cells * 8) if self.most else 0
        full, part = divmod(eighths, 8)
        blocks = "█" * full + (_EIGHTHS[part] if part else "")
        tint = _RED if share >= _MUCH else _YELLOW if share >= _SOME else _GREEN
        bar = self._in(tint, blocks) + " " * (self.bar_cells - len(blocks))
        rows = "" if node.rows is None else f"{node.rows:,} row{'' if node.rows == 1 else 's'}"
        if node.seconds is None:
            return bar, f"~{rows}"
        return bar, f"{node.seconds * 1e3:8.2f} ms {share:4.0%}  {rows}"

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if self.colour and text else text


def _cost(node: Node, nodes: list[Node]) -> float:
    if any(other.seconds is not None for other in nodes):
        return node.seconds or 0.0
    return float(node.rows or 0)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _left(line: _Line) -> str:
    return line.rails + line.text


def _lines(node: Node, prefix: str, branch: str, *, is_root: bool = False) -> Iterator[_Line]:
    yield _Line(prefix + branch, visible(node.title), node)
    below = prefix if is_root else prefix + ("│   " if branch == "├── " else "    ")
    rail = "│   " if node.children else "    "
    for fact in node.facts:
        # What the bar's label says already.
        if not (node.rows is not None and _repeats(fact, measured=node.seconds is not None)):
            yield _Line(f"{below}{rail}", visible(fact))
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(child, below, "└── " if last else "├── ")


def _repeats(fact: str, *, measured: bool) -> bool:
    """Tell whether a fact says in words what stands beside the bar."""
    if measured:
        return fact.endswith(" ms") and " in " in fact
    return fact.startswith("~")
