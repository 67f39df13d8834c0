"""The page store: pages in append-only segments of one device.

A writer takes a segment of its own for as long as it writes (``SegmentWriter``), so writers
never contend and never see each other's bytes. Segments of finished writers are reused by
the next one until they are large enough to be sealed (docs/format/page.md, section 1).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..errors import Corrupt, Unavailable
from .page import (
    HEADER_BYTES,
    PAGE_ALIGNMENT,
    PageKind,
    PageRef,
    build_header,
    padded,
    segment_name,
    verify,
)
from .pins import hold_segment, settle_segment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from .devices.device import AppendFile, Device, Hold
    from .environment import Environment

SEGMENT_BYTES_MAX = 1 << 30
"""A segment is sealed once it is this large: few files, yet reclaimed in bearable pieces."""

SEGMENTS_IDLE_MAX = 8
"""Segments kept open for the next writers: each holds a descriptor."""

_PADDING = bytes(PAGE_ALIGNMENT)


class SegmentWriter:
    """Appends pages to one segment on behalf of one transaction."""

    def __init__(self, file: AppendFile, segment: int, store_id: bytes, hold: Hold) -> None:
        self._file = file
        self._hold = hold
        self._store_id = store_id
        self._dirty = False
        self.segment = segment
        self.fresh = True
        """True until the segment's name has been synced."""
        self.private = True
        """True until a transaction that wrote here has committed: nobody refers to its pages."""

    @property
    def size(self) -> int:
        """Bytes appended to the segment so far."""
        return self._file.size

    def append(self, payload: bytes | memoryview, kind: PageKind) -> PageRef:
        """Append one page; durable after ``sync``.

        Raises:
            StorageFull: The device has no room.
        """
        offset = self._file.size
        header, checksum = build_header(self._store_id, self.segment, offset, kind, payload)
        length = memoryview(payload).nbytes
        used = HEADER_BYTES + length
        self._dirty = True
        self._file.append(header, payload, memoryview(_PADDING)[: padded(used) - used])
        return PageRef(self.segment, offset, length, checksum)

    def sync(self) -> None:
        """Make the appended pages durable."""
        if self._dirty:
            self._file.sync()
            self._dirty = False

    def settle(self) -> None:
        """Note that the transaction which wrote here has committed."""
        self.private = False
        settle_segment(self._hold, self.segment, self.size)

    def seal(self) -> None:
        """Append no more: the file is let go of, and held against reclaim all the same."""
        self._file.close()

    def close(self) -> None:
        """Release the segment's file, for reclaim as well."""
        self._file.close()
        self._hold.release()


class PageStore:
    """Pages by reference, verified on every read.

    Args:
        device: Where the segments lie.
        store_id: 16 bytes that every page carries.
        environment: Source of segment ids.
    """

    def __init__(self, device: Device, store_id: bytes, environment: Environment) -> None:
        self._device = device
        self._store_id = store_id
        self._environment = environment
        self._lock = threading.Lock()
        self._idle: list[SegmentWriter] = []
        self.sparse: frozenset[int] = frozenset()
        """Segments whose row groups are worth writing anew, as reclaim last found it."""

    def writer(self, *, exclusive: bool = False) -> SegmentWriter:
        """Take a segment to append to; give it back with ``release`` or ``abandon``.

        Args:
            exclusive: Ask for a segment that holds nothing yet, for bulk writes whose failure
                should return the space at once.
        """
        if not exclusive:
            with self._lock:
                if self._idle:
                    return self._idle.pop()
        segment = int.from_bytes(self._environment.random_bytes(8), "little")
        # Held before it exists: nobody must take it for the left-over of a killed process.
        hold = hold_segment(self._device, self._environment, segment)
        try:
            file = self._device.create(segment_name(segment))
        except BaseException:
            hold.release()
            raise
        return SegmentWriter(file, segment, self._store_id, hold)

    def sync(self, writers: Iterable[SegmentWriter]) -> None:
        """Make the pages of these writers, and the names of their segments, durable."""
        fresh = False
        for writer in writers:
            writer.sync()
            fresh = fresh or writer.fresh
            writer.fresh = False
        if fresh:
            self._device.sync_directory("segments")

    def release(self, writer: SegmentWriter) -> None:
        """Give back a segment whose pages are all synced and referred to."""
        if writer.size >= SEGMENT_BYTES_MAX:
            writer.close()
            return
        writer.settle()
        with self._lock:
            if len(self._idle) < SEGMENTS_IDLE_MAX:
                self._idle.append(writer)
                return
        writer.close()

    def retire(self, segments: AbstractSet[int]) -> None:
        """Append no more to segments, as far as nobody is at it now."""
        with self._lock:
            retired = [writer for writer in self._idle if writer.segment in segments]
            self._idle = [writer for writer in self._idle if writer.segment not in segments]
        for writer in retired:
            writer.close()

    def abandon(self, writer: SegmentWriter, *, keep: bool = False) -> None:
        """Give up a segment after a failure; one that nobody refers to is removed.

        Args:
            writer: The segment.
            keep: Leave it, because the outcome of the transaction is unknown.
        """
        writer.close()
        if writer.private and not keep:
            self._device.unlink(segment_name(writer.segment))

    def get(
        self, ref: PageRef, kind: PageKind | None = None, *, verified: bool = False
    ) -> memoryview:
        """Return a page's payload, verified, read-only, mapped where the device can.

        Args:
            ref: The page.
            kind: The kind expected, when the reader knows it.
            verified: The page was verified before by this process, and is not once more.

        Raises:
            Corrupt: The page is missing, cut short, or not the one referred to.
        """
        name = segment_name(ref.segment)
        try:
            page = self._device.map(name, ref.offset, HEADER_BYTES + ref.length)
        except (FileNotFoundError, EOFError) as error:
            missing = "is missing" if isinstance(error, FileNotFoundError) else "ends too early"
            raise Corrupt(
                f"page at offset {ref.offset} of {name} cannot be read: the segment {missing}",
                file=name,
                offset=ref.offset,
                hint="restore the file from a backup; other tables stay readable",
            ) from error
        except OSError as error:
            raise Unavailable(f"{name} cannot be read: {error.strerror}") from error
        return page[HEADER_BYTES:] if verified else verify(page, ref, self._store_id, kind)

    def close(self) -> None:
        """Release the open segments."""
        with self._lock:
            for writer in self._idle:
                writer.close()
            self._idle.clear()
