"""Tags of elements."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...storage.files.file_error import FileError
from ...storage.files.operations import SetAttributes
from .stored_tree import elements_below
from .stores import expanded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ...storage.files.element import Element
    from ...storage.files.files_snapshot import FilesSnapshot
    from .place import Place
    from .stores import Stores
    from .watch import Watch


def _chosen(names: FilesSnapshot, place: Place, *, recursive: bool) -> Iterator[Element]:
    element = names.get(place.path)
    if recursive and element.is_directory:
        yield from elements_below(names, element)
    else:
        yield element


def shown_tags(
    names: FilesSnapshot, place: Place, *, recursive: bool
) -> Iterator[tuple[str, dict[str, str]]]:
    """Give the tags of an element, and with `recursive` of what is below it, by paths."""
    chosen = _chosen(names, place, recursive=recursive)
    for element in sorted(chosen, key=lambda each: each.path.split("/")):
        yield element.path, dict(element.user_tags or {})


def tag_elements(
    stores: Stores,
    place: Place,
    changes: Mapping[str, str],
    deleted: Collection[str],
    watch: Watch,
    *,
    recursive: bool,
) -> None:
    """Set and remove tags in one transaction.

    Args:
        stores: The stores that take part.
        place: The element; a pattern is expanded.
        changes: Tags to set.
        deleted: Tags to remove.
        watch: Is told what is not there.
        recursive: Everything below a directory as well.

    Raises:
        FileError: The store refuses; nothing was changed.
    """
    operations: list[SetAttributes] = []
    with stores.files(place).snapshot() as names:
        try:
            for each in expanded(names, place):
                for element in _chosen(names, each, recursive=recursive):
                    tags = {**(element.user_tags or {}), **changes}
                    kept = {key: value for key, value in tags.items() if key not in deleted}
                    operations.append(SetAttributes(element.handle, {"user_tags": kept or None}))
        except FileError as error:
            watch.fail(error.errno, place.written, os.strerror(error.errno))
            return
    stores.files(place).run(*operations)
