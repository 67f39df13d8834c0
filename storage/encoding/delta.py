"""Differences of neighbours, for sorted and slowly changing numbers.

Byte layout: docs/format/column-chunk.md, section 5.5.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from .chunk import ChunkReader, ChunkWriter, Codec

if TYPE_CHECKING:
    from ..column_vector import WordArray


def write_delta(writer: ChunkWriter, words: WordArray) -> WordArray:
    """Append the delta node and return the differences, which the caller encodes next.

    Args:
        writer: The chunk being written.
        words: Unsigned words, shape (rows,), rows > 0.

    Returns:
        Differences modulo the word size, shape (rows,); the first equals the second (or 0), so
        that it does not widen their range.
    """
    differences = np.empty_like(words)
    np.subtract(words[1:], words[:-1], out=differences[1:])
    differences[0] = differences[1] if len(words) > 1 else 0
    first = (int(words[0]) - int(differences[0])) & ((1 << 8 * words.dtype.itemsize) - 1)
    writer.node(Codec.DELTA, struct.pack("<Q", first))
    return differences


def read_first(reader: ChunkReader) -> int:
    """Return the number that the running sum starts from; the codec byte is already read."""
    (first,) = reader.parameters("<Q")
    return first


def undo_delta(differences: WordArray, first: int) -> WordArray:
    """Return the words: the running sum of `differences` plus `first`, modulo the word size."""
    dtype = differences.dtype
    words: WordArray = np.cumsum(differences, dtype=dtype)
    words += dtype.type(first & ((1 << 8 * dtype.itemsize) - 1))
    return words
