"""Writing contents from beginning to end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import xxhash

from ...errors import Closed, Corrupt
from .chunk_stream import ChunkStream, Ingredients
from .content import INLINE_BYTES_MAX, Content
from .content_reader import extents_of
from .extent import NEAR_MAX, far_rows, total
from .hashing import domain_key, etag_of
from .pack import PackWriter
from .segments import Segments
from .staged import RowStage, Staged, pack_rows
from .tables import CHUNKS_TABLE, PACKS_TABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from ..effects import Effect
    from ..snapshot import Snapshot
    from ..store import Store
    from .chunk_bytes import PackPages
    from .chunk_index import ChunkIndex
    from .content_reader import HasContent
    from .extent import Extents

DOMAIN: Final = 0
NO_REFERENCES: Final = np.empty((0, 2), dtype=np.int64)


def checksum_of(hasher: xxhash.xxh3_128) -> str:
    """How a checksum of the whole content is written."""
    return f"xxh3-128:{hasher.hexdigest()}"


def inline_content(piece: bytes, key: bytes) -> Content:
    """A content that stands in its element's row."""
    return Content(
        len(piece),
        len(piece),
        etag_of([piece], key),
        checksum_of(xxhash.xxh3_128(piece)),
        piece,
        None,
        None,
        None,
    )


def described(
    extents: Extents,
    used: int,
    checksum: str | None,
    key: bytes,
    staged: Staged,
    *,
    kept: Sequence[int] = (),
) -> Content:
    """A content that lies in extents.

    Args:
        extents: All of them.
        used: Bytes that they take.
        checksum: Of the bytes.
        key: The trust domain's key.
        staged: What is committed with it.
        kept: Offsets at which rows of ``extents`` began before.
    """
    etag = etag_of([extents.tobytes()], key)
    near = extents.size <= NEAR_MAX
    packed = extents.tobytes() if near else None
    rows = None if near else far_rows(extents, kept)
    return Content(total(extents), used, etag, checksum, None, packed, rows, staged)


class Workshop:
    """What several streams write into: packs, the rows of new chunks, segments.

    Args:
        store: The store.
        index: Where chunks are found.
        pages: Pages of packs.
        origin: A version of which contents are shared.
    """

    def __init__(
        self,
        store: Store,
        index: ChunkIndex,
        pages: PackPages,
        origin: Snapshot | None = None,
    ) -> None:
        self.store = store
        self.key = domain_key(store.id, DOMAIN)
        self.segments = Segments(store, origin)
        self._packs = PackWriter(store, self.segments, pages)
        self.ingredients = Ingredients(index, pages, self.segments.snapshot, self._packs, self.key)

    def rows(self) -> RowStage:
        """Where rows of new chunks of a content are gathered."""
        return RowStage(self.store, self.segments, CHUNKS_TABLE)

    def stream(
        self, rows: RowStage, *, start: int = 0, previous: tuple[int, int] | None = None
    ) -> ChunkStream:
        """Begin a content, or a stretch of one; see ``ChunkStream``."""
        return ChunkStream(self.ingredients, rows, start=start, previous=previous)

    def finish(self) -> list[Effect]:
        """Write the last pack, and sync everything; returns the rows of the packs.

        Raises:
            StorageFull: The device has no room.
            OutcomeUnknown: The device failed.
        """
        written = self._packs.finish()
        rows = RowStage(self.store, self.segments, PACKS_TABLE)
        if written:
            rows.add(pack_rows(written, DOMAIN))
        effects = rows.finish()
        self.segments.sync()
        return effects

    def abort(self) -> None:
        """Give everything up."""
        self._packs.abort()
        self.segments.release(committed=False)


