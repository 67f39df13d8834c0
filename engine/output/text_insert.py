"""INSERT statements that make the rows again, of up to a thousand rows each.

Numbers, booleans and strings are plain literals; other values are cast from their text to their
type, nested ones from JSON, so that they come back as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from ...sql.tokens import literal, quote
from .format import OutputOptions, OutputSummary, ResultStream
from .text_table import encoded
from .value_text import display_text, is_numeric, is_text, json_text, plain_array

if TYPE_CHECKING:
    from collections.abc import Callable

STATEMENT_ROWS = 1_000
"""Rows of one statement: a longer one takes more memory to parse than it saves time."""


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write all rows as INSERT statements; see `Writer`."""
    names = ", ".join(map(quote, result.columns))
    head = f"INSERT INTO {options.table_name} ({names}) VALUES\n"
    rows = 0
    types = list(result.types)
    for batch in options.batches(result.reader()):
        for start in range(0, batch.num_rows, STATEMENT_ROWS):
            part = batch.slice(start, STATEMENT_ROWS)
            columns = [_literals(part.column(i), types[i]) for i in range(part.num_columns)]
            values = ",\n".join(f"({', '.join(row)})" for row in zip(*columns, strict=True))
            stream.write(encoded(f"{head}{values};\n"))
        rows += batch.num_rows
    return OutputSummary(rows, rows, len(types), len(types))


def _literals(array: pa.Array, sql_type: str) -> list[str]:
    """SQL literals of the values of a column."""
    array = plain_array(array)
    kind = array.type
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        valid = array.is_valid().to_pylist()
        texts = [text if ok else None for text, ok in zip(json_text(array), valid, strict=True)]
        return _each(texts, lambda text: f"CAST(CAST({literal(text)} AS JSON) AS {sql_type})")
    texts = display_text(array, sql_type).to_pylist()
    if pa.types.is_floating(kind):
        return _each(texts, lambda t: t if t[-1].isdigit() else f"CAST({literal(t)} AS {sql_type})")
    if is_numeric(kind) or pa.types.is_boolean(kind):
        return _each(texts, str)
    if is_text(kind) and sql_type == "VARCHAR":
        return _each(texts, literal)
    if sql_type == "BLOB":
        return _each(texts, lambda text: f"from_hex({literal(text)})")
    return _each(texts, lambda text: f"CAST({literal(text)} AS {sql_type})")


def _each(texts: list[str | None], spell: Callable[[str], str]) -> list[str]:
    return ["NULL" if text is None else spell(text) for text in texts]
