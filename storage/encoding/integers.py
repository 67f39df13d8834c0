"""A stream of integers: values, dictionary codes or string lengths, through the integer codecs.

    integers := CONSTANT | [DELTA] [NARROW] (WORDS | SPLIT)

Byte layout: docs/format/column-chunk.md, section 5.
"""

from __future__ import annotations

from ...errors import Corrupt
from ..column_vector import WordArray, signed, word_dtype
from .byte_split import read_split
from .chunk import ChunkReader, ChunkWriter, Codec, IntegerPlan
from .constant import read_constant, write_constant
from .delta import read_first, undo_delta, write_delta
from .narrow import read_parameters, widen, write_narrow
from .words import read_words, write_words


def write_integers(
    writer: ChunkWriter, words: WordArray, low: int, high: int, plan: IntegerPlan
) -> None:
    """Append integers.

    Args:
        writer: The chunk being written.
        words: Unsigned words, shape (rows,).
        low: Smallest value in the order (signed or unsigned) of the values; 0 without rows.
        high: Largest value in the same order.
        plan: Layout to use; it affects the size only.
    """
    if len(words) == 0:
        write_words(writer, words)
    elif low == high:
        write_constant(writer, int(words[0]))
    elif plan.delta:
        differences = write_delta(writer, words)
        steps = signed(differences)
        low, high = int(steps.min()), int(steps.max())
        if low == high:
            write_constant(writer, int(differences[0]))
        else:
            write_narrow(writer, differences, low, high, split=plan.split)
    else:
        write_narrow(writer, words, low, high, split=plan.split)


def read_integers(reader: ChunkReader, codec: Codec, rows: int, width: int) -> WordArray:
    """Return integers as words.

    Args:
        reader: The chunk being read.
        codec: The first node's codec, already read.
        rows: How many.
        width: Bytes of a word of the result.

    Raises:
        Corrupt: The nodes are not an integer stream of that width.
    """
    dtype = word_dtype(width)
    if codec is Codec.CONSTANT:
        return read_constant(reader, rows, width)
    first = None
    if codec is Codec.DELTA:
        first = read_first(reader)
        codec = reader.codec()
    if codec is Codec.CONSTANT and first is not None:
        words = read_constant(reader, rows, width)
    elif codec is Codec.NARROW:
        base, factor = read_parameters(reader)
        words = widen(_read_layout(reader, reader.codec(), rows), base, factor, dtype)
    else:
        words = _read_layout(reader, codec, rows)
    if words.dtype != dtype:
        raise Corrupt(f"column chunk: words of {words.dtype.itemsize} bytes for {width}")
    return words if first is None else undo_delta(words, first)


def _read_layout(reader: ChunkReader, codec: Codec, rows: int) -> WordArray:
    if codec is Codec.WORDS:
        return read_words(reader, rows)
    if codec is Codec.SPLIT:
        return read_split(reader, rows)
    raise Corrupt(f"column chunk: {codec.name} where integers belong")


def span_of(words: WordArray) -> tuple[int, int]:
    """Return (smallest, largest) of unsigned words; (0, 0) without rows."""
    return (int(words.min()), int(words.max())) if len(words) else (0, 0)
