"""A watch by inotify: one for each directory, which anybody may have, up to a limit.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING, Final

from ....errors import LimitExceeded, Unavailable
from .watcher import Events, is_below

if TYPE_CHECKING:
    from .watcher import Area

INIT: Final = os.O_NONBLOCK | os.O_CLOEXEC
# IN_ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE; IN_ONLYDIR, IN_DONT_FOLLOW.
EVENTS: Final = 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200
FLAGS: Final = 0x01000000 | 0x02000000
MOVED_FROM: Final = 0x40
ARRIVED: Final = 0x80 | 0x100
UNMOUNT, Q_OVERFLOW, IGNORED, ISDIR = 0x2000, 0x4000, 0x8000, 0x40000000

READ_BYTES: Final = 1 << 18
EVENT: Final = struct.Struct("<iIII")


class InotifyWatcher:
    """A `Watcher` of directories.

    Args:
        area: The tree.

    Raises:
        LimitExceeded: It has more directories than may be watched.
        Unavailable: The system gives no watch at all.
    """

    def __init__(self, area: Area) -> None:
        self._area = area
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.inotify_init1(INIT)
        if self._descriptor < 0:
            reason = os.strerror(ctypes.get_errno())
            raise Unavailable(f"the tree cannot be watched: {reason}")
        self._paths: dict[int, bytes] = {}
        try:
            self._device = os.lstat(area.root).st_dev
            self._add(area.root)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """See `Watcher`."""
        return self._descriptor

    def read(self) -> Events:
        """See `Watcher`."""
        events = Events()
        while True:
            try:
                buffer = os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                break
            at = 0
            while at + EVENT.size <= len(buffer):
                watch, mask, _, length = EVENT.unpack_from(buffer, at)
                name = buffer[at + EVENT.size : at + EVENT.size + length].rstrip(b"\0")
                at += EVENT.size + length
                self._take(watch, mask, name, events)
        if events.lost:
            # New directories may have been among what was lost.
            events.dirty |= set(self._add(self._area.root))
        return events

    def close(self) -> None:
        """See `Watcher`."""
        os.close(self._descriptor)

    def _take(self, watch: int, mask: int, name: bytes, events: Events) -> None:
        if mask & (Q_OVERFLOW | UNMOUNT):
            events.lost = True
            return
        if mask & IGNORED:
            self._paths.pop(watch, None)
            return
        directory = self._paths.get(watch)
        if directory is None:
            return
        events.dirty.add(directory)
        if mask & ISDIR and name:
            path = os.path.join(directory, name)
            if mask & MOVED_FROM:
                self._forget(path)
            elif mask & ARRIVED:
                # Watched first and listed later, so that nothing comes between.
                events.dirty |= set(self._add(path))

    def _add(self, top: bytes) -> list[bytes]:
        """Watch a directory and all below it; returns their paths."""
        found: list[bytes] = []
        waiting = [top]
        while waiting:
            path = waiting.pop()
            if self._area.is_apart(path) or not self._watch(path):
                continue
            found.append(path)
            try:
                with os.scandir(path) as entries:
                    waiting += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
            except OSError:
                continue  # it is gone or may not be read: the scan tells
        return found

    def _watch(self, path: bytes) -> bool:
        if self._area.one_file_system:
            try:
                if os.lstat(path).st_dev != self._device:
                    return False
            except OSError:
                return False
        watch = self._libc.inotify_add_watch(self._descriptor, path, EVENTS | FLAGS)
        if watch >= 0:
            self._paths[watch] = path
            return True
        number = ctypes.get_errno()
        if number == errno.ENOSPC:
            raise LimitExceeded(
                f"the tree has more directories than may be watched ({len(self._paths):,} are)",
                hint="raise fs.inotify.max_user_watches, or watch as root",
            )
        return False

    def _forget(self, top: bytes) -> None:
        """End the watches of a directory that moved: it gets others where it arrives."""
        gone = [watch for watch, path in self._paths.items() if is_below(path, top)]
        for watch in gone:
            self._libc.inotify_rm_watch(self._descriptor, watch)
            del self._paths[watch]
