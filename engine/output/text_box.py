"""A box for people: like a table, but whole. Nothing is cut to the window, no types are named.

╭───────┬────╮
│ name  │  n │
├───────┼────┤
│ apple │ 12 │
╰───────┴────╯
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from .text_table import FrameStyle, write_frame

if TYPE_CHECKING:
    from .format import OutputOptions, OutputSummary, ResultStream

BOX_STYLE = FrameStyle(("╭", "┬", "╮"), ("├", "┼", "┤"), ("╰", "┴", "╯"), types=False)


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the rows in a box of their natural width; see `Writer`."""
    return write_frame(result, stream, replace(options, width_cells=None), BOX_STYLE)
