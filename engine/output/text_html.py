"""An HTML table: escaped, numbers aligned to the right, NULL in italics."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import BinaryIO

from .format import OutputOptions, OutputSummary, ResultStream
from .grid import TextRows
from .text_table import encoded

_RIGHT = ' style="text-align: right"'


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write all rows as an HTML table; see `Writer`."""
    source = TextRows(result, replace(options, max_rows=0), shorten=False)
    aligned = [_RIGHT if column.right else "" for column in source.columns]
    headings = "".join(
        f"<th{style}>{escape(column.name)}</th>"
        for column, style in zip(source.columns, aligned, strict=True)
    )
    stream.write(encoded(f"<table>\n<thead>\n<tr>{headings}</tr>\n</thead>\n<tbody>\n"))
    null = f"<em>{escape(options.null_text)}</em>"
    for cells in source:
        columns = [
            [f"<td{style}>{null if text is None else escape(text)}</td>" for text in texts]
            for texts, style in zip(cells, aligned, strict=True)
        ]
        rows = [f"<tr>{''.join(row)}</tr>\n" for row in zip(*columns, strict=True)]
        stream.write(encoded("".join(rows)))
    stream.write(b"</tbody>\n</table>\n")
    count = len(source.columns)
    return OutputSummary(source.rows, source.rows, count, count)
