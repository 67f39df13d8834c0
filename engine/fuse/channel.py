"""Requests from /dev/fuse, replies and notifications to it."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from . import protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .protocol import Buffer

_TRY_AGAIN: Final = {errno.EINTR, errno.EAGAIN, errno.ENOENT}
"""ENOENT: the request was taken back while it was read."""
PARTS_MAX: Final = 1000
"""The system takes at most 1,024 parts in one call."""


class Channel:
    """The connection with the kernel; usable from several threads.

    Args:
        descriptor: Of /dev/fuse; closed with the channel.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def receive(self, buffer: bytearray) -> int | None:
        """Wait for a request.

        Args:
            buffer: Where it goes, of `protocol.REQUEST_BYTES_MAX` bytes.

        Returns:
            Its length in bytes; None once the mount is gone.
        """
        while True:
            try:
                return os.readv(self._descriptor, [buffer])
            except OSError as error:
                if error.errno in {errno.ENODEV, errno.EBADF}:
                    return None
                if error.errno not in _TRY_AGAIN:
                    raise

    def reply(self, unique: int, error: int, parts: Sequence[Buffer] = ()) -> None:
        """Answer a request: with an errno, or 0 and a body."""
        if len(parts) > PARTS_MAX:
            parts = [b"".join(parts)]
        # The request may have been interrupted, and the mount may be gone: nobody waits then.
        with suppress(FileNotFoundError):
            self._send(protocol.reply(unique, error, parts))

    def forget_inode(self, node: int, *, pages: bool) -> None:
        """Let the kernel drop an inode's attributes, and with `pages` what it holds of the bytes.

        With `pages` it may wait for pages that are being read: not for threads that answer reads.
        """
        with suppress(OSError):  # one that the kernel does not know
            self._send(protocol.forget_inode(node, 0 if pages else -1, 0))

    def forget_entry(self, parent: int, name: bytes) -> None:
        """Let the kernel look a name up anew.

        It may wait for a change of that directory: not for threads that answer changes.
        """
        with suppress(OSError):
            self._send(protocol.forget_entry(parent, name))

    def close(self) -> None:
        """End the connection; what programs ask for fails from then on."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _send(self, parts: list[Buffer]) -> None:
        try:
            os.writev(self._descriptor, parts)
        except OSError as error:
            if error.errno not in {errno.ENODEV, errno.EBADF}:
                raise
