"""Key codes: equal exactly where keys are, or at least where keys are, and the same for ever."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagelake.storage.keys.codes import equal_keys, integer_code, is_exact, key_codes

VALUES: dict[pa.DataType, st.SearchStrategy[object]] = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(1 << 63), (1 << 63) - 1),
    pa.uint64(): st.integers(0, (1 << 64) - 1),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(datetime.datetime(1900, 1, 1)),
    pa.float64(): st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0]),
    pa.decimal128(18, 3): st.decimals("-1e14", "1e14", places=3),
    pa.decimal128(38, 0): st.integers(-(10**37), 10**37).map(Decimal),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    pa.binary(): st.binary(max_size=40),
}


@pytest.mark.parametrize("type_", VALUES, ids=str)
@given(content=st.data())
def test_codes_are_equal_where_keys_are(type_: pa.DataType, content: st.DataObject) -> None:
    drawn = content.draw(st.lists(st.none() | VALUES[type_], min_size=1, max_size=30))
    array = pa.array([None, *drawn, *drawn], type_).slice(1)
    found = key_codes([array])
    assert found.exact == is_exact([type_])
    keys = [None if v is None else v + 0 if isinstance(v, float) else v for v in array.to_pylist()]
    valid = np.ones(len(keys), dtype=bool) if found.valid is None else found.valid
    assert valid.tolist() == [key is not None for key in keys]
    known: dict[object, int] = {}
    for key, code in zip(keys, found.codes.tolist(), strict=True):
        if key is not None:
            assert known.setdefault(key, code) == code
    # Hashes of so few values are distinct as well.
    assert len(set(known.values())) == len(known)


def test_floats_that_are_equal() -> None:
    negative_nan = np.uint64(0xFFF8000000000001).view(np.float64)
    array = pa.array(np.array([0.0, -0.0, np.nan, negative_nan, 1.5]))
    codes = key_codes([array]).codes.tolist()
    assert codes[0] == codes[1]
    assert codes[2] == codes[3]
    assert len(set(codes)) == 3
    assert equal_keys([array], [array.take(pa.array([1, 0, 3, 2, 4]))]).all()


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=2))
def test_codes_of_integers_keep_their_order(values: list[int]) -> None:
    codes = key_codes([pa.array(values, pa.int64())]).codes.tolist()
    assert codes == [integer_code(pa.int64(), value) for value in values]
    assert sorted(range(len(values)), key=values.__getitem__) == sorted(
        range(len(values)), key=codes.__getitem__
    )


def test_keys_of_several_columns() -> None:
    left = pa.array(["a", "a", "b", "b", None])
    right = pa.array([1, 2, 1, None, 1])
    found = key_codes([left, right])
    assert found.valid is not None
    assert found.valid.tolist() == [True, True, True, False, False]
    assert not found.exact
    assert len(set(found.codes[:3].tolist())) == 3
    turned = key_codes([right.cast(pa.int64()), left])
    assert set(turned.codes[:3].tolist()).isdisjoint(found.codes[:3].tolist())


def test_a_piece_of_a_column_has_the_same_codes() -> None:
    texts = pa.array([f"{'x' * (n % 23)}{n}" for n in range(200)])
    whole = key_codes([texts]).codes
    assert key_codes([texts.slice(37, 90)]).codes.tolist() == whole[37:127].tolist()


def test_codes_stay_what_they_are() -> None:
    """They are on flash: another function would find nothing of what was stored before."""
    assert key_codes([pa.array([-1, 7], pa.int32())]).codes.tolist() == [
        (1 << 63) - 1,
        (1 << 63) + 7,
    ]
    texts = pa.array(["", "a", "exactly8", "longer than eight bytes"])
    assert [hex(code) for code in key_codes([texts]).codes.tolist()] == TEXT_CODES
    pair = key_codes([pa.array([1], pa.int64()), pa.array(["a"])]).codes
    assert hex(int(pair[0])) == PAIR_CODE


TEXT_CODES = [
    "0x48218226ff3cd4bf",
    "0x73103ddaff819ed7",
    "0x1cc5f7554cf96a4c",
    "0x67b93015da1120ff",
]
PAIR_CODE = "0xfe767e7956e4dc49"
