"""Reading contents: extents to slices of mapped packs, without a copy where nothing is decoded."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import numpy as np

from ...errors import Corrupt
from . import extent
from .chunk_bytes import FRAMES_AHEAD, ChunkBytes, place_of
from .squeeze import Codec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    import numpy.typing as npt

    from ..snapshot import Snapshot
    from .chunk_bytes import PackPages, Place
    from .chunk_index import ChunkIndex
    from .extent import Extents

_WINDOW_MIN: Final = 16
_WINDOW_MAX: Final = 16_384
_WINDOW_GROWTH: Final = 8
"""Extents that are looked up at once: few for a read at some place, more for one behind another."""
_WINDOWS_MAX: Final = 8
"""Windows that are kept, for reads at a few places in turn."""
_DECODED_MAX: Final = 64
"""Decoded chunks that are kept: the next read of a few bytes is likely to want the same one."""
_ZEROS: Final = memoryview(bytes(1 << 20))
_HOLE: Final = -1
_NOWHERE: Final = (0, 0, 0, 0, _HOLE, 0, None)


class HasContent(Protocol):
    """What an element's row says of where its bytes are."""

    @property
    def handle(self) -> int:
        """Its handle."""
        ...

    @property
    def size(self) -> int:
        """Bytes it has."""
        ...

    @property
    def inline(self) -> bytes | None:
        """The bytes of a small one."""
        ...

    @property
    def extents(self) -> bytes | None:
        """The packed extents of one that has few."""
        ...


class Described(HasContent, Protocol):
    """The same, with what is told to others."""

    @property
    def used(self) -> int:
        """Bytes that its chunks take."""
        ...

    @property
    def etag(self) -> str | None:
        """Its short name."""
        ...

    @property
    def checksum(self) -> str | None:
        """The checksum of its bytes, where it is known."""
        ...


def extents_of(index: ChunkIndex, snapshot: Snapshot, element: HasContent) -> Extents:
    """All extents of an element that is not inline.

    Raises:
        Corrupt: They are missing, or for another number of bytes.
    """
    try:
        if element.extents is not None:
            return extent.unpack(element.extents, element.size)
        rows = index.far_rows(snapshot, np.array([element.handle], dtype=np.int64))
        pieces: list[tuple[int, bytes]] = []
        if rows is not None:
            _, _, _, (starts, packed) = rows
            pieces = sorted(zip(starts.to_pylist(), packed.to_pylist(), strict=True))
        whole = [extent.unpack(part) for _, part in pieces]
        found = np.concatenate([extent.none(), *whole])
        if extent.total(found) != element.size:
            raise Corrupt(f"extents are for {extent.total(found)} bytes instead of {element.size}")
    except Corrupt as error:
        _of_element(element.handle, error)
    return found


def _of_element(handle: int, error: Corrupt) -> NoReturn:
    """Say of damage whose content it is."""
    raise Corrupt(
        f"the content of the file with handle {handle} cannot be read: {error.message}",
        file=error.file,
        offset=error.offset,
        hint="other files, and versions of this one with other content, stay readable",
    ) from error


@dataclass(frozen=True, slots=True)
class _Window:
    """Stretches of a content that are looked up.

    Attributes:
        first: Extent that it begins with.
        last: Extent behind its end.
        begins: Offset in the content of each stretch, and of the end.
        places: Where each stretch lies: many raw chunks side by side are one. Codec -1 is a hole.
    """

    first: int
    last: int
    begins: list[int]
    places: list[Place]


