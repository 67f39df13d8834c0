"""The erasure code of striped devices: Cauchy Reed-Solomon computed with XOR alone.

A stripe holds ``data`` units and ``parity`` units; any ``data`` of them give the rest. The code
is a Cauchy matrix over GF(256) spread out as a matrix of bits: a unit is cut in eight rows, and
each row of a parity unit is the XOR of some rows of the data units. The matrix is scaled so
that the first parity is plain XOR and the others have few ones, which makes 8 + 2 about three
XORs a byte.

Why not a library: PyECLib (ISA-L, BSD) is as fast but has wheels for Linux only, zfec is GPL,
reedsolo is pure Python at a few MB/s. NumPy's XOR runs at memory speed, is a dependency already
and works wherever NumPy does. Units are cut small enough that a stripe stays in the cache.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

UNIT_ALIGNMENT = 64
"""A unit is a multiple of this many bytes: eight rows of whole 64-bit words."""
UNITS_MAX = 256
"""Units of a stripe at most: the elements of the field."""
_ROWS = 8
_POLYNOMIAL = 0x11D
_GATHER_WORDS_MAX = 64
"""Rows up to this length are gathered in one call: there the calls cost more than the copy."""


def _tables() -> tuple[list[int], list[int]]:
    powers, logarithms = [0] * 510, [0] * 256
    element = 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = element
        logarithms[element] = exponent
        element <<= 1
        if element & 0x100:
            element ^= _POLYNOMIAL
    return powers, logarithms


_POWERS, _LOGARITHMS = _tables()


def _times(left: int, right: int) -> int:
    if not left or not right:
        return 0
    return _POWERS[_LOGARITHMS[left] + _LOGARITHMS[right]]


def _inverse(element: int) -> int:
    return _POWERS[255 - _LOGARITHMS[element]]


@functools.cache
def _bits(element: int) -> tuple[tuple[int, ...], ...]:
    """For each bit of a product with the element, the bits of the factor that it sums."""
    columns = [_times(element, 1 << bit) for bit in range(_ROWS)]
    return tuple(
        tuple(bit for bit in range(_ROWS) if columns[bit] >> row & 1) for row in range(_ROWS)
    )


@functools.cache
def _ones(element: int) -> int:
    return sum(len(row) for row in _bits(element))


def _cauchy(data: int, parity: int) -> list[list[int]]:
    """Parity rows of the generator, every square part of which can be inverted."""
    matrix = [
        [_inverse(row ^ (parity + column)) for column in range(data)] for row in range(parity)
    ]
    if not matrix:
        return matrix
    # Scaling a column or a row keeps that property. The first row becomes all ones.
    scales = [_inverse(element) for element in matrix[0]]
    matrix = [[_times(e, s) for e, s in zip(row, scales, strict=True)] for row in matrix]
    for number, row in enumerate(matrix[1:], 1):
        candidates = [[_times(e, _inverse(by)) for e in row] for by in row]
        matrix[number] = min(candidates, key=lambda scaled: sum(map(_ones, scaled)))
    return matrix


def _inverted(matrix: Sequence[Sequence[int]]) -> list[list[int]]:
    """Inverse of a square matrix by elimination."""
    size = len(matrix)
    rows = [list(row) + [int(i == j) for j in range(size)] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(r for r in range(column, size) if rows[r][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = _inverse(rows[column][column])
        rows[column] = [_times(e, scale) for e in rows[column]]
        for other in range(size):
            factor = rows[other][column]
            if other != column and factor:
                rows[other] = [
                    e ^ _times(factor, p) for e, p in zip(rows[other], rows[column], strict=True)
                ]
    return [row[size:] for row in rows]


class _Schedule:
    """Which input rows make up each output row."""

    def __init__(self, matrix: Sequence[Sequence[int]]) -> None:
        self.sums = [
            [column * _ROWS + bit for column, e in enumerate(row) for bit in _bits(e)[output]]
            for row in matrix
            for output in range(_ROWS)
        ]
        self._flat = np.array([source for one in self.sums for source in one], dtype=np.intp)
        self._starts = np.cumsum([0, *(len(one) for one in self.sums[:-1])])

    def apply(self, units: Sequence[Words]) -> list[Words]:
        """Output units of input units, each a flat array of words, all of one length."""
        words = len(units[0]) // _ROWS
        if words <= _GATHER_WORDS_MAX:
            rows = np.stack(units).reshape(-1, words)
            summed = np.bitwise_xor.reduceat(rows[self._flat], self._starts, axis=0)
        else:
            sources = [row for unit in units for row in unit.reshape(_ROWS, words)]
            summed = np.empty((len(self.sums), words), dtype=np.uint64)
            for target, numbers in zip(summed, self.sums, strict=True):
                if len(numbers) == 1:
                    target[:] = sources[numbers[0]]
                    continue
                np.bitwise_xor(sources[numbers[0]], sources[numbers[1]], out=target)
                for number in numbers[2:]:
                    np.bitwise_xor(target, sources[number], out=target)
        return list(summed.reshape(-1, words * _ROWS))


class ErasureCode:
    """A code of ``data`` + ``parity`` units that survives the loss of any ``parity`` of them.

    Args:
        data: Units that hold the content.
        parity: Units that hold sums of them.
    """

    def __init__(self, data: int, parity: int) -> None:
        assert data >= 1
        assert parity >= 0
        assert data + parity <= UNITS_MAX
        self.data = data
        self.parity = parity
        identity = [[int(i == j) for j in range(data)] for i in range(data)]
        self._generator = identity + _cauchy(data, parity)
        self._encoding = _Schedule(self._generator[data:])
        self._decodings: dict[tuple[tuple[int, ...], tuple[int, ...]], _Schedule] = {}

    def encode(self, units: Sequence[Words]) -> list[Words]:
        """Parity units of the data units.

        Args:
            units: ``data`` arrays of 64-bit words of one length, a multiple of eight.
        """
        return self._encoding.apply(units) if self.parity else []

    def rebuild(self, present: Mapping[int, Words], wanted: Sequence[int]) -> list[Words]:
        """Units that are missing, from any ``data`` of the others.

        Args:
            present: At least ``data`` units by their number, data units first.
            wanted: Numbers of the units to return, in this order.
        """
        used = tuple(sorted(present)[: self.data])
        assert len(used) == self.data
        key = (used, tuple(wanted))
        schedule = self._decodings.get(key)
        if schedule is None:
            inverse = _inverted([self._generator[number] for number in used])
            schedule = _Schedule([self._combined(number, inverse) for number in wanted])
            self._decodings[key] = schedule
        return schedule.apply([present[number] for number in used])

    def _combined(self, number: int, inverse: Sequence[Sequence[int]]) -> list[int]:
        """The row that gives a unit from the units whose generator rows were inverted."""
        combined = [0] * self.data
        for factor, row in zip(self._generator[number], inverse, strict=True):
            combined = [c ^ _times(factor, e) for c, e in zip(combined, row, strict=True)]
        return combined
