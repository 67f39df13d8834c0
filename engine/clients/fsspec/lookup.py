"""Finding files: where paths lead, and what is told of what is there."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ....storage.files.file_error import FileError
from ....storage.files.path import join, parent_of
from .information import described, described_link

if TYPE_CHECKING:
    from ....storage.files.element import Element
    from ....storage.files.files_snapshot import FilesSnapshot


def target_of(names: FilesSnapshot, path: str) -> tuple[str, Element | None]:
    """Return where a path leads for writing, and what is there: links on the way are followed.

    Raises:
        FileError: A link leads in circles, or nowhere.
    """
    try:
        found = names.get(path)
    except FileError as error:
        if error.errno == errno.ENOENT:
            return path, None
        if error.errno != errno.ENOTDIR:
            raise
        # There may be a link on the way; a file is refused later.
        parent, name = parent_of(path)
        path = join(names.resolve(parent).path, name)
        return path, names.find(path)
    if found.is_symlink:
        found = names.resolve(path)
    return found.path, found


def file_of(names: FilesSnapshot, path: str) -> Element:
    """Return the file that a path leads to.

    Raises:
        FileError: There is none, or something else.
    """
    element = names.resolve(path)
    if not element.is_file:
        raise FileError(errno.EISDIR if element.is_directory else errno.ENXIO, path)
    return element


def told_of(names: FilesSnapshot, element: Element, path: str) -> dict[str, object]:
    """Return what a listing tells of an element."""
    if element.is_symlink:
        return described_link(names, element, path, follow=False)
    return described(element, path)


def read_range(names: FilesSnapshot, element: Element, start: int | None, end: int | None) -> bytes:
    """Return bytes of a file, from `start` to `end`, which count from its end when negative."""
    first, last, _ = slice(start, end).indices(element.size)
    reader = names.read(element)
    try:
        return reader.read_at(first, max(last - first, 0))
    finally:
        reader.close()
