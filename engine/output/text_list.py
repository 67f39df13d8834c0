r"""A row a line with `|` between the values, for the eye and for `cut`.

A `|` or `\` inside a value has a `\` before it; control characters are spelled out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from .format import OutputOptions, OutputSummary, ResultStream
from .grid import TextRows
from .text_table import encoded


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write all rows with their names first; see `Writer`."""
    source = TextRows(result, replace(options, max_rows=0), shorten=False)
    stream.write(encoded("|".join(_escaped(column.name) for column in source.columns) + "\n"))
    for cells in source:
        columns = [
            [options.null_text if text is None else _escaped(text) for text in texts]
            for texts in cells
        ]
        rows = ["|".join(row) + "\n" for row in zip(*columns, strict=True)]
        stream.write(encoded("".join(rows)))
    count = len(source.columns)
    return OutputSummary(source.rows, source.rows, count, count)


def _escaped(text: str) -> str:
    if "|" not in text and "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("|", "\\|")
