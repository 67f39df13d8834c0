"""One integer for every row: eight bytes of parameter, no buffer.

Byte layout: docs/format/column-chunk.md, section 5.3.
"""

from __future__ import annotations

import struct

import numpy as np

from ..column_vector import WordArray, word_dtype
from .chunk import ChunkReader, ChunkWriter, Codec


def write_constant(writer: ChunkWriter, value: int) -> None:
    """Append a constant.

    Args:
        writer: The chunk being written.
        value: The word as an unsigned integer.
    """
    writer.node(Codec.CONSTANT, struct.pack("<Q", value))


def read_constant(reader: ChunkReader, rows: int, width: int) -> WordArray:
    """Return `rows` words of `width` bytes; the node's codec byte is already read."""
    (value,) = reader.parameters("<Q")
    return np.full(rows, value & ((1 << 8 * width) - 1), dtype=word_dtype(width))
