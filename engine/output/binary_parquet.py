"""Parquet with zstd, in row groups of 122,880 rows.

Intervals and unions, which Arrow cannot put into Parquet, are written as text.
"""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from .binary_arrow import CountingSink
from .format import OutputOptions, OutputSummary, ResultStream, unique_names
from .value_text import display_text

ROW_GROUP_ROWS = 122_880


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the result as Parquet; see `Writer`."""
    reader = result.reader()
    names = unique_names(reader.schema.names)
    as_text = [_needs_text(field.type) for field in reader.schema]
    fields = [
        pa.field(name, pa.large_string() if text else field.type, field.nullable, field.metadata)
        for field, name, text in zip(reader.schema, names, as_text, strict=True)
    ]
    schema = pa.schema(fields, reader.schema.metadata)
    rows = waiting_rows = 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(CountingSink(stream).opened(), schema, compression="zstd") as writer:
        for batch in options.batches(reader):
            rows += batch.num_rows
            waiting_rows += batch.num_rows
            columns = [
                display_text(column) if text else column
                for column, text in zip(batch.columns, as_text, strict=True)
            ]
            waiting.append(pa.record_batch(columns, schema=schema))
            if waiting_rows >= ROW_GROUP_ROWS:
                table = pa.Table.from_batches(waiting, schema)
                whole = waiting_rows - waiting_rows % ROW_GROUP_ROWS
                writer.write_table(table.slice(0, whole), ROW_GROUP_ROWS)
                waiting = table.slice(whole).to_batches()
                waiting_rows -= whole
        if waiting_rows:
            writer.write_table(pa.Table.from_batches(waiting, schema), ROW_GROUP_ROWS)
    return OutputSummary(rows, rows, len(names), len(names))


def _needs_text(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return any(_needs_text(kind.field(index).type) for index in range(kind.num_fields))
    return bool(pa.types.is_interval(kind) or pa.types.is_union(kind))
