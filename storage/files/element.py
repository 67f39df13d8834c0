"""Elements: files, directories, links and objects as values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ...errors import Corrupt
from .definition import DIRECTORY, FILE, ROOT_HANDLE, SYMLINK
from .path import join

Tags = Mapping[str, str]

EXTENSION_BYTES_MAX: Final = 16
"""Longer endings are no extensions but parts of names."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element as a row of `elements` has it, under the name that it was found by.

    Attributes:
        handle: Its number for life.
        parent_handle: That of its directory; 0 for the root.
        parent_path: Path of its directory; empty for the root.
        name: Its name; empty for the root.
        extension: What follows the name's last dot; empty where there is none.
        element_type: FILE, DIR, SYMLINK, FIFO, SOCKET, CHR or BLK.
        size: Bytes of content; of a symbolic link those of its target.
        used: Bytes that the store keeps for it; what it shares with others counts for each.
        uid: Owner.
        gid: Group.
        nfs_mode_bits: Permissions, the lowest twelve bits of a mode.
        nlinks: Number of names. Of a directory 2, see `FilesSnapshot.links`.
        major_device: Of a device.
        minor_device: Of a device.
        atime: Last access that somebody noted. Times are nanoseconds since 1970 in UTC.
        mtime: Last change of the content.
        ctime: Last change of the element.
        creation_time: When it was made.
        linked_time: When it got this name.
        symlink_path: Where a symbolic link points.
        content_type: MIME type, where it was told.
        etag: Tells contents apart.
        checksum: Of the content, where it was told.
        version: A new text for each content; greater than those of earlier ones.
        user_tags: Tags, or None.
        user_metadata: Extended attributes `user.*`, or None.
        tenant_id: Whose it is.
        bucket_id: Handle of the bucket that it lies in, or None.
        target: Of a row that is a further name of an element, the handle of that one.
        subdirectory_of: Of a directory the same as `parent_handle`; None for others.
        inline: Content that is short enough to lie in the row.
        extents: What the content consists of, where that is short enough.
        link: Handle of the row that the name stands in, where that is a further one.
        whole: False in listings, which leave `inline` and `extents` out.
    """

    handle: int
    parent_handle: int
    parent_path: str
    name: str
    extension: str = ""
    element_type: str = FILE
    size: int = 0
    used: int = 0
    uid: int = 0
    gid: int = 0
    nfs_mode_bits: int = 0
    nlinks: int = 1
    major_device: int | None = None
    minor_device: int | None = None
    atime: int | None = None
    mtime: int | None = None
    ctime: int | None = None
    creation_time: int | None = None
    linked_time: int | None = None
    symlink_path: str | None = None
    content_type: str | None = None
    etag: str | None = None
    checksum: str | None = None
    version: str | None = None
    user_tags: Tags | None = None
    user_metadata: Tags | None = None
    tenant_id: int | None = 0
    bucket_id: int | None = None
    target: int | None = None
    subdirectory_of: int | None = None
    inline: bytes | None = None
    extents: bytes | None = None
    link: int | None = None
    whole: bool = True

    @property
    def path(self) -> str:
        """Its path."""
        return join(self.parent_path, self.name)

    @property
    def is_directory(self) -> bool:
        """True for directories."""
        return self.element_type == DIRECTORY

    @property
    def is_file(self) -> bool:
        """True for regular files."""
        return self.element_type == FILE

    @property
    def is_symlink(self) -> bool:
        """True for symbolic links."""
        return self.element_type == SYMLINK


def extension_of(name: str) -> str:
    """What follows the last dot of a file's name; a dot that begins it is none."""
    at = name.rfind(".")
    extension = name[at + 1 :]
    if at <= 0 or len(extension.encode("utf-8", "surrogatepass")) > EXTENSION_BYTES_MAX:
        return ""
    return extension


def named_so(name: Element, element: Element | None) -> Element:
    """An element under a further name.

    Args:
        name: The row of the name.
        element: The element that it names.

    Raises:
        Corrupt: The element is not there.
    """
    if element is None:
        raise Corrupt(f"{name.path!r} is a name of an element that does not exist")
    return replace(
        element,
        parent_handle=name.parent_handle,
        parent_path=name.parent_path,
        name=name.name,
        extension=name.extension,
        linked_time=name.linked_time,
        bucket_id=name.bucket_id,
        link=name.handle,
    )


def touched_at(directory: Element, latest: int) -> Element:
    """A directory with its times as they are seen.

    Args:
        directory: The directory as its row has it.
        latest: When something was last added to it or taken out of it; 0 for never.
    """
    if latest <= (directory.ctime or 0):
        return directory
    return replace(directory, mtime=latest, ctime=latest)


def root_element(time_ns: int) -> Element:
    """The root directory of a store to which no file was written yet: whoever writes first's."""
    return Element(
        ROOT_HANDLE,
        0,
        "",
        "",
        element_type=DIRECTORY,
        uid=os.getuid(),
        gid=os.getgid(),
        nfs_mode_bits=0o755,
        nlinks=2,
        atime=time_ns,
        mtime=time_ns,
        ctime=time_ns,
        creation_time=time_ns,
        linked_time=time_ns,
        subdirectory_of=0,
    )
