"""Packs: chunks put together to pages of up to a megabyte, in the order of their file.

A page a chunk would waste half a page of 4 KiB each, and a checksum each; in a pack the chunks of
a file lie side by side, so that reading it back is a few long slices. While one pack is written,
the next one is filled.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, wait
from typing import TYPE_CHECKING, Final

from ...errors import Closed
from ..page import PageKind

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..environment import Environment
    from ..page import PageRef
    from ..store import Store
    from .chunk_bytes import PackPages
    from .segments import Segments

PACK_BYTES_MAX: Final = 1 << 20
_COUNTER_BITS: Final = 20
_ID_BITS: Final = 63


def _first_id(environment: Environment) -> int:
    """A pack id from which on a million are nobody else's."""
    random = int.from_bytes(environment.random_bytes(8), "little")
    return (random & ((1 << _ID_BITS) - 1)) >> _COUNTER_BITS << _COUNTER_BITS


class PackWriter:
    """Fills packs and writes them, one behind the other.

    Args:
        store: The store.
        segments: Where the pages go.
        pages: Told of them, so that what was just written is not verified to be read.
    """

    def __init__(self, store: Store, segments: Segments, pages: PackPages) -> None:
        self._store = store
        self._pages = pages
        self._segments = segments
        self._buffer = bytearray()
        self._spare = bytearray()
        self._next = _first_id(store.environment)
        self._flying: tuple[int, Future[PageRef]] | None = None
        self.written: list[tuple[int, PageRef]] = []
        """Packs and their pages, as far as they are written."""

    def add(self, stored: bytes | memoryview) -> tuple[int, int]:
        """Put a chunk into a pack; returns the pack's id and where in it the chunk starts.

        Raises:
            StorageFull: The device has no room.
        """
        if self._buffer and len(self._buffer) + len(stored) > PACK_BYTES_MAX:
            self._close(last=False)
        start = len(self._buffer)
        self._buffer += stored
        return self._next, start

    def _close(self, *, last: bool) -> None:
        """Write the pack; the last one is waited for."""
        self._wait()
        buffer = self._buffer
        # A pack that is full is of a large content, which had better have its own segment.
        exclusive = not last

        def append() -> PageRef:
            with memoryview(buffer) as payload:
                page = self._segments.append(payload, PageKind.CONTENT, exclusive=exclusive)
            self._pages.note(page)
            return page

        if last:
            self.written.append((self._next, append()))
        else:
            self._segments.flying = self._store.executor.submit(append)
            self._flying = (self._next, self._segments.flying)
        self._buffer, self._spare = self._spare, buffer
        self._buffer.clear()
        self._next += 1
        if self._next % (1 << _COUNTER_BITS) == 0:
            self._next = _first_id(self._store.environment)

    def _wait(self) -> None:
        if self._flying is not None:
            pack, page = self._flying
            self._flying = None
            try:
                self.written.append((pack, page.result()))
            except CancelledError as error:
                raise Closed("the store was closed meanwhile") from error

    def finish(self) -> list[tuple[int, PageRef]]:
        """Write what is left; returns the packs written since this was last asked.

        Raises:
            StorageFull: The device has no room.
        """
        self._wait()
        if self._buffer:
            self._close(last=True)
        written, self.written = self.written, []
        return written

    def abort(self) -> None:
        """Write nothing more."""
        if self._flying is not None:
            wait([self._flying[1]])
            self._flying = None
        self._buffer = bytearray()
