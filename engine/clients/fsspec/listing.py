"""What lies below a directory, read as one range of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ....storage.files.definition import DIRECTORY, ELEMENT_COLUMNS
from ....storage.files.path import join, parent_of, prefix_of
from ....storage.files.rows import CONTENT, elements_of
from .information import described
from .lookup import told_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ....storage.files.element import Element
    from ....storage.files.files_snapshot import FilesSnapshot

Listing = dict[str, object]
"""What is told of entries, by their names."""

_COLUMNS: Final = [column.name for column in ELEMENT_COLUMNS if column.name not in CONTENT]


def entries(
    names: FilesSnapshot, top: Element, path: str, maxdepth: int | None
) -> Iterator[tuple[str, Element]]:
    """Give everything below a directory, itself first unless it is the root.

    Args:
        names: Where to look.
        top: The directory.
        path: What it is called here.
        maxdepth: Levels to go down; all when None.

    Yields:
        Each element with its path, in no certain order.
    """
    if path != "/":
        yield path, top
    if maxdepth == 1:
        for child in names.children(top.handle):
            yield join(path, child.name), child
        return
    for batch in names.subtree(top.path, _COLUMNS):
        arrays = [
            batch.column(column.name)
            if column.name not in CONTENT
            else pa.nulls(batch.num_rows, column.arrow_type)
            for column in ELEMENT_COLUMNS
        ]
        for element in elements_of(arrays, whole=False):
            if element.handle == top.handle:
                continue
            below = element.path[len(prefix_of(top.path)) :]
            if maxdepth is None or below.count("/") < maxdepth:
                yield prefix_of(path) + below, element


def paths_below(
    names: FilesSnapshot, top: Element, path: str, maxdepth: int | None, *, directories: bool
) -> list[str]:
    """Return the paths of what lies below a directory, sorted.

    Args:
        names: Where to look.
        top: The directory.
        path: What it is called here.
        maxdepth: Levels to go down; all when None.
        directories: Whether to list directories, and the top one unless it is the root.
    """
    if maxdepth == 1:
        kept = entries(names, top, path, maxdepth)
        return sorted(told for told, each in kept if directories or not each.is_directory)
    found: list[str] = []
    skip = len(prefix_of(top.path))
    prefix = prefix_of(path)
    for batch in names.subtree(top.path, ["handle", "element_type", "path"]):
        kept = pc.not_equal(batch.column(0), top.handle)
        if not directories:
            kept = pc.and_(kept, pc.not_equal(batch.column(1), DIRECTORY))
        below = (each[skip:] for each in batch.column(2).filter(kept).to_pylist())
        found += [prefix + each for each in below if maxdepth is None or each.count("/") < maxdepth]
    if directories and path != "/":
        found.append(path)
    return sorted(found)


def listings_below(
    names: FilesSnapshot, top: Element, path: str, maxdepth: int | None, *, detail: bool
) -> dict[str, tuple[Listing, Listing]]:
    """Return what is in each directory below one, and in itself: directories, and all else.

    Args:
        names: Where to look.
        top: The directory; a file is in itself, with no name, as fsspec has it.
        path: What it is called here.
        maxdepth: Levels to go down; all when None.
        detail: Whether to give what is told of each; otherwise only its name.

    Returns:
        What is told by name, by the directories' paths; names are sorted.
    """
    if not top.is_directory:
        return {path: ({}, {"": described(top, path) if detail else None})}
    found: dict[str, tuple[Listing, Listing]] = {path: ({}, {})}
    for each, element in entries(names, top, path, maxdepth):
        if each == path:
            continue
        parent, name = parent_of(each)
        listing = found.setdefault(parent, ({}, {}))[not element.is_directory]
        listing[name] = told_of(names, element, each) if detail else None
    for directories, files in found.values():
        for listing in (directories, files):
            ordered = sorted(listing.items())
            listing.clear()
            listing.update(ordered)
    return found


def walked(
    found: dict[str, tuple[Listing, Listing]],
    path: str,
    maxdepth: int | None,
    *,
    topdown: bool,
    detail: bool,
) -> Iterator[tuple[str, Any, Any]]:
    """Give directories with what is in them, as fsspec's `walk` does.

    Args:
        found: What is in each.
        path: The directory to begin with.
        maxdepth: Levels of directories to give; all when None.
        topdown: Each before those in it: names may be taken out of what was given, and are not
            gone into then. Otherwise after them.
        detail: Whether to give what is told of each by name, and no lists of names.
    """
    waiting, done = [(path, 1)], []
    while waiting:
        at, depth = waiting.pop()
        directories, files = found.get(at, ({}, {}))
        given = (at, directories, files) if detail else (at, list(directories), list(files))
        if topdown:
            yield given
        else:
            done.append(given)
        if depth == maxdepth:
            continue
        deeper = [(join(at, name), depth + 1) for name in given[1]]
        # What is given in the end backwards is gone through forwards.
        waiting += reversed(deeper) if topdown else deeper
    yield from reversed(done)
