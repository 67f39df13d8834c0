"""What fsspec tells of an element: `info`, and the entries of `ls` and `find`."""

from __future__ import annotations

import stat
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ....storage.files.element import Element

if TYPE_CHECKING:
    from ....storage.files.files_snapshot import FilesSnapshot

_FORMATS: Final = {
    "FILE": stat.S_IFREG,
    "DIR": stat.S_IFDIR,
    "SYMLINK": stat.S_IFLNK,
    "FIFO": stat.S_IFIFO,
    "SOCKET": stat.S_IFSOCK,
    "CHR": stat.S_IFCHR,
    "BLK": stat.S_IFBLK,
}
_TYPES: Final = {"FILE": "file", "DIR": "directory"}
_TIMES: Final = ("atime", "mtime", "ctime", "creation_time")
_NOT_TOLD: Final = {
    *("inline", "extents", "target", "subdirectory_of", "linked_time", "link", "whole"),
    *("name", "size", *_TIMES),
}
"""Where the content is, how names are found, and what has a form of its own below."""
_COLUMNS: Final = [field.name for field in fields(Element) if field.name not in _NOT_TOLD]


def described(element: Element, path: str) -> dict[str, object]:
    """Return what is told of an element.

    Args:
        element: What is told of.
        path: What it is called here; through a link that is not the element's own path.

    Returns:
        The keys that fsspec has for every file system, those of its local one (times in seconds
        since 1970) and the element's columns.
    """
    told: dict[str, object] = {
        "name": path,
        "size": element.size if element.is_file else 0,
        "type": _TYPES.get(element.element_type, "other"),
    }
    told.update((time, (getattr(element, time) or 0) / 1e9) for time in _TIMES)
    told["created"] = told["creation_time"]
    told["mtime_ns"] = element.mtime
    told["mode"] = _FORMATS.get(element.element_type, 0) | element.nfs_mode_bits
    told["ino"] = element.handle
    told["nlink"] = element.nlinks
    told["islink"] = element.is_symlink
    told.update((column, getattr(element, column)) for column in _COLUMNS)
    return told


def described_link(
    names: FilesSnapshot, link: Element, path: str, *, follow: bool
) -> dict[str, object]:
    """Return what is told of a symbolic link: what is told of a file it leads to.

    Args:
        names: Where it is looked up.
        link: The link.
        path: What it is called here.
        follow: Whether it also stands for a directory. In listings it does not: whoever walks
            would go round in circles.
    """
    from ....storage.files.file_error import FileError

    try:
        found = names.resolve(link.path)
    except FileError:
        found = link
    if found.is_file or (follow and found.is_directory):
        told = described(found, path)
    else:
        told = described(link, path)
    told["islink"] = True
    told["destination"] = told["symlink_path"] = link.symlink_path
    return told


def moment(nanoseconds: int | None) -> datetime:
    """Return a time of an element, in UTC; what is finer than microseconds is cut off."""
    seconds, rest = divmod(nanoseconds or 0, 10**9)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
