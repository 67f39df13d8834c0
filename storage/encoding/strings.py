"""Strings and binary values: lengths as integers, then all bytes in one buffer.

Lengths instead of offsets: they narrow to a byte or two, and offsets summed up from lengths are
in range by construction, whatever the chunk holds.

Byte layout: docs/format/column-chunk.md, section 6.1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from ...errors import Corrupt
from ..column_vector import WordArray, is_large, unsigned, validity_mask, value_offsets
from .chunk import ChunkReader, ChunkWriter, Codec, IntegerPlan
from .integers import read_integers, span_of, write_integers

VALUE_BYTES_MAX: Final = (1 << 32) - 1
_ASCII_BLOCK_BYTES: Final = 8
_HIGH_BITS: Final = np.uint64(0x8080808080808080)


def write_strings(writer: ChunkWriter, array: pa.Array, plan: IntegerPlan) -> None:
    """Append a string-like array; its nulls are written by the caller.

    Args:
        writer: The chunk being written.
        array: Rows whose values are at most `VALUE_BYTES_MAX` bytes each.
        plan: Layout of the lengths.
    """
    lengths = value_lengths(array)
    if array.null_count:
        # Bytes under a null may be anything, such as the value that a mask hid.
        lengths = np.where(validity_mask(array), lengths, lengths.dtype.type(0))
        array = array.drop_null()
    writer.node(Codec.STRINGS)
    write_integers(writer, lengths, *span_of(lengths), plan)
    offsets, values = value_offsets(array), array.buffers()[2]
    start, end = int(offsets[0]), int(offsets[-1])
    writer.buffer(pa.py_buffer(b"") if values is None else values.slice(start, end - start))


def value_lengths(array: pa.Array) -> WordArray:
    """Return the length of every value in bytes, as words of 4 bytes, shape (rows,)."""
    return unsigned(np.diff(value_offsets(array)).astype("<i4", copy=False))


def read_strings(
    reader: ChunkReader, rows: int, type: pa.DataType, validity: pa.Buffer | None
) -> pa.Array:
    """Return a string-like array; the codec byte is already read.

    Raises:
        Corrupt: Lengths and bytes disagree, or a string is not UTF-8.
    """
    lengths = read_integers(reader, reader.codec(), rows, 4)
    values = reader.buffer()
    dtype = np.dtype("<i8" if is_large(type) else "<i4")
    if int(lengths.sum(dtype=np.uint64)) != values.size or values.size > np.iinfo(dtype).max:
        raise Corrupt("column chunk: string lengths and bytes disagree")
    offsets = np.empty(rows + 1, dtype=dtype)
    offsets[0] = 0
    np.cumsum(lengths, out=offsets[1:], dtype=dtype)
    array = pa.Array.from_buffers(type, rows, [validity, pa.py_buffer(offsets), values])
    if (pa.types.is_string(type) or pa.types.is_large_string(type)) and not _is_ascii(values):
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise Corrupt("column chunk: a string is not UTF-8") from error
    return array


def _is_ascii(values: pa.Buffer) -> bool:
    # One pass of OR over 8-byte blocks spares most columns the check of every character.
    whole = values.size - values.size % _ASCII_BLOCK_BYTES
    blocks = np.frombuffer(values.slice(0, whole), dtype="<u8")
    tail = np.frombuffer(values.slice(whole), dtype=np.uint8)
    return not (int(np.bitwise_or.reduce(blocks)) & int(_HIGH_BITS) or (tail >= 0x80).any())
