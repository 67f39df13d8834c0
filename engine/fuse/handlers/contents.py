"""Requests about bytes: opening, reading, writing, closing."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from ....storage.files.file_error import FileError
from .. import protocol
from ..protocol import Opcode
from ..state import report
from .handler import Answer, Handler, HandlerGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocol import Request

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_ZERO_RANGE: Final = 16


class Contents(HandlerGroup):
    """Handlers of requests about bytes."""

    def handlers(self) -> Mapping[int, Handler]:
        """Who answers which opcode."""
        return {
            Opcode.OPEN: self.open,
            Opcode.READ: self.read,
            Opcode.WRITE: self.write,
            Opcode.FLUSH: self.flush,
            Opcode.FSYNC: self.flush,
            Opcode.RELEASE: self.release,
            Opcode.FALLOCATE: self.fallocate,
        }

    def open(self, request: Request) -> Answer:
        """Open a file at its newest committed bytes.

        The kernel keeps the pages that it has of the file when they are of these very bytes.
        """
        flags, kill = protocol.OPEN.unpack_from(request.body)
        state = self.state
        opened = state.open(request.node)
        element = opened.element
        assert element is not None
        if not element.is_file:
            state.close(opened)
            raise FileError(errno.EISDIR if element.is_directory else errno.ENXIO)
        keep = state.cached_version(request.node) == element.version
        if not keep:
            # The size that the kernel has may be that of earlier bytes.
            state.channel.forget_inode(request.node, pages=False)
            state.note_cached(request.node, element.version)
        if flags & os.O_TRUNC:
            clear = bool(kill & protocol.OPEN_KILL_SUIDGID)
            opened.truncate(0, clear_set_id=clear)
        return [protocol.open_reply(0, protocol.OPEN_KEEP_CACHE if keep else 0)]

    def read(self, request: Request) -> Answer:
        """Read bytes."""
        _, offset, size, _, _, _, _ = protocol.READ.unpack_from(request.body)
        return self.state.opened(request.node).read(offset, size)

    def write(self, request: Request) -> Answer:
        """Write bytes; others see them when the file is closed or synced."""
        _, offset, size, flags, _, _, _ = protocol.WRITE.unpack_from(request.body)
        piece = request.body[protocol.WRITE.size :][:size]
        clear = bool(flags & protocol.WRITE_KILL_SUIDGID)
        self.state.opened(request.node).write(offset, piece, clear_set_id=clear)
        return [protocol.WRITTEN.pack(size, 0)]

    def flush(self, request: Request) -> Answer:
        """Commit what was written: a program closes the file, or wants it to be safe."""
        self.state.commit(self.state.opened(request.node))
        return []

    def release(self, request: Request) -> Answer:
        """Nobody has the file open through this descriptor any more; nobody hears of errors."""
        opened = self.state.opened(request.node)
        try:
            # Pages of a mapping may have been written after the file was closed.
            self.state.commit(opened)
        except Exception as error:  # noqa: BLE001 - it must be let go of all the same
            report(error)
        self.state.close(opened)
        return []

    def fallocate(self, request: Request) -> Answer:
        """Lengthen a file, or make part of it zeros."""
        _, offset, length, mode, _ = protocol.FALLOCATE.unpack_from(request.body)
        if mode & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE):
            raise FileError(errno.EOPNOTSUPP)
        opened = self.state.opened(request.node)
        with opened.lock:
            if mode & (_PUNCH_HOLE | _ZERO_RANGE):
                opened.clear(offset, length)
            if not mode & _KEEP_SIZE and offset + length > opened.size:
                opened.truncate(offset + length, clear_set_id=False)
        return []
