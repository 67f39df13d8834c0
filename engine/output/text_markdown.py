r"""A GitHub-flavoured markdown table: aligned, with `|` and `\` escaped in values."""

from __future__ import annotations

from typing import BinaryIO

from .format import OutputOptions, OutputSummary, ResultStream
from .grid import Column, collect
from .terminal import cell_width


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the rows as a markdown table; see `Writer`."""
    grid = collect(result, options)
    columns = [_cells(column, options) for column in grid.columns]
    widths = [max(3, *map(cell_width, cells)) for cells in columns]
    rights = [column.right for column in grid.columns]
    lines = []
    for row in range(grid.rows_shown + 1):
        padded = [
            _pad(cells[row], width, right)
            for cells, width, right in zip(columns, widths, rights, strict=True)
        ]
        lines.append("| " + " | ".join(padded) + " |")
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, rights, strict=True)]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    stream.write(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
    return OutputSummary(grid.rows, grid.rows_shown, len(columns), len(columns))


def _cells(column: Column, options: OutputOptions) -> list[str]:
    texts = [options.null_text if cell is None else cell for cell in column.cells]
    return [_escaped(text) for text in (column.name, *texts)]


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("<", "&lt;").replace("`", "\\`")


def _pad(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cell_width(text))
    return blanks + text if right else text + blanks
