"""The names that operations see and change: a snapshot's, under the changes made so far.

Operations of a batch are applied one after the other; each sees what those before it did. Rows that
are changed singly are kept as values. What happens to all rows below a directory (it is renamed or
removed) is kept as their places, and becomes effects without a row being looked at in Python.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..keys.key_index import FoundRows
from .definition import LINK, ROOT_HANDLE
from .element import Element, named_so, root_element, touched_at
from .file_error import FileError
from .name import require_name
from .path import names_of, prefix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..content.content import Content
    from ..content.content_store import ContentStore
    from .handle import Handles
    from .stored import Integers, StoredElements

T = TypeVar("T")

Place = str | tuple[int, str]
"""A name: a path, or the handle of a directory and a name in it."""
Which = str | int
"""An element: a path, or a handle."""


class Operation(Protocol):
    """What can be done with files: see `operations`, `removal` and `renaming`."""

    def apply(self, view: NamespaceView) -> Element | None:
        """Do it in a view; raises FileError where it is refused."""
        ...


@dataclass(frozen=True, slots=True)
class Below:
    """What lies below a directory.

    Attributes:
        places: Where rows lie in the snapshot that are as they are there.
        handles: Their handles.
        directories: Handles of the directories among them.
        changed: Rows that the view has changed.
    """

    places: FoundRows
    handles: Integers
    directories: Integers
    changed: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A directory was renamed, with all below it.

    Attributes:
        old_path: Its path before.
        new_path: Its path after.
        old_bucket: The bucket that it lay in, or None.
        new_bucket: The bucket that it lies in.
    """

    old_path: str
    new_path: str
    old_bucket: int | None
    new_bucket: int | None

    def applied(self, row: Element) -> Element:
        """A row as it is after the move, whether it was below the directory or not."""
        if not prefix_of(row.parent_path).startswith(prefix_of(self.old_path)):
            return row
        bucket = self.new_bucket if row.bucket_id == self.old_bucket else row.bucket_id
        path = self.new_path + row.parent_path[len(self.old_path) :]
        return replace(row, parent_path=path, bucket_id=bucket)


