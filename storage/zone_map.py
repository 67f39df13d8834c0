"""Zone maps: what the manifest knows about the values of a column chunk without reading it.

A zone map may claim too wide a range, never too narrow a one: `may_match` answers False only when
no row of the chunk can satisfy the predicate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .column_vector import ColumnVector, analyse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Bound: TypeAlias = int | float | str | bytes | bool
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "in", "is null", "is not null"]

# Long enough to tell most keys apart; a manifest holds two of these for every chunk.
PREFIX_BYTES_MAX: Final = 16
# What the manifest's encoding can say. Bounds outside are weakened to None or to the limit.
_INTEGER_MIN: Final = -(1 << 63)
_INTEGER_MAX: Final = (1 << 64) - 1
_SURROGATES: Final = range(0xD800, 0xE000)
_CODE_POINT_MAX: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class ZoneMap:
    """Bounds and counts of one column chunk.

    Bounds are storage values: integers for dates, times, timestamps (in the type's unit), and for
    decimals (unscaled). They leave NULL and NaN out. None means that nothing is known (nested
    types, no upper bound for a prefix), or that there is no value at all, which the counts tell.

    Attributes:
        min: No value is smaller. Strings and binary: at most 16 bytes, cut off.
        max: No value is greater. Strings and binary: at most 16 bytes, cut off and incremented.
        null_count: Null rows.
        nan_count: Rows that are NaN, which orders above every number.
        row_count: All rows.
    """

    min: Bound | None
    max: Bound | None
    null_count: int
    nan_count: int
    row_count: int

    @classmethod
    def of(cls, array: pa.Array) -> ZoneMap:
        """Compute the zone map of an array of any type.

        Args:
            array: One column of one row group, as it was before encoding.
        """
        return cls.of_column(analyse(_without_indirection(array)))

    @classmethod
    def of_column(cls, column: ColumnVector, distinct: pa.Array | None = None) -> ZoneMap:
        """Compute the zone map of an analysed column.

        Args:
            column: The column.
            distinct: Its distinct values without null, where they are known already.
        """
        rows, nulls = column.row_count, column.null_count
        counts = cls(None, None, nulls, 0, rows)
        type = column.array.type
        if rows == nulls:
            return counts
        if column.words is not None:
            if pa.types.is_floating(type):
                return _of_floats(column, counts)
            return replace(counts, min=_lower(column.low), max=_upper(column.high))
        if pa.types.is_decimal(type):
            low, high = (_unscaled(value) for value in _bounds(column.array))
            return replace(counts, min=_lower(low), max=_upper(high))
        if pa.types.is_boolean(type):
            low, high = _bounds(column.array)
            return replace(counts, min=low, max=high)
        values = column.array if distinct is None else distinct
        if pa.types.is_string(type) or pa.types.is_large_string(type):
            low, high = _bounds(values)
            return replace(counts, min=_string_below(low), max=_string_above(high))
        if pa.types.is_binary(type) or pa.types.is_large_binary(type):
            low, high = _bounds(values)
            return replace(counts, min=low[:PREFIX_BYTES_MAX], max=_bytes_above(high))
        return counts

    def to_wire(self) -> list[Bound | None]:
        """Return plain values for the manifest."""
        return [self.min, self.max, self.null_count, self.nan_count, self.row_count]

    @classmethod
    def from_wire(cls, wire: Sequence[Any]) -> ZoneMap:
        """Rebuild a zone map from `to_wire`."""
        low, high, nulls, nans, rows = wire
        return cls(low, high, nulls, nans, rows)


def may_match(zone: ZoneMap, op: Operator, value: object = None) -> bool:
    """Tell whether a row of the chunk may satisfy `column op value`.

    Args:
        zone: The chunk's zone map.
        op: Comparison; NULL compares as unknown, NaN as greater than every number.
        value: Constant as storage value; for `in` a collection of them.

    Returns:
        False only when no row can satisfy the predicate. A constant that cannot be compared with
        the bounds excludes nothing.
    """
    if op == "is null":
        return zone.null_count > 0
    if zone.null_count >= zone.row_count:
        return False
    if op == "is not null":
        return True
    if op == "in":
        assert isinstance(value, (list, tuple, set, frozenset))
        return any(may_match(zone, "=", item) for item in value)
    if value is None:
        return False
    has_numbers = zone.null_count + zone.nan_count < zone.row_count
    has_nan = zone.nan_count > 0
    if isinstance(value, float) and math.isnan(value):
        return _NAN_CONSTANT[op](has_numbers, has_nan)
    if has_nan and op in {"!=", ">", ">="}:
        return True
    try:
        return has_numbers and _COMPARE[op](zone.min, zone.max, value)
    except TypeError:
        return True


# With bounds (low, high), either of which may be None, and a constant that is not NaN.
_COMPARE: Final[dict[str, Callable[[Any, Any, Any], bool]]] = {
    "=": lambda low, high, v: (low is None or low <= v) and (high is None or v <= high),
    # Equal bounds are exact: a shortened maximum is always above the shortened minimum.
    "!=": lambda low, high, v: low is None or high is None or not low == high == v,
    "<": lambda low, _, v: low is None or low < v,
    "<=": lambda low, _, v: low is None or low <= v,
    ">": lambda _, high, v: high is None or high > v,
    ">=": lambda _, high, v: high is None or high >= v,
}

# With the constant NaN: what matters is whether there are numbers and whether there are NaNs.
_NAN_CONSTANT: Final[dict[str, Callable[[bool, bool], bool]]] = {
    "=": lambda _, has_nan: has_nan,
    "!=": lambda has_numbers, _: has_numbers,
    "<": lambda has_numbers, _: has_numbers,
    "<=": lambda _, __: True,
    ">": lambda _, __: False,
    ">=": lambda _, has_nan: has_nan,
}


def _without_indirection(array: pa.Array) -> pa.Array:
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        return array.dictionary_decode()
    return pc.run_end_decode(array) if isinstance(array, pa.RunEndEncodedArray) else array


def _bounds(array: pa.Array) -> tuple[Any, Any]:
    bounds = pc.min_max(array)
    return bounds["min"].as_py(), bounds["max"].as_py()


def _of_floats(column: ColumnVector, counts: ZoneMap) -> ZoneMap:
    assert column.words is not None
    # Null rows hold a copy of another row's value, which may be NaN, so count without them.
    values = column.words.view(f"<f{column.words.dtype.itemsize}")
    nan = np.isnan(values)
    if not nan.any():
        return replace(counts, min=float(values.min()), max=float(values.max()))
    numbers = values[~nan]
    nan_count = int(nan.sum())
    if column.null_count:
        present = column.array.drop_null()
        nan_count = int(np.isnan(present.to_numpy(zero_copy_only=False)).sum())
    if not len(numbers):
        return replace(counts, nan_count=nan_count)
    low, high = float(numbers.min()), float(numbers.max())
    return replace(counts, min=low, max=high, nan_count=nan_count)


def _unscaled(value: Any) -> int:
    sign, digits, _ = value.as_tuple()
    magnitude = int("".join(map(str, digits)))
    return -magnitude if sign else magnitude


def _lower(value: int) -> int | None:
    return None if value < _INTEGER_MIN else min(value, _INTEGER_MAX)


def _upper(value: int) -> int | None:
    return None if value > _INTEGER_MAX else max(value, _INTEGER_MIN)


def _string_below(value: str) -> str:
    return value.encode()[:PREFIX_BYTES_MAX].decode(errors="ignore")


def _string_above(value: str) -> str | None:
    # Code point order is the byte order of UTF-8, which is the order that SQL compares in.
    prefix = _string_below(value)
    if prefix == value:
        return value
    while prefix:
        following = ord(prefix[-1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _CODE_POINT_MAX:
            above = prefix[:-1] + chr(following)
            if len(above.encode()) <= PREFIX_BYTES_MAX:
                return above
        prefix = prefix[:-1]
    return None


def _bytes_above(value: bytes) -> bytes | None:
    if len(value) <= PREFIX_BYTES_MAX:
        return value
    prefix = value[:PREFIX_BYTES_MAX].rstrip(b"\xff")
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else None
