"""A watch by fanotify: one mark for a whole file system, whatever the size of the tree. For root.

Source: fanotify(7), fanotify_init(2), fanotify_mark(2), open_by_handle_at(2), linux/fanotify.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from .watcher import Events

if TYPE_CHECKING:
    from .watcher import Area

# FAN_CLOEXEC, FAN_NONBLOCK, FAN_REPORT_DIR_FID, FAN_REPORT_NAME.
INIT: Final = 0x1 | 0x2 | 0x400 | 0x800
MARK_ADD_FILESYSTEM: Final = 0x1 | 0x100
# FAN_ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, and all of them for directories.
# Never opens or reads: a scan would then see itself.
EVENTS: Final = 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x40000000
Q_OVERFLOW: Final = 0x4000
DIRECTORY_AND_NAME: Final = 2
AT_FDCWD: Final = -100

READ_BYTES: Final = 1 << 18
EVENT: Final = struct.Struct("<IBBHQii")
INFO: Final = struct.Struct("<BBH")
HANDLE: Final = struct.Struct("<Ii")
INFO_HANDLE: Final = 12
"""Where the handle begins in an info record: behind its header and the file system's id."""


class NotPermitted(Exception):
    """This way is not open to us, or not on this file system."""


class FanotifyWatcher:
    """A `Watcher` of a file system.

    Args:
        area: The tree.

    Raises:
        NotPermitted: It takes a newer kernel, more rights, or another file system.
    """

    def __init__(self, area: Area) -> None:
        self._area = area
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._descriptor: int = self._libc.fanotify_init(INIT, os.O_RDONLY | os.O_CLOEXEC)
        except AttributeError as error:
            raise NotPermitted from error
        if self._descriptor < 0:
            raise NotPermitted(os.strerror(ctypes.get_errno()))
        self._mounts: list[int] = []
        try:
            self._mark(area.root)
            if not area.one_file_system:
                for point in mounts_below(area.root):
                    with suppress(NotPermitted):  # /proc and its like tell nothing
                        self._mark(point)
        except BaseException:
            self.close()
            raise

    def _mark(self, path: bytes) -> None:
        flags, events = ctypes.c_uint(MARK_ADD_FILESYSTEM), ctypes.c_uint64(EVENTS)
        if self._libc.fanotify_mark(self._descriptor, flags, events, AT_FDCWD, path) < 0:
            raise NotPermitted(os.strerror(ctypes.get_errno()))
        self._mounts.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        probe = self._handle_of(path)
        if probe is None or self._path_of(probe) is None:
            raise NotPermitted("handles cannot be opened")

    def fileno(self) -> int:
        """See `Watcher`."""
        return self._descriptor

    def read(self) -> Events:
        """See `Watcher`."""
        events = Events()
        named: dict[bytes, set[bytes]] = {}
        above, _, own_name = self._area.root.rpartition(b"/")
        while True:
            try:
                buffer = os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                break
            if not buffer:
                break
            events.lost |= parse(buffer, named)
        for handle, names in named.items():
            path = self._path_of(handle)
            if path is None:
                continue  # it is gone: what holds it was told of that
            if self._area.holds(path):
                events.dirty.add(path)
            elif path == (above or b"/") and own_name in names:
                events.dirty.add(self._area.root)
        return events

    def close(self) -> None:
        """See `Watcher`."""
        for descriptor in (self._descriptor, *self._mounts):
            os.close(descriptor)
        self._mounts.clear()

    def _path_of(self, handle: bytes) -> bytes | None:
        """Return where a directory is now; None where it is gone."""
        held = ctypes.create_string_buffer(handle, len(handle))
        for mount in self._mounts:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            descriptor = self._libc.open_by_handle_at(mount, held, flags)
            if descriptor < 0:
                continue
            try:
                path = os.readlink(b"/proc/self/fd/%d" % descriptor)
            finally:
                os.close(descriptor)
            return None if path.endswith(b" (deleted)") and not os.path.lexists(path) else path
        return None

    def _handle_of(self, path: bytes) -> bytes | None:
        buffer = ctypes.create_string_buffer(HANDLE.pack(128, 0) + bytes(128))
        mount = ctypes.c_int()
        found = self._libc.name_to_handle_at(AT_FDCWD, path, buffer, ctypes.byref(mount), 0)
        if found < 0:
            return None
        length, _ = HANDLE.unpack_from(buffer.raw)
        return buffer.raw[: HANDLE.size + length]


def parse(buffer: bytes, named: dict[bytes, set[bytes]]) -> bool:
    """Read events.

    Args:
        buffer: What the kernel gave.
        named: Takes up names by the handles of their directories.

    Returns:
        Whether events were lost.
    """
    lost, at = False, 0
    while at + EVENT.size <= len(buffer):
        length, _, _, header, mask, _, _ = EVENT.unpack_from(buffer, at)
        lost |= bool(mask & Q_OVERFLOW)
        info, end = at + header, at + length
        while info + INFO.size <= end:
            kind, _, size = INFO.unpack_from(buffer, info)
            if kind == DIRECTORY_AND_NAME:
                start = info + INFO_HANDLE
                count, _ = HANDLE.unpack_from(buffer, start)
                behind = start + HANDLE.size + count
                name = buffer[behind : info + size].split(b"\0", 1)[0]
                named.setdefault(buffer[start:behind], set()).add(name)
            info += max(size, INFO.size)
        at += length
    return lost


def mounts_below(root: bytes) -> list[bytes]:
    """Return where other mounts begin below a directory."""
    from ..rescan.network import mount_points
    from .watcher import is_below

    return [point for point in mount_points() if point != root and is_below(point, root)]
