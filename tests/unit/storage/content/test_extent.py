"""Extents: packed and back, holes of any length, rows that stay."""

from __future__ import annotations

import numpy as np
import pytest

from pagelake.errors import Corrupt
from pagelake.storage.content import extent


def some(*lengths: int) -> extent.Extents:
    made = np.zeros(len(lengths), dtype=extent.EXTENT)
    made["length"] = lengths
    made["first"] = np.arange(1, len(lengths) + 1)
    return made


def test_extents_are_twenty_bytes_each() -> None:
    packed = some(5, 6).tobytes()
    assert len(packed) == 40
    assert extent.total(extent.unpack(packed)) == 11
    assert extent.starts(extent.unpack(packed)).tolist() == [0, 5, 11]
    for wrong in (packed[:-1], packed + b"x"):
        with pytest.raises(Corrupt):
            extent.unpack(wrong)
    with pytest.raises(Corrupt):
        extent.unpack(packed, 12)


@pytest.mark.parametrize("length", [0, 1, 1 << 30, (1 << 30) + 1, 5 << 30, (7 << 40) + 3])
def test_a_hole_has_its_length(length: int) -> None:
    hole = extent.hole(length)
    assert extent.total(hole) == length
    assert extent.holes(hole).all()
    again = extent.joined([hole, extent.hole(0), extent.hole(7), some(3), extent.hole(length)])
    assert extent.total(again) == 2 * length + 10
    assert extent.holes(again).sum() == again.size - 1
    assert again.size <= 2 * -(-length // (1 << 30)) + 3


def test_neighbouring_holes_are_one() -> None:
    made = extent.joined([extent.hole(5), extent.hole(6), some(1), extent.hole(1), extent.hole(1)])
    assert made["length"].tolist() == [11, 1, 2]


def test_rows_begin_where_they_began_before() -> None:
    whole = some(*[10] * 5000)
    rows = extent.far_rows(whole)
    starts = rows.column("start").to_pylist()
    assert (len(starts), starts[0]) == (5, 0)
    edited = np.concatenate([whole[:2500], some(4, 6), whole[2501:]])
    again = extent.far_rows(edited, starts)
    before = set(zip(*(c.to_pylist() for c in rows.columns), strict=True))
    after = set(zip(*(c.to_pylist() for c in again.columns), strict=True))
    assert len(before & after) == 4
    joined = b"".join(again.column("extents").to_pylist())
    assert extent.unpack(joined).tolist() == edited.tolist()


def test_references_are_told_once_and_holes_not() -> None:
    made = np.concatenate([some(1, 2), some(1), extent.hole(9)])
    assert extent.references(made).tolist() == [[1, 0], [2, 0]]
