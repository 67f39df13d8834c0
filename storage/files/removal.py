"""Operations that remove names: unlink, rmdir, and a tree at once."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .definition import LINK
from .file_error import FileError

if TYPE_CHECKING:
    from .element import Element
    from .namespace import Below, NamespaceView, Place


def remove_name(view: NamespaceView, row: Element) -> None:
    """Remove one name; the element stays while it has another one.

    Args:
        view: The view.
        row: A row that is no directory's: the element's own, or that of a further name.
    """
    if row.element_type == LINK:
        view.remove(row)
        assert row.target is not None
        element = view.row(row.target)
        if element is not None:
            view.put(replace(element, nlinks=element.nlinks - 1, ctime=view.now))
        return
    other = _further_name(view, row) if row.nlinks > 1 else None
    view.remove(row)
    if other is None:
        return
    view.remove(other)
    view.put(
        replace(
            row,
            parent_handle=other.parent_handle,
            parent_path=other.parent_path,
            name=other.name,
            extension=other.extension,
            linked_time=other.linked_time,
            bucket_id=other.bucket_id,
            nlinks=row.nlinks - 1,
            ctime=view.now,
        )
    )


def _further_name(view: NamespaceView, row: Element) -> Element | None:
    """One of the further names of an element, None where there is none left."""
    return next(view.further_names(row.handle), None)


def refuse_root(name: str, number: int, about: object) -> None:
    """Raise a number where a name is the root's."""
    if not name:
        raise FileError(number, about)


def named_row(view: NamespaceView, parent: Element, name: str, about: object) -> Element:
    """The row of a name.

    Raises:
        FileError: ENOENT.
    """
    row = view.row_at(parent.handle, name)
    if row is None:
        raise FileError(errno.ENOENT, about)
    return row


@dataclass(frozen=True, slots=True)
class Unlink:
    """Remove a name of what is no directory.

    Attributes:
        place: The name.
    """

    place: Place

    def apply(self, view: NamespaceView) -> None:
        """Do it in a view."""
        parent, name = view.split(self.place)
        refuse_root(name, errno.EISDIR, self.place)
        row = named_row(view, parent, name, self.place)
        if row.is_directory:
            raise FileError(errno.EISDIR, self.place)
        remove_name(view, row)
        view.touch(parent.handle)


@dataclass(frozen=True, slots=True)
class RemoveDirectory:
    """Remove an empty directory.

    Attributes:
        place: Its name.
    """

    place: Place

    def apply(self, view: NamespaceView) -> None:
        """Do it in a view."""
        parent, name = view.split(self.place)
        refuse_root(name, errno.EBUSY, self.place)
        row = named_row(view, parent, name, self.place)
        if not row.is_directory:
            raise FileError(errno.ENOTDIR, self.place)
        if view.has_children(row):
            raise FileError(errno.ENOTEMPTY, self.place)
        view.remove(row)
        view.touch(parent.handle)


@dataclass(frozen=True, slots=True)
class RemoveTree:
    """Remove a name, and of a directory all that is below it.

    Attributes:
        place: The name.
    """

    place: Place

    def apply(self, view: NamespaceView) -> None:
        """Do it in a view."""
        parent, name = view.split(self.place)
        refuse_root(name, errno.EBUSY, self.place)
        row = named_row(view, parent, name, self.place)
        if not row.is_directory:
            remove_name(view, row)
        else:
            _unlink_shared(view, view.below(row))
            view.remove_below(row)
            view.remove(row)
        view.touch(parent.handle)


def _unlink_shared(view: NamespaceView, below: Below) -> None:
    """Remove one by one the names below of elements that have others: those may lie elsewhere."""
    rows = [row for row in below.changed if row.element_type == LINK or _shared(row)]
    if below.handles.size:
        found = view.stored.read(below.places, ["handle", "element_type", "nlinks"])
        kinds = found.column(1).to_numpy(zero_copy_only=False)
        links = found.column(2).to_numpy()
        files = np.asarray(kinds != "DIR") & ((links > 1) | (kinds == LINK))
        handles = found.column(0).to_numpy()[files].tolist()
        rows.extend(row for handle in handles if (row := view.row(handle)) is not None)
    names = [(row.parent_handle, row.name) for row in rows]
    for parent, name in names:
        row = view.row_at(parent, name)
        assert row is not None, "promotion of another name keeps this one"
        remove_name(view, row)


def _shared(row: Element) -> bool:
    return not row.is_directory and row.nlinks > 1
