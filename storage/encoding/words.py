"""Words as they are: the plainest codec of all.

Byte layout: docs/format/column-chunk.md, section 5.1.
"""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa

from ...errors import Corrupt
from ..column_vector import WordArray, word_dtype
from .chunk import ChunkReader, ChunkWriter, Codec


def checked_width(width: int) -> int:
    """Return a word width read from a chunk, or raise Corrupt."""
    if width not in (1, 2, 4, 8):
        raise Corrupt(f"column chunk: a word of {width} bytes")
    return width


def write_words(writer: ChunkWriter, words: WordArray) -> None:
    """Append words as one buffer."""
    writer.node(Codec.WORDS, struct.pack("<B", words.dtype.itemsize))
    writer.buffer(pa.py_buffer(np.ascontiguousarray(words)))


def read_words(reader: ChunkReader, rows: int) -> WordArray:
    """Return words of the width they were stored with; the codec byte is already read."""
    (width,) = reader.parameters("<B")
    dtype = word_dtype(checked_width(width))
    return np.frombuffer(reader.buffer(rows * width), dtype=dtype)
