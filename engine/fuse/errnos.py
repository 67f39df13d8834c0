"""Which errno a program is told when something was refused or failed."""

from __future__ import annotations

import errno

from ...errors import (
    Closed,
    Conflict,
    Corrupt,
    Denied,
    Interrupted,
    LimitExceeded,
    SnapshotGone,
    StorageFull,
    Timeout,
    Unsupported,
)
from ...storage.files.file_error import FileError

_ERRNOS: dict[type[BaseException], int] = {
    Closed: errno.ENOTCONN,
    Conflict: errno.EBUSY,
    Corrupt: errno.EIO,
    Denied: errno.EROFS,
    Interrupted: errno.EINTR,
    LimitExceeded: errno.EFBIG,
    MemoryError: errno.ENOMEM,
    SnapshotGone: errno.ESTALE,
    StorageFull: errno.ENOSPC,
    Timeout: errno.EBUSY,
    Unsupported: errno.EOPNOTSUPP,
}


def errno_of(error: BaseException) -> int:
    """The number for an error; EIO for those that no program can do anything about."""
    if isinstance(error, FileError | OSError):
        return error.errno or errno.EIO
    for ancestor in type(error).__mro__:
        if ancestor in _ERRNOS:
            return _ERRNOS[ancestor]
    return errno.EIO


def is_expected(error: BaseException) -> bool:
    """Tell whether an error is an answer, and none that whoever runs the mount must hear of."""
    return isinstance(error, FileError) or errno_of(error) != errno.EIO
