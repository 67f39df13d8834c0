"""Fixed-width values as they are: wide decimals, fixed-size binary, booleans and vectors.

A vector column (fixed-size list of numbers) that does not compress is the raw buffer, on a
64-byte boundary of the payload, and is read without a copy.

Byte layout: docs/format/column-chunk.md, section 7.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ...errors import Corrupt
from ..column_vector import fixed_width_values, word_width
from .chunk import PAYS_RATIO, PAYS_RATIO_VECTORS, ChunkReader, ChunkWriter, Codec

TRANSPOSED_WIDTH_MAX: Final = 32


def plain_width(type: pa.DataType) -> int | None:
    """Return bytes per value of a storage type that can travel plain, 0 for bits, else None."""
    if pa.types.is_boolean(type):
        return 0
    if pa.types.is_fixed_size_list(type):
        width = word_width(type.value_type)
        return width * type.list_size or None if width is not None else None
    if pa.types.is_fixed_size_binary(type):
        return int(type.byte_width) or None
    if pa.types.is_decimal128(type) or type.equals(pa.month_day_nano_interval()):
        return 16
    return 32 if pa.types.is_decimal256(type) else None


def plain_width_of(array: pa.Array) -> int | None:
    """Return `plain_width` of an array, or None where nulls inside its lists would be lost."""
    if pa.types.is_fixed_size_list(array.type) and _list_values(array).null_count:
        return None
    return plain_width(array.type)


def write_plain(writer: ChunkWriter, array: pa.Array, width: int) -> None:
    """Append the values of a fixed-width array.

    Args:
        writer: The chunk being written.
        array: Array of a type with `plain_width`.
        width: That width.
    """
    writer.node(Codec.PLAIN, struct.pack("<I", width))
    if width == 0:
        writer.buffer(_value_bits(array))
    elif pa.types.is_fixed_size_list(array.type):
        child = _list_values(array)
        step = width // array.type.list_size
        piece = child.buffers()[1].slice(child.offset * step, len(child) * step)
        writer.buffer(piece, ratio_max=PAYS_RATIO_VECTORS)
    else:
        writer.buffer(pa.py_buffer(fixed_width_values(array, width)), ratio_max=PAYS_RATIO)


def write_transposed(writer: ChunkWriter, array: pa.Array, width: int) -> None:
    """Append fixed-width values byte by byte: all first bytes, all second bytes, and so on."""
    writer.node(Codec.TRANSPOSED, struct.pack("<I", width))
    rows = fixed_width_values(array, width).view(np.uint8).reshape(len(array), width)
    writer.buffer(pa.py_buffer(np.ascontiguousarray(rows.T)))


def read_plain(
    reader: ChunkReader, codec: Codec, rows: int, type: pa.DataType, validity: pa.Buffer | None
) -> pa.Array:
    """Return the array; the codec byte is already read.

    Raises:
        Corrupt: The stored width is not the type's.
    """
    (stored,) = reader.parameters("<I")
    width = plain_width(type)
    if stored != width or width is None:
        raise Corrupt(f"column chunk: values of {stored} bytes for the type {type}")
    values = reader.buffer(rows * width if width else (rows + 7) // 8)
    if codec is Codec.TRANSPOSED:
        planes = np.frombuffer(values, dtype=np.uint8).reshape(width, rows)
        values = pa.py_buffer(np.ascontiguousarray(planes.T))
    if not pa.types.is_fixed_size_list(type):
        return pa.Array.from_buffers(type, rows, [validity, values])
    child = pa.Array.from_buffers(type.value_type, rows * type.list_size, [None, values])
    return pa.Array.from_buffers(type, rows, [validity], children=[child])


def _value_bits(array: pa.Array) -> pa.Buffer:
    bits, start, rows = array.buffers()[1], array.offset, len(array)
    piece: Any = np.frombuffer(bits, dtype=np.uint8)[start // 8 : (start + rows + 7) // 8]
    if start % 8:
        unpacked = np.unpackbits(piece, bitorder="little")[start % 8 : start % 8 + rows]
        piece = np.packbits(unpacked, bitorder="little")
    return pa.py_buffer(np.ascontiguousarray(piece))


def _list_values(array: pa.FixedSizeListArray) -> pa.Array:
    # `values` ignores the slice and `flatten` drops what lies under nulls.
    size = array.type.list_size
    return array.values.slice(array.offset * size, len(array) * size)
