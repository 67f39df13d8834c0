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
        array.validate(full=True)
    # A forged field name is not UTF-8, and a forged size cannot be allocated.
    except (pa.ArrowException, UnicodeError, OSError, StopIteration, MemoryError) as error:
        raise Corrupt("column chunk: the Arrow stream does not parse") from error
    if len(array) != rows:
        raise Corrupt(f"column chunk: {len(array)} rows instead of {rows}")
    return array
