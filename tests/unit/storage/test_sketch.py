"""Distinct-count sketches: accuracy, merging, independence of the encoding."""

from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Corrupt
from pagelake.storage.column_vector import analyse
from pagelake.storage.sketch import REGISTERS, Sketch


def sketch(array: pa.Array) -> Sketch:
    made = Sketch.of(array)
    assert made is not None
    return made


@pytest.mark.parametrize("distinct", [1, 2, 10, 100, 1000, 10_000, 100_000, 1_000_000])
@pytest.mark.parametrize("kind", ["sequence", "random", "float", "string", "decimal"])
def test_estimate_is_within_15_percent(distinct: int, kind: str) -> None:
    numbers = np.arange(distinct, dtype=np.int64)
    if kind == "random":
        numbers *= 0x9E3779B97F4A7C15 - (1 << 64)
    array = pa.array(numbers)
    if kind == "float":
        array = pa.array(numbers / 7)
    elif kind == "string":
        array = array.cast(pa.string())
    elif kind == "decimal":
        # Half of each value's 128 bits above the 64-bit range, so that both halves matter.
        halves = np.column_stack((numbers % 1000, numbers // 1000 + 1))
        array = pa.Array.from_buffers(pa.decimal128(38, 0), distinct, [None, pa.py_buffer(halves)])
    assert sketch(array).estimate() == pytest.approx(distinct, rel=0.15, abs=0.5)


def test_error_over_many_sets_has_no_bias() -> None:
    """The mean over independent sets tells bias from chance: 6.5 % / sqrt(40) is 1 %."""
    random = np.random.default_rng(7)
    for distinct in (50, 300, 700, 1500, 50_000):
        errors = []
        for _ in range(40):
            values = random.integers(0, 1 << 62, distinct)
            errors.append(sketch(pa.array(values)).estimate() / distinct - 1)
        assert abs(float(np.mean(errors))) < 0.04, distinct


def test_repetition_and_nulls_do_not_count() -> None:
    values = np.arange(1000).repeat(50)
    array = pa.array(values, mask=values % 10 == 0)
    assert sketch(array) == sketch(pa.array([n for n in range(1000) if n % 10]))
    assert sketch(pa.array([None, None], pa.int32())).estimate() == 0


def test_merging_counts_the_union() -> None:
    whole = pa.array(np.arange(200_000))
    merged = sketch(whole[:120_000]).merge(sketch(whole[80_000:]))
    assert merged == sketch(whole)


def test_equal_values_count_alike_in_every_shape_of_chunk() -> None:
    """Marking close values, hashing rows, 64- and 128-bit decimals must agree."""
    near = pa.array([5, 6, 7])
    spread = pa.array([5, 6, 7, 1 << 60])
    assert sketch(spread) == sketch(near).merge(sketch(pa.array([1 << 60])))
    assert sketch(near) == sketch(near.cast(pa.int8()))
    assert sketch(pa.array([-5])) == sketch(pa.array([-5], pa.int16()))
    big = pa.array([decimal.Decimal(10**30)], pa.decimal128(38, 0))
    small = pa.array([decimal.Decimal(-3)], pa.decimal128(38, 0))
    assert sketch(pa.concat_arrays([big, small])) == sketch(big).merge(sketch(small))
    assert sketch(pa.array([0.0, float("nan")])) == sketch(pa.array([-0.0, -float("nan")]))
    texts = pa.array(["", "a", "longer than eight", "a", None])
    assert sketch(texts) == sketch(texts.cast(pa.string_view()))
    assert sketch(texts) == Sketch.of_column(analyse(texts), texts.unique().drop_null())
    assert sketch(texts[1:2]) == sketch(pa.array(["a"]))
    assert sketch(pa.array([True, False, None])).estimate() == 2


def test_strings_differing_in_length_only_are_told_apart() -> None:
    assert sketch(pa.array(["", "\0", "\0\0", "\0" * 9])).estimate() == 4


def test_types_without_a_sketch() -> None:
    assert Sketch.of(pa.array([[1]])) is None
    assert Sketch.of(pa.array([{"a": 1}])) is None


@pytest.mark.parametrize("distinct", [0, 1, 100, 100_000])
def test_bytes_round_trip(distinct: int) -> None:
    made = sketch(pa.array(np.arange(distinct)))
    packed = made.to_bytes()
    assert len(packed) <= min(REGISTERS, 2 * distinct)
    assert Sketch.from_bytes(packed) == made


@pytest.mark.parametrize("packed", [b"\x01", bytes(257), b"\xff" * 256, b"\x01\x3a"])
def test_other_bytes_are_refused(packed: bytes) -> None:
    with pytest.raises(Corrupt):
        Sketch.from_bytes(packed)
