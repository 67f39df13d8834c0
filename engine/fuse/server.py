"""Hands the kernel's requests to their handlers, in several threads."""

from __future__ import annotations

import errno
import threading
import time
from typing import TYPE_CHECKING, Final

from ...errors import Unsupported
from . import protocol
from .errnos import errno_of, is_expected
from .protocol import Capability, Opcode, Request
from .state import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .channel import Channel
    from .handlers.handler import Handler, HandlerGroup
    from .state import MountState

THREADS: Final = 8
"""More than cores: most requests wait for a commit, and those that wait together share one."""
READAHEAD_BYTES: Final = 1 << 20

_WANTED: Final = (
    Capability.ASYNC_READ
    | Capability.ATOMIC_O_TRUNC
    | Capability.BIG_WRITES
    | Capability.DO_READDIRPLUS
    | Capability.READDIRPLUS_AUTO
    | Capability.ASYNC_DIO
    | Capability.PARALLEL_DIROPS
    | Capability.MAX_PAGES
    | Capability.CACHE_SYMLINKS
    | Capability.EXPLICIT_INVAL_DATA
    | Capability.HANDLE_KILLPRIV_V2
)
_UNANSWERED: Final = {Opcode.FORGET, Opcode.BATCH_FORGET}


class Server:
    """Serves one mount.

    Args:
        channel: The connection with the kernel.
        state: What the mount knows.
        groups: Who answers what.
        writeback: Let the kernel hold writes back and join them.
    """

    def __init__(
        self,
        channel: Channel,
        state: MountState,
        groups: Iterable[HandlerGroup],
        *,
        writeback: bool,
    ) -> None:
        self._channel = channel
        self._state = state
        self._handlers: dict[int, Handler] = {}
        for group in groups:
            self._add(group.handlers())
        self._wanted = _WANTED | (Capability.WRITEBACK_CACHE if writeback else Capability(0))
        self._threads = [
            threading.Thread(target=self._serve, name=f"pagelake-fuse-{number}", daemon=True)
            for number in range(THREADS)
        ]

    def _add(self, handlers: Mapping[int, Handler]) -> None:
        assert not self._handlers.keys() & handlers.keys()
        self._handlers |= handlers

    def start(self) -> None:
        """Agree with the kernel on what is done how, and serve from then on.

        Raises:
            Unsupported: The kernel is too old.
        """
        buffer = bytearray(protocol.REQUEST_BYTES_MAX)
        length = self._channel.receive(buffer)
        if length is None:
            raise Unsupported("the mount was removed before it was served")
        request = Request.of(memoryview(buffer)[:length])
        assert request.opcode == Opcode.INIT
        major, minor, ahead, offered = protocol.init_request(request.body)
        if (major, minor) < (protocol.MAJOR, protocol.MINOR_MIN):
            self._channel.reply(request.unique, errno.EPROTO)
            raise Unsupported(f"the kernel speaks FUSE {major}.{minor}, and 7.31 is needed")
        granted = self._wanted & offered
        self._state.granted.writeback = bool(granted & Capability.WRITEBACK_CACHE)
        told = protocol.init_reply(minor, min(ahead, READAHEAD_BYTES), granted)
        self._channel.reply(request.unique, 0, [told])
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the mount is gone; False when that takes longer."""
        self._threads[0].join(seconds)
        return not self._threads[0].is_alive()

    def join(self, seconds: float) -> None:
        """Wait for all threads, so long together, once the mount is gone."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _serve(self) -> None:
        buffer = bytearray(protocol.REQUEST_BYTES_MAX)
        view = memoryview(buffer)
        while (length := self._channel.receive(buffer)) is not None:
            self._answer(Request.of(view[:length]))

    def _answer(self, request: Request) -> None:
        handler = self._handlers.get(request.opcode)
        if handler is None:
            if request.opcode != Opcode.DESTROY:
                # The kernel does not ask again, and does without.
                self._channel.reply(request.unique, errno.ENOSYS)
            return
        try:
            answer = handler(request)
        except Exception as error:  # noqa: BLE001 - every failure is somebody's errno
            if not is_expected(error):
                report(error)
            if request.opcode not in _UNANSWERED:
                self._channel.reply(request.unique, errno_of(error))
            return
        if answer is not None:
            self._channel.reply(request.unique, 0, answer)
