"""An entry of a tree that is copied, wherever the tree is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...storage.files.definition import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    SOCKET,
    SYMLINK,
)
from ...storage.files.name import text_of

if TYPE_CHECKING:
    from ...storage.files.element import Element

Pieces = Callable[[], Iterator[memoryview]]
"""Gives the content of a file, in pieces of some MiB at most."""

_TYPES: Final = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
    stat.S_IFCHR: CHARACTER_DEVICE,
    stat.S_IFBLK: BLOCK_DEVICE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory, link or special file that is copied.

    Attributes:
        names: Its names below what is copied, as names of stores are; none for that itself.
        element_type: As in the column of that name.
        size: Bytes of content.
        mode: Permissions.
        uid: Owner.
        gid: Group.
        atime: Nanoseconds since 1970, as `mtime`.
        mtime: When the content was changed last.
        link: Where a symbolic link points, as names of stores are.
        major: Of a device.
        minor: Of a device.
        pieces: Gives the content of a file.
        told: What it is called in messages.
        handle: Of an element; None of a local file.
    """

    names: tuple[str, ...]
    element_type: str
    size: int
    mode: int
    uid: int
    gid: int
    atime: int
    mtime: int
    link: str
    major: int
    minor: int
    pieces: Pieces
    told: str
    handle: int | None = None

    @property
    def is_directory(self) -> bool:
        """True for directories."""
        return self.element_type == DIRECTORY


def _nothing() -> Iterator[memoryview]:
    return iter(())


def local_entry(
    names: tuple[str, ...], path: bytes, found: os.stat_result, pieces: Pieces = _nothing
) -> Entry:
    """Describe a local entry; a link is read.

    Raises:
        OSError: It is gone.
    """
    kind = stat.S_IFMT(found.st_mode)
    return Entry(
        names,
        _TYPES[kind],
        found.st_size if kind == stat.S_IFREG else 0,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_atime_ns,
        found.st_mtime_ns,
        text_of(os.readlink(path)) if kind == stat.S_IFLNK else "",
        os.major(found.st_rdev),
        os.minor(found.st_rdev),
        pieces,
        os.fsdecode(path),
    )


def stored_entry(
    names: tuple[str, ...], element: Element, told: str, pieces: Pieces = _nothing
) -> Entry:
    """Describe an element."""
    return Entry(
        names,
        element.element_type,
        element.size if element.is_file else 0,
        element.nfs_mode_bits,
        element.uid,
        element.gid,
        element.atime or 0,
        element.mtime or 0,
        element.symlink_path or "",
        element.major_device or 0,
        element.minor_device or 0,
        pieces,
        told,
        element.handle,
    )
