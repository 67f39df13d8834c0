"""Changing a content at random places, in bounded memory.

What is written lies in blocks of 64 KiB, read from the old content where only a part of one is
written, and goes to pages that nobody will refer to when there are too many. At the end every
stretch that was written is cut anew, from the chunk before it to the next cut of the old content;
all other extents stay as they are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from ...errors import Closed, InvalidRequest
from ..page import PageKind
from . import extent
from .content import INLINE_BYTES_MAX, Content
from .content_reader import ContentReader
from .content_writer import DOMAIN, Workshop, described, inline_content
from .hashing import domain_key
from .segments import Segments
from .staged import Staged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ..page import PageRef
    from ..snapshot import Snapshot
    from ..store import Store
    from .chunk_bytes import PackPages
    from .chunk_index import ChunkIndex
    from .content_reader import HasContent
    from .extent import Extents
    from .hashing import Words

_BLOCK: Final = 64 << 10
_BLOCKS_MAX: Final = 1024
"""Blocks in memory: 64 MiB."""
_COPY_BYTES: Final = 1 << 20


class ContentEditor:
    """Random writes over an element's content. Thread-safe.

    The snapshot must stay pinned. Used as a context manager it gives up what was not finished.

    Args:
        store: The store.
        index: Where chunks are found.
        pages: Pages of packs.
        snapshot: The snapshot.
        element: The element's row.
    """

    def __init__(
        self,
        store: Store,
        index: ChunkIndex,
        pages: PackPages,
        snapshot: Snapshot,
        element: HasContent,
    ) -> None:
        self._store = store
        self._index = index
        self._pages = pages
        self._snapshot = snapshot
        self._element = element
        self._old = ContentReader(index, pages, snapshot, element)
        self._seen = element.size
        """Bytes of the old content that were never cut off."""
        self.size = element.size
        self._blocks: OrderedDict[int, bytearray] = OrderedDict()
        self._spilled: dict[int, PageRef] = {}
        self._spill: Segments | None = None
        self._lock = threading.RLock()
        self._closed = False

    # Blocks

    def _dirty(self) -> list[int]:
        return sorted({*self._blocks, *self._spilled})

    def _block(self, number: int, *, load: bool = True) -> bytearray:
        """A block to write to."""
        block = self._blocks.get(number)
        if block is None:
            block = bytearray(_BLOCK)
            if load:
                self._fill(number, block)
            self._blocks[number] = block
            self._spilled.pop(number, None)
            self._spill_some()
        self._blocks.move_to_end(number)
        return block

    def _fill(self, number: int, block: bytearray) -> None:
        page = self._spilled.get(number)
        if page is not None:
            block[:] = self._store.pages.get(page, PageKind.CONTENT)
            return
        length = min(self._seen - number * _BLOCK, _BLOCK)
        if length > 0:
            with memoryview(block)[:length] as part:
                self._old.readinto_at(number * _BLOCK, part)

    def _spill_some(self) -> None:
        while len(self._blocks) > _BLOCKS_MAX:
            number, block = self._blocks.popitem(last=False)
            if self._spill is None:
                self._spill = Segments(self._store)
            self._spilled[number] = self._spill.append(
                memoryview(block), PageKind.CONTENT, exclusive=True
            )

    # Reading and writing

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes of a stretch as they are now, fewer at the end.

        Raises:
            Corrupt: The old content is damaged here.
        """
        with self._lock:
            end = min(offset + length, self.size)
            return b"".join(self._read(offset, end)) if offset < end else b""

    def _read(self, offset: int, end: int) -> Iterator[bytes | memoryview]:
        """Pieces of what the content is now."""
        while offset < end:
            number = offset // _BLOCK
            stop = min((number + 1) * _BLOCK, end)
            if number in self._blocks or number in self._spilled:
                block = self._blocks.get(number)
                begin = number * _BLOCK
                if block is not None:
                    yield bytes(block[offset - begin : stop - begin])
                else:
                    page = self._store.pages.get(self._spilled[number], PageKind.CONTENT)
                    yield page[offset - begin : stop - begin]
            else:
                while stop < end and not (
                    stop // _BLOCK in self._blocks or stop // _BLOCK in self._spilled
                ):
                    stop = min(stop + _BLOCK, end)
                there = max(offset, min(stop, self._seen))
                yield from self._old.slices(offset, there - offset)
                yield bytes(stop - there)
            offset = stop

    def write_at(self, offset: int, content: bytes | bytearray | memoryview) -> int:
        """Write over a stretch, and behind the end; returns the bytes written.

        Raises:
            Closed: The content is finished.
            Corrupt: The old content is damaged here.
            StorageFull: The device has no room.
        """
        with self._lock:
            self._require_open()
            if offset < 0:
                raise InvalidRequest("a content begins at 0")
            view = memoryview(content).cast("B")
            at, end = offset, offset + len(view)
            while at < end:
                number = at // _BLOCK
                stop = min((number + 1) * _BLOCK, end)
                block = self._block(number, load=stop - at < _BLOCK)
                begin = number * _BLOCK
                block[at - begin : stop - begin] = view[at - offset : stop - offset]
                at = stop
            self.size = max(self.size, end) if end > offset else self.size
            return len(view)

    def truncate(self, size: int) -> None:
        """Cut the content off, or let it go on with zeros, which take no room.

        Raises:
            Closed: The content is finished.
            Corrupt: The old content is damaged here.
        """
        with self._lock:
            self._require_open()
            if size < 0:
                raise InvalidRequest("a content cannot have fewer than 0 bytes")
            if size < self.size:
                last = size // _BLOCK
                for number in [n for n in self._dirty() if n * _BLOCK >= size]:
                    self._blocks.pop(number, None)
                    self._spilled.pop(number, None)
                if last in self._blocks or last in self._spilled:
                    block = self._block(last)
                    block[size - last * _BLOCK :] = bytes(_BLOCK - size + last * _BLOCK)
                self._seen = min(self._seen, size)
            self.size = size

    @property
    def changed(self) -> bool:
        """True when the content is another one than before, or may be."""
        return bool(
            self._blocks
            or self._spilled
            or self.size != self._element.size
            or self._seen != self._element.size
        )

    def _require_open(self) -> None:
        if self._closed:
            raise Closed("the content is finished")

    # The end

    def finish(self) -> Content:
        """End the content, and make its pages durable.

        Raises:
            Closed: The content is finished.
            Corrupt: The old content is damaged where it must be read.
            StorageFull: The device has no room.
            OutcomeUnknown: The device failed.
        """
        with self._lock:
            self._require_open()
            if self.size <= INLINE_BYTES_MAX:
                key = domain_key(self._store.id, DOMAIN)
                content = inline_content(b"".join(self._read(0, self.size)), key)
            else:
                content = self._written()
            self.abort()
            return content

    def abort(self) -> None:
        """Give up what is not finished; more than once is allowed."""
        with self._lock:
            self._closed = True
            self._blocks.clear()
            self._spilled.clear()
            if self._spill is not None:
                self._spill.release(committed=False)
                self._spill = None
            self._old.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _written(self) -> Content:
        """The content in extents: what was changed in new ones, the rest in those it has."""
        workshop = Workshop(self._store, self._index, self._pages, self._snapshot)
        parts: list[Extents] = []
        kept: list[Extents] = []
        relied: list[Words] = []
        at, used = 0, 0
        try:
            rows = workshop.rows()
            for begin, end in [*self._stretches(), (self.size, self.size)]:
                kept.append(self._kept(at, begin))
                parts += [kept[-1], extent.hole(max(0, begin - max(at, self._whole)))]
                if begin < end:
                    stream = workshop.stream(rows, start=begin)
                    for start in range(begin, end, _COPY_BYTES):
                        for piece in self._read(start, min(start + _COPY_BYTES, end)):
                            stream.write(memoryview(piece))
                    made, known = stream.finish()
                    parts.append(made)
                    relied.append(known)
                    used += stream.used
                at = end
            effects = [*rows.finish(), *workshop.finish()]
        except BaseException:
            workshop.abort()
            raise
        stay = extent.joined(kept)
        relied.append(extent.references(stay))
        staged = Staged(workshop.segments, effects, np.unique(np.concatenate(relied), axis=0))
        used += self._stored(stay)
        begins = self._row_starts()
        return described(extent.joined(parts), used, None, workshop.key, staged, kept=begins)

    @property
    def _whole(self) -> int:
        """Where the last extent of the old content ends that was not cut off."""
        starts = self._old.starts
        return int(starts[int(starts.searchsorted(self._seen, side="right")) - 1])

    def _stretches(self) -> list[tuple[int, int]]:
        """Begin and end of what is cut anew: what was written, up to cuts of the old content."""
        old, starts, whole = self._old.extents, self._old.starts, self._whole
        empty = extent.holes(old)
        wanted = [(n * _BLOCK, min((n + 1) * _BLOCK, self.size)) for n in self._dirty()]
        if whole < self._seen:
            wanted.append((whole, self._seen))
        stretches: list[tuple[int, int]] = []
        for first, last in sorted(wanted):
            begin, end = first, last
            if begin <= whole and whole:
                # The chunk that ends here, too: the next cut may come later now.
                at = int(starts.searchsorted(begin, side="left")) - 1
                if at >= 0 and not empty[at]:
                    begin = int(starts[at])
            if end < whole:
                at = int(starts.searchsorted(end, side="left"))
                if not empty[at - 1]:
                    end = int(starts[at])
            if stretches and begin <= stretches[-1][1]:
                stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
            else:
                stretches.append((begin, end))
        return stretches

    def _kept(self, begin: int, end: int) -> Extents:
        """The old extents of a stretch, of which only holes may reach beyond it."""
        starts, end = self._old.starts, min(end, self._whole)
        if begin >= end:
            return extent.none()
        first = int(starts.searchsorted(begin, side="right")) - 1
        last = int(starts.searchsorted(end, side="left"))
        kept = self._old.extents[first:last].copy()
        kept["length"][-1] -= int(starts[last]) - end
        kept["length"][0] -= begin - int(starts[first])
        return kept

    def _stored(self, extents: Extents) -> int:
        """Bytes that extents of the old content take."""
        solid = extents[~extent.holes(extents)]
        if not solid.size:
            return 0
        first, second = solid["first"].copy(), solid["second"].copy()
        found = self._index.find_in_order(self._snapshot, first, second)
        there = found.there
        places = self._index.places(self._snapshot, found.groups[there], found.positions[there])
        return int(places.stored.sum())

    def _row_starts(self) -> list[int]:
        """Where rows of ``extents`` begin, of the old content."""
        rows = self._index.far_rows(
            self._snapshot, np.array([self._element.handle], dtype=np.int64)
        )
        return [] if rows is None else sorted(rows[3][0].to_pylist())
