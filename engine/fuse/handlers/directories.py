"""Requests about directories: listings, with attributes where the kernel wants them.

A listing goes by name, a page at a time from the newest snapshot, so that what is there all the
while is told exactly once, whatever is made or removed meanwhile.
"""

from __future__ import annotations

import errno
import itertools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ....storage.files.file_error import FileError
from ....storage.files.name import bytes_of
from .. import protocol
from ..protocol import Opcode
from ..state import mode_of
from .handler import Answer, Handler, HandlerGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ....storage.files.element import Element
    from ..protocol import Request
    from ..state import MountState

PAGE_ENTRIES: Final = 1000
_DOTS: Final = (b".", b"..")
"""What stands before the first name."""


class DirectoryStream:
    """An open directory: the page of names that is being read, and where earlier ones begin."""

    def __init__(self, state: MountState, element: Element) -> None:
        self._state = state
        self.element = element
        self.lock = threading.Lock()
        self._page: list[Element] = []
        self._number = -1
        self._begins = [""]

    def rewind(self) -> None:
        """Begin anew, with what is there now."""
        self._page, self._number, self._begins = [], -1, [""]

    def from_position(self, position: int) -> list[Element]:
        """Some of the names from the one at a position on, counted from 0; none at the end."""
        number, within = divmod(position, PAGE_ENTRIES)
        if number != self._number:
            self._load(min(number, len(self._begins) - 1))
            while self._number < number and len(self._page) == PAGE_ENTRIES:
                self._load(self._number + 1)
            if self._number < number:
                return []
        return self._page[within:]

    def _load(self, number: int) -> None:
        with self._state.views.newest() as snapshot:
            after = self._begins[number]
            self._page = snapshot.children(self.element.handle, after, PAGE_ENTRIES)
        self._number = number
        if len(self._page) == PAGE_ENTRIES and number == len(self._begins) - 1:
            self._begins.append(self._page[-1].name)


class Directories(HandlerGroup):
    """Handlers of requests about directories."""

    def __init__(self, state: MountState) -> None:
        super().__init__(state)
        self._streams: dict[int, DirectoryStream] = {}
        self._numbers = itertools.count(1)

    def handlers(self) -> Mapping[int, Handler]:
        """Who answers which opcode."""
        return {
            Opcode.OPENDIR: self.open,
            Opcode.READDIR: self.read,
            Opcode.READDIRPLUS: self.read_plus,
            Opcode.RELEASEDIR: self.release,
            Opcode.FSYNCDIR: self.sync,
        }

    def open(self, request: Request) -> Answer:
        """Open a directory."""
        element = self.state.element(request.node)
        if not element.is_directory:
            raise FileError(errno.ENOTDIR)
        number = next(self._numbers)
        self._streams[number] = DirectoryStream(self.state, element)
        return [protocol.open_reply(number, 0)]

    def read(self, request: Request) -> Answer:
        """Tell names."""
        return self._read(request, plus=False)

    def read_plus(self, request: Request) -> Answer:
        """Tell names, each with what LOOKUP would answer."""
        return self._read(request, plus=True)

    def release(self, request: Request) -> Answer:
        """Close a directory."""
        self._streams.pop(protocol.FORGET.unpack_from(request.body)[0], None)
        return []

    def sync(self, _request: Request) -> Answer:
        """Nothing is left to do: every change of names is durable when it is answered."""
        return []

    def _read(self, request: Request, *, plus: bool) -> Answer:
        number, position, room, _, _, _, _ = protocol.READ.unpack_from(request.body)
        stream = self._streams[number]
        with stream.lock:
            if position == 0:
                stream.rewind()
            told = bytearray()
            while True:
                entries = _entries(stream, position)
                if not entries:
                    break
                for element, name in entries:
                    if len(told) + protocol.directory_entry_bytes(name, plus=plus) > room:
                        return [told]
                    position += 1
                    entry = self._entry(element, name) if plus else None
                    told += protocol.directory_entry(
                        element.handle, mode_of(element), name, position, entry=entry
                    )
        return [told]

    def _entry(self, element: Element, name: bytes) -> bytes:
        """What LOOKUP would answer: of an open file with what was written to it."""
        if name in _DOTS:
            return protocol.no_entry()
        return self.state.entry(self.state.shown(element.handle, element))


def _entries(stream: DirectoryStream, position: int) -> list[tuple[Element, bytes]]:
    """Names from a position on, with what they name; empty at the end."""
    if position >= len(_DOTS):
        found = stream.from_position(position - len(_DOTS))
        return [(element, bytes_of(element.name)) for element in found]
    element = stream.element
    parent = replace(element, handle=element.parent_handle or element.handle)
    return list(zip((element, parent), _DOTS, strict=True))[position:]
