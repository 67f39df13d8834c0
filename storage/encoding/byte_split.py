"""Byte splitting: plane k holds byte k of every word, each plane compressed for itself.

The high bytes of narrowed numbers take few values and compress well, the low ones are noise and
stay raw; compressed together the noise hides the rest. Planes above the largest word's top byte
are not stored, so a 17-bit number takes three planes and not four bytes.

Byte layout: docs/format/column-chunk.md, section 5.2.
"""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa

from ...errors import Corrupt
from ..column_vector import WordArray, word_dtype
from .chunk import ChunkReader, ChunkWriter, Codec
from .words import checked_width


def write_split(writer: ChunkWriter, words: WordArray, planes: int) -> None:
    """Append words as byte planes, low byte first.

    Args:
        writer: The chunk being written.
        words: Unsigned words, shape (rows,).
        planes: How many low bytes to keep; the bytes above are zero in every word.
    """
    writer.node(Codec.SPLIT, struct.pack("<BB", words.dtype.itemsize, planes))
    for plane in range(planes):
        shifted = words >> words.dtype.type(8 * plane) if plane else words
        writer.buffer(pa.py_buffer(shifted.astype(np.uint8)))


def read_split(reader: ChunkReader, rows: int) -> WordArray:
    """Return the words in the width they were split from; the codec byte is already read."""
    width, planes = reader.parameters("<BB")
    dtype = word_dtype(checked_width(width))
    if not 1 <= planes <= width:
        raise Corrupt(f"column chunk: {planes} byte planes for words of {width} bytes")
    words = np.zeros(rows, dtype=dtype)
    # Bytes of a word are addressed in memory order: the format, and `dtype`, are little-endian.
    columns = words.view(np.uint8).reshape(rows, width)
    for plane in range(planes):
        columns[:, plane] = np.frombuffer(reader.buffer(rows), dtype=np.uint8)
    return words
