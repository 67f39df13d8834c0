r"""Tab-separated values with a header: as `csv`, with a tab between the fields.

A value that holds a tab, a quote or a line break is quoted, so that every reader of CSV that can
be told its delimiter reads it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from .text_csv import write_separated

if TYPE_CHECKING:
    from .format import OutputOptions, OutputSummary, ResultStream


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the result as TSV; see `Writer`."""
    return write_separated(result, stream, options, "\t")
