"""Writing entries to local directories, never outside of the target.

Every step is made from an open directory by a single name, and no link is followed on the way: what
stands under a name is replaced by what was written beside it and is complete. The target itself is
what the user named, links and all.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from ...errors import Corrupt
from ...storage.files.definition import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    FIFO,
    FILE,
    SOCKET,
    SYMLINK,
)
from ...storage.files.name import bytes_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from .entry import Entry
    from .watch import Watch

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_MAX: Final = 64
"""Directories that are kept open."""
_SPECIAL: Final = {
    FIFO: stat.S_IFIFO,
    SOCKET: stat.S_IFSOCK,
    CHARACTER_DEVICE: stat.S_IFCHR,
    BLOCK_DEVICE: stat.S_IFBLK,
}


class _Directories:
    """Open directories below one, each reached by single names without following a link."""

    def __init__(self, top: bytes) -> None:
        self._open: OrderedDict[tuple[bytes, ...], int] = OrderedDict()
        self._top = os.open(top, _DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in (*self._open.values(), self._top):
            os.close(descriptor)

    def at(self, names: tuple[bytes, ...]) -> int:
        """A descriptor, good until the next call.

        Raises:
            OSError: It is not there, or is a link.
        """
        if not names:
            return self._top
        known = self._open.get(names)
        if known is not None:
            self._open.move_to_end(names)
            return known
        above = self.at(names[:-1])
        found = self._open[names] = os.open(names[-1], _DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        if len(self._open) > _OPEN_MAX:
            os.close(self._open.popitem(last=False)[1])
        return found


class ToLocal:
    """Copies entries to a local directory. What is there under their names is replaced.

    Args:
        watch: Is told what is done, and what cannot be.
        preserve: Keep times and all permissions, and owners where that is allowed.
        clobber: Replace what is there.
    """

    def __init__(self, watch: Watch, *, preserve: bool, clobber: bool) -> None:
        self._watch = watch
        self._preserve = preserve
        self._clobber = clobber
        self._umask = os.umask(0o022)
        os.umask(self._umask)

    def copy(self, entries: Iterable[Entry], target: bytes) -> None:
        """Copy a tree, or a file.

        Args:
            entries: Each directory before what is in it.
            target: Path that the first one gets.

        Raises:
            OSError: The target's directory cannot be made.
        """
        tree = iter(entries)
        first = next(tree)
        top = os.path.abspath(target)
        if not first.is_directory:
            parent, name = os.path.split(top)
            os.makedirs(parent, exist_ok=True)
            with _Directories(parent) as opened:
                self._write(opened, first, (name,))
            return
        made = not os.path.isdir(top)
        os.makedirs(top, exist_ok=True)
        self._watch.note(first)
        finished: list[tuple[tuple[bytes, ...], Entry]] = []
        if made or self._preserve:
            finished.append(((), first))
        refused: set[tuple[str, ...]] = set()
        with _Directories(top) as opened:
            for entry in tree:
                if entry.names[:-1] in refused:
                    done = None
                else:
                    names = tuple(map(_exact, entry.names))
                    done = self._write(opened, entry, names)
                if not entry.is_directory:
                    continue
                if done is None:
                    refused.add(entry.names)
                elif done or self._preserve:
                    finished.append((names, entry))
            for names, entry in reversed(finished):
                self._finish_directory(opened, names, entry)

    def _write(self, opened: _Directories, entry: Entry, names: tuple[bytes, ...]) -> bool | None:
        """Write one entry.

        Returns:
            Whether it is new, None where it could not be written.
        """
        try:
            if entry.is_directory:
                made = self._make_directory(opened, entry, names)
            else:
                made = self._write_file(opened.at(names[:-1]), entry, names[-1])
        except (OSError, Corrupt) as error:
            number = (error.errno if isinstance(error, OSError) else None) or errno.EIO
            self._watch.fail(number, entry.told, _reason(error))
            return None
        if made or entry.is_directory:
            self._watch.note(entry)
        return made

    def _make_directory(self, opened: _Directories, entry: Entry, names: tuple[bytes, ...]) -> bool:
        """Make a directory; False where there is one."""
        try:
            # Ours to write into until it is finished.
            mode = 0o700 | (entry.mode & ~self._umask)
            os.mkdir(names[-1], mode, dir_fd=opened.at(names[:-1]))
        except FileExistsError:
            opened.at(names)
            return False
        return True

    def _finish_directory(
        self, opened: _Directories, names: tuple[bytes, ...], entry: Entry
    ) -> None:
        try:
            self._set_attributes(opened.at(names), entry)
        except OSError as error:
            self._watch.fail(error.errno or errno.EIO, entry.told, _reason(error))

    def _write_file(self, directory: int, entry: Entry, name: bytes) -> bool:
        """Write a file, link or special file; False where there is one that stays."""
        try:
            there = os.lstat(name, dir_fd=directory)
        except FileNotFoundError:
            pass
        else:
            if stat.S_ISDIR(there.st_mode):
                raise IsADirectoryError(errno.EISDIR, "what is there is a directory")
            if not self._clobber:
                return False
        beside = b".%s.pagelake" % os.urandom(8).hex().encode()
        try:
            if entry.element_type == FILE:
                self._write_content(directory, entry, beside)
            elif entry.element_type == SYMLINK:
                os.symlink(bytes_of(entry.link), beside, dir_fd=directory)
            else:
                device = os.makedev(entry.major, entry.minor)
                kind = _SPECIAL[entry.element_type] | (entry.mode & 0o777 & ~self._umask)
                os.mknod(beside, kind, device, dir_fd=directory)
            if entry.element_type != FILE and self._preserve:
                times = entry.atime, entry.mtime
                os.utime(beside, ns=times, dir_fd=directory, follow_symlinks=False)
            os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside, dir_fd=directory)
            raise
        return True

    def _write_content(self, directory: int, entry: Entry, name: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            for piece in entry.pieces():
                rest = piece
                while len(rest):
                    rest = rest[os.write(descriptor, rest) :]
                self._watch.count_bytes(len(piece))
            self._set_attributes(descriptor, entry)
        finally:
            os.close(descriptor)

    def _set_attributes(self, descriptor: int, entry: Entry) -> None:
        mode = entry.mode & 0o777 & ~self._umask
        if self._preserve:
            mode = entry.mode
            try:
                os.fchown(descriptor, entry.uid, entry.gid)
            except PermissionError:
                mode &= 0o777  # another one's set-id bits must not become ours
        os.fchmod(descriptor, mode)
        if self._preserve:
            os.utime(descriptor, ns=(entry.atime, entry.mtime))


def _exact(name: str) -> bytes:
    """The bytes of a name. No store has one that leads out of a directory.

    Raises:
        Corrupt: This one has.
    """
    exact = bytes_of(name)
    if b"/" in exact or b"\0" in exact or exact in {b"", b".", b".."}:
        raise Corrupt(f"an element has the name {name!r}, which none can have")
    return exact


def _reason(error: OSError | Corrupt) -> str:
    if isinstance(error, Corrupt):
        return error.message
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return "what is there is a link or no directory; links are not followed"
    return error.strerror or str(error)
