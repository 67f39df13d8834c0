"""Many small Arrow record-batch messages decoded as one: what Arrow does a message at a time.

Reading a message costs Arrow some ten microseconds whatever its size, which is all the time that
a one-row commit takes to read. Messages that one program writes for one schema are alike, though:

    continuation, size | metadata: a flatbuffer              | body: the buffers, padded to 8
                         same words but for body length,       at the places that the
                         rows, null counts, buffer places      metadata tells

so the first one says where those words lie (its *layout*), numpy takes them from all messages at
once, and then the values. Whatever is not alike, or not of a plain type, is left to Arrow.

Source: Arrow columnar format, "Encapsulated message format"; format/Message.fbs.
Byte layout: docs/format/commit-record.md, section 6.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGE_BYTES_MAX = 4 << 10
"""Mean size up to which this is worth it: beyond, copying bytes costs more than messages do."""
_CONTINUATION = 0xFFFFFFFF
_WORD = 8
_RECORD_BATCH = 3
"""``MessageHeader`` of a record batch."""
_OFFSETS_MAX = (1 << 31) - 1
"""Characters of a column that offsets of 32 bits reach."""

_Integers = npt.NDArray[np.int64]
_Bytes = npt.NDArray[np.uint8]
_Value = TypeVar("_Value", bound=np.generic)


class _NotAlike(Exception):
    """The messages have to be read one at a time."""


def decode_alike(
    messages: Sequence[bytes], rows: _Integers, types: Sequence[pa.DataType]
) -> list[pa.Array] | None:
    """Decode record-batch messages of one schema, laid end to end.

    Args:
        messages: The encapsulated messages; at least one.
        rows: int64, rows that each of them must have.
        types: Types of the columns.

    Returns:
        One array a column, with the rows of all messages in order; None where Arrow must read
        the messages one at a time, be it that they differ in form or that one is damaged.
    """
    content = b"".join(messages)
    if not types or len(content) > MESSAGE_BYTES_MAX * len(messages) or len(content) % _WORD:
        return None
    sizes = np.fromiter(map(len, messages), np.int64, len(messages))
    try:
        layout = message_layout(messages[0], types)
        return _Messages.of(content, sizes, rows, layout).columns(types)
    except (_NotAlike, struct.error):
        return None


@dataclass(frozen=True, slots=True)
class MessageLayout:
    """Where a message's numbers lie, counted in words of 8 bytes from its beginning.

    Attributes:
        words: Words before the body.
        same: The words that all messages alike have in common.
        values: Their values.
        body_bytes: Where the body's length lies.
        rows: Where the number of rows lies.
        nodes: For each column where its length lies; its null count follows.
        buffers: For each buffer where its place in the body lies; its length follows.
    """

    words: int
    same: _Integers
    values: _Integers
    body_bytes: int
    rows: int
    nodes: tuple[int, ...]
    buffers: tuple[int, ...]


def message_layout(message: bytes, types: Sequence[pa.DataType]) -> MessageLayout:
    """Read the metadata of a message far enough to know where its numbers are.

    Args:
        message: The encapsulated message.
        types: Types of its columns, all of them plain.
    """
    continuation, metadata_bytes = struct.unpack_from("<Ii", message)
    end = _WORD + metadata_bytes
    if continuation != _CONTINUATION or not _WORD < end <= len(message) or end % _WORD:
        raise _NotAlike
    metadata = message[:end]
    (root,) = struct.unpack_from("<I", metadata, _WORD)
    header_type, header, body_bytes = _fields(metadata, _WORD + root, (1, 2, 3))
    if not (header_type and header and body_bytes) or metadata[header_type] != _RECORD_BATCH:
        raise _NotAlike
    batch = _follow(metadata, header)
    # Compressed buffers, and types with any number of buffers, are told by later fields.
    rows, nodes, buffers, *others = _fields(metadata, batch, (0, 1, 2, 3, 4))
    if not (rows and nodes and buffers) or any(others):
        raise _NotAlike
    node_words = _vector(metadata, nodes, len(types))
    buffer_words = _vector(metadata, buffers, sum(map(_buffers_of, types)))
    if rows % _WORD or body_bytes % _WORD:
        raise _NotAlike
    free = {rows // _WORD, body_bytes // _WORD}
    free.update(word + more for word in (*node_words, *buffer_words) for more in (0, 1))
    same = np.array([w for w in range(end // _WORD) if w not in free], dtype=np.int64)
    return MessageLayout(
        end // _WORD,
        same,
        np.frombuffer(metadata, "<i8")[same],
        body_bytes // _WORD,
        rows // _WORD,
        node_words,
        buffer_words,
    )


def _fields(metadata: bytes, table: int, numbers: Sequence[int]) -> list[int]:
    """Where fields of a flatbuffer table lie, 0 for those that are absent."""
    (back,) = struct.unpack_from("<i", metadata, table)
    vtable = table - back
    if vtable < 0:
        raise _NotAlike
    (size,) = struct.unpack_from("<H", metadata, vtable)
    found = []
    for number in numbers:
        entry = 4 + 2 * number
        (place,) = struct.unpack_from("<H", metadata, vtable + entry) if entry < size else (0,)
        found.append(table + place if place else 0)
    if max(found) >= len(metadata):
        raise _NotAlike
    return found


def _follow(metadata: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", metadata, place)[0])


def _vector(metadata: bytes, place: int, entries: int) -> tuple[int, ...]:
    """The words at which the entries of a vector begin, each entry of two words."""
    vector = _follow(metadata, place)
    (length,) = struct.unpack_from("<I", metadata, vector)
    first = vector + 4
    if length != entries or first % _WORD or first + 2 * _WORD * entries > len(metadata):
        raise _NotAlike
    return tuple(first // _WORD + 2 * entry for entry in range(entries))


def _buffers_of(type: pa.DataType) -> int:
    """Number of buffers of an array of a type."""
    if _is_text(type):
        return 3
    if pa.types.is_primitive(type) or pa.types.is_decimal(type):
        return 2
    raise _NotAlike


def _is_text(type: pa.DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_binary(type))


@dataclass(frozen=True, slots=True)
class _Messages:
    """Messages with one layout.

    Attributes:
        content: Their bytes, end to end.
        starts: int64, where each begins, in bytes.
        bodies: int64, where the body of each begins, in bytes.
        body_bytes: int64, length of each body.
        rows: int64, rows of each.
        layout: Where the numbers lie.
    """

    content: _Bytes
    starts: _Integers
    bodies: _Integers
    body_bytes: _Integers
    rows: _Integers
    layout: MessageLayout

    @classmethod
    def of(
        cls, content: bytes, sizes: _Integers, rows: _Integers, layout: MessageLayout
    ) -> _Messages:
        """Check that messages have a layout and as many rows as they must have."""
        _require(not np.any(sizes % _WORD) and not np.any(sizes < layout.words * _WORD))
        # A row takes a bit at least: what is computed with numbers of rows stays small.
        _require(not np.any(rows < 0) and not np.any(rows > sizes * 8))
        starts = np.cumsum(sizes) - sizes
        bytes_ = np.frombuffer(content, np.uint8)
        bodies = starts + layout.words * _WORD
        messages = cls(bytes_, starts, bodies, sizes - layout.words * _WORD, rows, layout)
        for word, value in zip(layout.same.tolist(), layout.values.tolist(), strict=True):
            _require(not np.any(messages.word(word) != value))
        _require(not np.any(messages.word(layout.body_bytes) != messages.body_bytes))
        _require(not np.any(messages.word(layout.rows) != rows))
        return messages

    def word(self, word: int) -> _Integers:
        """A word of the metadata of each message."""
        return self.content.view(np.int64)[self.starts // _WORD + word]

    def columns(self, types: Sequence[pa.DataType]) -> list[pa.Array]:
        """Decode every column."""
        arrays, buffer = [], 0
        for node, type in zip(self.layout.nodes, types, strict=True):
            count = _buffers_of(type)
            buffers = self.layout.buffers[buffer : buffer + count]
            buffer += count
            arrays.append(self._column(type, node, buffers))
        return arrays

    def _column(self, type: pa.DataType, node: int, buffers: Sequence[int]) -> pa.Array:
        _require(not np.any(self.word(node) != self.rows))
        # Values first: that there are as many as rows bounds what the null bits may take.
        if _is_text(type):
            decoded = self._text(buffers[1], buffers[2])
        elif pa.types.is_boolean(type):
            places = self._buffer(buffers[1], (self.rows + 7) // 8)
            decoded = [np.packbits(self._bits(places, self.rows), bitorder="little")]
        else:
            width = type.bit_width // 8
            unit = math.gcd(width, _WORD)
            places = self._buffer(buffers[1], self.rows * width)
            view = self.content.view(f"u{unit}")
            decoded = [_gather(view, places // unit, self.rows * (width // unit))]
        validity = self._validity(self.word(node + 1), buffers[0])
        every = [validity, *(pa.py_buffer(part) for part in decoded)]
        return pa.Array.from_buffers(type, int(self.rows.sum()), every)

    def _buffer(self, word: int, needed: _Integers) -> _Integers:
        """Where a buffer of each message begins, in bytes; it has at least the bytes needed."""
        place, length = self.word(word), self.word(word + 1)
        _require(not np.any(place < 0) and not np.any(length < needed))
        _require(not np.any(place > self.body_bytes) and not np.any(place % _WORD))
        _require(not np.any(length > self.body_bytes - place))
        return self.bodies + place

    def _validity(self, nulls: _Integers, word: int) -> pa.Buffer | None:
        some = nulls != 0
        if not some.any():
            return None
        _require(not np.any(nulls < 0) and not np.any(nulls > self.rows))
        # A column without nulls may come without the buffer.
        places = self._buffer(word, np.where(some, (self.rows + 7) // 8, 0))
        valid = np.ones(int(self.rows.sum()), dtype=bool)
        counted = np.where(some, self.rows, 0)
        valid[np.repeat(some, self.rows)] = self._bits(places, counted)
        return pa.py_buffer(np.packbits(valid, bitorder="little"))

    def _bits(self, places: _Integers, counts: _Integers) -> npt.NDArray[np.bool_]:
        """Bits of a buffer of each message, end to end."""
        bits = _positions(places * 8, counts)
        byte, shift = self.content[bits >> 3], (bits & 7).astype(np.uint8)
        chosen: npt.NDArray[np.bool_] = (byte >> shift & 1).astype(np.bool_)
        return chosen

    def _text(self, offsets: int, characters: int) -> list[npt.NDArray[np.generic]]:
        places = self._buffer(offsets, (self.rows + 1) * 4) // 4
        view = self.content.view(np.int32)
        begin, end = _gather(view, places, self.rows), _gather(view, places + 1, self.rows)
        first, last = view[places], view[places + self.rows]
        base = self._buffer(characters, np.maximum(last, 0).astype(np.int64))
        lengths = (end - begin).astype(np.int64)
        _require(not np.any(first < 0) and not np.any(end < begin))
        new = np.zeros(lengths.size + 1, dtype=np.int64)
        np.cumsum(lengths, out=new[1:])
        _require(bool(new[-1] <= _OFFSETS_MAX))
        # The characters of a message lie together, whatever its number of rows.
        copied = _gather(self.content, base + first, (last - first).astype(np.int64))
        return [new.astype(np.int32), copied]


def _gather(
    values: npt.NDArray[_Value], firsts: _Integers, counts: _Integers
) -> npt.NDArray[_Value]:
    """For each message a run of values, end to end."""
    return values[_positions(firsts, counts)]


def _positions(firsts: _Integers, counts: _Integers) -> _Integers:
    """Runs of consecutive numbers, end to end: ``counts[i]`` of them from ``firsts[i]`` on."""
    if counts.size and not np.any(counts != 1):
        return firsts
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    return np.repeat(firsts - ends + counts, counts) + np.arange(total, dtype=np.int64)


def _require(sound: bool) -> None:
    if not sound:
        raise _NotAlike
