"""Strips: how an append-only file lies on the children of a striped device.

What is appended between two syncs is cut in stripes of ``data`` units, each with ``parity``
units computed from them, and every child gets one unit of each stripe behind a header that
says where it belongs. Strips only ever grow, all at the same pace, so a stripe lies at the
same offset of each, there is no write hole, and a crash leaves at most an incomplete stripe at
the end, which nothing refers to.
"""

from __future__ import annotations

import bisect
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from .erasure import UNIT_ALIGNMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .erasure import ErasureCode, Words

UNIT_BYTES_MAX = 128 * 1024
"""A stripe of 8 + 2 such units stays in a core's cache while it is encoded."""
_HEADER = struct.Struct("<8sQQIIIIQQ8x")
HEADER_BYTES = _HEADER.size
_MAGIC = b"PLSTRIP1"
_SUM_AT = 48
assert HEADER_BYTES == UNIT_ALIGNMENT


@dataclass(frozen=True, slots=True)
class Stripe:
    """Where a stripe lies.

    Attributes:
        offset: First byte of the file that it holds.
        length: Bytes of the file that it holds.
        unit_bytes: Bytes of each of its units, without the header.
        strip_offset: Where its units' headers begin on every child.
    """

    offset: int
    length: int
    unit_bytes: int
    strip_offset: int

    @property
    def end(self) -> int:
        """First byte of the file behind it."""
        return self.offset + self.length

    @property
    def strip_end(self) -> int:
        """First byte of the strips behind it."""
        return self.strip_offset + HEADER_BYTES + self.unit_bytes


class StripeIndex:
    """The stripes of one file, in order."""

    def __init__(self) -> None:
        self._stripes: list[Stripe] = []
        self._offsets: list[int] = []

    @property
    def end(self) -> int:
        """Size of the file in bytes."""
        return self._stripes[-1].end if self._stripes else 0

    @property
    def strip_end(self) -> int:
        """Size of a complete strip in bytes."""
        return self._stripes[-1].strip_end if self._stripes else 0

    def add(self, stripe: Stripe) -> None:
        """Note the next stripe; one that is known already is ignored."""
        if stripe.offset == self.end and stripe.strip_offset == self.strip_end:
            self._stripes.append(stripe)
            self._offsets.append(stripe.offset)

    def overlapping(self, offset: int, length: int) -> Iterator[Stripe]:
        """The stripes that hold a part of the file."""
        first = bisect.bisect_right(self._offsets, offset) - 1
        for stripe in self._stripes[first:]:
            if stripe.offset >= offset + length:
                return
            yield stripe

    def __iter__(self) -> Iterator[Stripe]:
        return iter(tuple(self._stripes))


def file_key(name: str) -> int:
    """What ties a unit to its file, and spreads the parity of files over the children."""
    return xxhash.xxh3_64_intdigest(name.encode())


def pack_header(key: int, stripe: Stripe, number: int, payload: Words) -> bytes:
    """Header of a unit.

    Args:
        key: Of the file.
        stripe: The stripe.
        number: Of the unit in the stripe, data units first.
        payload: The unit.
    """
    content = xxhash.xxh3_64_intdigest(payload.data.cast("B"))
    fields = (
        _MAGIC, key, stripe.offset, stripe.length, stripe.unit_bytes, number, 0, content,
    )  # fmt: skip
    unsummed = _HEADER.pack(*fields, 0)
    return _HEADER.pack(*fields, _header_sum(unsummed, stripe.strip_offset))


def _header_sum(header: bytes | memoryview, strip_offset: int) -> int:
    digest = xxhash.xxh3_64(header[:_SUM_AT])
    digest.update(strip_offset.to_bytes(8, "little"))
    return digest.intdigest()


