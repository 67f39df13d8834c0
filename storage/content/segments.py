"""The segments that contents were written to, held until what refers to them is true or given up.

Reclaim removes what no version refers to, and the pages of a content are referred to by nobody
before it is committed: so whoever has written them holds their segments, and a version of the
store as well: what the content shares with others stays readable although it may be deleted
meanwhile.
"""

from __future__ import annotations

import threading
from concurrent.futures import wait
from typing import TYPE_CHECKING, Final

from ...errors import Denied
from ..page_store import SEGMENT_BYTES_MAX

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..page import PageKind, PageRef
    from ..page_store import SegmentWriter
    from ..snapshot import Snapshot
    from ..store import Store

_GROWTH: Final = 64
"""Segments of one size: then they grow, so that a terabyte takes some hundred descriptors."""


class Segments:
    """Segments of one writer of contents.

    One thread uses them at a time, save that a page may be appended by another one meanwhile
    (``flying``), which everything else waits for.

    Args:
        store: The store.
        origin: A version whose contents are shared, to be kept as well.
    """

    def __init__(self, store: Store, origin: Snapshot | None = None) -> None:
        if store.read_only:
            raise Denied("the store was opened read-only")
        self._store = store
        self._anchor = store.begin(durable=False)
        self._writers: list[SegmentWriter] = []
        self._synced = 0
        self._lock = threading.Lock()
        self._users = 1
        self._outcomes: set[bool | None] = set()
        self.flying: Future[PageRef] | None = None
        """A page that is being appended."""
        self._origin = origin
        if origin is not None:
            store.pins.pin(origin.version)

    @property
    def origins(self) -> tuple[Snapshot, ...]:
        """Versions in which all can be found that the contents share with others."""
        return (self.snapshot,) if self._origin is None else (self.snapshot, self._origin)

    @property
    def snapshot(self) -> Snapshot:
        """The version that is kept readable."""
        return self._anchor.base

    def next_row_group_id(self) -> str:
        """A row group id that no other row group has."""
        return self._anchor.next_row_group_id()

    def writer(self, *, exclusive: bool = False) -> SegmentWriter:
        """The segment to append to.

        Args:
            exclusive: Where there is none yet: one that holds nothing, whose room returns at
                once if this comes to nothing.
        """
        self._land()
        return self._current(exclusive=exclusive)

    def _land(self) -> None:
        if self.flying is not None:
            wait([self.flying])

    def _current(self, *, exclusive: bool) -> SegmentWriter:
        if self._writers:
            last = self._writers[-1]
            if last.size < SEGMENT_BYTES_MAX * (1 + len(self._writers) // _GROWTH):
                return last
            # Synced as it goes: a terabyte must not wait in memory for one sync at its end.
            self._store.pages.sync([last])
            last.seal()
            self._synced = len(self._writers)
            exclusive = True
        self._writers.append(self._store.pages.writer(exclusive=exclusive))
        return self._writers[-1]

    def append(self, payload: bytes | memoryview, kind: PageKind, *, exclusive: bool) -> PageRef:
        """Append one page.

        Raises:
            StorageFull: The device has no room.
        """
        return self._current(exclusive=exclusive).append(payload, kind)

    def sync(self) -> None:
        """Make all pages durable.

        Raises:
            OutcomeUnknown: The device failed.
        """
        self._land()
        self._store.pages.sync(self._writers[self._synced :])

    def share(self) -> None:
        """Note one more content that lies here: each is released by itself."""
        with self._lock:
            self._users += 1

    def release(self, *, committed: bool | None) -> None:
        """End one use; the last one lets go of the segments.

        Args:
            committed: Whether something refers to the pages now; None where that is unknown.
        """
        with self._lock:
            self._users -= 1
            self._outcomes.add(committed)
            if self._users:
                return
        self._land()
        pages = self._store.pages
        for writer in self._writers:
            if True in self._outcomes:
                pages.release(writer)
            else:
                pages.abandon(writer, keep=None in self._outcomes)
        self._writers.clear()
        self._anchor.rollback()
        if self._origin is not None:
            self._store.pins.unpin(self._origin.version)
