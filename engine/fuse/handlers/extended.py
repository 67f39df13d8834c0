"""Requests about extended attributes: `user.*` are an element's metadata and tags.

`user.pagelake.tag.NAME` is the tag NAME (`user_tags`), every other `user.NAME` the metadata NAME
(`user_metadata`). Values are bytes: those that are no UTF-8 are written as names are.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ....storage.files.file_error import FileError
from ....storage.files.name import bytes_of, text_of
from .. import protocol
from ..protocol import Opcode
from .attributes import Amend
from .handler import Answer, Handler, HandlerGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ....storage.files.element import Element
    from ..protocol import Request

_USER: Final = b"user."
_TAG: Final = b"user.pagelake.tag."
VALUES_BYTES_MAX: Final = 64 << 10
"""Names and values of all extended attributes of an element together, as file systems have it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an extended attribute is kept: a column and a key in it."""

    column: str
    key: str

    @staticmethod
    def of(name: bytes) -> _Place:
        if name.startswith(_TAG) and len(name) > len(_TAG):
            return _Place("user_tags", text_of(name[len(_TAG) :]))
        if name.startswith(_USER) and len(name) > len(_USER):
            return _Place("user_metadata", text_of(name[len(_USER) :]))
        raise FileError(errno.EOPNOTSUPP)

    def values(self, element: Element) -> Mapping[str, str]:
        return getattr(element, self.column) or {}


class ExtendedAttributes(HandlerGroup):
    """Handlers of requests about extended attributes."""

    def handlers(self) -> Mapping[int, Handler]:
        """Who answers which opcode."""
        return {
            Opcode.GETXATTR: self.get,
            Opcode.LISTXATTR: self.list,
            Opcode.SETXATTR: self.set,
            Opcode.REMOVEXATTR: self.remove,
        }

    def get(self, request: Request) -> Answer:
        """Tell a value, or how long it is."""
        room, _ = protocol.GETXATTR.unpack_from(request.body)
        place = _Place.of(request.name(protocol.GETXATTR.size))
        values = place.values(self.state.element(request.node))
        if place.key not in values:
            raise FileError(errno.ENODATA)
        return _sized(bytes_of(values[place.key]), room)

    def list(self, request: Request) -> Answer:
        """Tell all names, or how long they are."""
        room, _ = protocol.GETXATTR.unpack_from(request.body)
        element = self.state.element(request.node)
        names = [_USER + bytes_of(key) for key in element.user_metadata or ()]
        names += [_TAG + bytes_of(key) for key in element.user_tags or ()]
        return _sized(b"".join(name + b"\0" for name in names), room)

    def set(self, request: Request) -> Answer:
        """Set a value."""
        size, flags = protocol.SETXATTR.unpack_from(request.body)
        rest = bytes(request.body[protocol.SETXATTR.size :])
        name, _, value = rest.partition(b"\0")
        place = _Place.of(name)
        text = text_of(value[:size])

        def changes(element: Element) -> dict[str, object]:
            values = dict(place.values(element))
            if flags & protocol.XATTR_CREATE and place.key in values:
                raise FileError(errno.EEXIST)
            if flags & protocol.XATTR_REPLACE and place.key not in values:
                raise FileError(errno.ENODATA)
            values[place.key] = text
            if sum(len(bytes_of(k)) + len(bytes_of(v)) for k, v in values.items()) > (
                VALUES_BYTES_MAX
            ):
                raise FileError(errno.ENOSPC)
            return {place.column: values}

        self.state.files.run(Amend(request.node, changes))
        self.state.directories.forget(request.node)
        return []

    def remove(self, request: Request) -> Answer:
        """Remove a value."""
        place = _Place.of(request.name())

        def changes(element: Element) -> dict[str, object]:
            values = dict(place.values(element))
            if values.pop(place.key, None) is None:
                raise FileError(errno.ENODATA)
            return {place.column: values or None}

        self.state.files.run(Amend(request.node, changes))
        self.state.directories.forget(request.node)
        return []


def _sized(value: bytes, room: int) -> Answer:
    """A value, or its length where the program asks for that."""
    if not room:
        return [protocol.GETXATTR.pack(len(value), 0)]
    if len(value) > room:
        raise FileError(errno.ERANGE)
    return [value]