def unpack_header(
    header: bytes | memoryview, key: int, number: int, strip_offset: int
) -> tuple[Stripe, int] | None:
    """The stripe and the payload's checksum of a unit's header, None when it is not sound."""
    magic, of, offset, length, unit_bytes, actual, _, content, header_sum = _HEADER.unpack(header)
    if magic != _MAGIC or of != key or actual != number:
        return None
    if header_sum != _header_sum(header, strip_offset):
        return None
    return Stripe(offset, length, unit_bytes, strip_offset), content


def next_stripe(
    index: StripeIndex,
    key: int,
    sizes: Mapping[int, int],
    header_of: Callable[[int, int], memoryview | None],
    data: int,
) -> Stripe | None:
    """The stripe behind those that are known, None when there is no further whole one.

    Args:
        index: The stripes that are known.
        key: Of the file.
        sizes: Bytes of the strips that can be read, by unit number.
        header_of: A unit's header by its number and the offset in the strip.
        data: Units that make a stripe whole: fewer are what a crash left of an append.
    """
    at, sound = index.strip_end, []
    for number, size in sizes.items():
        if size < at + HEADER_BYTES or (header := header_of(number, at)) is None:
            continue
        known = unpack_header(header, key, number, at)
        if known and known[0].offset == index.end and size >= known[0].strip_end:
            sound.append(known[0])
    return sound[0] if len(sound) >= data else None


def unit_of(stored: memoryview, key: int, number: int, stripe: Stripe) -> Words | None:
    """The unit of a stripe from what a child holds of it, None when it is not sound."""
    known = unpack_header(stored[:HEADER_BYTES], key, number, stripe.strip_offset)
    if known is None or known[0] != stripe:
        return None
    payload = stored[HEADER_BYTES:]
    if xxhash.xxh3_64_intdigest(payload) != known[1]:
        return None
    return np.frombuffer(payload, dtype=np.uint64)


def cut(
    content: bytearray, start: Stripe | None, code: ErasureCode, key: int
) -> tuple[list[Stripe], list[list[bytes | memoryview]]]:
    """Cut what is appended in stripes.

    Args:
        content: The bytes to append; not to be changed afterwards.
        start: The stripe before, None at the start of the file.
        code: Makes the parity.
        key: Of the file.

    Returns:
        The stripes, and for each unit number what its child is to append.
    """
    offset, strip_offset = (start.end, start.strip_end) if start else (0, 0)
    stripes: list[Stripe] = []
    parts: list[list[bytes | memoryview]] = [[] for _ in range(code.data + code.parity)]
    whole = memoryview(content)
    for at in range(0, len(content), code.data * UNIT_BYTES_MAX):
        piece = whole[at : at + code.data * UNIT_BYTES_MAX]
        rows = -(-len(piece) // (code.data * UNIT_ALIGNMENT))
        unit_bytes = rows * UNIT_ALIGNMENT
        stripe = Stripe(offset + at, len(piece), unit_bytes, strip_offset)
        units = list(_words(piece, code.data * unit_bytes).reshape(code.data, -1))
        for number, unit in enumerate([*units, *code.encode(units)]):
            parts[number] += [pack_header(key, stripe, number, unit), unit.data.cast("B")]
        stripes.append(stripe)
        strip_offset = stripe.strip_end
    return stripes, parts


def _words(piece: memoryview, size: int) -> Words:
    """A piece as words, with zeros behind it up to a size."""
    if len(piece) == size:
        return np.frombuffer(piece, dtype=np.uint64)
    padded = np.zeros(size, dtype=np.uint8)
    padded[: len(piece)] = np.frombuffer(piece, dtype=np.uint8)
    return padded.view(np.uint64)


def slices(stripe: Stripe, offset: int, length: int, data: int) -> Sequence[tuple[int, int, int]]:
    """The parts of data units that hold a part of the file: unit number, first byte, end."""
    first = max(offset, stripe.offset) - stripe.offset
    end = min(offset + length, stripe.end) - stripe.offset
    found = []
    for number in range(first // stripe.unit_bytes, data):
        start = number * stripe.unit_bytes
        if start >= end:
            break
        found.append((number, max(first - start, 0), min(end - start, stripe.unit_bytes)))
    return found