class ContentWriter:
    """Takes the bytes of a content, in order, in pieces of any size.

    Memory: some 10 MiB, and 100 bytes for each chunk that is new: 60 MB for a file of 100 GB. Used
    as a context manager it gives up what was not finished.

    Several contents may be written one after another (``next``): they share packs, segments and
    one sync, and are committed by one transaction. Not thread-safe.

    Args:
        store: The store.
        index: Where chunks are found.
        pages: Pages of packs.
        inline_bytes_max: Bytes up to which a content stands in its element's row.
        previous: The element whose content this one replaces.
    """

    def __init__(
        self,
        store: Store,
        index: ChunkIndex,
        pages: PackPages,
        *,
        inline_bytes_max: int = INLINE_BYTES_MAX,
        previous: HasContent | None = None,
    ) -> None:
        self._store = store
        self._index = index
        self._pages = pages
        self._inline_bytes_max = inline_bytes_max
        self._previous = previous
        self._key = domain_key(store.id, DOMAIN)
        self._workshop: Workshop | None = None
        self._rows: RowStage | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self.size = 0
        self._held: bytearray | None = bytearray()
        self._hasher: xxhash.xxh3_128 | None = xxhash.xxh3_128()
        self._stream: ChunkStream | None = None

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Take the next bytes; returns how many they were.

        Raises:
            Closed: The content is finished.
            StorageFull: The device has no room. What was written is to be aborted.
        """
        if self._closed:
            raise Closed("the content is finished")
        view = memoryview(content).cast("B")
        if self._hasher is not None:
            self._hasher.update(view)
        self.size += len(view)
        if self._held is not None:
            if self.size <= self._inline_bytes_max:
                self._held += view
                return len(view)
            held, self._held = bytes(self._held), None
            self._opened().write(memoryview(held))
        self._opened().write(view)
        return len(view)

    def hole(self, length: int) -> None:
        """Take zeros that are stored nowhere, however many.

        The content has no checksum then: its bytes are never looked at.
        """
        if self._held is not None:
            held, self._held = bytes(self._held), None
            self._opened().write(memoryview(held))
        self._opened().hole(length)
        self.size += length
        self._hasher = None

    def _opened(self) -> ChunkStream:
        if self._stream is None:
            if self._workshop is None:
                self._workshop = Workshop(self._store, self._index, self._pages)
            # Rows of all contents together: one row group, however many contents there are.
            self._rows = self._rows or self._workshop.rows()
            self._stream = self._workshop.stream(self._rows, previous=self._begun())
        return self._stream

    def _begun(self) -> tuple[int, int] | None:
        """Where the first chunk of the content that is replaced stands in ``chunks``."""
        assert self._workshop is not None
        if self._previous is None or self._previous.inline is not None:
            return None
        snapshot = self._workshop.segments.snapshot
        with suppress(Corrupt):  # it only costs room not to know
            before = extents_of(self._index, snapshot, self._previous)[:1]
            found = self._index.find(snapshot, before["first"].copy(), before["second"].copy())
            if found.there.any():
                return int(found.groups[0]), int(found.positions[0])
        return None

    def replaces(self, previous: HasContent | None) -> None:
        """Say which element's content the next bytes replace; before the first of them."""
        self._previous = previous

    def next(self) -> Content:
        """End this content, and begin another one in the same packs.

        The rows that say where its chunks lie may go with a later content of this writer: all of
        them must be committed by one transaction, after ``finish``. Each is released by itself.

        Raises:
            StorageFull: The device has no room.
        """
        content = self._ended()
        if content.staged is not None and self._workshop is not None:
            self._workshop.segments.share()
        self._begin()
        self._previous = None
        return content

    def finish(self) -> Content:
        """End the content, and make its pages durable.

        Raises:
            StorageFull: The device has no room.
            OutcomeUnknown: The device failed.
        """
        if self._closed:
            raise Closed("the content is finished")
        content = self._ended()
        if self._workshop is not None:
            effects = [] if self._rows is None else self._rows.finish()
            effects += self._workshop.finish()
            if content.staged is not None:
                content.staged.effects.extend(effects)
            else:
                # The last of several contents is a small one, and brings the others' packs along.
                content = with_staged(content, self._workshop.segments, effects)
        self._closed = True
        return content

    def _ended(self) -> Content:
        if self._closed:
            raise Closed("the content is finished")
        if self._held is not None and self._inline_bytes_max:
            return inline_content(bytes(self._held), self._key)
        stream = self._opened()
        extents, relied = stream.finish()
        assert self._workshop is not None
        staged = Staged(self._workshop.segments, [], relied)
        checksum = None if self._hasher is None else checksum_of(self._hasher)
        return described(extents, stream.used, checksum, self._key, staged)

    def abort(self) -> None:
        """Give up what is not finished, with what ``next`` has ended; more than once is allowed."""
        if not self._closed:
            self._closed = True
            if self._workshop is not None:
                self._workshop.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def with_staged(content: Content, segments: Segments, effects: list[Effect]) -> Content:
    """An inline content that brings rows of others along."""
    return replace(content, staged=Staged(segments, effects, NO_REFERENCES))
