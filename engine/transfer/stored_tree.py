"""Elements of a store as entries to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...storage.files.definition import ELEMENT_COLUMNS
from ...storage.files.path import prefix_of
from ...storage.files.rows import CONTENT, elements_of
from .entry import stored_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...storage.files.element import Element
    from ...storage.files.files_snapshot import FilesSnapshot
    from .entry import Entry, Pieces
    from .place import Place

BLOCK_BYTES: Final = 4 << 20
"""What is read of a file at once."""
_COLUMNS: Final = [column.name for column in ELEMENT_COLUMNS if column.name not in CONTENT]


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
    for element in elements_below(names, top):
        path = element.path
        below = () if element.handle == top.handle else tuple(path[skip:].split("/"))
        told = f"{place.store}:{path}"
        yield stored_entry(below, element, told, _reading(names, element))


def elements_below(names: FilesSnapshot, top: Element) -> Iterator[Element]:
    """Give an element and all below it, without contents: directories before what is in them."""
    for batch in names.subtree(top.path, _COLUMNS):
        arrays = [
            pa.nulls(batch.num_rows, column.arrow_type)
            if column.name in CONTENT
            else batch.column(column.name)
            for column in ELEMENT_COLUMNS
        ]
        yield from elements_of(arrays, whole=False)


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
