"""One column of one row group as numbers: storage, nulls, words, found once for all who ask.

The encodings, the zone map and the distinct-count sketch of a column chunk all begin with this.

Words are fixed-width values of 1, 2, 4 or 8 bytes as unsigned integers, bit for bit: integers,
dates, times, timestamps, narrow decimals and floats all travel as words. Arithmetic on them is
modulo the word size, so that no range of values can overflow.

Which Arrow types travel as what: docs/format/column-chunk.md, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

WordArray: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

_UNSIGNED: Final[dict[int, np.dtype[Any]]] = {n: np.dtype(f"<u{n}") for n in (1, 2, 4, 8)}
_SIGNED: Final[dict[int, np.dtype[Any]]] = {n: np.dtype(f"<i{n}") for n in (1, 2, 4, 8)}
_SIGNED_TYPES: Final = {1: pa.int8(), 2: pa.int16(), 4: pa.int32(), 8: pa.int64()}
_UNSIGNED_TYPES: Final = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}


@dataclass(frozen=True, slots=True)
class ColumnVector:
    """One column of one row group, analysed.

    Attributes:
        array: Storage array: extension types unwrapped, string and binary views cast to large.
        row_count: Rows.
        null_count: Null rows.
        words: Fixed-width values, shape (rows,); null rows hold a value of another row, so that
            statistics over words need no mask. None when the type does not travel as words.
        low: Smallest word in value order (bit-pattern order for floats); 0 without words.
        high: Largest word, likewise.
    """

    array: pa.Array
    row_count: int
    null_count: int
    words: WordArray | None = None
    low: int = 0
    high: int = 0


def storage_type(type: pa.DataType) -> pa.DataType:
    """Return the type that is encoded for a type: extension types stand on their storage."""
    while isinstance(type, pa.BaseExtensionType):
        type = type.storage_type
    if type.equals(pa.string_view()):
        return pa.large_string()
    return pa.large_binary() if type.equals(pa.binary_view()) else type


def storage_of(array: pa.Array) -> pa.Array:
    """Return the array in its `storage_type`."""
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    wanted = storage_type(array.type)
    return array if array.type.equals(wanted) else array.cast(wanted)


def analyse(array: pa.Array) -> ColumnVector:
    """Analyse an array of any type.

    Args:
        array: One column of one row group.
    """
    array = storage_of(array)
    rows, nulls = len(array), array.null_count
    column = ColumnVector(array, rows, nulls)
    if rows == nulls:
        return column
    width = word_width(array.type)
    if width is not None:
        return _with_words(column, fixed_width_values(array, width), is_signed(array.type))
    if pa.types.is_decimal128(array.type):
        return _narrow_decimal(column)
    return column


def fixed_width_values(array: pa.Array, width: int) -> npt.NDArray[Any]:
    """View the values of a fixed-width array.

    Args:
        array: Array whose second buffer holds `width` bytes a value.
        width: 1, 2, 4 or 8 for words; any other width yields rows of bytes.

    Returns:
        Unsigned words of shape (rows,), or uint8 of shape (rows, width).
    """
    buffer = array.buffers()[1]
    rows, start = len(array), array.offset
    piece = buffer.slice(start * width, rows * width)
    if width in _UNSIGNED_TYPES:
        return np.frombuffer(piece, dtype=word_dtype(width))
    return np.frombuffer(piece, dtype=np.uint8).reshape(rows, width)


def validity_bits(array: pa.Array) -> pa.Buffer:
    """Return the validity bitmap of an array with nulls, first row in bit 0."""
    bits, start = array.buffers()[0], array.offset
    bytes_ = (len(array) + 7) // 8
    if bits is not None and start % 8 == 0:
        return bits.slice(start // 8, bytes_)
    return pa.py_buffer(np.packbits(validity_mask(array), bitorder="little"))


def validity_mask(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which rows are not null, shape (rows,)."""
    bits, start, rows = array.buffers()[0], array.offset, len(array)
    if bits is None:
        return np.ones(rows, dtype=np.bool_)
    packed = np.frombuffer(bits.slice(start // 8, (start % 8 + rows + 7) // 8), dtype=np.uint8)
    mask = np.unpackbits(packed, bitorder="little")[start % 8 : start % 8 + rows]
    return mask.view(np.bool_)


def is_string_like(type: pa.DataType) -> bool:
    """Tell whether a storage type has offsets and bytes."""
    return is_large(type) or pa.types.is_string(type) or pa.types.is_binary(type)


def is_large(type: pa.DataType) -> bool:
    """Tell whether a string-like type has 64-bit offsets."""
    return bool(pa.types.is_large_string(type) or pa.types.is_large_binary(type))


def value_offsets(array: pa.Array) -> npt.NDArray[np.signedinteger[Any]]:
    """Return the offsets of a string-like array, shape (rows + 1,)."""
    width = 8 if is_large(array.type) else 4
    buffer = array.buffers()[1]
    if buffer is None or buffer.size == 0:
        return np.zeros(len(array) + 1, dtype=f"<i{width}")
    piece = buffer.slice(array.offset * width, (len(array) + 1) * width)
    return np.frombuffer(piece, dtype=f"<i{width}")


def _narrow_decimal(column: ColumnVector) -> ColumnVector:
    # Nearly every decimal column fits 64 bits, whatever precision was declared for it.
    halves = fixed_width_values(column.array, 16).view("<i8")
    lower, upper = np.ascontiguousarray(halves[:, 0]), halves[:, 1]
    fits = (lower >> 63) == upper
    if column.null_count:
        fits |= ~validity_mask(column.array)
    return _with_words(column, unsigned(lower), True) if fits.all() else column


def _with_words(column: ColumnVector, words: npt.NDArray[Any], order_signed: bool) -> ColumnVector:
    width = words.dtype.itemsize
    if not column.null_count:
        ordered = signed(words) if order_signed else words
        low, high = int(ordered.min()), int(ordered.max())
        return ColumnVector(column.array, column.row_count, 0, words, low, high)
    type = (_SIGNED_TYPES if order_signed else _UNSIGNED_TYPES)[width]
    buffers = [validity_bits(column.array), pa.py_buffer(words)]
    bounds = pc.min_max(pa.Array.from_buffers(type, column.row_count, buffers))
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    present = word_dtype(width).type(low & ((1 << 8 * width) - 1))
    words = np.where(validity_mask(column.array), words, present)
    return ColumnVector(column.array, column.row_count, column.null_count, words, low, high)


def word_dtype(width: int) -> np.dtype[Any]:
    """Return the unsigned dtype of `width` bytes."""
    return _UNSIGNED[width]


def signed(words: npt.NDArray[Any]) -> npt.NDArray[np.signedinteger[Any]]:
    """View words as signed integers of the same width."""
    return words.view(_SIGNED[words.dtype.itemsize])


def unsigned(words: npt.NDArray[Any]) -> WordArray:
    """View fixed-width values as words."""
    return words.view(_UNSIGNED[words.dtype.itemsize])


def word_width(type: pa.DataType) -> int | None:
    """Return the width in bytes of a type that travels as words, or None."""
    if pa.types.is_boolean(type) or not pa.types.is_primitive(type):
        return 4 if pa.types.is_decimal32(type) else 8 if pa.types.is_decimal64(type) else None
    return type.bit_width // 8 if type.bit_width in (8, 16, 32, 64) else None


def is_signed(type: pa.DataType) -> bool:
    """Tell whether the words of a type order as signed integers; floats do not."""
    return not (pa.types.is_unsigned_integer(type) or pa.types.is_floating(type))
