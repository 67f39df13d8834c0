"""What a mount knows: which files are open, and what the kernel was told.

The number of an inode is the element's handle, for life, so that renames, further hard links and
the removal of open files need nothing here. Of inodes that are not open only a count is kept: how
often the kernel was told of them.
"""

from __future__ import annotations

import errno
import stat
import sys
import threading
import traceback
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ...storage.files import definition
from ...storage.files.file_error import FileError
from . import protocol
from .directory_attributes import DirectoryAttributes
from .open_file import OpenFile
from .write_session import Writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...storage.files.element import Element
    from ...storage.files.files import Files
    from ...storage.store import Store
    from .channel import Channel
    from .views import Views

CACHE_NS_DEFAULT: Final = 10**9
"""How long the kernel may answer for a name and its attributes without asking."""
UNCHANGING_CACHE_NS: Final = 3600 * 10**9
"""The same where nothing changes: in the past."""
VERSIONS_MAX: Final = 65_536
"""Files of which is remembered which bytes the kernel's page cache has."""
BELIEFS_MAX: Final = 8192
"""Changes through this mount that are told from those of others: of the last moments."""
DEPARTED_MAX: Final = 4096
"""Removed elements of which is remembered what they were."""

_KINDS: Final = {
    definition.FILE: stat.S_IFREG,
    definition.DIRECTORY: stat.S_IFDIR,
    definition.SYMLINK: stat.S_IFLNK,
    definition.FIFO: stat.S_IFIFO,
    definition.SOCKET: stat.S_IFSOCK,
    definition.CHARACTER_DEVICE: stat.S_IFCHR,
    definition.BLOCK_DEVICE: stat.S_IFBLK,
}
TYPES: Final = {kind: element_type for element_type, kind in _KINDS.items()}
"""Element types by the kind that a mode tells."""


@dataclass(slots=True)
class Granted:
    """What the kernel agreed to do."""

    writeback: bool = False