class ContentReader:
    """The bytes of one element at one snapshot. Thread-safe.

    What it gives is a view of mapped pages where these hold the bytes as they are, verified when
    they are first looked at. The snapshot must stay pinned for as long as it is read.

    Args:
        index: Where chunks are found.
        packs: Pages of packs.
        snapshot: The snapshot.
        element: The row of the element.
        executor: Who helps with decoding.
    """

    def __init__(
        self,
        index: ChunkIndex,
        packs: PackPages,
        snapshot: Snapshot,
        element: HasContent,
        executor: Executor | None = None,
    ) -> None:
        self._executor = executor
        self.size = element.size
        self._handle = element.handle
        self._index = index
        self._snapshot = snapshot
        self._inline = None if element.inline is None else memoryview(element.inline)
        self._lock = threading.Lock()
        self._bytes = ChunkBytes(index, packs, snapshot)
        self._decoded: OrderedDict[tuple[int, int], memoryview] = OrderedDict()
        self._windows: list[_Window] = []
        self._ahead = _WINDOW_MIN
        if self._inline is not None:
            if len(self._inline) != self.size:
                said = f"it has {len(self._inline)} bytes instead of {self.size}"
                _of_element(self._handle, Corrupt(said))
            self._extents = extent.none()
        else:
            self._extents = extents_of(index, snapshot, element)
        self._starts = extent.starts(self._extents)

    @property
    def extents(self) -> Extents:
        """The content's extents; none of an inline one."""
        return self._extents

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Offset of each extent, and the content's end."""
        return self._starts

    def slices(self, offset: int, length: int) -> list[memoryview]:
        """Views that, one after another, are the bytes of a stretch; it ends with the content.

        Raises:
            Corrupt: Something of it is damaged or missing; the message tells the file's handle.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return []
        if self._inline is not None:
            return [self._inline[offset:end]]
        with self._lock:
            try:
                return list(self._slices(offset, end))
            except Corrupt as error:
                _of_element(self._handle, error)

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes of a stretch, fewer at the end of the content.

        Raises:
            Corrupt: Something of it is damaged or missing.
        """
        return b"".join(self.slices(offset, length))

    def readinto_at(self, offset: int, buffer: memoryview | bytearray) -> int:
        """Read into a buffer; returns the bytes read, fewer at the end of the content.

        Raises:
            Corrupt: Something of it is damaged or missing.
        """
        into, at = memoryview(buffer).cast("B"), 0
        for piece in self.slices(offset, len(into)):
            into[at : at + len(piece)] = piece
            at += len(piece)
        return at

    def close(self) -> None:
        """Let go of the pages. Slices that were given out stay valid."""
        with self._lock:
            self._bytes.close()
            self._decoded.clear()
            self._windows.clear()

    def _slices(self, offset: int, end: int) -> Iterator[memoryview]:
        while offset < end:
            window = self._window_at(offset) or self._look_up(offset, end)
            at = bisect_right(window.begins, offset) - 1
            ahead = at
            while offset < end and at < len(window.places):
                if at == ahead:
                    ahead = self._decode(window, at, end)
                begin, stop = window.begins[at], min(window.begins[at + 1], end)
                yield from self._piece(window.places[at], offset - begin, stop - begin)
                offset, at = stop, at + 1

    def _decode(self, window: _Window, at: int, end: int) -> int:
        """Decode the frames of the next stretches together; returns the stretch behind them."""
        last = min(bisect_left(window.begins, end, at), len(window.places), at + FRAMES_AHEAD)
        if self._executor is not None:
            some = [p[:2] for p in window.places[at:last] if p[4] == Codec.FRAME]
            self._bytes.decode(some, self._executor)
        return last

    def _piece(self, place: Place, start: int, stop: int) -> Iterator[memoryview]:
        pack, at, length, stored, codec, within, _ = place
        if codec == _HOLE:
            while start < stop:
                step = min(stop - start, len(_ZEROS))
                yield _ZEROS[:step]
                start += step
        elif codec == Codec.RAW:
            if stored != length:
                raise Corrupt(f"a chunk takes {stored} bytes instead of {length}")
            yield self._bytes.stored(pack, at + start, stop - start)
        elif codec == Codec.FRAME:
            frame = self._bytes.frame(pack, at)
            if len(frame) < within + length:
                raise Corrupt(f"a frame has {len(frame)} bytes, not {within + length}")
            yield frame[within + start : within + stop]
        else:
            plain = self._decoded.get((pack, at))
            if plain is None:
                plain = self._decoded[pack, at] = memoryview(self._bytes.plain(place))
                if len(self._decoded) > _DECODED_MAX:
                    self._decoded.popitem(last=False)
            yield plain[start:stop]

    def _window_at(self, offset: int) -> _Window | None:
        """A window that is at hand and has an offset."""
        for number, window in enumerate(self._windows):
            if window.begins[0] <= offset < window.begins[-1]:
                if number:
                    self._windows.insert(0, self._windows.pop(number))
                return window
        return None

    def _look_up(self, offset: int, end: int) -> _Window:
        """Find where the extents from an offset on lie; more of them when reads are in order."""
        first = int(self._starts.searchsorted(offset, side="right")) - 1
        last = int(self._starts.searchsorted(end, side="left"))
        ahead = _WINDOW_MIN
        if self._windows and first == self._windows[0].last:
            ahead = min(self._ahead * _WINDOW_GROWTH, _WINDOW_MAX)
        self._ahead = ahead
        last = min(max(first + ahead, min(last, first + _WINDOW_MAX)), self._extents.size)
        self._windows.insert(0, self._located(first, last))
        del self._windows[_WINDOWS_MAX:]
        return self._windows[0]

    def _located(self, first: int, last: int) -> _Window:
        extents = self._extents[first:last]
        solid = np.flatnonzero(~extent.holes(extents))
        words = np.ascontiguousarray(extents["first"][solid])
        seconds = np.ascontiguousarray(extents["second"][solid])
        found = self._index.find_in_order(self._snapshot, words, seconds)
        if not found.there.all():
            raise Corrupt("a chunk of it is not in file_data.chunks")
        starts = self._starts[first : last + 1]
        if not solid.size:
            holes: list[Place] = [_NOWHERE] * (last - first)
            return _Window(first, last, starts.tolist(), holes)
        places = self._index.places(self._snapshot, found.groups, found.positions)
        if (places.lengths != extents["length"][solid]).any():
            raise Corrupt("a chunk of it has another length than its extent")
        self._bytes.note_pages(np.unique(places.packs).tolist())
        raw, framed = places.codecs == Codec.RAW, places.codecs == Codec.FRAME
        ends, inside = places.starts + places.lengths, places.within + places.lengths
        joins = np.zeros(extents.size, dtype=bool)
        joins[solid[1:]] = (
            (places.packs[1:] == places.packs[:-1])
            & (places.codecs[1:] == places.codecs[:-1])
            & (solid[1:] == solid[:-1] + 1)
            & (
                (raw[1:] & (places.starts[1:] == ends[:-1]))
                | (
                    framed[1:]
                    & (places.starts[1:] == places.starts[:-1])
                    & (places.within[1:] == inside[:-1])
                )
            )
        )
        heads = np.flatnonzero(~joins)
        begins = [*starts[heads].tolist(), int(starts[-1])]
        where = np.full(extents.size, -1, dtype=np.int64)
        where[solid] = np.arange(solid.size)
        at = where[heads]
        lengths = np.diff(begins)
        # Of holes, whose place is -1, the last one's is taken and not looked at.
        columns = [c[at].tolist() for c in (places.packs, places.starts, places.codecs)]
        several = zip(*columns, places.within[at].tolist(), strict=True)
        stretches: list[Place] = [
            (pack, start, length, length, codec, within, None)
            for (pack, start, codec, within), length in zip(several, lengths.tolist(), strict=True)
        ]
        for hole in np.flatnonzero(at < 0).tolist():
            stretches[hole] = _NOWHERE
        for delta in np.flatnonzero((at >= 0) & (places.codecs[at] == Codec.DELTA)).tolist():
            stretches[delta] = place_of(places, int(at[delta]))
        return _Window(first, last, begins, stretches)
