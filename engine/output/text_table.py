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

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from .format import OutputOptions, OutputSummary, ResultStream
from .grid import Cells, Column, TextRows
from .terminal import ELLIPSIS, cell_width, clip

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMN_CELLS_MIN = 12
"""Narrowest that a text column is cut to before columns are left out."""

_WHOLE_TYPES = ("DATE", "TIME", "BOOLEAN")
"""Types whose values are not cut either: half a time of day is another time of day."""

NAME_CELLS_MAX = 20
"""A heading up to this is not cut: a column whose name cannot be read says little."""

TYPE_CELLS_MAX = 24
"""Widest that a type's text makes a column: a STRUCT's type may be far longer than its values."""

DIM, BOLD, RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"
SAMPLE_ROWS = 1_000
"""Rows that are held back to choose the widths of the columns."""


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the rows as a table that fits the window; see `Writer`."""
    return write_frame(result, stream, options, TABLE_STYLE)


@dataclass(frozen=True, slots=True)
class FrameStyle:
    """What a table looks like.

    Attributes:
        top: Left end, junction and right end of the line above the heading.
        middle: The same of the line below the heading.
        bottom: The same of the line below the rows.
        types: Whether the heading names types.
    """

    top: tuple[str, str, str]
    middle: tuple[str, str, str]
    bottom: tuple[str, str, str]
    types: bool


TABLE_STYLE = FrameStyle(("┌", "┬", "┐"), ("├", "┼", "┤"), ("└", "┴", "┘"), types=True)


def write_frame(
    result: ResultStream, stream: BinaryIO, options: OutputOptions, style: FrameStyle
) -> OutputSummary:
    """Write a table as rows come: the first ones decide the widths of all.

    A text in a later row that is too wide is cut; a number is not, it moves what is right of it.
    """
    source = TextRows(result, options)
    columns, frame = source.columns, None
    for cells in source:
        if frame is not None:
            frame.write_rows(cells, stream)
            continue
        for column, texts in zip(columns, cells, strict=True):
            column.cells.extend(texts)
        if source.rows_shown >= SAMPLE_ROWS:
            frame = _begin(columns, stream, options, style)
    if frame is None:
        frame = _begin(columns, stream, options, style)
    stream.write(encoded(frame.foot() + "\n"))
    stream.flush()
    source.count_rest()
    return OutputSummary(source.rows, source.rows_shown, len(columns), frame.columns_shown)


def encoded(text: str) -> bytes:
    """Return the text as UTF-8; lone surrogates, which it lacks, are spelled out."""
    return text.encode("utf-8", "backslashreplace")


def _begin(
    columns: list[Column], stream: BinaryIO, options: OutputOptions, style: FrameStyle
) -> _Frame:
    frame = _Frame(columns, options, style)
    stream.write(encoded("".join(f"{line}\n" for line in frame.head())))
    frame.write_rows([column.cells for column in columns], stream)
    stream.flush()
    return frame


# Stands for the columns left out.
_GAP = Column(ELLIPSIS, ELLIPSIS, False, [])


class _Frame:
    """A table whose columns and widths are settled."""

    def __init__(self, columns: list[Column], options: OutputOptions, style: FrameStyle) -> None:
        self._options = options
        self._style = style
        self._columns = _fit(columns, options, style)
        self._widths = _shrink(self._columns, options, style)
        self._sources = [
            None if column is _GAP else _position(columns, column) for column in self._columns
        ]
        self.columns_shown = sum(column is not _GAP for column in self._columns)

    def head(self) -> list[str]:
        names = [self._heading(c.name, i, c.right, BOLD) for i, c in enumerate(self._columns)]
        types = [self._heading(c.sql_type, i, c.right, DIM) for i, c in enumerate(self._columns)]
        below = [self._line(types)] if self._style.types else []
        top, middle = self._rule(self._style.top), self._rule(self._style.middle)
        return [top, self._line(names), *below, middle]

    def write_rows(self, cells: Cells, stream: BinaryIO) -> None:
        padded = []
        for position, source in enumerate(self._sources):
            if source is None:
                width = self._widths[position]
                padded.append([ELLIPSIS.ljust(width)] * len(cells[0]))
            else:
                right = self._columns[position].right
                padded.append([self._cell(text, position, right) for text in cells[source]])
        lines = [f"{self._line(row)}\n" for row in zip(*padded, strict=True)]
        stream.write(encoded("".join(lines)))

    def foot(self) -> str:
        return self._rule(self._style.bottom)

    def _cell(self, text: str | None, position: int, right: bool) -> str:
        if text is None:
            return self._pad(self._options.null_text, position, right, DIM)
        return self._pad(text if right else clip(text, self._widths[position]), position, right, "")

    def _heading(self, text: str, position: int, right: bool, style: str) -> str:
        return self._pad(clip(text, self._widths[position]), position, right, style)

    def _pad(self, text: str, position: int, right: bool, style: str) -> str:
        blanks = " " * (self._widths[position] - cell_width(text))
        if style and self._options.colour:
            text = f"{style}{text}{RESET}"
        return blanks + text if right else text + blanks

    def _line(self, cells: Sequence[str]) -> str:
        return "│ " + " │ ".join(cells) + " │"

    def _rule(self, ends: tuple[str, str, str]) -> str:
        left, middle, right = ends
        return left + middle.join("─" * (width + 2) for width in self._widths) + right


def _position(columns: list[Column], column: Column) -> int:
    return next(index for index, other in enumerate(columns) if other is column)


def _natural_width(column: Column, options: OutputOptions, style: FrameStyle) -> int:
    null_cells = cell_width(options.null_text)
    cells = (null_cells if cell is None else cell_width(cell) for cell in column.cells)
    type_cells = min(cell_width(column.sql_type), TYPE_CELLS_MAX) if style.types else 0
    return max(cell_width(column.name), type_cells, max(cells, default=1), 1)


def _least_width(column: Column, options: OutputOptions, style: FrameStyle) -> int:
    name_cells = min(cell_width(column.name), NAME_CELLS_MAX)
    if column.right or column.sql_type.startswith(_WHOLE_TYPES):
        null_cells = cell_width(options.null_text)
        digits = (null_cells if cell is None else cell_width(cell) for cell in column.cells)
        return max(max(digits, default=1), name_cells)
    return min(_natural_width(column, options, style), max(COLUMN_CELLS_MIN, name_cells))


def _fit(columns: list[Column], options: OutputOptions, style: FrameStyle) -> list[Column]:
    """Leave out middle columns until the least widths fit in the window."""
    if options.width_cells is None:
        return columns
    left, right = columns[: (len(columns) + 1) // 2], columns[(len(columns) + 1) // 2 :]
    while len(left) + len(right) > 1:
        gap = [_GAP] if len(left) + len(right) < len(columns) else []
        kept = [*left, *gap, *right]
        needed = sum(_least_width(column, options, style) + 3 for column in kept) + 1
        if needed <= options.width_cells:
            return kept
        if len(left) > len(right):
            left = left[:-1]
        else:
            right = right[1:]
    return [*left, *right, _GAP] if len(columns) > 1 else columns


def _shrink(columns: list[Column], options: OutputOptions, style: FrameStyle) -> list[int]:
    """Choose column widths: natural ones, or the widest cut evenly until they fit."""
    widths = [_natural_width(column, options, style) for column in columns]
    if options.width_cells is None:
        return widths
    room = options.width_cells - 3 * len(columns) - 1
    least = [_least_width(column, options, style) for column in columns]
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
