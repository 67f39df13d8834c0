"""Result formats: one file per format, all fed by a stream of Arrow record batches.

Every format is a `Writer`: a function from a result, an open binary stream and
`OutputOptions` to an `OutputSummary`. Writers pull batches one at a time, so a result larger
than memory can be written; the two formats that need column widths (table and markdown) keep
only the rows they show.

    result.reader() -> batch -> text of each column -> lines -> stream
"""

from __future__ import annotations

from .format import (
    BINARY_FORMATS,
    FORMAT_NAMES,
    LAST_RESULT_FORMATS,
    OutputOptions,
    OutputSummary,
    ResultStream,
    writer_for,
)

__all__ = [
    "BINARY_FORMATS",
    "FORMAT_NAMES",
    "LAST_RESULT_FORMATS",
    "OutputOptions",
    "OutputSummary",
    "ResultStream",
    "writer_for",
]
