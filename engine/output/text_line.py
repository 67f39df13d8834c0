"""One value a line, for rows that are too wide for a table; an empty line ends each row.

name = apple
   n = 12
"""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from .format import OutputOptions, OutputSummary, ResultStream
from .grid import TextRows
from .terminal import cell_width
from .text_table import BOLD, DIM, RESET, encoded


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write all rows, a value a line; see `Writer`."""
    source = TextRows(result, replace(options, max_rows=0), shorten=False)
    bold, dim, reset = (BOLD, DIM, RESET) if options.colour else ("", "", "")
    width = max((cell_width(column.name) for column in source.columns), default=0)
    labels = [
        " " * (width - cell_width(column.name)) + f"{bold}{column.name}{reset} = "
        for column in source.columns
    ]
    null = f"{dim}{options.null_text}{reset}"
    for cells in source:
        columns = [
            [f"{label}{null if text is None else text}\n" for text in texts]
            for label, texts in zip(labels, cells, strict=True)
        ]
        rows = ["".join(row) + "\n" for row in zip(*columns, strict=True)]
        stream.write(encoded("".join(rows)))
    count = len(source.columns)
    return OutputSummary(source.rows, source.rows, count, count)
