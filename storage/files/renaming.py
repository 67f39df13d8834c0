"""Renaming: of one name, of a directory with all below it, and of two names for each other."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .definition import LINK
from .element import Element, extension_of
from .file_error import FileError
from .removal import named_row, refuse_root, remove_name

if TYPE_CHECKING:
    from .namespace import NamespaceView, Place

_ASIDE = "\0"
"""What the path begins with that a directory has in between while two change places."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Give an element another name, which it takes from whatever has it.

    Attributes:
        old: Its name.
        new: Its name from now on.
        no_replace: Refuse a new name that exists.
        exchange: Let both, which must exist, change places.
    """

    old: Place
    new: Place
    no_replace: bool = False
    exchange: bool = False

    def apply(self, view: NamespaceView) -> Element | None:
        """Do it in a view."""
        if self.no_replace and self.exchange:
            raise FileError(errno.EINVAL, self.new)
        old_parent, old_name = view.split(self.old)
        new_parent, new_name = view.split(self.new)
        refuse_root(old_name, errno.EBUSY, self.old)
        refuse_root(new_name, errno.EEXIST if self.no_replace else errno.EBUSY, self.new)
        row = named_row(view, old_parent, old_name, self.old)
        other = view.row_at(new_parent.handle, new_name)
        if other is not None and self.no_replace:
            raise FileError(errno.EEXIST, self.new)
        if other is None and self.exchange:
            raise FileError(errno.ENOENT, self.new)
        if row.is_directory and _is_within(view, new_parent, row):
            raise FileError(errno.EINVAL, self.new)
        if other is not None and other.is_directory and _is_within(view, old_parent, other):
            raise FileError(errno.EINVAL if self.exchange else errno.ENOTEMPTY, self.new)
        if other is not None and _element(row) == _element(other):
            return view.seen(row)
        view.rely(new_parent)
        if self.exchange and other is not None:
            view.rely(old_parent)
            _exchange(view, (old_parent, row), (new_parent, other))
        else:
            if other is not None:
                _give_way(view, row, other, self.new)
            move(view, row, new_parent, new_name)
        view.touch(old_parent.handle)
        found = view.row_at(new_parent.handle, new_name)
        assert found is not None, "it was just put there"
        return view.seen(found)


def _element(row: Element) -> int | None:
    return row.target if row.element_type == LINK else row.handle


def _is_within(view: NamespaceView, directory: Element, ancestor: Element) -> bool:
    """Tell whether a directory is another one or lies below it."""
    at: Element | None = directory
    while at is not None:
        if at.handle == ancestor.handle:
            return True
        at = view.row(at.parent_handle) if at.parent_handle else None
    return False


def _give_way(view: NamespaceView, row: Element, other: Element, about: object) -> None:
    """Remove what has the new name.

    Raises:
        FileError: EISDIR, ENOTDIR, ENOTEMPTY.
    """
    if row.is_directory and not other.is_directory:
        raise FileError(errno.ENOTDIR, about)
    if other.is_directory:
        if not row.is_directory:
            raise FileError(errno.EISDIR, about)
        if view.has_children(other):
            raise FileError(errno.ENOTEMPTY, about)
        view.remove(other)
    else:
        remove_name(view, other)


def move(view: NamespaceView, row: Element, parent: Element, name: str) -> None:
    """Give a row another name, which is free; all below a directory goes along."""
    before = view.effective(row)
    bucket = row.bucket_id if row.bucket_id == row.handle else parent.bucket_id
    after = view.put(
        replace(
            before,
            parent_handle=parent.handle,
            parent_path=parent.path,
            name=name,
            extension="" if row.is_directory else extension_of(name),
            linked_time=view.now,
            ctime=view.now,
            bucket_id=bucket,
            subdirectory_of=parent.handle if row.is_directory else None,
        )
    )
    if row.element_type == LINK and row.target is not None:
        element = view.row(row.target)
        if element is not None:
            view.put(replace(element, ctime=view.now))
    if row.is_directory:
        view.move_below(row, after)


def _exchange(
    view: NamespaceView, one: tuple[Element, Element], other: tuple[Element, Element]
) -> None:
    """Let two rows, each given behind its directory, change places."""
    (first_parent, first), (second_parent, second) = one, other
    # A name that nobody can say, in a directory that is neither's.
    aside = replace(first_parent, handle=-1, parent_path="", name=_ASIDE)
    move(view, first, aside, _ASIDE)
    move(view, second, first_parent, first.name)
    halfway = view.row_at(-1, _ASIDE)
    assert halfway is not None, "it was just put there"
    move(view, halfway, second_parent, second.name)
    view.touch(second_parent.handle)
