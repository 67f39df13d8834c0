"""Mapped files: views without a copy, of bytes that stay as they are.

Room of a file may be given back while others read it (``Device.punch``), and a mapping would
then show zeros under somebody's arrays. Who looks at a large part of a file therefore holds a
shared lock on it until the last view is gone, and who gives room back needs it for itself. The
locks are the kernel's: they reach across processes and end with them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from .file_calls import read_failure

if TYPE_CHECKING:
    import mmap

    from .file_calls import FileCalls

_COPIED_BYTES_MAX = 64 << 10
"""Up to here a copy costs less than a lock."""
_LOOKED_AFTER = 2
"""Mappings that are looked after with each new one."""


class _SharedLock:
    """A shared lock on a file; ends with the object."""

    __slots__ = ("__weakref__", "_calls", "_descriptor")

    def __init__(self, calls: FileCalls, path: str) -> None:
        self._calls = calls
        self._descriptor = -1
        self._descriptor = calls.open(path, os.O_RDONLY | os.O_CLOEXEC, 0)
        calls.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self._calls.close(self._descriptor)


class _LockedBytes(npt.NDArray[np.uint8]):
    """Mapped bytes that keep their file's lock for as long as anybody refers to them."""

    lock: _SharedLock


class Mappings:
    """The mapped files of a directory.

    Args:
        calls: The operating system.
        root: The directory.
        kept_max: Mappings to keep for the next reader.
    """

    def __init__(self, calls: FileCalls, root: str, kept_max: int) -> None:
        self._calls = calls
        self._root = root
        self._kept_max = kept_max
        self._kept: dict[str, mmap.mmap] = {}
        self._locks: WeakValueDictionary[str, _SharedLock] = WeakValueDictionary()
        self._lock = threading.Lock()

    def view(self, name: str, offset: int, length: int) -> memoryview:
        """Return a read-only view of part of a file; see ``Device.map``."""
        if length == 0:
            return memoryview(b"")
        mapped = self._kept.get(name)
        if mapped is None or len(mapped) < offset + length:
            mapped = self._map(name, offset + length)
        if length <= _COPIED_BYTES_MAX:
            return memoryview(mapped[offset : offset + length])
        try:
            lock = self._locks.get(name)
            if lock is None:
                lock = self._locks[name] = _SharedLock(self._calls, f"{self._root}/{name}")
        except OSError:
            # It is being punched, has lost its name, or there are no locks: what is copied now
            # is verified afterwards, and stays.
            return memoryview(mapped[offset : offset + length])
        array = np.frombuffer(mapped, np.uint8, length, offset).view(_LockedBytes)
        array.lock = lock
        return array.data

    def _map(self, name: str, needed: int) -> mmap.mmap:
        with self._lock:
            try:
                mapped = self._map_whole(name, needed)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise read_failure(error, name) from error
            # An older, shorter map is dropped here and freed with its last view.
            self._kept.pop(name, None)
            self._drop_removed()
            self._kept[name] = mapped
            if len(self._kept) > self._kept_max:
                del self._kept[next(iter(self._kept))]
            return mapped

    def _drop_removed(self) -> None:
        """Look whether the oldest files are still there: what others removed takes room until then.

        Two for each new one: none of those that are gone stays for long.
        """
        for name in list(self._kept)[:_LOOKED_AFTER]:
            mapped = self._kept.pop(name)
            with contextlib.suppress(OSError):
                self._calls.stat(f"{self._root}/{name}")
                self._kept[name] = mapped

    def _map_whole(self, name: str, needed: int) -> mmap.mmap:
        descriptor = self._calls.open(f"{self._root}/{name}", os.O_RDONLY | os.O_CLOEXEC, 0)
        try:
            # Checked before mapping: touching pages beyond the end would kill the process.
            if self._calls.fstat(descriptor).st_size < needed:
                raise EOFError(f"{name} is shorter than {needed} bytes")
            return self._calls.map(descriptor)
        finally:
            with contextlib.suppress(OSError):
                self._calls.close(descriptor)

    def forget(self, name: str) -> None:
        """Let go of a file that is to be removed; views that are open stay valid."""
        with self._lock:
            self._kept.pop(name, None)

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self._kept.clear()
