"""The number that a POSIX program is told of an error."""

from __future__ import annotations

import errno as numbers
from typing import Final

from ...errors import (
    Closed,
    Corrupt,
    Denied,
    Error,
    FileError,
    Interrupted,
    LimitExceeded,
    SnapshotGone,
    StorageFull,
    Timeout,
)

__all__ = ["FileError", "errno_of"]

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


def errno_of(error: Error) -> int:
    """The number that a POSIX program is told of an error of whatever kind."""
    if isinstance(error, FileError):
        return error.errno
    for kind, number in _NUMBERS:
        if isinstance(error, kind):
            return number
    return numbers.EIO
