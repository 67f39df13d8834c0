"""Refusals of operations on files, with the number that a POSIX program expects."""

from __future__ import annotations

import errno as numbers
import os
from typing import Final

from ...errors import (
    Closed,
    Corrupt,
    Denied,
    Error,
    Interrupted,
    LimitExceeded,
    OperationalError,
    SnapshotGone,
    StorageFull,
    Timeout,
)

_NUMBERS: Final[tuple[tuple[type[Error], int], ...]] = (
    (StorageFull, numbers.ENOSPC),
    (Denied, numbers.EROFS),
    (SnapshotGone, numbers.ESTALE),
    (LimitExceeded, numbers.EFBIG),
    (Timeout, numbers.EBUSY),
    (Interrupted, numbers.EINTR),
    (Closed, numbers.EBADF),
    (Corrupt, numbers.EIO),
)


class FileError(OperationalError):
    """Look at the number: what a file system would answer.

    Args:
        errno: One of the `errno` module's numbers.
        path: What it is about; lone surrogates and control characters are shown escaped.

    Attributes:
        errno: The number.
        path: What it is about.
    """

    code = "file_error"

    def __init__(self, errno: int, path: object = "") -> None:
        name = numbers.errorcode.get(errno, str(errno))
        about = f": {path!r}" if path != "" else ""
        super().__init__(f"[{name}] {os.strerror(errno)}{about}")
        self.errno = errno
        self.path = path

    def __reduce__(self) -> tuple[type[FileError], tuple[int, object]]:
        return FileError, (self.errno, self.path)


def errno_of(error: Error) -> int:
    """The number that a POSIX program is told of an error of whatever kind."""
    if isinstance(error, FileError):
        return error.errno
    for kind, number in _NUMBERS:
        if isinstance(error, kind):
            return number
    return numbers.EIO
