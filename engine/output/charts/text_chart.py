"""Charts in characters: eighth blocks for bars, Braille dots for lines and points.

Own code, because it is small and has to know what the rest of the shell knows: the width of
characters, which values are hostile, whether there may be colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..terminal import cell_width, clip
from ..text_table import BOLD, DIM, RESET
from .chart import Chart, number_text, time_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from .chart import Numbers, Series

_TINTS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[31m", "\x1b[34m")
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BRAILLE = 0x2800
# Bit of each dot of a Braille character: four rows of two columns.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int64)
LABEL_CELLS_MAX = 30
TICK_ROWS = 4
"""Rows between two marks of the vertical axis."""


def draw_chart(chart: Chart, *, width: int, height: int, colour: bool) -> list[str]:
    """Draw a chart.

    Args:
        chart: What to draw.
        width: Cells of the window.
        height: Lines that lines and points may take; bars take one each.
        colour: Whether escape sequences may be used.

    Returns:
        Lines that are safe to print.
    """
    pen = _Pen(colour)
    title = [pen.ink(BOLD, clip(chart.title, width))] if chart.title else []
    if chart.labels:
        return [*title, *_bars(chart, width, pen)]
    return [*title, *_plane(chart, width, height - len(title), pen)]


class _Pen:
    """Colours text, or leaves it."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def ink(self, style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if self._colour and text else text

    def series(self, index: int, text: str) -> str:
        return self.ink(_TINTS[index % len(_TINTS)], text)


def _bars(chart: Chart, width: int, pen: _Pen) -> list[str]:
    names = [clip(label, LABEL_CELLS_MAX) for label in chart.labels]
    left = max(map(cell_width, names))
    values = [series.y for series in chart.series]
    texts = [["NULL" if np.isnan(v) else number_text(v) for v in column] for column in values]
    right = max(len(text) for column in texts for text in column)
    finite = np.concatenate([column[np.isfinite(column)] for column in values])
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    room = max(4, width - left - right - 4)
    scale = room / (high - low) if high > low else 0.0
    zero = round(-low * scale)
    lines = _legend(chart.series, pen) if len(values) > 1 else []
    for row, name in enumerate(names):
        for index, column in enumerate(values):
            label = name if index == 0 else ""
            blanks = " " * (left - cell_width(label))
            bar = _bar(float(column[row]) * scale, zero)
            tail = texts[index][row]
            if column[row] < 0:
                tail = " " * max(0, zero - len(bar)) + tail
            lines.append(f"{blanks}{label} {pen.ink(DIM, '│')}{pen.series(index, bar)} {tail}")
    return lines


def _bar(cells: float, zero: int) -> str:
    if np.isnan(cells):
        return " " * zero
    if cells < 0:
        full = min(zero, round(-cells))
        return " " * (zero - full) + "█" * full
    full, part = divmod(round(min(cells, 1e6) * 8), 8)
    return " " * zero + "█" * full + (_EIGHTHS[part] if part else "")


def _plane(chart: Chart, width: int, height: int, pen: _Pen) -> list[str]:
    ys = np.concatenate([s.y[np.isfinite(s.y)] for s in chart.series])
    xs = np.concatenate([s.x[np.isfinite(s.x)] for s in chart.series])
    if not xs.size:
        return ["there is nothing to draw: every x is NULL"]
    x_low, x_high = _range(xs)
    y_low, y_high = _range(ys)
    legend = _legend(chart.series, pen) if len(chart.series) > 1 else []
    rows = max(4, height - 2 - len(legend))
    marks = {row: number_text(y_high - (y_high - y_low) * row / (rows - 1))
             for row in range(0, rows, TICK_ROWS)}  # fmt: skip
    marks[rows - 1] = number_text(y_low)
    left = max(map(len, marks.values()))
    columns = max(8, width - left - 3)
    canvas = np.zeros((rows, columns), dtype=np.int64)
    owner = np.full((rows, columns), -1, dtype=np.int64)
    for index, series in enumerate(chart.series):
        dots = _dots(series, (x_low, x_high), (y_low, y_high), (rows * 4, columns * 2),
                     joined=chart.kind == "line")  # fmt: skip
        cells = dots.reshape(rows, 4, columns, 2).transpose(0, 2, 1, 3)
        bits = (cells * _DOTS).sum(axis=(2, 3))
        canvas |= bits
        owner[bits > 0] = index
    lines = list(legend)
    for row in range(rows):
        mark = marks.get(row, "")
        axis = "┤" if mark else "│"
        line = _inked(canvas[row], owner[row], pen)
        lines.append(f"{pen.ink(DIM, f'{mark:>{left}} {axis}')}{line}")
    span = x_high - x_low
    begin, end = (
        (time_text(x_low, span), time_text(x_high, span))
        if chart.is_time
        else (number_text(x_low), number_text(x_high))
    )
    lines.append(pen.ink(DIM, f"{'':{left}} └{'─' * columns}"))
    between = max(1, columns - len(begin) - len(end))
    name = clip(chart.x_name, max(0, between - 2))
    gap = between - cell_width(name)
    under = f"{begin}{' ' * (gap // 2)}{name}{' ' * (gap - gap // 2)}{end}"
    lines.append(pen.ink(DIM, f"{'':{left}}  {under}"))
    return lines


def _range(values: Numbers) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _dots(
    series: Series,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    size: tuple[int, int],
    *,
    joined: bool,
) -> npt.NDArray[np.bool_]:
    """The dots of a series on a grid of rows and columns."""
    rows, columns = size
    known = np.isfinite(series.x) & np.isfinite(series.y)
    x = (series.x[known] - x_range[0]) / (x_range[1] - x_range[0]) * (columns - 1)
    y = (y_range[1] - series.y[known]) / (y_range[1] - y_range[0]) * (rows - 1)
    if joined and x.size > 1:
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
        steps = np.maximum(np.abs(np.diff(x)), np.abs(np.diff(y)))
        along = np.concatenate([[0.0], np.cumsum(np.maximum(steps, 1e-9))])
        places = np.arange(0.0, along[-1] + 0.5, 0.5)
        x, y = np.interp(places, along, x), np.interp(places, along, y)
    dots = np.zeros((rows, columns), dtype=np.bool_)
    dots[np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)] = True
    return dots


def _inked(bits: npt.NDArray[np.int64], owner: npt.NDArray[np.int64], pen: _Pen) -> str:
    text, begin = "", 0
    for column in range(1, bits.size + 1):
        if column == bits.size or owner[column] != owner[begin]:
            run = "".join(chr(_BRAILLE + int(b)) if b else " " for b in bits[begin:column])
            text += run if owner[begin] < 0 else pen.series(int(owner[begin]), run)
            begin = column
    return text.rstrip()


def _legend(series: tuple[Series, ...], pen: _Pen) -> list[str]:
    return ["  ".join(f"{pen.series(index, '■')} {s.name}" for index, s in enumerate(series))]
