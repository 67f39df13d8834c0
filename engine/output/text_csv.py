r"""CSV with a header, quoted per RFC 4180, lines ending in \n.

Strings are quoted and NULL is an empty unquoted field, so that NULL and the empty string stay
different. Flat types go through Arrow's own writer; nested values are JSON text and BLOB is
lower-case hexadecimal.
"""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as arrow_csv

from .format import OutputOptions, OutputSummary, ResultStream
from .value_text import display_text, is_numeric, is_text, plain_array


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the result as CSV; see `Writer`."""
    return write_separated(result, stream, options, ",")


def write_separated(
    result: ResultStream, stream: BinaryIO, options: OutputOptions, delimiter: str
) -> OutputSummary:
    """Write the result with another character between the fields; see `Writer`."""
    names = list(result.columns)
    stream.write(_header(names, delimiter))
    settings = arrow_csv.WriteOptions(
        include_header=False, quoting_style="needed", delimiter=delimiter
    )
    rows = 0
    for batch in options.batches(result.reader()):
        columns = [
            _writable(batch.column(index), result.types[index])
            for index in range(batch.num_columns)
        ]
        sink = pa.BufferOutputStream()
        arrow_csv.write_csv(pa.table(columns, names=names), sink, settings)
        stream.write(sink.getvalue())
        rows += batch.num_rows
    return OutputSummary(rows, rows, len(names), len(names))


def _header(names: list[str], delimiter: str) -> bytes:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    return (delimiter.join(quoted) + "\n").encode("utf-8", "backslashreplace")


def _writable(array: pa.Array, sql_type: str) -> pa.Array:
    array = plain_array(array)
    kind = array.type
    if is_numeric(kind) or pa.types.is_boolean(kind) or is_text(kind):
        return array
    return display_text(array, sql_type)
