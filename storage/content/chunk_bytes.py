"""The bytes of chunks: packs on mapped pages, verified once, and what is decoded from them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from ...errors import Corrupt
from ..page import PageKind, PageRef
from .hashing import REFERENCE_BYTES
from .squeeze import Codec, undelta, unframe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Executor

    from ..page_store import PageStore
    from ..snapshot import Snapshot
    from .chunk_index import ChunkIndex, Places

_VERIFIED_MAX: Final = 1 << 16
"""Pages that are remembered to have been verified: those of 64 GiB."""

_FRAMES_MAX: Final = 64
"""Decoded frames that are kept: the next chunk is likely to be in the same one."""
FRAMES_AHEAD: Final = 32

Place = tuple[int, int, int, int, int, int, bytes | None]
"""Pack, start, length, stored bytes, codec, place in its frame and base of a chunk."""


def place_of(places: Places, at: int) -> Place:
    """One of several places."""
    return (
        int(places.packs[at]),
        int(places.starts[at]),
        int(places.lengths[at]),
        int(places.stored[at]),
        int(places.codecs[at]),
        int(places.within[at]),
        None if places.bases is None else places.bases[at].as_py(),
    )


class PackPages:
    """The pages of packs, mapped.

    Args:
        pages: The store's pages.
    """

    def __init__(self, pages: PageStore) -> None:
        self._pages = pages
        self._verified: OrderedDict[PageRef, None] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, page: PageRef) -> None:
        """Remember that a page is as it was written: by this process, or seen by it."""
        with self._lock:
            self._verified[page] = None
            if len(self._verified) > _VERIFIED_MAX:
                self._verified.popitem(last=False)

    def view(self, page: PageRef) -> memoryview:
        """What a pack holds; the page is verified when it is first looked at.

        Raises:
            Corrupt: The page is damaged or missing.
        """
        known = page in self._verified
        payload = self._pages.get(page, PageKind.CONTENT, verified=known)
        if not known:
            self.note(page)
        return payload


class ChunkBytes:
    """Bytes of chunks at one snapshot, for one reader; not thread-safe.

    Args:
        index: Where chunks are found.
        packs: Their pages.
        snapshot: The snapshot.
        packs_max: Packs that are kept at hand.
    """

    def __init__(
        self, index: ChunkIndex, packs: PackPages, snapshot: Snapshot, packs_max: int = 8
    ) -> None:
        self._index = index
        self._packs = packs
        self._snapshot = snapshot
        self._packs_max = packs_max
        self._pages: dict[int, PageRef] = {}
        self._views: OrderedDict[int, memoryview] = OrderedDict()
        self._frames: OrderedDict[tuple[int, int], memoryview] = OrderedDict()

    def note_pages(self, packs: Sequence[int]) -> None:
        """Look up the pages of some packs, which are wanted soon."""
        self._pages = self._index.pages(self._snapshot, np.unique(np.array(packs, dtype=np.int64)))

    def pack(self, pack: int) -> memoryview:
        """What a pack holds.

        Raises:
            Corrupt: It is missing or damaged.
        """
        view = self._views.get(pack)
        if view is not None:
            return view
        page = self._pages.get(pack)
        if page is None:
            page = self._index.pages(self._snapshot, np.array([pack], dtype=np.int64)).get(pack)
        if page is None:
            raise Corrupt(f"pack {pack} is not in file_data.packs")
        view = self._views[pack] = self._packs.view(page)
        if len(self._views) > self._packs_max:
            self._views.popitem(last=False)
        return view

    def stored(self, pack: int, start: int, length: int) -> memoryview:
        """A stretch of a pack.

        Raises:
            Corrupt: The pack is missing, damaged, or ends before.
        """
        view = self.pack(pack)
        if not 0 <= start <= start + length <= len(view):
            raise Corrupt(f"pack {pack} has {len(view)} bytes, not {start + length}")
        return view[start : start + length]

    def plain(self, place: Place) -> bytes | memoryview:
        """The bytes of a chunk.

        Raises:
            Corrupt: They cannot be had.
        """
        pack, start, length, stored, codec, within, base = place
        if codec == Codec.FRAME:
            plain: bytes | memoryview = self.frame(pack, start)[within : within + length]
        elif codec == Codec.DELTA:
            plain = undelta(self.stored(pack, start, stored), length, self.bases(base))
        elif codec == Codec.RAW:
            plain = self.stored(pack, start, stored)
        else:
            raise Corrupt(f"a chunk is stored in an unknown form, {codec}")
        if len(plain) != length:
            raise Corrupt(f"a chunk has {len(plain)} bytes instead of {length}")
        return plain

    def frame(self, pack: int, start: int) -> memoryview:
        """What a frame holds.

        Raises:
            Corrupt: It is no frame, or its pack is damaged.
        """
        plain = self._frames.get((pack, start))
        if plain is None:
            plain = self._keep(pack, start, unframe(self.rest(pack, start)))
        return plain

    def _keep(self, pack: int, start: int, plain: bytes) -> memoryview:
        view = self._frames[pack, start] = memoryview(plain)
        if len(self._frames) > _FRAMES_MAX:
            self._frames.popitem(last=False)
        return view

    def decode(self, frames: Iterable[tuple[int, int]], executor: Executor) -> None:
        """Decode frames that are wanted soon, on all processors.

        Args:
            frames: Pack and start of each, no more than ``FRAMES_AHEAD``.
            executor: Who helps. Nobody waits for a helper that has not begun: it may be waiting
                for this very thread.

        Raises:
            Corrupt: One of them is no frame, or its pack is damaged.
        """
        wanted = [frame for frame in dict.fromkeys(frames) if frame not in self._frames]
        if len(wanted) < 2:
            return
        flying = [executor.submit(unframe, self.rest(*frame)) for frame in wanted]
        for (pack, start), future in reversed(list(zip(wanted, flying, strict=True))):
            own = future.cancel()
            self._keep(pack, start, unframe(self.rest(pack, start)) if own else future.result())

    def rest(self, pack: int, start: int) -> memoryview:
        """What a pack holds from a place on.

        Raises:
            Corrupt: The pack is missing, damaged, or ends before.
        """
        view = self.pack(pack)
        if not 0 <= start < len(view):
            raise Corrupt(f"pack {pack} has {len(view)} bytes, not more than {start}")
        return view[start:]

    def bases(self, base: bytes | None) -> list[bytes | memoryview]:
        """The chunks that a delta was made against.

        Raises:
            Corrupt: One of them is missing, or a delta itself.
        """
        if not base or len(base) % REFERENCE_BYTES:
            raise Corrupt("a delta does not tell what it was made against")
        words = np.frombuffer(base, dtype="<i8").reshape(-1, 2)
        first, second = np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])
        found = self._index.find(self._snapshot, first, second)
        if not found.there.all():
            raise Corrupt("a chunk that a delta was made against is not in file_data.chunks")
        places = self._index.places(self._snapshot, found.groups, found.positions)
        if (places.codecs == Codec.DELTA).any():
            raise Corrupt("a delta was made against a delta")
        return [self.plain(place_of(places, at)) for at in range(first.size)]

    def close(self) -> None:
        """Let go of the pages."""
        self._views.clear()
        self._frames.clear()
        self._pages.clear()
