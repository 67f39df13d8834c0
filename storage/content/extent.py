"""Extents: which chunks, in order, a content is made of.

An extent is a length (32 bits) and the reference of a chunk (16 bytes, ``hashing``); one whose
reference is zero is a *hole*: so many zero bytes that are stored nowhere. Up to 64 extents stand
in the element's own row, more in rows of ``extents``, 1,024 each, so that a random write changes
few rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTENT: Final = np.dtype([("length", "<u4"), ("first", "<i8"), ("second", "<i8")])
NEAR_MAX: Final = 64
"""Extents that stand in the row of their element."""
ROW_EXTENTS_MAX: Final = 1024
"""Extents of one row of ``extents``: 20 KiB, and 8 MiB of content at least on the average."""
HOLE_BYTES_MAX: Final = 1 << 30
"""Length of one hole; longer ones are several extents."""

Extents = npt.NDArray[np.void]

FAR_SCHEMA: Final = pa.schema([("start", pa.int64()), ("extents", pa.binary())])


def none() -> Extents:
    """The extents of an empty content."""
    return np.empty(0, dtype=EXTENT)


def unpack(packed: bytes | memoryview, size: int | None = None) -> Extents:
    """Extents as they stand in a row.

    Args:
        packed: What the row holds.
        size: Bytes that they must be for, when that is known.

    Raises:
        Corrupt: They are no extents, or for another number of bytes.
    """
    if len(packed) % EXTENT.itemsize:
        raise Corrupt(f"extents of {len(packed)} bytes are cut short")
    extents = np.frombuffer(packed, dtype=EXTENT)
    if size is not None and total(extents) != size:
        raise Corrupt(f"extents are for {total(extents)} bytes instead of {size}")
    return extents


def total(extents: Extents) -> int:
    """Bytes that extents are for."""
    return int(extents["length"].sum(dtype=np.int64))


def starts(extents: Extents) -> npt.NDArray[np.int64]:
    """Offset in the content of each extent, and the content's end: shape (n + 1,)."""
    ends = np.zeros(extents.size + 1, dtype=np.int64)
    np.cumsum(extents["length"], dtype=np.int64, out=ends[1:])
    return ends


def holes(extents: Extents) -> npt.NDArray[np.bool_]:
    """Tell which extents are holes."""
    empty: npt.NDArray[np.bool_] = (extents["first"] == 0) & (extents["second"] == 0)
    return empty


def references(extents: Extents) -> npt.NDArray[np.int64]:
    """The references of the chunks of extents, each once: words, shape (n, 2)."""
    solid = extents[~holes(extents)]
    return np.unique(np.stack([solid["first"], solid["second"]], axis=1), axis=0)


def hole(length: int) -> Extents:
    """A hole of any length."""
    made = np.zeros(-(-length // HOLE_BYTES_MAX), dtype=EXTENT)
    made["length"] = HOLE_BYTES_MAX
    if made.size:
        made["length"][-1] = length - (made.size - 1) * HOLE_BYTES_MAX
    return made


def joined(parts: Iterable[Extents]) -> Extents:
    """Extents one after another, with neighbouring holes made one."""
    several = [part for part in parts if part.size]
    if not several:
        return none()
    extents = np.concatenate(several)
    empty = holes(extents)
    touching = empty[1:] & empty[:-1]
    if not touching.any():
        return extents
    begins = np.concatenate([[True], ~touching])
    first = np.flatnonzero(begins)
    lengths = np.add.reduceat(extents["length"].astype(np.int64), first)
    merged = extents[first]
    fits = lengths <= HOLE_BYTES_MAX
    merged["length"] = np.where(fits, lengths, 0)
    if fits.all():
        return merged
    pieces, last = [], 0
    for at in np.flatnonzero(~fits).tolist():
        pieces += [merged[last:at], hole(int(lengths[at]))]
        last = at + 1
    return np.concatenate([*pieces, merged[last:]])


def far_rows(extents: Extents, kept: Iterable[int] = ()) -> pa.RecordBatch:
    """Rows of ``extents``, without the handle, for extents that do not fit the element's row.

    Args:
        extents: All extents of the content.
        kept: Offsets at which rows began before: they begin there again where an extent does, so
            that rows whose extents are the same stay as they are.
    """
    begin = starts(extents)
    old = np.array(sorted(kept), dtype=np.int64)
    bounds = np.unique(np.concatenate([[0, extents.size], np.flatnonzero(np.isin(begin, old))]))
    first: list[int] = []
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        # Halves rather than a full row and a rest: the next edit here adds extents as well.
        rows = -(-(high - low) // ROW_EXTENTS_MAX)
        first.extend(low + (high - low) * row // rows for row in range(rows))
    ends = [*first[1:], extents.size]
    packed = [extents[at:end].tobytes() for at, end in zip(first, ends, strict=True)]
    return pa.record_batch(
        [pa.array(begin[first], pa.int64()), pa.array(packed, pa.binary())], schema=FAR_SCHEMA
    )
