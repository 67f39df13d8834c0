"""Every other type (nested, dictionary, run-end encoded, union): an Arrow IPC stream, compressed.

Byte layout: docs/format/column-chunk.md, section 8.
"""

from __future__ import annotations

import pyarrow as pa

from ...errors import Corrupt
from .chunk import ChunkReader, ChunkWriter, Codec

_FIELD = "c"


def write_ipc(writer: ChunkWriter, array: pa.Array) -> None:
    """Append an array of any type, with its nulls."""
    batch = pa.record_batch([array], names=[_FIELD])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    writer.node(Codec.IPC)
    writer.buffer(sink.getvalue())


def read_ipc(reader: ChunkReader, rows: int, type: pa.DataType) -> pa.Array:
    """Return the array, fully validated; the codec byte is already read.

    Raises:
        Corrupt: The stream is not valid, or holds other rows or another type than asked for.
    """
    try:
        with pa.ipc.open_stream(reader.buffer()) as stream:
            if len(stream.schema) != 1 or not stream.schema.field(0).type.equals(type):
                raise Corrupt(f"column chunk: the stored type is not {type}")
            array = stream.read_next_batch().column(0)
        array.view(_unconstrained(array.type)).validate(full=True)
    # A forged field name is not UTF-8, and a forged size cannot be allocated.
    except (pa.ArrowException, UnicodeError, OSError, StopIteration, MemoryError) as error:
        raise Corrupt("column chunk: the Arrow stream does not parse") from error
    if len(array) != rows:
        raise Corrupt(f"column chunk: {len(array)} rows instead of {rows}")
    return array


def _unconstrained(type: pa.DataType) -> pa.DataType:
    """The type with its decimals and times of day as plain bytes and integers.

    A HUGEINT is stored in all 128 bits of a decimal128(38, 0), and SQL has the time 24:00:00.
    Validation would refuse the 39th digit and the 25th hour, but no such value can make a reader
    step outside its buffers.
    """
    if pa.types.is_decimal128(type):
        return pa.binary(16)
    if pa.types.is_time64(type):
        return pa.int64()
    if pa.types.is_list(type):
        return pa.list_(type.value_field.with_type(_unconstrained(type.value_type)))
    if pa.types.is_fixed_size_list(type):
        element = type.value_field.with_type(_unconstrained(type.value_type))
        return pa.list_(element, type.list_size)
    if pa.types.is_map(type):
        return pa.map_(
            type.key_field.with_type(_unconstrained(type.key_type)),
            type.item_field.with_type(_unconstrained(type.item_type)),
            keys_sorted=type.keys_sorted,
        )
    if pa.types.is_struct(type):
        return pa.struct([field.with_type(_unconstrained(field.type)) for field in type])
    return type
