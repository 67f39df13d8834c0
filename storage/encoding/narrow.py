"""Frame of reference: subtract the smallest value, divide by the common factor, keep few bytes.

Byte layout: docs/format/column-chunk.md, section 5.4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .byte_split import write_split
from .chunk import ChunkReader, ChunkWriter, Codec
from .words import write_words

if TYPE_CHECKING:
    from ..column_vector import WordArray

_FACTOR_SAMPLE_ROWS: Final = 256


def write_narrow(
    writer: ChunkWriter, words: WordArray, low: int, high: int, *, split: bool
) -> None:
    """Append words as small offsets from `low`.

    Args:
        writer: The chunk being written.
        words: Unsigned words, shape (rows,), rows > 0.
        low: Smallest value, in the order (signed or not) that makes `high - low` the true span.
        high: Largest value in the same order.
        split: Store the offsets as byte planes.
    """
    width = words.dtype.itemsize
    base = low & ((1 << 8 * width) - 1)
    offsets = words - words.dtype.type(base) if base else words
    offsets = offsets.astype(_dtype(high - low), copy=False)
    offsets, factor = _divide(offsets)
    span = (high - low) // factor
    narrow = offsets.astype(_dtype(span), copy=False)
    if base or factor > 1 or narrow.dtype != words.dtype:
        writer.node(Codec.NARROW, struct.pack("<QQ", base, factor))
    planes = (span.bit_length() + 7) // 8
    if split and planes > 1:
        write_split(writer, narrow, planes)
    else:
        write_words(writer, narrow)


def widen(offsets: WordArray, base: int, factor: int, dtype: np.dtype[Any]) -> WordArray:
    """Undo the narrowing: `offsets * factor + base`, modulo the word size of `dtype`."""
    words: WordArray = offsets.astype(dtype, copy=factor != 1 or base != 0)
    mask = (1 << 8 * dtype.itemsize) - 1
    if factor != 1:
        words *= dtype.type(factor & mask)
    if base != 0:
        words += dtype.type(base & mask)
    return words


def read_parameters(reader: ChunkReader) -> tuple[int, int]:
    """Return (base, factor); the codec byte is already read."""
    base, factor = reader.parameters("<QQ")
    return base, factor


def _dtype(span: int) -> np.dtype[Any]:
    bits = span.bit_length()
    return np.dtype("<u1" if bits <= 8 else "<u2" if bits <= 16 else "<u4" if bits <= 32 else "<u8")


def _divide(offsets: WordArray) -> tuple[WordArray, int]:
    # Prices in whole units, timestamps in whole seconds: a sample proposes the factor, one pass
    # over all values confirms it.
    step = max(1, len(offsets) // _FACTOR_SAMPLE_ROWS)
    factor = int(np.gcd.reduce(offsets[::step]))
    if factor <= 1:
        return offsets, 1
    divisor = offsets.dtype.type(factor)
    quotient = offsets // divisor
    return (quotient, factor) if np.array_equal(quotient * divisor, offsets) else (offsets, 1)
