"""The self-describing bytes of one column chunk: header, node tree, buffer table, buffers.

Writers append nodes and buffers in the order in which readers will ask for them, so a codec is one
`write_*` and one `read_*` function that mirror each other and never see an offset::

    +--------+-----------+--------------+-----+----------+-----+----------+
    | header | node tree | buffer table | pad | buffer 0 | pad | buffer 1 | ...
    +--------+-----------+--------------+-----+----------+-----+----------+
    0        24                         64-byte boundaries

Byte layout: docs/format/column-chunk.md, sections 2 to 4.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from ...errors import Corrupt

VERSION: Final = 1
# A row group holds 122,880 rows. The limit is what a reader accepts before it allocates, so that
# a forged count in a 100-byte chunk cannot ask for terabytes.
ROWS_MAX: Final = 1 << 20
ALIGNMENT_BYTES: Final = 64

# Compressed bytes must be at most this share of the raw ones, or the buffer is stored raw: raw
# buffers are read by mapping, and saving less than a tenth does not pay for a decompression.
PAYS_RATIO: Final = 0.9
# Vectors are read by mapping, whole and often; giving that up needs a much larger saving.
PAYS_RATIO_VECTORS: Final = 0.7

_HEADER: Final = struct.Struct("<BBHIIIQ")  # section 2
_BUFFER: Final = struct.Struct("<QQ")  # section 4
_COMPRESS_BYTES_MIN: Final = 64
_TREE_BYTES_MAX: Final = 4096
_BUFFERS_MAX: Final = 256
_PROBE_BYTES_MIN: Final = 1 << 20
_PROBE_WINDOW_BYTES: Final = 1 << 15
# A zstd block of 128 KiB takes at least 4 bytes, so no valid frame grows by more than this.
_ZSTD_GROWTH_MAX: Final = 1 << 15


class Codec(enum.IntEnum):
    """The codec of one node; the numbers are on flash and never reused (section 3)."""

    NULLS = 1
    VALIDITY = 2
    WORDS = 3
    SPLIT = 4
    CONSTANT = 5
    NARROW = 6
    DELTA = 7
    DICTIONARY = 8
    STRINGS = 9
    PLAIN = 10
    TRANSPOSED = 11
    DECIMAL64 = 12
    IPC = 13


# Left out of the readable name: they say nothing about how the values were encoded.
_SILENT: Final = frozenset({Codec.VALIDITY, Codec.WORDS, Codec.DECIMAL64})


@dataclass(frozen=True, slots=True)
class IntegerPlan:
    """How a stream of integers is laid out; narrowing is always tried.

    Attributes:
        delta: Store differences of neighbours.
        split: Store one plane per byte of the word.
    """

    delta: bool = False
    split: bool = False


@dataclass(frozen=True, slots=True)
class EncodingChoice:
    """What was chosen for a column; the hint for its next row group.

    Attributes:
        codec: The outermost codec of the values.
        plan: Layout of the integers (values, dictionary codes or string lengths).
        bytes_per_row: Payload bytes per row it achieved; the measure of whether it still pays.
    """

    codec: Codec
    plan: IntegerPlan = IntegerPlan()
    bytes_per_row: float = 0.0


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """One encoded column of one row group.

    Attributes:
        payload: The bytes of docs/format/column-chunk.md; position 0 belongs on a 64-byte boundary.
        codec: Readable codec chain, such as `dictionary+narrow+zstd`.
        choice: Hint for the next row group of the same column.
    """

    payload: bytes | pa.Buffer
    codec: str
    choice: EncodingChoice


class ChunkWriter:
    """Collects the nodes and buffers of one chunk.

    Args:
        level: zstd level of every compressed buffer.
    """

    __slots__ = ("_buffers", "_compressed", "_names", "_tree", "_zstd")

    def __init__(self, level: int) -> None:
        self._zstd = pa.Codec("zstd", compression_level=level)
        self._tree = bytearray()
        self._buffers: list[tuple[pa.Buffer, int]] = []
        self._names: list[str] = []
        self._compressed = False

    def node(self, codec: Codec, parameters: bytes = b"") -> None:
        """Append a node; its children and buffers follow in the order written."""
        self._tree.append(codec)
        self._tree += parameters
        name = codec.name.lower()
        if codec not in _SILENT and name not in self._names:
            self._names.append(name)

    def buffer(self, raw: pa.Buffer, *, ratio_max: float = PAYS_RATIO) -> None:
        """Append a buffer, compressed when that leaves at most `ratio_max` of its size."""
        stored = raw
        if raw.size >= _COMPRESS_BYTES_MIN and self._looks_compressible(raw, ratio_max):
            packed = self._zstd.compress(raw)
            if packed.size <= raw.size * ratio_max:
                stored = packed
                self._compressed = True
        self._buffers.append((stored, raw.size))

    def _looks_compressible(self, raw: pa.Buffer, ratio_max: float) -> bool:
        # Compressing 180 MB of embeddings only to throw the result away costs more than the
        # rest of the row group; two windows tell. Small windows compress worse, hence the slack.
        if raw.size < _PROBE_BYTES_MIN:
            return True
        middle = raw.slice(raw.size // 2, _PROBE_WINDOW_BYTES)
        start = raw.slice(0, _PROBE_WINDOW_BYTES)
        packed = self._zstd.compress(start).size + self._zstd.compress(middle).size
        return bool(packed <= 2 * _PROBE_WINDOW_BYTES * min(1.0, ratio_max + 0.05))

    def stored_bytes(self) -> int:
        """Return the size of what was written so far, padding excluded."""
        sizes: list[int] = [stored.size + _BUFFER.size for stored, _ in self._buffers]
        return len(self._tree) + sum(sizes)

    def codec_name(self) -> str:
        """Return the readable codec chain."""
        names = self._names or ["plain"]
        return "+".join([*names, "zstd"] if self._compressed else names)

    def finish(self, row_count: int, null_count: int) -> bytes:
        """Return the payload."""
        assert row_count <= ROWS_MAX and len(self._tree) <= _TREE_BYTES_MAX
        assert len(self._buffers) <= _BUFFERS_MAX
        table = b"".join(_BUFFER.pack(stored.size, raw) for stored, raw in self._buffers)
        parts: list[bytes | pa.Buffer] = [b"", bytes(self._tree), table]
        position = _HEADER.size + len(self._tree) + len(table)
        for stored, _ in self._buffers:
            gap = -position % ALIGNMENT_BYTES
            parts += [bytes(gap), stored]
            position += gap + stored.size
        parts[0] = _HEADER.pack(
            VERSION, 0, len(self._tree), row_count, null_count, len(self._buffers), position
        )
        return b"".join(memoryview(part) for part in parts)


class ChunkReader:
    """Walks the nodes and buffers of one payload, checking every length before it is used.

    Args:
        payload: The payload; raw buffers of the result refer to it without a copy.

    Raises:
        Corrupt: The payload is not a column chunk of a known version.
    """

    __slots__ = ("_at", "_buffers", "_end", "_payload", "_zstd", "null_count", "row_count")

    def __init__(self, payload: memoryview | bytes | pa.Buffer) -> None:
        self._payload = payload if isinstance(payload, pa.Buffer) else pa.py_buffer(payload)
        self._zstd = pa.Codec("zstd")
        if self._payload.size < _HEADER.size:
            raise Corrupt("column chunk: shorter than its header")
        version, flags, tree_bytes, rows, nulls, buffers, size = _HEADER.unpack_from(self._payload)
        if version != VERSION or flags != 0:
            raise Corrupt(f"column chunk: version {version}, flags {flags} are unknown")
        if rows > ROWS_MAX or nulls > rows or buffers > _BUFFERS_MAX:
            raise Corrupt("column chunk: impossible counts in the header")
        if tree_bytes > _TREE_BYTES_MAX or size > self._payload.size:
            raise Corrupt("column chunk: cut short")
        self.row_count: int = rows
        self.null_count: int = nulls
        self._at = _HEADER.size
        self._end: int = _HEADER.size + tree_bytes
        self._buffers = iter(self._table(buffers, size))

    def _table(self, count: int, size: int) -> list[tuple[int, int, int]]:
        position: int = self._end + count * _BUFFER.size
        if position > size:
            raise Corrupt("column chunk: the buffer table is cut short")
        entries = []
        for index in range(count):
            stored, raw = _BUFFER.unpack_from(self._payload, self._end + index * _BUFFER.size)
            position += -position % ALIGNMENT_BYTES
            if stored > size - position or stored > raw:
                raise Corrupt(f"column chunk: buffer {index} lies outside the chunk")
            if raw > stored and raw > stored * _ZSTD_GROWTH_MAX:
                raise Corrupt(f"column chunk: buffer {index} claims an impossible size")
            entries.append((position, stored, raw))
            position += stored
        return entries

    def codec(self) -> Codec:
        """Return the codec of the next node."""
        (number,) = self.parameters("<B")
        try:
            return Codec(number)
        except ValueError:
            raise Corrupt(f"column chunk: codec {number} is unknown") from None

    def parameters(self, layout: str) -> tuple[int, ...]:
        """Return the next node's parameters, laid out as the struct format says."""
        size = struct.calcsize(layout)
        if self._at + size > self._end:
            raise Corrupt("column chunk: the node tree is cut short")
        values = struct.unpack_from(layout, self._payload, self._at)
        self._at += size
        return values

    def buffer(self, raw_bytes: int | None = None) -> pa.Buffer:
        """Return the next buffer, decompressed; a raw one is a view of the payload.

        Args:
            raw_bytes: The size it must have; None when only the buffer itself can tell.
        """
        position, stored, raw = next(self._buffers, (0, -1, 0))
        if stored < 0:
            raise Corrupt("column chunk: a buffer is missing")
        if raw_bytes is not None and raw != raw_bytes:
            raise Corrupt(f"column chunk: a buffer holds {raw} bytes instead of {raw_bytes}")
        piece = self._payload.slice(position, stored)
        if stored == raw:
            return piece
        try:
            return self._zstd.decompress(piece, decompressed_size=raw)
        except OSError as error:
            raise Corrupt("column chunk: a buffer does not decompress") from error

    def finish(self) -> None:
        """Check that nothing is left over."""
        if self._at != self._end or next(self._buffers, None) is not None:
            raise Corrupt("column chunk: bytes left over after the last node")
