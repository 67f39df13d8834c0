"""Cutting content into chunks where the content says so, so that equal stretches make equal chunks.

FastCDC begins anew at each cut, so a stream that is cut block by block, the open chunk at the end
of a block carried over, has the cuts of the stream as a whole. Where its compiled package is
missing, cuts come from products of eight-byte windows in numpy: other cuts, so that chunks are
shared only with what was cut alike, but nothing that is stored depends on where it was cut.

Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
Storage Systems", IEEE TPDS 31 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

try:
    import pyfastcdc.cy as compiled
except ImportError:  # no wheel for this platform
    HAS_COMPILED = False
else:
    HAS_COMPILED = True

_KIB: Final = 1 << 10
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_WINDOW_BYTES: Final = 8
_STRIPE_BYTES: Final = 1 << 17
"""Bytes that are looked at together: they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Level:
    """Sizes of chunks from some place in a content on.

    Attributes:
        start: Offset in the content.
        average: Bytes that a chunk has about, beyond the least.
        least: Bytes that every chunk has but the last one.
        most: Bytes that no chunk exceeds.
    """

    start: int
    average: int
    least: int
    most: int


LEVELS: Final = (
    Level(0, 8 * _KIB, 2 * _KIB, 64 * _KIB),
    Level(256 << 20, 64 * _KIB, 16 * _KIB, 256 * _KIB),
    Level(16 << 30, 256 * _KIB, 64 * _KIB, 1024 * _KIB),
)
"""Small chunks find small edits; large ones keep the lists of very large files short: 100 GB are
some 600,000 chunks."""
CHUNK_BYTES_MAX: Final = max(level.most for level in LEVELS)


class Cutter(Protocol):
    """Cuts bytes from their beginning on."""

    def lengths(self, content: memoryview) -> list[int]:
        """Lengths of the chunks; the last one ends with the bytes."""
        ...


class FastCutter:
    """FastCDC by its compiled package."""

    def __init__(self, level: Level) -> None:
        self._cdc = compiled.FastCDC(level.average, min_size=level.least, max_size=level.most)

    def lengths(self, content: memoryview) -> list[int]:
        """Lengths of the chunks; the last one ends with the bytes."""
        return [chunk.length for chunk in self._cdc.cut_buf(content)]


class PlainCutter:
    """Cuts behind each window of eight bytes whose product is small, by numpy alone."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._limit = np.uint64((1 << 64) // level.average)

    def lengths(self, content: memoryview) -> list[int]:
        """Lengths of the chunks; the last one ends with the bytes."""
        level, size = self._level, len(content)
        candidates = self._candidates(content)
        lengths, at = [], 0
        while size - at > level.least:
            found = int(candidates.searchsorted(at + level.least, side="left"))
            end = min(at + level.most, size)
            if found < candidates.size:
                end = min(end, int(candidates[found]))
            lengths.append(end - at)
            at = end
        if at < size:
            lengths.append(size - at)
        return lengths

    def _candidates(self, content: memoryview) -> npt.NDArray[np.int64]:
        """Offsets behind windows that ask for a cut, ascending."""
        found = []
        for start in range(0, len(content) - _WINDOW_BYTES + 1, _STRIPE_BYTES):
            stop = min(start + _STRIPE_BYTES, len(content) - _WINDOW_BYTES + 1)
            for phase in range(start, min(start + _WINDOW_BYTES, stop)):
                count = -(-(stop - phase) // _WINDOW_BYTES)
                words = np.frombuffer(content, "<u8", count, phase)
                hits = np.flatnonzero(words * _FACTOR < self._limit)
                found.append(hits * _WINDOW_BYTES + phase + _WINDOW_BYTES)
        if not found:
            return np.empty(0, dtype=np.int64)
        return np.sort(np.concatenate(found))


def cutter(level: Level) -> Cutter:
    """What cuts chunks of a level."""
    return FastCutter(level) if HAS_COMPILED else PlainCutter(level)


def level_at(offset: int) -> Level:
    """The level of a place in a content."""
    return next(level for level in reversed(LEVELS) if offset >= level.start)
