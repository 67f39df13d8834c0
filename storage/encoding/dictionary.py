"""Dictionary coding: every distinct value once, then one small code per row.

Byte layout: docs/format/column-chunk.md, section 6.2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ...errors import Corrupt
from ..column_vector import WordArray, unsigned
from .chunk import ROWS_MAX, ChunkReader, ChunkWriter, Codec, IntegerPlan
from .integers import read_integers, span_of, write_integers
from .strings import read_strings, write_strings

if TYPE_CHECKING:
    import numpy.typing as npt

_CODE_TYPES: Final = {1: pa.int8(), 2: pa.int16(), 4: pa.int32()}


def write_word_dictionary(writer: ChunkWriter, words: WordArray, plan: IntegerPlan) -> None:
    """Append words by way of a dictionary.

    Args:
        writer: The chunk being written.
        words: Unsigned words, shape (rows,).
        plan: Layout of the codes.
    """
    coded = pa.array(words).dictionary_encode()
    values = unsigned(coded.dictionary.to_numpy())
    writer.node(Codec.DICTIONARY, struct.pack("<I", len(values)))
    write_integers(writer, values, *span_of(values), IntegerPlan())
    _write_codes(writer, coded.indices, len(values), plan)


def write_string_dictionary(
    writer: ChunkWriter, coded: pa.DictionaryArray, plan: IntegerPlan
) -> None:
    """Append a dictionary-encoded string-like array; its nulls are written by the caller.

    Args:
        writer: The chunk being written.
        coded: What `dictionary_encode` made: no null among the dictionary's values.
        plan: Layout of the codes.
    """
    writer.node(Codec.DICTIONARY, struct.pack("<I", len(coded.dictionary)))
    write_strings(writer, coded.dictionary, IntegerPlan())
    indices = coded.indices.fill_null(0) if coded.indices.null_count else coded.indices
    _write_codes(writer, indices, len(coded.dictionary), plan)


def read_word_dictionary(reader: ChunkReader, rows: int, width: int) -> WordArray:
    """Return words; the codec byte is already read."""
    count = _read_count(reader)
    values = read_integers(reader, reader.codec(), count, width)
    words: WordArray = values[_read_codes(reader, rows, count)]
    return words


def read_string_dictionary(
    reader: ChunkReader, rows: int, type: pa.DataType, validity: pa.Buffer | None
) -> pa.DictionaryArray:
    """Return a dictionary array with the narrowest signed codes; the codec byte is read."""
    count = _read_count(reader)
    if reader.codec() is not Codec.STRINGS:
        raise Corrupt("column chunk: a dictionary of strings without strings")
    values = read_strings(reader, count, type, None)
    codes = _read_codes(reader, rows, count)
    code_type = _CODE_TYPES[codes.dtype.itemsize]
    indices = pa.Array.from_buffers(code_type, rows, [validity, pa.py_buffer(codes)])
    return pa.DictionaryArray.from_arrays(indices, values, safe=False)


def _write_codes(writer: ChunkWriter, indices: pa.Array, count: int, plan: IntegerPlan) -> None:
    codes: npt.NDArray[Any] = indices.to_numpy().astype(f"<u{_code_width(count)}")
    write_integers(writer, codes, 0, count - 1, plan)


def _code_width(count: int) -> int:
    # One bit is left free: Arrow's dictionary codes are signed, and are used without a copy.
    return 1 if count <= 1 << 7 else 2 if count <= 1 << 15 else 4


def _read_count(reader: ChunkReader) -> int:
    (count,) = reader.parameters("<I")
    if not 1 <= count <= ROWS_MAX:
        raise Corrupt(f"column chunk: a dictionary of {count} values")
    return count


def _read_codes(reader: ChunkReader, rows: int, count: int) -> WordArray:
    codes = read_integers(reader, reader.codec(), rows, _code_width(count))
    if rows and int(codes.max()) >= count:
        raise Corrupt("column chunk: a code beyond its dictionary")
    return codes
