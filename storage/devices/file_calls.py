"""The operating system's file calls that a local device makes, as one replaceable set.

Everything a device asks of the operating system goes through here, so that a test can make
any of these calls fail, and a recorder can note them, without touching the device.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import mmap
import os
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ...errors import Denied, Error, StorageFull, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")
_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What calls fail with when a device is full."""

INTERRUPTS_MAX = 100
"""Interruptions in a row after which a call counts as failed, so that nothing spins forever."""

_NOT_REPEATABLE = frozenset({"close", "fsync", "fdatasync", "link", "link_unnamed"})


def _link_unnamed(descriptor: int, folder: int, name: str) -> None:
    # Naming dst_dir_fd makes CPython call linkat; plain link(2) of a /proc path would cross
    # devices.
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)


_KEEP_SIZE_AND_PUNCH = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """fallocate(2) with offsets of 64 bits, None where the system has none."""
    library = ctypes.CDLL(None, use_errno=True)
    for name in ("fallocate64", "fallocate"):
        call = getattr(library, name, None)
        if call is not None:
            call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
            found: Callable[[int, int, int, int], int] = call
            return found
    return None


def _punch(descriptor: int, offset: int, length: int) -> None:
    # The os module has posix_fallocate only, which cannot give room back.
    fallocate = _fallocate()
    if fallocate is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    if fallocate(descriptor, _KEEP_SIZE_AND_PUNCH, offset, length):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _map(descriptor: int) -> mmap.mmap:
    return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)


@dataclass(frozen=True, slots=True)
class FileCalls:
    """One field a system call, each raising ``OSError`` as the functions of ``os`` do.

    Attributes:
        open: Path, flags, mode -> descriptor.
        close: Descriptor; it is released even when the call fails.
        read: Descriptor, bytes at most -> bytes, empty at the end of the file.
        pread: Descriptor, bytes at most, offset -> bytes.
        writev: Descriptor, buffers -> bytes written, possibly fewer than given.
        pwrite: Descriptor, bytes, offset -> bytes written.
        fsync: Descriptor.
        fdatasync: Descriptor; fsync where there is none (macOS).
        stat: Path -> status.
        fstat: Descriptor -> status.
        link: Existing path, new path; fails when the new path exists.
        link_unnamed: Descriptor of a file without a name, descriptor of a folder, name in it.
        unlink: Path.
        mkdir: Path.
        listdir: Path -> names.
        utime: Path; sets its times to now.
        map: Descriptor -> read-only mapping of the whole file.
        flock: Descriptor, operation.
        punch: Descriptor, offset, length; gives the room of that part of a file back.
    """

    open: Callable[[str, int, int], int] = os.open
    close: Callable[[int], None] = os.close
    read: Callable[[int, int], bytes] = os.read
    pread: Callable[[int, int, int], bytes] = os.pread
    writev: Callable[[int, Sequence[bytes | memoryview]], int] = os.writev
    pwrite: Callable[[int, bytes, int], int] = os.pwrite
    fsync: Callable[[int], None] = os.fsync
    fdatasync: Callable[[int], None] = _fdatasync
    stat: Callable[[str], os.stat_result] = os.stat
    fstat: Callable[[int], os.stat_result] = os.fstat
    link: Callable[[str, str], None] = os.link
    link_unnamed: Callable[[int, int, str], None] = _link_unnamed
    unlink: Callable[[str], None] = os.unlink
    mkdir: Callable[[str], None] = os.mkdir
    listdir: Callable[[str], list[str]] = os.listdir
    utime: Callable[[str], None] = os.utime
    map: Callable[[int], mmap.mmap] = _map
    flock: Callable[[int, int], None] = fcntl.flock
    punch: Callable[[int, int, int], None] = _punch

    def repeating_interrupted(self) -> FileCalls:
        """The same calls, repeated when a signal interrupts them, where that is right.

        Never repeated: syncs (the second one says nothing of what the first one lost), close
        (the descriptor may belong to somebody else by then) and links (the first one may have
        happened, which only the caller can find out).
        """
        repeated = {
            field.name: partial(_repeat, getattr(self, field.name))
            for field in fields(self)
            if field.name not in _NOT_REPEATABLE
        }
        return replace(self, **repeated)


SYSTEM_CALLS: Final = FileCalls()
"""What the operating system does."""


def _repeat(call: Callable[..., _T], *arguments: Any) -> _T:
    for _ in range(INTERRUPTS_MAX):
        try:
            return call(*arguments)
        except InterruptedError:
            continue
    return call(*arguments)


def write_failure(error: OSError, verb: str) -> Unavailable:
    """What a failed call means to the caller, while nothing is published yet."""
    if error.errno in NO_ROOM:
        return StorageFull(
            f"the device has no room left to {verb}; nothing of this transaction was kept",
            hint="free some space and run the statement again",
        )
    return Unavailable(f"the device failed to {verb} ({error.strerror}); nothing was kept")


def read_failure(error: OSError, name: str) -> Error:
    """What it means that an existing file cannot be read."""
    if isinstance(error, PermissionError):
        return Denied(f"{name} cannot be read: {error.strerror}")
    return Unavailable(f"{name} cannot be read: {error.strerror}")
