"""Key codes: each key as one unsigned 64-bit number.

A key of one column of whole numbers, moments, floats, booleans or decimals of up to 18 digits has
an *exact* code: two keys are equal if and only if their codes are, and whole numbers keep their
order. Every other key (text, bytes, wide decimals, several columns) has a *hash* for a code:
equal keys have equal codes, and whoever finds equal codes compares the keys themselves.

The codes are on flash: docs/format/key-run.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

Codes = npt.NDArray[np.uint64]

_SIGN: Final = np.uint64(1 << 63)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_EXACT_DIGITS_MAX: Final = 18
_WORD_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class KeyCodes:
    """Codes of some keys.

    Attributes:
        codes: uint64, one a row; of no meaning where the key is NULL.
        valid: bool, False where a column of the key is NULL; None where none is.
        exact: True when equal codes mean equal keys.
    """

    codes: Codes
    valid: npt.NDArray[np.bool_] | None
    exact: bool


def mix(codes: Codes) -> Codes:
    """Scatter codes over all 64 bits, one to one.

    Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
    """
    mixed = codes ^ (codes >> np.uint64(30))
    mixed *= _FIRST
    mixed ^= mixed >> np.uint64(27)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed


def is_exact(types: Sequence[pa.DataType]) -> bool:
    """Tell whether keys of these column types have exact codes."""
    return len(types) == 1 and _has_exact_codes(_storage_type(types[0]))


def is_codable(type_: pa.DataType) -> bool:
    """Tell whether a column of a type may be part of a key that has codes."""
    type_ = _storage_type(type_)
    return _has_exact_codes(type_) or _is_bytes(type_) or pa.types.is_decimal128(type_)


def signature(types: Sequence[pa.DataType]) -> str:
    """What codes of these column types can be compared with: codes of the same signature."""
    return ",".join(str(_storage_type(type_)) for type_ in types)


def key_codes(columns: Sequence[pa.Array]) -> KeyCodes:
    """Compute the codes of keys.

    Args:
        columns: The columns of the key in their stored types, at least one, of one length.
    """
    plain = [_storage(column) for column in columns]
    valid: npt.NDArray[np.bool_] | None = None
    for column in plain:
        if column.null_count:
            present = column.is_valid().to_numpy(zero_copy_only=False)
            valid = present if valid is None else valid & present
    exact = is_exact([column.type for column in plain])
    codes = _column_codes(plain[0])
    for column in plain[1:]:
        codes = mix(codes + _GOLDEN) * _GOLDEN + _column_codes(column)
    return KeyCodes(codes, valid, exact)


def integer_code(type_: pa.DataType, value: int) -> int | None:
    """The code of one whole number of a column's type; None where the type is another."""
    if not pa.types.is_integer(type_):
        return None
    return value + (1 << 63) if pa.types.is_signed_integer(type_) else value


def _storage_type(type_: pa.DataType) -> pa.DataType:
    while isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    return type_


def _storage(array: pa.Array) -> pa.Array:
    while isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    return array


def _has_exact_codes(type_: pa.DataType) -> bool:
    if pa.types.is_decimal(type_):
        return bool(type_.bit_width <= 128 and type_.precision <= _EXACT_DIGITS_MAX)
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_temporal(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_float32(type_)
        or pa.types.is_float64(type_)
    )


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
    )


def _column_codes(array: pa.Array) -> Codes:
    """Codes of one column; of no meaning where it is NULL."""
    type_ = array.type
    if _is_bytes(type_):
        return _hash_of_bytes(array)
    if pa.types.is_decimal(type_):
        return _decimal_codes(array)
    if pa.types.is_floating(type_):
        return _float_codes(array)
    if pa.types.is_boolean(type_):
        return _values(array.cast(pa.uint8())).astype(np.uint64)
    if pa.types.is_temporal(type_):
        array = array.view(pa.int32() if type_.bit_width == 32 else pa.int64())
    values = _values(array)
    if values.dtype.kind == "u":
        return values.astype(np.uint64)
    return values.astype(np.int64).view(np.uint64) ^ _SIGN


