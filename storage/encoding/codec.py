"""Encode and decode one column chunk: pick the codec, walk the nodes, put the nulls back.

    array --analyse--> Column --choose--> EncodingChoice --write--> payload --read--> array

Byte layout: docs/format/column-chunk.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from ...errors import Corrupt
from ..column_vector import (
    ColumnVector,
    WordArray,
    analyse,
    is_string_like,
    signed,
    storage_type,
    validity_bits,
    word_width,
)
from .choose import applies, choose
from .chunk import (
    ROWS_MAX,
    ChunkReader,
    ChunkWriter,
    Codec,
    EncodedChunk,
    EncodingChoice,
)
from .dictionary import (
    read_string_dictionary,
    read_word_dictionary,
    write_string_dictionary,
    write_word_dictionary,
)
from .integers import read_integers, write_integers
from .ipc import read_ipc, write_ipc
from .plain import plain_width, plain_width_of, read_plain, write_plain, write_transposed
from .strings import read_strings, write_strings

# Measured on TPC-H lineitem: level 3 takes 130.2 MB and 1.90 s, level 1 132.5 MB and 1.77 s. Text
# gains 5 %, numbers nothing.
ZSTD_LEVEL: Final = 1
# A sticky choice is looked at again once it yields this much more than it did before.
_DRIFT_RATIO_MAX: Final = 1.25
_DECIMAL64_DIGITS_MAX: Final = 18


def encode(array: pa.Array, *, hint: EncodingChoice | None = None) -> EncodedChunk:
    """Encode one column of one row group.

    Args:
        array: Any Arrow array of at most `ROWS_MAX` rows.
        hint: `choice` of an earlier chunk of the column; saves choosing anew.

    Raises:
        ValueError: The array has more than `ROWS_MAX` rows.
    """
    return encode_vector(analyse(array), hint)[0]


def encode_vector(
    column: ColumnVector, hint: EncodingChoice | None
) -> tuple[EncodedChunk, pa.Array | None]:
    """Encode a column that is already analysed.

    Returns:
        The chunk, and the distinct values of a string column where they were found on the way
        (without null, in order of first appearance).
    """
    if column.row_count > ROWS_MAX:
        raise ValueError(f"a row group of {column.row_count} rows; at most {ROWS_MAX} are allowed")
    if column.row_count == column.null_count and not _keeps_own_nulls(column.array.type):
        writer = ChunkWriter(ZSTD_LEVEL)
        writer.node(Codec.NULLS)
        payload = writer.finish(column.row_count, column.null_count)
        return EncodedChunk(payload, "nulls", hint or EncodingChoice(Codec.NULLS)), None
    sticky = hint is not None and hint.codec is not Codec.NULLS and applies(hint, column)
    if not sticky or hint is None:
        return _write(column, choose(column))
    chunk, values = _write(column, hint)
    if chunk.choice.bytes_per_row > _DRIFT_RATIO_MAX * hint.bytes_per_row:
        fresh = choose(column)
        if (fresh.codec, fresh.plan) != (chunk.choice.codec, chunk.choice.plan):
            other, other_values = _write(column, fresh)
            if len(other.payload) < len(chunk.payload):
                return other, other_values
    return chunk, values


def _keeps_own_nulls(type: pa.DataType) -> bool:
    # Types whose nulls are not in a validity bitmap of their own, or which IPC writes whole.
    return not (
        pa.types.is_null(type)
        or word_width(type) is not None
        or plain_width(type) is not None
        or is_string_like(type)
    )


def _write(column: ColumnVector, choice: EncodingChoice) -> tuple[EncodedChunk, pa.Array | None]:
    writer = ChunkWriter(ZSTD_LEVEL)
    array, values = column.array, None
    if column.null_count and choice.codec is not Codec.IPC:
        writer.node(Codec.VALIDITY)
        writer.buffer(validity_bits(array))
    if column.words is not None:
        _write_word_column(writer, column, column.words, choice)
    elif choice.codec is Codec.DICTIONARY:
        coded = array.dictionary_encode()
        values = coded.dictionary
        write_string_dictionary(writer, coded, choice.plan)
    elif choice.codec is Codec.STRINGS:
        write_strings(writer, array, choice.plan)
    elif choice.codec is Codec.IPC:
        write_ipc(writer, array)
    else:
        width = plain_width_of(array)
        assert width is not None
        write = write_transposed if choice.codec is Codec.TRANSPOSED else write_plain
        write(writer, array, width)
    payload = writer.finish(column.row_count, column.null_count)
    choice = replace(choice, bytes_per_row=len(payload) / max(1, column.row_count))
    return EncodedChunk(payload, writer.codec_name(), choice), values


def _write_word_column(
    writer: ChunkWriter, column: ColumnVector, words: WordArray, choice: EncodingChoice
) -> None:
    if pa.types.is_decimal128(column.array.type):
        writer.node(Codec.DECIMAL64)
    if choice.codec is Codec.DICTIONARY:
        write_word_dictionary(writer, words, choice.plan)
    else:
        write_integers(writer, words, column.low, column.high, choice.plan)


def decode(
    payload: memoryview | bytes | pa.Buffer, type: pa.DataType, *, dictionary: bool = False
) -> pa.Array:
    """Decode one column chunk; every length and offset is checked before it is used.

    Args:
        writer: The chunk being written.
        payload: What `encode` made. Raw buffers of the result are views of it, so it must stay
            mapped and unchanged as long as the array lives.
        type: The type of the array that was encoded.
        dictionary: Allow types that import faster: `dictionary<int8|int16|int32, type>` for
            dictionary-coded strings, `decimal64` for decimal128 columns of at most 18 digits.

    Raises:
        Corrupt: The payload is not a chunk of that type.
    """
    reader = ChunkReader(payload)
    wrapped = _is_wrapped(type)
    array = _read(reader, storage_type(type), dictionary and not wrapped)
    reader.finish()
    if array.null_count != reader.null_count:
        raise Corrupt("column chunk: the null count is wrong")
    return _wrap(array, type) if wrapped else array


def _read(reader: ChunkReader, type: pa.DataType, dictionary: bool) -> pa.Array:
    rows = reader.row_count
    codec = reader.codec()
    if codec is Codec.NULLS:
        return pa.nulls(rows, _small_decimal(type) if dictionary else type)
    if codec is Codec.IPC:
        return read_ipc(reader, rows, type)
    validity = None
    if codec is Codec.VALIDITY:
        validity = reader.buffer((rows + 7) // 8)
        codec = reader.codec()
    if is_string_like(type):
        return _read_string_column(reader, codec, type, validity, dictionary)
    if codec in (Codec.PLAIN, Codec.TRANSPOSED):
        return read_plain(reader, codec, rows, type, validity)
    return _read_word_column(reader, codec, type, validity, dictionary)


def _read_string_column(
    reader: ChunkReader, codec: Codec, type: pa.DataType, validity: pa.Buffer | None, coded: bool
) -> pa.Array:
    if codec is Codec.STRINGS:
        return read_strings(reader, reader.row_count, type, validity)
    if codec is not Codec.DICTIONARY:
        raise Corrupt(f"column chunk: {codec.name} where strings belong")
    array = read_string_dictionary(reader, reader.row_count, type, validity)
    return array if coded else array.dictionary_decode()


def _read_word_column(
    reader: ChunkReader,
    codec: Codec,
    type: pa.DataType,
    validity: pa.Buffer | None,
    small_decimals: bool,
) -> pa.Array:
    rows = reader.row_count
    width = 8 if codec is Codec.DECIMAL64 else word_width(type)
    if width is None or (codec is Codec.DECIMAL64) != pa.types.is_decimal128(type):
        raise Corrupt(f"column chunk: {codec.name} for the type {type}")
    if codec is Codec.DECIMAL64:
        codec = reader.codec()
    if codec is Codec.DICTIONARY:
        words = read_word_dictionary(reader, rows, width)
    else:
        words = read_integers(reader, codec, rows, width)
    if pa.types.is_decimal(type):
        _check_digits(words, type)
    if small_decimals:
        type = _small_decimal(type)
    if not pa.types.is_decimal128(type):
        return pa.Array.from_buffers(type, rows, [validity, pa.py_buffer(words)])
    halves = np.empty((rows, 2), dtype="<i8")
    halves[:, 0] = signed(words)
    halves[:, 1] = halves[:, 0] >> 63
    return pa.Array.from_buffers(type, rows, [validity, pa.py_buffer(halves)])


def _small_decimal(type: pa.DataType) -> pa.DataType:
    # By precision alone, so that every chunk of a column comes back in the same type.
    if pa.types.is_decimal128(type) and type.precision <= _DECIMAL64_DIGITS_MAX:
        return pa.decimal64(type.precision, type.scale)
    return type


def _check_digits(words: WordArray, type: pa.DataType) -> None:
    values = signed(words)
    limit = 10**type.precision
    if len(values) and not -limit < int(values.min()) <= int(values.max()) < limit:
        raise Corrupt(f"column chunk: a value has too many digits for {type}")


def _is_wrapped(type: pa.DataType) -> bool:
    return isinstance(type, pa.BaseExtensionType) or not type.equals(storage_type(type))


def _wrap(array: pa.Array, type: pa.DataType) -> pa.Array:
    if isinstance(type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type, _wrap(array, type.storage_type))
    return array if array.type.equals(type) else array.cast(type)
