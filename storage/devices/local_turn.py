"""Turns on the local file system: one small file that whoever has the turn has locked.

Unlike a hold the file stays, and is locked and released without being made and removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from .file_calls import read_failure, write_failure
from .local_hold import decode, encode

if TYPE_CHECKING:
    from .file_calls import FileCalls

_READ_BYTES = 512


class LocalTurn:
    """A locked file that says something.

    Args:
        calls: The operating system.
        path: The file, made when it is missing.

    Raises:
        Unavailable: The device failed.
    """

    __slots__ = ("_calls", "_descriptor", "_path", "_record", "_said")

    def __init__(self, calls: FileCalls, path: str) -> None:
        self._calls = calls
        self._path = path
        self._record = self._said = b""
        self._descriptor = -1
        self._open()

    def _open(self) -> None:
        try:
            with contextlib.suppress(FileExistsError):
                self._calls.mkdir(os.path.dirname(self._path))
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = self._calls.open(self._path, flags, 0o600)
        except OSError as error:
            raise write_failure(error, "take turns") from error

    def take(self) -> bool:
        if self._descriptor < 0:
            self._open()
        try:
            self._calls.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise write_failure(error, "take a turn") from error
        return True

    def give(self) -> None:
        try:
            self._calls.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError:
            self.close()  # which gives it back for certain

    def say(self, content: bytes) -> None:
        if self._descriptor < 0:
            return
        try:
            record = encode(content)
            if self._calls.pwrite(self._descriptor, record, 0) < len(record):
                raise OSError("short write")
        except OSError as error:
            raise write_failure(error, "end a turn") from error

    def said(self) -> bytes:
        if self._descriptor < 0:
            return b""
        try:
            record = self._calls.pread(self._descriptor, _READ_BYTES, 0)
        except OSError as error:
            raise read_failure(error, self._path) from error
        if record != self._record:  # those who wait ask a thousand times a second
            self._record, self._said = record, decode(record) or b""
        return self._said

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self._calls.close(self._descriptor)
            self._descriptor = -1
