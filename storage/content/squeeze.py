"""How the bytes of chunks are stored: as they are, compressed, or as what differs from others.

Neighbours are compressed together, in *frames* of some 128 KiB: frames of single chunks would be
larger, and decoded at a quarter of the speed. A sample decides whether that is tried: 4 KiB at a
time are compressed at 8 GB/s of content, while compressing what does not get shorter costs a third
of a write. A delta is one zstd frame whose prefix are the bytes of a few other chunks.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import zstandard

from ...errors import Corrupt
from .cutter import CHUNK_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVEL: Final = 1
_PAYS: Final = 0.8
"""Part of their length that chunks may take at most to be stored compressed: reading them costs."""
FRAME_BYTES: Final = 128 << 10
"""Chunks are compressed together as soon as they have so many bytes."""
FRAME_BYTES_MAX: Final = FRAME_BYTES + CHUNK_BYTES_MAX
_HEADER_BYTES: Final = 18
_DELTA_PAYS: Final = 0.75
_SAMPLE_BYTES: Final = 4096
_SAMPLED_EVERY: Final = 16

Piece = bytes | memoryview


class Codec(IntEnum):
    """How a chunk is stored."""

    RAW = 0
    FRAME = 1
    DELTA = 2


class Squeezer:
    """Compresses what is worth it; not thread-safe."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        self._seen = 0
        self._pays = True

    def pays(self, piece: Piece) -> bool:
        """Tell whether a chunk, and those that follow it, look as if they got shorter."""
        if self._seen % _SAMPLED_EVERY == 0:
            sample = piece[:_SAMPLE_BYTES]
            self._pays = len(self._zstd.compress(sample)) < _PAYS * len(sample)
        self._seen += 1
        return self._pays

    def frame(self, plain: Piece | bytearray) -> bytes | None:
        """Chunks laid end to end as one frame; None where that does not pay."""
        packed = self._zstd.compress(plain)
        return packed if len(packed) < _PAYS * len(plain) else None


def delta_of(piece: Piece, base: bytes) -> bytes | None:
    """What a chunk differs from other bytes in; None where that is not much shorter."""
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    zstd = zstandard.ZstdCompressor(
        level=_LEVEL, dict_data=prefix, write_checksum=False, write_content_size=False
    )
    delta = zstd.compress(piece)
    return delta if len(delta) < _DELTA_PAYS * len(piece) else None


_LOCAL: Final = threading.local()


def _decompressor() -> zstandard.ZstdDecompressor:
    """One for each thread: they must not be shared."""
    known: zstandard.ZstdDecompressor | None = getattr(_LOCAL, "zstd", None)
    if known is None:
        known = _LOCAL.zstd = zstandard.ZstdDecompressor()
    return known


def unframe(stored: Piece) -> bytes:
    """What a frame holds.

    Args:
        stored: Bytes that begin with the frame; it tells itself where it ends.

    Raises:
        Corrupt: They do not.
    """
    try:
        size = zstandard.frame_content_size(stored[:_HEADER_BYTES])
        if not 0 <= size <= FRAME_BYTES_MAX:
            raise Corrupt(f"a frame says that it holds {size} bytes")
        return _decompressor().decompress(stored)
    except zstandard.ZstdError as error:
        raise Corrupt(f"a frame cannot be decompressed: {error}") from error


def undelta(stored: Piece, length: int, base: Sequence[Piece]) -> bytes:
    """The bytes of a chunk that is stored as a delta.

    Args:
        stored: The delta.
        length: Bytes that the chunk has.
        base: The chunks that it was made against.

    Raises:
        Corrupt: It is no delta against them.
    """
    prefix = zstandard.ZstdCompressionDict(b"".join(base), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    try:
        zstd = zstandard.ZstdDecompressor(dict_data=prefix)
        return zstd.decompress(stored, max_output_size=length)
    except zstandard.ZstdError as error:
        raise Corrupt(f"a delta cannot be decompressed: {error}") from error
