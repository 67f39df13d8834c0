"""Elements of a store as entries to copy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import Corrupt
from ...storage.files.definition import ELEMENT_COLUMNS
from ...storage.files.path import prefix_of
from ...storage.files.rows import elements_of
from .entry import stored_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...storage.content.content_reader import ContentReader
    from ...storage.files.element import Element
    from ...storage.files.files_snapshot import FilesSnapshot
    from .entry import Entry, Pieces
    from .place import Place

BLOCK_BYTES: Final = 4 << 20
"""What is read of a file at once."""
SMALL_BYTES: Final = 1 << 20
"""Files up to this size are read together."""
_GROUP_FILES: Final = 500
_GROUP_BYTES: Final = 64 << 20
_COLUMNS: Final = [column.name for column in ELEMENT_COLUMNS if column.name != "inline"]


def stored_tree(names: FilesSnapshot, place: Place, *, recursive: bool) -> Iterator[Entry]:
    """Give an element, or a directory and what is in it: each directory before its entries.

    Links are entries themselves when trees are copied, and otherwise followed.

    Args:
        names: Where to look.
        place: Its path.
        recursive: Whether to go into directories.

    Raises:
        FileError: There is nothing at the path.
    """
    top = names.get(place.path)
    if not recursive or not top.is_directory:
        if not recursive:
            top = names.resolve(place.path)
        yield stored_entry((), top, place.written, _reading(names, top))
        return
    skip = len(prefix_of(top.path))
    for group in _groups(elements_below(names, top)):
        together = _Together(names, group)
        for element in group:
            path = element.path
            below = () if element.handle == top.handle else tuple(path[skip:].split("/"))
            yield stored_entry(below, element, f"{place.store}:{path}", together.reading(element))
        together.close()


def elements_below(names: FilesSnapshot, top: Element) -> Iterator[Element]:
    """Give an element and all below it: directories before what is in them.

    Short contents, which lie in the rows, are left out; where others lie is not.
    """
    for batch in names.subtree(top.path, _COLUMNS):
        known = pc.is_valid(batch.column("extents"))
        # Directories have none, so they stay before what is in them.
        for rows, whole in ((batch.filter(pc.invert(known)), False), (batch.filter(known), True)):
            arrays = [
                pa.nulls(rows.num_rows, column.arrow_type)
                if column.name == "inline"
                else rows.column(column.name)
                for column in ELEMENT_COLUMNS
            ]
            yield from elements_of(arrays, whole=whole)


def _groups(elements: Iterator[Element]) -> Iterator[list[Element]]:
    """Give elements in lists, none of many bytes of small files."""
    group: list[Element] = []
    size = 0
    for element in elements:
        group.append(element)
        size += element.size if element.size <= SMALL_BYTES else 0
        if len(group) >= _GROUP_FILES or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    yield group


class _Together:
    """Small files that are read as if they were one: what they consist of is looked up at once.

    Args:
        names: Where they are.
        group: Elements of any kind.
    """

    def __init__(self, names: FilesSnapshot, group: list[Element]) -> None:
        self._names = names
        self._reader: ContentReader | None = None
        small = [
            each
            for each in group
            if each.extents is not None and each.is_file and 0 < each.size <= SMALL_BYTES
        ]
        self._offsets: dict[int, int] = {}
        self._whole: Element | None = None
        if len(small) > 1:
            size = 0
            for each in small:
                # A further name of a file finds it where it is already.
                if self._offsets.setdefault(each.handle, size) == size:
                    size += each.size
            once = {each.handle: each for each in reversed(small)}
            extents = b"".join(once[handle].extents or b"" for handle in self._offsets)
            self._whole = replace(small[0], size=size, extents=extents)

    def reading(self, element: Element) -> Pieces:
        """Return what gives the content of an element of the group."""
        offset = self._offsets.get(element.handle)
        if self._whole is None or offset is None:
            return lambda: read_pieces(self._names, element)
        return lambda: self._pieces(element, offset)

    def _pieces(self, element: Element, offset: int) -> Iterator[memoryview]:
        assert self._whole is not None
        try:
            if self._reader is None:
                self._reader = self._names.read(self._whole)
            pieces = self._reader.slices(offset, element.size)
        except Corrupt:
            # Of one of them: by itself each is read, or tells what is wrong with it.
            pieces = list(read_pieces(self._names, element))
        yield from pieces

    def close(self) -> None:
        """Let go of the pages."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _reading(names: FilesSnapshot, element: Element) -> Pieces:
    return lambda: read_pieces(names, element)


def read_pieces(names: FilesSnapshot, element: Element) -> Iterator[memoryview]:
    """Give the content of a file of a store.

    Raises:
        FileError: It has none.
        Corrupt: Something of it is damaged.
    """
    reader = names.read(element)
    try:
        for start in range(0, element.size, BLOCK_BYTES):
            yield from reader.slices(start, min(BLOCK_BYTES, element.size - start))
    finally:
        reader.close()
