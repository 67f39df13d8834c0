"""From bytes to extents: cut, named, looked up, and put into packs where they are new.

    bytes -> blocks -> chunks -> hashes -> index -> known: relied on
                                                 -> new:   delta | frame | raw -> pack

A block at a time, so that the index is asked for hundreds of chunks at once. A new chunk that
comes where others came last time is compared with those: what differs is what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from .chunk_bytes import ChunkBytes, place_of
from .cutter import CHUNK_BYTES_MAX, LEVELS, cutter, level_at
from .extent import EXTENT, hole, joined
from .hashing import (
    HASH_BYTES,
    REFERENCE_BYTES,
    column_words,
    digest,
    digest_again,
    words_of,
)
from .squeeze import FRAME_BYTES, Codec, Squeezer, delta_of

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from .chunk_bytes import PackPages
    from .chunk_index import ChunkIndex
    from .extent import Extents
    from .hashing import Words
    from .pack import PackWriter
    from .staged import ChunkRow, RowStage

BLOCK_BYTES: Final = 4 << 20
"""Bytes that are cut at once; the memory that a stream takes, packs aside."""
HOLE_BYTES_MIN: Final = 64 << 10
"""Zeros that are worth an extent of their own, where they begin at a multiple of this."""
_SAMPLE_WORDS: Final = 512
_OWN_MAX: Final = 1 << 20
"""Chunks of one writer that it finds again by itself; more of them are stored once more."""
_BASE_CHUNKS: Final = 4
"""Neighbours that a chunk is compared with: an edit moves the cuts about it."""
_MISSES_MAX: Final = 4
"""Chunks in a row that are like none of their neighbours, after which none are looked at: half a
millisecond each would be lost for every chunk of a new file."""


@dataclass(slots=True)
class _Cursor:
    """Behind which row of ``chunks`` the content as it was goes on; ``group`` -1 is nowhere.

    Where that is a delta's, it goes on behind the chunk that the delta was made against. Behind a
    new chunk that is like what was there the cursor stays one chunk ``behind``: an insertion makes
    two chunks of one.
    """

    group: int = -1
    position: int = -1
    misses: int = 0
    delta: bool = False
    behind: bool = False

    def put(self, group: int, position: int, *, delta: bool = False) -> None:
        self.group, self.position, self.misses = group, position, 0
        self.delta, self.behind = delta, False


@dataclass(slots=True)
class Ingredients:
    """What the streams of one writer share.

    Attributes:
        index: Where chunks are found.
        pages: Pages of packs.
        snapshot: What is known already.
        packs: Where new chunks go.
        key: The trust domain's key.
        own: Hashes of this writer's chunks, and the bytes that they take, by reference.
        squeezer: How they are stored.
    """

    index: ChunkIndex
    pages: PackPages
    snapshot: Snapshot
    packs: PackWriter
    key: bytes
    own: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    squeezer: Squeezer = field(default_factory=Squeezer)


class ChunkStream:
    """Turns the bytes of one content into extents.

    Args:
        ingredients: What is shared with other contents.
        rows: Where rows of new chunks go.
        start: Offset in the content at which it begins.
        previous: Where the content's first chunk as it was stands in ``chunks``: row group and
            position.
    """

    def __init__(
        self,
        ingredients: Ingredients,
        rows: RowStage,
        *,
        start: int = 0,
        previous: tuple[int, int] | None = None,
    ) -> None:
        self._shared = ingredients
        self._rows = rows
        self._at = start
        self._buffer = bytearray()
        self._level = level_at(start)
        self._cutter = cutter(self._level)
        self._cursor = _Cursor()
        if previous is not None:
            self._cursor.put(previous[0], previous[1] - 1)
        self._bytes = ChunkBytes(ingredients.index, ingredients.pages, ingredients.snapshot)
        self._extents: list[Extents] = []
        self._relied: list[Words] = []
        self._frame = bytearray()
        self._framed: list[tuple[bytes, int]] = []
        self.used = 0

    def write(self, content: memoryview) -> None:
        """Take up bytes; they may change afterwards.

        Raises:
            StorageFull: The device has no room.
        """
        while len(content):
            taken = min(len(content), BLOCK_BYTES - len(self._buffer))
            self._buffer += content[:taken]
            content = content[taken:]
            if len(self._buffer) >= BLOCK_BYTES:
                self._block(last=False)

    def hole(self, length: int) -> None:
        """Take up zeros, without looking at them."""
        self._block(last=True)
        self._extents.append(hole(length))
        self._at += length

    def write_whole(self, content: memoryview, pieces: list[tuple[int, int]]) -> None:
        """Take up pieces, each of which becomes a chunk, and an extent, of its own.

        Args:
            content: Bytes that they are of.
            pieces: Begin and end of each; none is empty.
        """
        self._store(content, pieces, frozenset())

    def finish(self) -> tuple[Extents, Words]:
        """The extents, and the references of the chunks that were there before: shape (n, 2)."""
        self._block(last=True)
        made: list[ChunkRow] = []
        self._close_frame(made)
        if made:
            self._rows.add_chunks(made)
        self._bytes.close()
        if not self._relied:
            return joined(self._extents), np.empty((0, 2), dtype=np.int64)
        return joined(self._extents), np.unique(np.concatenate(self._relied), axis=0)

    def _block(self, *, last: bool) -> None:
        """Cut what is in the buffer; what may go on in the next block stays there."""
        with memoryview(self._buffer) as content:
            pieces, empty = self._cut(content, last=last)
            if pieces:
                self._store(content, pieces, empty)
            done = pieces[-1][1] if pieces else 0
            # A new one: a failure that is still to be told may hold views of the old one.
            self._buffer = bytearray(content[done:])
        self._at += done
        level = level_at(self._at)
        if level is not self._level:
            self._level, self._cutter = level, cutter(level)

    def _cut(
        self, content: memoryview, *, last: bool
    ) -> tuple[list[tuple[int, int]], frozenset[int]]:
        """Cut a block.

        Returns:
            Begin and end of each piece, and the indices of those that are zeros.
        """
        end = len(content)
        first = -self._at % HOLE_BYTES_MIN
        whole = max(0, end - first) // HOLE_BYTES_MIN
        if not last:
            # What lies behind the last whole stretch may turn out to be zeros.
            end = first + whole * HOLE_BYTES_MIN if whole else 0
        pieces: list[tuple[int, int]] = []
        empty, at = [], 0
        for begin, stop in self._zeros(content, first, whole):
            self._cut_stretch(content, at, begin, pieces)
            empty.append(len(pieces))
            pieces.append((begin, stop))
            at = stop
        self._cut_stretch(content, at, end, pieces)
        # The open chunk is cut again with what follows; one of full length has its cut already.
        whole_length = bool(pieces) and pieces[-1][1] - pieces[-1][0] == CHUNK_BYTES_MAX
        if pieces and not last and not whole_length and len(pieces) - 1 not in empty:
            pieces.pop()
        return pieces, frozenset(empty)

    def _cut_stretch(
        self, content: memoryview, begin: int, end: int, pieces: list[tuple[int, int]]
    ) -> None:
        if begin < end:
            with content[begin:end] as stretch:
                for length in self._cutter.lengths(stretch):
                    pieces.append((begin, begin + length))
                    begin += length

    def _zeros(self, content: memoryview, first: int, whole: int) -> list[tuple[int, int]]:
        """Stretches of zeros among the whole ones of a block."""
        if not whole:
            return []
        words = np.frombuffer(content, "<u8", whole * HOLE_BYTES_MIN // 8, first)
        words = words.reshape(whole, -1)
        # One word of each 4 KiB tells most stretches that are none.
        likely = np.flatnonzero(~words[:, ::_SAMPLE_WORDS].any(axis=1))
        return [
            (first + at * HOLE_BYTES_MIN, first + (at + 1) * HOLE_BYTES_MIN)
            for at in likely.tolist()
            if not words[at].any()
        ]

    def _store(
        self, content: memoryview, pieces: list[tuple[int, int]], empty: frozenset[int]
    ) -> None:
        """Name the pieces of a block, and store those that are new."""
        shared = self._shared
        none = bytes(HASH_BYTES)
        hashes = [
            none if at in empty else digest(content[begin:end], shared.key)
            for at, (begin, end) in enumerate(pieces)
        ]
        words = words_of(b"".join(hashes))
        first, second = np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])
        found = shared.index.find(shared.snapshot, first, second)
        known = self._known(words, found.groups, found.positions)
        groups, positions = found.groups.tolist(), found.positions.tolist()
        rows: list[ChunkRow] = []
        for at, (begin, end) in enumerate(pieces):
            if at in empty:
                continue
            if at in known:
                stored, delta = known[at]
                self._cursor.put(groups[at], positions[at], delta=delta)
                self.used += stored
                continue
            own = shared.own.get(hashes[at][:REFERENCE_BYTES])
            if groups[at] >= 0 or (own is not None and own[0] != hashes[at]):
                # The reference is taken by other bytes.
                hashes[at] = digest_again(content[begin:end], shared.key)
                own = shared.own.get(hashes[at][:REFERENCE_BYTES])
            if own is None:
                self.used += self._add(hashes[at], content[begin:end], rows)
            else:
                self.used += own[1]
        if rows:
            self._rows.add_chunks(rows)
        words = words_of(b"".join(hashes))
        made = np.empty(len(pieces), dtype=EXTENT)
        made["length"] = [end - begin for begin, end in pieces]
        made["first"], made["second"] = words[:, 0], words[:, 1]
        self._extents.append(made)
        if known:
            self._relied.append(words[sorted(known), :2])

    def _known(self, words: Words, groups: Words, positions: Words) -> dict[int, tuple[int, bool]]:
        """The pieces that are stored already: the bytes they take, and whether as a delta."""
        there = np.flatnonzero(groups >= 0)
        if not there.size:
            return {}
        index, snapshot = self._shared.index, self._shared.snapshot
        hashes, stored, codecs = index.columns(snapshot, groups[there], positions[there], [1, 5, 6])
        same = (column_words(hashes) == words[there]).all(axis=1)
        sizes = stored.to_numpy()[same].tolist()
        deltas = (codecs.to_numpy()[same] == Codec.DELTA).tolist()
        return dict(zip(there[same].tolist(), zip(sizes, deltas, strict=True), strict=True))

    def _add(self, name: bytes, piece: memoryview, rows: list[ChunkRow]) -> int:
        """Store a new chunk; returns the bytes it takes, 0 where that is told later."""
        shared, stored, base = self._shared, None, None
        if len(shared.own) >= _OWN_MAX:
            shared.own.clear()
        if self._cursor.group >= 0:
            stored, base = self._delta(piece)
        if stored is None and shared.squeezer.pays(piece):
            self._frame += piece
            self._framed.append((name, len(piece)))
            shared.own[name[:REFERENCE_BYTES]] = (name, 0)
            if len(self._frame) >= FRAME_BYTES:
                self._close_frame(rows)
            return 0
        # Rows stand in the order of the content: readers look for the next chunk in the next row.
        self._close_frame(rows)
        codec = Codec.RAW if stored is None else Codec.DELTA
        packed = piece if stored is None else stored
        pack, start = shared.packs.add(packed)
        rows.append((name, pack, start, len(piece), len(packed), int(codec), 0, base))
        shared.own[name[:REFERENCE_BYTES]] = (name, len(packed))
        return len(packed)

    def _close_frame(self, rows: list[ChunkRow]) -> None:
        """Store the chunks that are compressed together."""
        if not self._framed:
            return
        shared, size = self._shared, len(self._frame)
        packed = shared.squeezer.frame(self._frame)
        codec, part = Codec.FRAME, 1.0
        if packed is None:
            codec, packed = Codec.RAW, bytes(self._frame)
        else:
            part = len(packed) / size
        pack, start = shared.packs.add(packed)
        at = 0
        for name, length in self._framed:
            stored = length if codec == Codec.RAW else round(length * part)
            within, begin = (0, start + at) if codec == Codec.RAW else (at, start)
            rows.append((name, pack, begin, length, stored, int(codec), within, None))
            shared.own[name[:REFERENCE_BYTES]] = (name, stored)
            self.used += stored
            at += length
        self._frame, self._framed = bytearray(), []

    def _delta(self, piece: memoryview) -> tuple[bytes | None, bytes | None]:
        """A chunk as what differs from those that came here last time; and those."""
        cursor, shared = self._cursor, self._shared
        if cursor.delta:
            self._follow_base()
        near = shared.index.following(
            shared.snapshot, cursor.group, cursor.position + 1, _BASE_CHUNKS
        )
        groups = np.full(near.size, cursor.group, dtype=np.int64)
        places = shared.index.places(shared.snapshot, groups, near)
        whole = np.flatnonzero(places.codecs != Codec.DELTA)
        if not whole.size:
            cursor.group = -1
            return None, None
        base = b"".join(self._bytes.plain(place_of(places, at)) for at in whole.tolist())
        delta = delta_of(piece, base)
        if delta is None:
            cursor.misses += 1
            if cursor.misses >= _MISSES_MAX:
                cursor.group = -1
            return None, None
        hashes = shared.index.hashes(shared.snapshot, groups[whole], near[whole])
        words = np.ascontiguousarray(column_words(hashes)[:, :2])
        self._relied.append(words)
        if cursor.behind:
            cursor.put(cursor.group, int(near[0]))
        cursor.behind, cursor.misses = True, 0
        return delta, words.tobytes()

    def _follow_base(self) -> None:
        """Go on behind what the delta was made against."""
        cursor, shared = self._cursor, self._shared
        group, position = np.array([cursor.group]), np.array([cursor.position])
        cursor.group = -1
        base = place_of(shared.index.places(shared.snapshot, group, position), 0)[-1]
        if base:
            words = np.frombuffer(base[:REFERENCE_BYTES], dtype="<i8")
            found = shared.index.find(shared.snapshot, words[:1], words[1:])
            if found.there[0]:
                cursor.put(int(found.groups[0]), int(found.positions[0]))


assert BLOCK_BYTES > CHUNK_BYTES_MAX + HOLE_BYTES_MIN, "a block closes a chunk at least"
assert LEVELS[0].start == 0
