"""Delete vectors: which positions of a row group are gone.

In memory a delete vector is a sorted, duplicate-free ``uint32`` array of positions. On the
device it is whichever is shorter, the zstd-compressed deltas of that array or a compressed
bitmap (docs/format/commit-record.md, section 7).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import Corrupt

Positions = npt.NDArray[np.uint32]
ROW_GROUP_ROWS_MAX = 122_880
"""Rows a row group may have: DuckDB's own row-group size, so that hot copies line up."""

_DELTAS, _BITMAP = 0, 1
_HEADER_BYTES = 5  # kind and raw length


def positions_of(values: npt.ArrayLike) -> Positions:
    """Return values as sorted, distinct positions (uint32)."""
    return np.unique(np.asarray(values, dtype=np.uint32))


def union(left: Positions, right: Positions) -> Positions:
    """Positions that are in either vector."""
    return np.union1d(left, right).astype(np.uint32, copy=False)


def overlap(left: Positions, right: Positions) -> bool:
    """Tell whether two vectors share a position."""
    return bool(np.intersect1d(left, right, assume_unique=True).size)


def encode(positions: Positions) -> bytes:
    """Serialise a delete vector; ``decode`` reverses it."""
    codec = pa.Codec("zstd", compression_level=1)
    if positions.size * 32 > ROW_GROUP_ROWS_MAX:
        bits = np.zeros(int(positions[-1]) + 1, dtype=np.uint8)
        bits[positions] = 1
        kind, raw = _BITMAP, np.packbits(bits, bitorder="little").tobytes()
    else:
        deltas = np.diff(positions, prepend=np.uint32(0)).astype("<u4")
        kind, raw = _DELTAS, deltas.tobytes()
    packed: bytes = codec.compress(raw, asbytes=True)
    return bytes([kind]) + len(raw).to_bytes(4, "little") + packed


def decode(payload: bytes | memoryview) -> Positions:
    """Read a delete vector back.

    Raises:
        Corrupt: The bytes are not a delete vector.
    """
    content = bytes(payload)
    try:
        if len(content) <= _HEADER_BYTES:
            raise ValueError("it is cut short")
        kind, length = content[0], int.from_bytes(content[1:_HEADER_BYTES], "little")
        if length > ROW_GROUP_ROWS_MAX * 4:
            raise ValueError(f"a delete vector of {length} bytes")
        raw = pa.Codec("zstd").decompress(
            content[_HEADER_BYTES:], decompressed_size=length, asbytes=True
        )
        if kind == _BITMAP:
            bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little")
            return np.flatnonzero(bits).astype(np.uint32)
        if kind != _DELTAS:
            raise ValueError(f"kind {kind}")
        return np.cumsum(np.frombuffer(raw, dtype="<u4"), dtype=np.uint32)
    except (IndexError, ValueError, OSError, pa.ArrowInvalid) as error:
        raise Corrupt(f"a delete vector cannot be read: {error}") from error