class MountState:
    """Everything that handlers share; thread-safe.

    Args:
        files: The store's files.
        store: The store.
        views: Snapshots of them.
        channel: Where the kernel is told that something changed.
        cache_ns: How long the kernel may answer without asking.
    """

    def __init__(
        self, files: Files, store: Store, views: Views, channel: Channel, *, cache_ns: int
    ) -> None:
        self.files = files
        self._writing = Writing(store, files.content)
        self.views = views
        self.channel = channel
        self.cache_ns = cache_ns
        self.granted = Granted()
        self.directories = DirectoryAttributes()
        self._lock = threading.Lock()
        self._lookups: dict[int, int] = {}
        self._open: dict[int, OpenFile] = {}
        self._cached: OrderedDict[int, str | None] = OrderedDict()
        self._departed: OrderedDict[int, Element] = OrderedDict()
        self._names: OrderedDict[tuple[int, str], int | None] = OrderedDict()
        self._times: OrderedDict[int, int | None] = OrderedDict()

    # Elements

    def element(self, handle: int) -> Element:
        """An element as programs in this mount see it.

        Raises:
            FileError: ESTALE.
        """
        known = self.directories.get(handle)
        if known is not None:
            return known
        begun = self.directories.begin()
        with self.views.newest() as snapshot:
            found = snapshot.by_handle(handle)
        if found is not None and found.is_directory:
            self.directories.note(found, begun)
        return self.shown(handle, found)

    def shown(self, handle: int, found: Element | None) -> Element:
        """The same of an element that was looked up: with what is not committed yet."""
        opened = self._open.get(handle)
        if opened is not None and opened.element is not None:
            # What was found may be older than a commit that has ended since, of bytes that were
            # still to come then; none ends while it is looked up again.
            with opened.lock, self.views.newest() as snapshot:
                return opened.shown(snapshot.by_handle(handle))
        if found is None:
            found = self._departed.get(handle)
            if found is None:
                raise FileError(errno.ESTALE)
        return found

    def attributes(self, element: Element) -> protocol.Attributes:
        """What `stat` tells of an element."""
        used = max(element.used, 1) if element.size else 0
        device = 0
        if element.major_device is not None:
            device = protocol.device_number(element.major_device, element.minor_device or 0)
        return protocol.Attributes(
            element.handle, mode_of(element), element.size, used, element.atime or 0,
            element.mtime or 0, element.ctime or 0, element.nlinks, element.uid, element.gid,
            device,
        )  # fmt: skip

    def attributes_reply(self, element: Element) -> bytes:
        """A reply to GETATTR and SETATTR."""
        return protocol.attributes_reply(self.attributes(element), self.cache_ns)

    def entry(self, element: Element) -> bytes:
        """A reply to LOOKUP and its like; the kernel forgets the inode again one day."""
        with self._lock:
            self._lookups[element.handle] = self._lookups.get(element.handle, 0) + 1
        return protocol.entry_reply(self.attributes(element), self.cache_ns)

    def forget(self, handle: int, count: int) -> None:
        """The kernel has forgotten an inode as often as told."""
        with self._lock:
            left = self._lookups.get(handle, 0) - count
            if left > 0:
                self._lookups[handle] = left
            else:
                self._lookups.pop(handle, None)

    def knows(self, handle: int) -> bool:
        """Tell whether the kernel knows an inode."""
        return handle in self._lookups

    def depart(self, element: Element) -> None:
        """Remember an element that has lost a name, for those who still hold it."""
        if element.nlinks > 1 and not element.is_directory:
            return
        self._note(self._departed, element.handle, replace(element, nlinks=0), DEPARTED_MAX)

    # What the kernel believes, because it was changed through it

    def note_name(self, parent: int, name: str, handle: int | None) -> None:
        """The kernel knows what a name names, or that it names nothing."""
        self._note(self._names, (parent, name), handle, BELIEFS_MAX)

    def note_row(self, element: Element) -> None:
        """The kernel knows an element as it is now."""
        self._note(self._times, element.handle, element.ctime, BELIEFS_MAX)

    def believes_name(self, parent: int, name: str, handle: int | None) -> bool:
        """Tell whether the kernel is known to know what a name names."""
        return self._names.get((parent, name), -1) == handle

    def believes_row(self, element: Element) -> bool:
        """Tell whether the kernel is known to know an element as it is now."""
        return self._times.get(element.handle, -1) == element.ctime

    def _note(self, notes: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
        with self._lock:
            notes[key] = value
            notes.move_to_end(key)
            if len(notes) > most:
                notes.popitem(last=False)

    # Open files

    def open(self, handle: int, made: Element | None = None) -> OpenFile:
        """Open a file once more; `close` is due for each time.

        Args:
            handle: The file's.
            made: The file, when it has just been made and cannot have changed.

        Raises:
            FileError: ESTALE.
        """
        with self._lock:
            opened = self._open.get(handle)
            if opened is None:
                opened = self._open[handle] = OpenFile(
                    self.files, self._writing, self.views, handle
                )
            opened.opens += 1
        try:
            if made is None or opened.element is not None:
                opened.renew()
            else:
                opened.begin_with(made)
        except BaseException:
            self.close(opened)
            raise
        return opened

    def opened(self, handle: int) -> OpenFile:
        """An open file.

        Raises:
            FileError: EBADF.
        """
        try:
            return self._open[handle]
        except KeyError:
            raise FileError(errno.EBADF) from None

    def if_open(self, handle: int) -> OpenFile | None:
        """An open file, or None."""
        return self._open.get(handle)

    def close(self, opened: OpenFile) -> None:
        """Undo one `open`; the last one lets go of the file."""
        with self._lock:
            opened.opens -= 1
            unused = not opened.opens
            if unused:
                del self._open[opened.handle]
        if unused:
            opened.close()

    @contextmanager
    def briefly_open(self, handle: int) -> Iterator[OpenFile]:
        """Open a file for one request."""
        opened = self.open(handle)
        try:
            yield opened
        finally:
            self.close(opened)

    def commit(self, opened: OpenFile) -> None:
        """Commit what was written to a file, and note that the kernel has these very bytes."""
        try:
            committed = opened.commit()
        except BaseException:
            # The pages that the kernel has are those of the bytes that were lost.
            self.note_cached(opened.handle, None)
            raise
        if committed is not None:
            self.note_cached(opened.handle, committed.version)
            self.note_row(committed)

    def open_files(self) -> list[OpenFile]:
        """All open files."""
        with self._lock:
            return list(self._open.values())

    def commit_all(self) -> None:
        """Commit what is left when the mount ends."""
        for opened in self.open_files():
            try:
                self.commit(opened)
            except Exception as error:  # noqa: BLE001 - one file must not keep the others open
                report(error)

    # The kernel's page cache

    def cached_version(self, handle: int) -> str | None:
        """Which bytes of a file the kernel may hold; None when nothing is known of it."""
        return self._cached.get(handle)

    def note_cached(self, handle: int, version: str | None) -> None:
        """Remember which bytes of a file the kernel may hold."""
        self._note(self._cached, handle, version, VERSIONS_MAX)


def mode_of(element: Element) -> int:
    """Kind and permissions as `stat` has them."""
    return _KINDS[element.element_type] | element.nfs_mode_bits & 0o7777


def report(error: BaseException) -> None:
    """Tell whoever runs the mount of an error that no program can do anything about."""
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
