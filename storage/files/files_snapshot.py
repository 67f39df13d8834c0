"""Files as they were at one moment, to look at."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..keys.key_index import FoundRows
from .definition import ELEMENT_COLUMNS, LINK, ROOT_HANDLE
from .element import named_so, touched_at
from .file_error import FileError
from .name import sort_key
from .path import names_of
from .rows import CONTENT, elements_of
from .usage import USAGE_COLUMNS, Usage, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from ..content.content_reader import ContentReader
    from ..content.content_store import ContentStore
    from ..pins import Pins
    from ..snapshot import Snapshot
    from .element import Element
    from .stored import Integers, StoredElements

LINKS_FOLLOWED_MAX: Final = 40
"""Symbolic links on one way, as Linux has it."""
_LISTINGS_MAX: Final = 16
"""Directories whose sorted names are kept while they are listed piece by piece."""
_NAMES: Final = tuple(column.name for column in ELEMENT_COLUMNS)
_LISTED: Final = tuple(name for name in _NAMES if name not in CONTENT)
_BATCH_ROWS: Final = 1 << 16


class FilesSnapshot:
    """The files of one version. Thread-safe; a context manager.

    Args:
        stored: Its elements.
        content: Where contents lie.
        pins: Keep the version until this is closed; None where somebody else does.

    Attributes:
        snapshot: The store's snapshot.
    """

    def __init__(
        self, stored: StoredElements, content: ContentStore, pins: Pins | None = None
    ) -> None:
        self.snapshot: Snapshot = stored.snapshot
        self._stored = stored
        self._content = content
        self._pins = pins
        self._lock = threading.Lock()
        self._listings: dict[int, tuple[list[bytes], FoundRows]] = {}

    @property
    def version(self) -> int:
        """The version; of an open transaction that which it began at."""
        return self.snapshot.version

    @property
    def stored(self) -> StoredElements:
        """Its rows, many at a time."""
        return self._stored

    # One element

    def find(self, path: str) -> Element | None:
        """The element at a path, None where there is none; links are not followed.

        Raises:
            FileError: EINVAL or ENAMETOOLONG for what is no path.
        """
        try:
            return self.get(path)
        except FileError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                return None
            raise

    def get(self, path: str) -> Element:
        """The element at a path; links are not followed.

        Raises:
            FileError: ENOENT, ENOTDIR, EINVAL, ENAMETOOLONG.
        """
        row = self._root()
        for name in names_of(path):
            row = self._step(row, name, path)
        return self._seen([row])[0]

    def resolve(self, path: str) -> Element:
        """The element that a path leads to when symbolic links are followed.

        Raises:
            FileError: ENOENT, ENOTDIR, ELOOP, EINVAL, ENAMETOOLONG.
        """
        trail = [self._root()]
        names = list(reversed(_components(path)))
        followed = 0
        while names:
            name = names.pop()
            if name == "..":
                trail = trail[:-1] or trail
                continue
            row = self._step(trail[-1], name, path)
            if not row.is_symlink:
                trail.append(row)
                continue
            followed += 1
            if followed > LINKS_FOLLOWED_MAX:
                raise FileError(errno.ELOOP, path)
            target = row.symlink_path or ""
            if target.startswith("/"):
                trail = trail[:1]
            names.extend(reversed(_components(target)))
        return self._seen(trail[-1:])[0]

    def child(self, parent_handle: int, name: str) -> Element | None:
        """The element of a name in a directory, None where there is none."""
        row = self._stored.child(parent_handle, name)
        return None if row is None else self._seen([row])[0]

    def by_handle(self, handle: int) -> Element | None:
        """The element with a handle, under its first name; None where there is none."""
        row = self._stored.row(handle)
        return None if row is None or row.element_type == LINK else self._seen([row])[0]

    def _root(self) -> Element:
        root = self._stored.row(ROOT_HANDLE)
        assert root is not None, "every store has a root"
        return root

    def _step(self, row: Element, name: str, about: str) -> Element:
        if not row.is_directory:
            raise FileError(errno.ENOTDIR, about)
        found = self._stored.child(row.handle, name)
        if found is None:
            raise FileError(errno.ENOENT, about)
        return found

    def _seen(self, rows: Sequence[Element]) -> list[Element]:
        """Elements as they are seen: further names resolved, directories' times merged."""
        links = [row for row in rows if row.element_type == LINK]
        targets = {row.target: self._stored.row(row.target or 0) for row in links}
        directories = np.array([row.handle for row in rows if row.is_directory], dtype=np.int64)
        times, subdirectories = self._facts(directories)
        merged: list[Element] = []
        for row in rows:
            if row.is_directory:
                seen = replace(row, nlinks=2 + subdirectories[row.handle])
                merged.append(touched_at(seen, times[row.handle]))
            elif row.element_type == LINK:
                merged.append(named_so(row, targets[row.target]))
            else:
                merged.append(row)
        return merged

    def _facts(self, directories: Integers) -> tuple[dict[int, int], dict[int, int]]:
        """When something last came or went in directories, and how many lie in each."""
        if not directories.size:
            return {}, {}
        times = self._stored.event_times(directories)
        found = self._stored.subdirectories(directories)
        counts = np.bincount(found.keys, minlength=directories.size)
        handles = directories.tolist()
        return (
            dict(zip(handles, times.tolist(), strict=True)),
            dict(zip(handles, counts.tolist(), strict=True)),
        )

    # Many elements

    def children(self, handle: int, after: str = "", limit: int | None = None) -> list[Element]:
        """The elements in a directory in the order of their names' bytes, without content.

        Args:
            handle: The directory.
            after: Begin behind this name, which need not exist.
            limit: How many at most.
        """
        names, places = self._listing(handle)
        first = 0
        if after:
            key = sort_key(after)
            low, first = 0, len(names)
            while low < first:
                middle = (low + first) // 2
                if names[middle] > key:
                    first = middle
                else:
                    low = middle + 1
        end = len(names) if limit is None else min(len(names), first + limit)
        chosen = np.zeros(len(names), dtype=bool)
        chosen[first:end] = True
        return self._seen(self._read(places.chosen(chosen)))

    def _listing(self, handle: int) -> tuple[list[bytes], FoundRows]:
        """Names in a directory as bytes, sorted, and the places of their rows."""
        with self._lock:
            known = self._listings.get(handle)
        if known is not None:
            return known
        found = self._stored.children(np.array([handle], dtype=np.int64))
        names: list[bytes] = []
        if found.keys.size:
            column = self._stored.read(found, ["name"]).column(0)
            names = [sort_key(name) for name in column.to_pylist()]
            order = sorted(range(len(names)), key=names.__getitem__)
            names = [names[at] for at in order]
            found = FoundRows(found.keys[order], found.groups[order], found.positions[order])
        with self._lock:
            if len(self._listings) >= _LISTINGS_MAX:
                self._listings.clear()
            self._listings[handle] = names, found
        return names, found

    def _read(self, places: FoundRows) -> list[Element]:
        if not places.keys.size:
            return []
        table = self._stored.read(places, _LISTED)
        absent = {name: pa.nulls(table.num_rows, pa.binary()) for name in CONTENT}
        arrays = [absent[n] if n in absent else table.column(n).combine_chunks() for n in _NAMES]
        return elements_of(arrays, whole=False)

    def subtree(self, path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of the element at a path and of all that is below it, a depth after the other.

        Args:
            path: The path.
            columns: Names of columns of `elements`, and `path`.

        Raises:
            FileError: As `get`.
        """
        top = self.get(path)
        stored = self._stored
        if stored.state is None:
            named = {name: [getattr(top, name)] for name in columns}
            yield pa.record_batch(list(map(pa.array, named.values())), names=list(columns))
            return
        found = stored.by_handle(np.array([top.link or top.handle], dtype=np.int64))
        frontier = np.array([top.handle] if top.is_directory else [], dtype=np.int64)
        while found.keys.size:
            for start in range(0, found.keys.size, _BATCH_ROWS):
                piece = np.zeros(found.keys.size, dtype=bool)
                piece[start : start + _BATCH_ROWS] = True
                yield self._columns(found.chosen(piece), columns)
            found = stored.children(frontier)
            frontier = stored.handles(stored.subdirectories(frontier))

    def _columns(self, places: FoundRows, columns: Sequence[str]) -> pa.RecordBatch:
        """Columns of rows as they are seen, but for directories' times."""
        names = list(dict.fromkeys([*(c for c in columns if c != "path"), "parent_path", "name"]))
        table = self._stored.read(places, [*names, "element_type", "target"])
        kinds = table.column(len(names))
        is_link = pc.equal(kinds, LINK)
        if pc.any(is_link).as_py():
            table = self._resolved(table, names, is_link)
        parents, own = table.column("parent_path"), table.column("name")
        prefix = pc.if_else(pc.equal(parents, "/"), "", parents)
        paths = pc.binary_join_element_wise(prefix, own, "/")
        arrays = [paths if c == "path" else table.column(names.index(c)) for c in columns]
        made = pa.table(arrays, names=list(columns)).combine_chunks()
        return made.to_batches()[0]

    def _resolved(self, table: pa.Table, names: list[str], is_link: pa.ChunkedArray) -> pa.Table:
        """Rows of further names with the columns of what they name."""
        targets = table.column(len(names) + 1).filter(is_link).to_numpy()
        found = self._stored.by_handle(targets)
        there = self._stored.read(found, names)
        order = np.argsort(found.keys, kind="stable")
        there = there.take(pa.array(order))
        own = {"parent_handle", "parent_path", "name", "extension", "linked_time"}
        # Each row from where it is, or from behind all: masks know no maps.
        links = is_link.to_numpy()
        rows = np.arange(len(links))
        rows[links] = len(links) + np.arange(len(targets))
        chosen = pa.array(rows)
        arrays = [
            table.column(at)
            if name in own
            else pa.chunked_array(
                [*table.column(at).chunks, *there.column(at).chunks], table.column(at).type
            ).take(chosen)
            for at, name in enumerate(names)
        ]
        return pa.table(arrays, names=names)

    def usage(self, path: str = "/") -> Usage:
        """What lies below a directory, itself included.

        Raises:
            FileError: As `get`.
        """
        seen: set[int] = set()
        counted = Usage(0, 0, 0, 0)
        if names_of(path):
            for batch in self.subtree(path, USAGE_COLUMNS):
                counted = counted.plus(usage_of(batch, seen))
            return counted
        if self._stored.state is None:
            return Usage(0, 1, 0, 0)
        return self._stored.reader.total.of(self._stored.state)

    # Content

    def read(self, element: Element) -> ContentReader:
        """Open the content of a file of this snapshot.

        Raises:
            FileError: EISDIR, EINVAL for what has none, ESTALE for what is gone.
        """
        if element.is_directory:
            raise FileError(errno.EISDIR, element.path)
        if not element.is_file:
            raise FileError(errno.EINVAL, element.path)
        if not element.whole:
            row = self._stored.row(element.handle)
            if row is None:
                raise FileError(errno.ESTALE, element.path)
            element = row
        return self._content.read(self.snapshot, element)

    def close(self) -> None:
        """Let go of the version. Closing twice is allowed."""
        with self._lock:
            pins, self._pins = self._pins, None
        if pins is not None:
            pins.unpin(self.version)

    def __enter__(self) -> FilesSnapshot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _components(path: str) -> list[str]:
    """Names on the way that a symbolic link tells; `.` and doubled slashes do not count."""
    return [name for name in path.split("/") if name not in {"", "."}]