def _values(array: pa.Array) -> npt.NDArray[np.generic]:
    """Values of a numeric array, zero where it is NULL."""
    if array.null_count:
        array = array.fill_null(0)
    values: npt.NDArray[np.generic] = array.to_numpy(zero_copy_only=False)
    return values


def _float_codes(array: pa.Array) -> Codes:
    # Adding zero makes one of both zeros; all NaNs are one value.
    values = _values(array.cast(pa.float64())).astype(np.float64) + 0.0
    values[np.isnan(values)] = np.nan
    bits = values.view(np.uint64)
    return np.where(bits >= _SIGN, ~bits, bits | _SIGN)


def _decimal_codes(array: pa.Array) -> Codes:
    words = max(1, array.type.bit_width // 64)
    if array.type.bit_width < 64:
        array = array.cast(pa.decimal64(array.type.precision, array.type.scale))
    raw = np.frombuffer(array.buffers()[1], dtype="<u8")
    raw = raw[array.offset * words : (array.offset + len(array)) * words].reshape(-1, words)
    if array.type.precision <= _EXACT_DIGITS_MAX:
        return raw[:, 0] ^ _SIGN
    return mix(mix(raw[:, 0] + _GOLDEN) * _GOLDEN + raw[:, 1])


def _hash_of_bytes(array: pa.Array) -> Codes:
    """Hash of each value: the sum over its words of 8 bytes, each mixed with its position."""
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets_buffer, content = array.buffers()
    rows = len(array)
    offsets = np.frombuffer(offsets_buffer, dtype="<i8" if wide else "<i4")
    offsets = offsets[array.offset : array.offset + rows + 1].astype(np.int64)
    if not rows:
        return np.empty(0, dtype=np.uint64)
    lengths = np.diff(offsets)
    first, last = int(offsets[0]), int(offsets[-1])
    # Eight bytes more, so that the last word of the last value can be read.
    padded = np.zeros(last - first + _WORD_BYTES, dtype=np.uint8)
    if last > first:
        padded[: last - first] = np.frombuffer(content, dtype=np.uint8)[first:last]
    unaligned = np.ndarray((last - first + 1,), dtype="<u8", buffer=padded, strides=(1,))
    # An empty value has one word as well, of which nothing counts.
    counts = np.maximum((lengths + _WORD_BYTES - 1) // _WORD_BYTES, 1)
    ends = np.cumsum(counts)
    starts = ends - counts
    index = np.arange(int(ends[-1]), dtype=np.int64) - np.repeat(starts, counts)
    words = unaligned[np.repeat(offsets[:-1] - first, counts) + index * _WORD_BYTES]
    unused = np.clip(_WORD_BYTES - (np.repeat(lengths, counts) - index * _WORD_BYTES), 0, 8)
    words = np.where(unused == _WORD_BYTES, np.uint64(0), words)
    kept = unused.astype(np.uint64) * np.uint64(8) % np.uint64(64)
    words = (words << kept) >> kept
    mixed = mix(words + (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    sums = np.add.reduceat(mixed, starts)
    return mix(sums ^ (lengths.astype(np.uint64) * _GOLDEN))


def equal_keys(left: Sequence[pa.Array], right: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
    """Tell row by row whether two lists of keys are equal; NULL equals nothing.

    Args:
        left: The columns of one list of keys, in their stored types.
        right: The columns of the other.
    """
    equal = np.ones(len(left[0]), dtype=bool)
    for one, other in zip(left, right, strict=True):
        mine, theirs = _storage(one), _storage(other)
        if is_exact([mine.type]):
            ours, others = key_codes([mine]), key_codes([theirs])
            same = ours.codes == others.codes
            for codes in (ours, others):
                if codes.valid is not None:
                    same &= codes.valid
        else:
            same = pc.equal(mine, theirs).fill_null(False).to_numpy(zero_copy_only=False)
        equal &= same
    return equal
