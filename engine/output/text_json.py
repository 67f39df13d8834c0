"""JSON: one array of objects, one object per line, written batch by batch (RFC 8259).

Numbers keep every digit; NaN and infinities, which JSON lacks, are the strings "NaN",
"Infinity" and "-Infinity"; BLOB is lower-case hexadecimal; a MAP is an object.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, BinaryIO

from .format import OutputOptions, OutputSummary, ResultStream, unique_names
from .value_text import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

BATCH_ROWS_MAX = 8_192
"""Rows spelled at once: bounds the memory of their Python strings."""

_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the result as a JSON array; see `Writer`."""
    rows = 0
    stream.write(b"[")
    for lines in json_objects(result, options):
        stream.write(b",\n" if rows else b"\n")
        stream.write(_encoded(",\n".join(lines)))
        rows += len(lines)
    stream.write(b"\n]\n")
    columns = len(result.columns)
    return OutputSummary(rows, rows, columns, columns)


def write_lines(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the result as JSON lines; see `Writer`."""
    rows = 0
    for lines in json_objects(result, options):
        stream.write(_encoded("\n".join(lines) + "\n"))
        rows += len(lines)
    columns = len(result.columns)
    return OutputSummary(rows, rows, columns, columns)


def json_objects(result: ResultStream, options: OutputOptions) -> Iterator[list[str]]:
    """Yield the JSON text of the rows, in lists of at most `BATCH_ROWS_MAX`, never empty."""
    names = [encode_basestring(name).replace("%", "%%") for name in unique_names(result.columns)]
    template = "{" + ",".join(f"{name}:%s" for name in names) + "}"
    types = result.types
    for batch in options.batches(result.reader()):
        for start in range(0, batch.num_rows, BATCH_ROWS_MAX):
            part: pa.RecordBatch = batch.slice(start, BATCH_ROWS_MAX)
            columns = [json_text(part.column(i), types[i]) for i in range(part.num_columns)]
            yield [template % row for row in zip(*columns, strict=True)]


def _encoded(text: str) -> bytes:
    # Characters that a terminal would obey are escaped everywhere: the text is equal JSON.
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text).encode()
