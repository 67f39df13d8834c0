"""A table in box characters, for people.

Numbers are right-aligned, NULL is dim, control characters are spelled out. A table wider than
the window has its text columns cut first, then its middle columns left out: a number is never
cut, because a cut number reads as another number.

    ┌─────────┬────────┐
    │ name    │      n │
    │ VARCHAR │ BIGINT │
    ├─────────┼────────┤
    │ apple   │     12 │
    └─────────┴────────┘
"""

from __future__ import annotations

from typing import BinaryIO

from .format import OutputOptions, OutputSummary, ResultStream
from .grid import Column, collect
from .terminal import ELLIPSIS, cell_width, clip

COLUMN_CELLS_MIN = 12
"""Narrowest that a text column is cut to before columns are left out; a date stays whole."""

NAME_CELLS_MAX = 20
"""A heading up to this is not cut: a column whose name cannot be read says little."""

TYPE_CELLS_MAX = 24
"""Widest that a type's text makes a column: a STRUCT's type may be far longer than its values."""

DIM, BOLD, RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_WRITE_ROWS = 1_000


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the rows as a box table; see `Writer`."""
    grid = collect(result, options)
    columns = _fit(grid.columns, options)
    kept = sum(column is not _GAP for column in columns)
    frame = _Frame(columns, options)
    lines = frame.head()
    for row in range(grid.rows_shown):
        lines.append(frame.row(row))
        if len(lines) >= _WRITE_ROWS:
            _flush(lines, stream)
    lines.append(frame.foot())
    _flush(lines, stream)
    return OutputSummary(grid.rows, grid.rows_shown, len(grid.columns), kept)


# Stands for the columns left out.
_GAP = Column(ELLIPSIS, ELLIPSIS, False, [])


class _Frame:
    """Lines of a table whose columns and widths are settled."""

    def __init__(self, columns: list[Column], options: OutputOptions) -> None:
        self._columns = columns
        self._options = options
        self._widths = _shrink(columns, options)

    def head(self) -> list[str]:
        names = [self._pad(c.name, i, c.right, BOLD) for i, c in enumerate(self._columns)]
        types = [self._pad(c.sql_type, i, c.right, DIM) for i, c in enumerate(self._columns)]
        return [
            self._rule("┌", "┬", "┐"),
            self._line(names),
            self._line(types),
            self._rule("├", "┼", "┤"),
        ]

    def row(self, index: int) -> str:
        cells = []
        for position, column in enumerate(self._columns):
            text = ELLIPSIS if column is _GAP else column.cells[index]
            if text is None:
                cells.append(self._pad(self._options.null_text, position, column.right, DIM))
            else:
                cells.append(self._pad(text, position, column.right, ""))
        return self._line(cells)

    def foot(self) -> str:
        return self._rule("└", "┴", "┘")

    def _pad(self, text: str, position: int, right: bool, style: str) -> str:
        width = self._widths[position]
        text = clip(text, width)
        blanks = " " * (width - cell_width(text))
        if style and self._options.colour:
            text = f"{style}{text}{RESET}"
        return blanks + text if right else text + blanks

    def _line(self, cells: list[str]) -> str:
        return "│ " + " │ ".join(cells) + " │"

    def _rule(self, left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in self._widths) + right


def _natural_width(column: Column, options: OutputOptions) -> int:
    null_cells = cell_width(options.null_text)
    cells = (null_cells if cell is None else cell_width(cell) for cell in column.cells)
    type_cells = min(cell_width(column.sql_type), TYPE_CELLS_MAX)
    return max(cell_width(column.name), type_cells, max(cells, default=1), 1)


def _least_width(column: Column, options: OutputOptions) -> int:
    name_cells = min(cell_width(column.name), NAME_CELLS_MAX)
    if column.right:
        null_cells = cell_width(options.null_text)
        digits = (null_cells if cell is None else cell_width(cell) for cell in column.cells)
        return max(max(digits, default=1), name_cells)
    return min(_natural_width(column, options), max(COLUMN_CELLS_MIN, name_cells))


def _fit(columns: list[Column], options: OutputOptions) -> list[Column]:
    """Leave out middle columns until the least widths fit in the window."""
    if options.width_cells is None:
        return columns
    left, right = columns[: (len(columns) + 1) // 2], columns[(len(columns) + 1) // 2 :]
    while len(left) + len(right) > 1:
        gap = [_GAP] if len(left) + len(right) < len(columns) else []
        kept = [*left, *gap, *right]
        needed = sum(_least_width(column, options) + 3 for column in kept) + 1
        if needed <= options.width_cells:
            return kept
        if len(left) > len(right):
            left = left[:-1]
        else:
            right = right[1:]
    return [*left, *right, _GAP] if len(columns) > 1 else columns


def _shrink(columns: list[Column], options: OutputOptions) -> list[int]:
    """Choose column widths: natural ones, or the widest cut evenly until they fit."""
    widths = [_natural_width(column, options) for column in columns]
    if options.width_cells is None:
        return widths
    room = options.width_cells - 3 * len(columns) - 1
    least = [_least_width(column, options) for column in columns]
    low, high = 1, max(widths, default=1)
    while low < high:
        cap = (low + high + 1) // 2
        if sum(max(min(w, cap), low_w) for w, low_w in zip(widths, least, strict=True)) <= room:
            low = cap
        else:
            high = cap - 1
    if len(columns) == 1 and not columns[0].right:
        return [max(min(widths[0], room), 1)]
    return [max(min(width, low), least_w) for width, least_w in zip(widths, least, strict=True)]


def _flush(lines: list[str], stream: BinaryIO) -> None:
    stream.write(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
    lines.clear()