class NamespaceView:
    """Elements of a snapshot, and changes of them that are not committed yet.

    Args:
        stored: Elements of the snapshot.
        handles: Gives numbers to new elements.
        now: The time, nanoseconds since 1970; moves on a little with each operation.
        version: Makes texts for new contents.
        content: Where contents lie; for copies.
    """

    def __init__(
        self,
        stored: StoredElements,
        handles: Handles,
        now: int,
        version: Callable[[int], str],
        content: ContentStore,
    ) -> None:
        self.stored = stored
        self.now = now
        self.founding = stored.state is None
        self.rows: dict[int, Element | None] = {}
        self.relied: dict[int, None] = {}
        self.touched: dict[int, int] = {}
        self.contents: dict[int, Content | None] = {}
        self.moves: list[Move] = []
        self.moved: list[Below] = []
        self.gone: list[Below] = []
        self.made: set[int] = set()
        self.shares: list[Content] = []
        self._handles = handles
        self._version = version
        self._content = content
        self._names: dict[tuple[int, str], int | None] = {}
        self._under: dict[int, dict[str, int]] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        if self.founding:
            self._put(root_element(now))
        self._begun = len(self._undo)

    @property
    def changes(self) -> int:
        """Number of changes so far, of whatever kind."""
        return len(self._undo) - self._begun

    @property
    def changed(self) -> bool:
        """True when there is something to commit."""
        return self.changes > 0

    @property
    def replaces(self) -> bool:
        """True when rows of the snapshot are replaced or removed."""
        return bool(self.moved or self.gone) or not self.rows.keys() <= self.made

    # One operation

    def run(self, apply: Callable[[NamespaceView], T]) -> T:
        """Apply an operation; one that fails leaves nothing behind."""
        lists: tuple[list[Any], ...] = (self.moves, self.moved, self.gone)
        undo, lengths = len(self._undo), [len(part) for part in lists]
        self.now += 1
        try:
            return apply(self)
        except BaseException:
            while len(self._undo) > undo:
                known, key, value = self._undo.pop()
                if value is _ABSENT:
                    del known[key]
                else:
                    known[key] = value
            for part, length in zip(lists, lengths, strict=True):
                del part[length:]
            raise

    def _set(self, known: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((known, key, known.get(key, _ABSENT)))
        known[key] = value

    # Looking

    def row(self, handle: int) -> Element | None:
        """The row of a handle."""
        if handle in self.rows:
            return self.rows[handle]
        return self._current(self.stored.row(handle))

    def row_at(self, parent: int, name: str) -> Element | None:
        """The row of a name in a directory: the element's, or that of a further name of it."""
        key = parent, name
        if key in self._names:
            handle = self._names[key]
            return None if handle is None else self.rows[handle]
        return self._current(self.stored.child(parent, name))

    def _current(self, row: Element | None) -> Element | None:
        if row is None or any(_holds(below.handles, row.handle) for below in self.gone):
            return None
        for move in self.moves:
            row = move.applied(row)
        return row

    def seen(self, row: Element) -> Element:
        """The element that a row is a name of."""
        if row.element_type != LINK:
            return row
        assert row.target is not None
        return named_so(row, self.row(row.target))

    def directory(self, handle: int, about: object) -> Element:
        """The directory with a handle.

        Raises:
            FileError: ENOENT, ENOTDIR.
        """
        row = self.row(handle)
        if row is None or row.element_type == LINK:
            raise FileError(errno.ENOENT, about)
        if not row.is_directory:
            raise FileError(errno.ENOTDIR, about)
        return row

    def walk(self, names: Sequence[str], about: object) -> Element:
        """The row that a path leads to; links are not followed.

        Raises:
            FileError: ENOENT, or ENOTDIR where something else than a directory is on the way.
        """
        row = self.directory(ROOT_HANDLE, about)
        for name in names:
            if not row.is_directory:
                raise FileError(errno.ENOTDIR, about)
            found = self.row_at(row.handle, name)
            if found is None:
                raise FileError(errno.ENOENT, about)
            row = found
        return row

    def split(self, place: Place) -> tuple[Element, str]:
        """The directory of a name, and the name, which is empty for the root's.

        Raises:
            FileError: EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR.
        """
        if not isinstance(place, str):
            handle, name = place
            return self.directory(handle, place), require_name(name)
        names = names_of(place)
        if not names:
            return self.walk((), place), ""
        parent = self.walk(names[:-1], place)
        if not parent.is_directory:
            raise FileError(errno.ENOTDIR, place)
        return parent, names[-1]

    def find(self, which: Which) -> Element:
        """The element of a path or handle.

        Raises:
            FileError: ENOENT, ENOTDIR, EINVAL, ENAMETOOLONG; ESTALE for a handle that is gone.
        """
        if isinstance(which, str):
            return self.seen(self.walk(names_of(which), which))
        element = self.by_handle(which)
        if element is None:
            raise FileError(errno.ESTALE, which)
        return element

    def by_handle(self, handle: int) -> Element | None:
        """The element with a handle."""
        row = self.row(handle)
        return None if row is None or row.element_type == LINK else row

    def child(self, parent: int, name: str) -> Element | None:
        """The element of a name in a directory."""
        row = self.row_at(parent, name)
        return None if row is None else self.seen(row)

    def further_names(self, handle: int) -> Iterator[Element]:
        """Rows of the further names of an element."""
        for row in list(self.rows.values()):
            if row is not None and row.target == handle:
                yield row
        found = self.stored.links_to(np.array([handle], dtype=np.int64))
        for number in self.stored.handles(found).tolist():
            row = self.row(number)
            if row is not None and number not in self.rows:
                yield row

    def has_children(self, directory: Element) -> bool:
        """Tell whether there is anything in a directory."""
        if self._under.get(directory.handle):
            return True
        found = self.stored.children(np.array([directory.handle], dtype=np.int64))
        return bool(found.keys.size) and bool(self._unchanged(self.stored.handles(found)).any())

    def _unchanged(self, handles: Integers) -> Any:
        """For each handle whether its row is as the snapshot has it, moves left out."""
        changed = np.fromiter(self.rows, np.int64, len(self.rows))
        mask = ~np.isin(handles, changed)
        for below in self.gone:
            mask &= ~np.isin(handles, below.handles)
        return mask

    def below(self, directory: Element) -> Below:
        """Everything below a directory, whatever its depth."""
        places: list[FoundRows] = []
        handles: list[Integers] = []
        directories: list[Integers] = []
        changed: list[Element] = []
        frontier = np.array([directory.handle], dtype=np.int64)
        while frontier.size:
            found = self.stored.children(frontier)
            numbers = self.stored.handles(found)
            kept = self._unchanged(numbers)
            places.append(found.chosen(kept))
            handles.append(numbers[kept])
            subs = self.stored.handles(self.stored.subdirectories(frontier))
            subs = subs[self._unchanged(subs)]
            directories.append(subs)
            here = [
                row
                for parent in frontier.tolist()
                for handle in self._under.get(parent, {}).values()
                if (row := self.rows[handle]) is not None
            ]
            changed.extend(here)
            new = np.array([row.handle for row in here if row.is_directory], dtype=np.int64)
            frontier = np.concatenate([subs, new])
        return Below(
            FoundRows(
                np.concatenate([p.keys for p in places]),
                np.concatenate([p.groups for p in places]),
                np.concatenate([p.positions for p in places]),
            ),
            np.sort(np.concatenate(handles)),
            np.concatenate(directories),
            tuple(changed),
        )

    # Changing

    def new_handle(self) -> int:
        """A handle for a new element."""
        handle = self._handles.next()
        self.made.add(handle)
        return handle

    def new_version(self) -> str:
        """A text for a new content."""
        return self._version(self.now)

    def rely(self, directory: Element) -> None:
        """Need a directory to be there, and where it is, when this is committed."""
        if directory.handle not in self.relied:
            self._set(self.relied, directory.handle, None)

    def touch(self, directory: int) -> None:
        """Note that something was taken out of a directory."""
        self._set(self.touched, directory, self.now)

    def keep(self, handle: int, content: Content | None) -> None:
        """Note the new content of an element, whose rows and pages are committed with it."""
        self._set(self.contents, handle, content)

    def shared(self, element: Element) -> Content | None:
        """The content of a file for another one, without its bytes."""
        if element.handle in self.contents:
            content = self.contents[element.handle]
            if content is None or content.staged is None:
                return content
            # The first of both brings chunks and pages along.
            there = content.staged
            staged = replace(there, effects=[], relied=there.relied[:0])
            return replace(content, staged=staged)
        content = self._content.share(self.stored.snapshot, element)
        self.shares.append(content)
        return content

    def put(self, row: Element) -> Element:
        """Add a row, or replace the one with its handle; returns it."""
        fresh = row.handle in self.made and row.handle not in self.rows
        before = None if fresh else self.row(row.handle)
        moved = before is not None and (
            (before.parent_handle, before.name) != (row.parent_handle, row.name)
        )
        if moved and before is not None:
            self._forget(before)
        self._put(row)
        return row

    def _put(self, row: Element) -> None:
        self._set(self.rows, row.handle, row)
        self._set(self._names, (row.parent_handle, row.name), row.handle)
        self._set(self._under.setdefault(row.parent_handle, {}), row.name, row.handle)

    def effective(self, row: Element) -> Element:
        """A row as it is seen: of a directory with what was added and taken out so far.

        Whoever replaces a directory's row begins with this one, as the new ctime hides those
        moments.
        """
        if not row.is_directory:
            return row
        return touched_at(row, self.event_time(row.handle))

    def event_time(self, directory: int) -> int:
        """When something was last added to a directory or taken out of it; 0 for never."""
        stored = self.stored.event_times(np.array([directory], dtype=np.int64))
        own = (self.rows[handle] for handle in self._under.get(directory, {}).values())
        added = (row.linked_time or 0 for row in own if row is not None)
        return max(int(stored[0]), self.touched.get(directory, 0), *added, 0)

    def remove(self, row: Element) -> None:
        """Remove a row."""
        self._set(self.rows, row.handle, None)
        self._forget(row)

    def _forget(self, row: Element) -> None:
        self._set(self._names, (row.parent_handle, row.name), None)
        under = self._under.get(row.parent_handle, {})
        if row.name in under:
            self._undo.append((under, row.name, under.pop(row.name)))

    def move_below(self, before: Element, after: Element) -> None:
        """Give everything below a directory its new path; ``after`` was put already."""
        below = self.below(after)
        move = Move(before.path, after.path, before.bucket_id, after.bucket_id)
        for row in below.changed:
            self._put(move.applied(row))
        self.moves.append(move)
        if below.handles.size:
            self.moved.append(below)

    def remove_below(self, directory: Element) -> Below:
        """Remove everything below a directory; returns what that was."""
        below = self.below(directory)
        for row in below.changed:
            self.remove(row)
        if below.handles.size:
            self.gone.append(below)
        return below

    def new_rows(self) -> Iterator[Element]:
        """Rows that the view has added or replaced."""
        return (row for row in self.rows.values() if row is not None)


_ABSENT = object()


def apply_all(view: NamespaceView, operations: Sequence[Operation]) -> list[Element | None]:
    """Apply operations to a view, all or none."""
    return view.run(lambda same: [same.run(operation.apply) for operation in operations])


def _holds(numbers: Integers, number: int) -> bool:
    at = int(numbers.searchsorted(number))
    return at < numbers.size and int(numbers[at]) == number
