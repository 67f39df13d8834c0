"""Delete vectors: sorted positions, in and out of bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagelake.errors import Corrupt
from pagelake.storage.delete_vector import (
    ROW_GROUP_ROWS_MAX,
    decode,
    encode,
    overlap,
    positions_of,
    union,
)

POSITIONS = st.lists(st.integers(0, ROW_GROUP_ROWS_MAX - 1), max_size=200)


@given(POSITIONS)
def test_positions_come_back(values: list[int]) -> None:
    positions = positions_of(values)
    assert positions.tolist() == sorted(set(values))
    found = decode(encode(positions))
    assert found.dtype == np.uint32
    assert found.tolist() == positions.tolist()


@given(st.integers(0, 1 << 32), st.floats(0, 1))
def test_dense_vectors_come_back(seed: int, share: float) -> None:
    drawn = np.random.default_rng(seed).random(ROW_GROUP_ROWS_MAX) < share
    positions = np.flatnonzero(drawn).astype(np.uint32)
    payload = encode(positions)
    assert decode(payload).tolist() == positions.tolist()
    assert len(payload) <= ROW_GROUP_ROWS_MAX // 8 + 1_000, "never more than the bitmap"


@given(POSITIONS, POSITIONS)
def test_union_and_overlap(left: list[int], right: list[int]) -> None:
    a, b = positions_of(left), positions_of(right)
    assert union(a, b).tolist() == sorted(set(left) | set(right))
    assert union(a, b).dtype == np.uint32
    assert overlap(a, b) == bool(set(left) & set(right))


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\x09" + bytes(4), b"\x00\xff\xff\xff\xff", b"\x01\x08\0\0\0junk"]
)
def test_hostile_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(content)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_decoded(content: bytes) -> None:
    try:
        found = decode(content)
    except Corrupt:
        return
    assert found.dtype == np.uint32
