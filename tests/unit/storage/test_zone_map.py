"""Zone maps: bounds, counts, and that pruning never loses a row."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagelake.storage.zone_map import Operator, ZoneMap, may_match

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")


@pytest.mark.parametrize(
    ("array", "low", "high"),
    [
        (pa.array([3, None, -7], pa.int8()), -7, 3),
        (pa.array([0, (1 << 64) - 1], pa.uint64()), 0, (1 << 64) - 1),
        (pa.array([datetime.date(1970, 1, 11), None]), 10, 10),
        (pa.array([5, -5], pa.timestamp("us", "UTC")), -5, 5),
        (pa.array([decimal.Decimal("-1.50"), None], pa.decimal128(15, 2)), -150, -150),
        (pa.array([decimal.Decimal("2.5")], pa.decimal64(5, 1)), 25, 25),
        (pa.array([decimal.Decimal(10**30)], pa.decimal128(38, 0)), (1 << 64) - 1, None),
        (pa.array([decimal.Decimal(-(10**30))], pa.decimal128(38, 0)), None, -(1 << 63)),
        (pa.array([decimal.Decimal(10**40), None], pa.decimal256(50, 0)), (1 << 64) - 1, None),
        (pa.array([1.5, None, -2.5], pa.float32()), -2.5, 1.5),
        (pa.array([1.5, math.inf], pa.float16()), 1.5, math.inf),
        (pa.array([True, None, False]), False, True),
        (pa.array(["b", "a", None]), "a", "b"),
        (pa.array(["b", "a"], pa.string_view()), "a", "b"),
        (pa.array([b"\x00", b"\xff"], pa.large_binary()), b"\x00", b"\xff"),
        (pa.array(["x", "y"]).dictionary_encode(), "x", "y"),
        (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array([9, 4])), 4, 9),
        (pa.array([[1], [2]]), None, None),
        (pa.array([None, None], pa.string()), None, None),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_bounds_are_storage_values(array: pa.Array, low: object, high: object) -> None:
    zone = ZoneMap.of(array)
    assert (zone.min, zone.max) == (low, high)
    assert (zone.null_count, zone.row_count) == (array.null_count, len(array))


def test_bounds_of_a_slice_ignore_the_rest() -> None:
    zone = ZoneMap.of(pa.array([None, 100, 1, None, 2, -100])[2:5])
    assert (zone.min, zone.max, zone.null_count) == (1, 2, 1)


def test_long_strings_are_cut_to_bounds() -> None:
    zone = ZoneMap.of(pa.array(["a" * 15 + "ż" * 3, "b" * 40]))
    assert zone.min == "a" * 15
    assert zone.max == "b" * 15 + "c"
    assert ZoneMap.of(pa.array(["\U0010ffff" * 5])).max is None
    assert ZoneMap.of(pa.array(["x" + "\ud7ff" * 9])).max == "x" + "\ud7ff" * 4 + "\ue000"
    assert ZoneMap.of(pa.array([b"\xff" * 17])).max is None
    assert ZoneMap.of(pa.array([b"a" + b"\xff" * 17])).max == b"b"


def test_nan_is_counted_and_kept_out_of_the_bounds() -> None:
    zone = ZoneMap.of(pa.array([NAN, 1.0, None, NAN]))
    assert (zone.min, zone.max, zone.nan_count, zone.null_count) == (1.0, 1.0, 2, 1)
    assert may_match(zone, ">", 5.0)
    assert not may_match(zone, "<", 1.0)
    only = ZoneMap.of(pa.array([NAN, None]))
    assert (only.min, only.max, only.nan_count) == (None, None, 1)
    assert not may_match(only, "<", 5.0)
    assert may_match(only, "=", NAN)


def test_pruning_excludes_what_cannot_be() -> None:
    zone = ZoneMap.of(pa.array([10, 20]))
    assert not may_match(zone, "=", 9)
    assert not may_match(zone, "<", 10)
    assert not may_match(zone, ">", 20)
    assert not may_match(zone, "in", [1, 2, 30, None])
    assert not may_match(zone, "is null")
    assert not may_match(zone, "=", None)
    assert not may_match(ZoneMap.of(pa.array([7, 7])), "!=", 7)
    assert not may_match(ZoneMap.of(pa.array([None], pa.int8())), "is not null")


def test_a_constant_of_another_kind_excludes_nothing() -> None:
    assert may_match(ZoneMap.of(pa.array([10, 20])), "=", "ten")


def test_wire_form_round_trips() -> None:
    zone = ZoneMap.of(pa.array(["a", None, "b"]))
    assert ZoneMap.from_wire(zone.to_wire()) == zone


FLOATS = st.floats() | st.sampled_from([0.0, -0.0, NAN, 1.0])
TEXTS = st.text() | st.text("ab", min_size=14, max_size=18)
VALUES = {
    pa.int64(): st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-3, 3),
    pa.uint8(): st.integers(0, 255),
    pa.float64(): FLOATS,
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.large_binary(): TEXTS.map(str.encode) | st.binary(min_size=14, max_size=18),
}
ORDERED: dict[Operator, Callable[[object, object], bool]] = {
    "=": lambda a, b: key(a) == key(b),
    "!=": lambda a, b: key(a) != key(b),
    "<": lambda a, b: key(a) < key(b),
    "<=": lambda a, b: key(a) <= key(b),
    ">": lambda a, b: key(a) > key(b),
    ">=": lambda a, b: key(a) >= key(b),
}


def key(value: object) -> tuple[object, object]:
    """SQL order: NaN above every number, strings by their UTF-8 bytes."""
    if isinstance(value, float) and math.isnan(value):
        return (1, 0)
    return (0, value.encode() if isinstance(value, str) else value)


@given(st.data(), st.sampled_from(list(VALUES)))
def test_pruning_never_loses_a_row(data: st.DataObject, type: pa.DataType) -> None:
    values = VALUES[type]
    rows = data.draw(st.lists(values | st.none(), max_size=12))
    zone = ZoneMap.of(pa.array(rows, type))
    constant = data.draw(st.one_of(values, *[st.just(row) for row in rows if row is not None]))
    present = [row for row in rows if row is not None]
    for op, holds in ORDERED.items():
        if any(holds(row, constant) for row in present):
            assert may_match(zone, op, constant), op
    if any(key(row) == key(constant) for row in present):
        assert may_match(zone, "in", [constant, None])
    assert may_match(zone, "is null") == (None in rows)
    assert may_match(zone, "is not null") == bool(present)
