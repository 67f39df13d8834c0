"""The file system: fsspec's operations as operations on elements.

Every call looks at the newest committed state, so there is nothing to invalidate; what changes
several names does so in one transaction. Missing directories of what is written are made, as object
stores do.
"""

from __future__ import annotations

import errno
import os
import time
import weakref
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from fsspec.spec import AbstractFileSystem
from fsspec.utils import stringify_path

from ....storage.files.file_error import FileError
from ....storage.files.operations import Copy, MakeLink, MakeSymlink, SetAttributes
from ....storage.files.path import join, normal, parent_of
from ....storage.files.removal import RemoveDirectory, RemoveTree, Unlink
from ....storage.files.renaming import Rename
from ...transfer.batch import Batch
from .errors import refusal, translated
from .information import described, described_link, moment
from .listing import entries, listings_below, paths_below, walked
from .lookup import file_of, read_range, target_of, told_of
from .opening import OpenStore
from .reading import ElementReader
from .transaction import FilesTransaction, NameChange
from .transfer import read_to_local, stored_path, write_from_local
from .writing import Edit, ElementEditor, ElementWriter, Sink, Staging, directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from fsspec.callbacks import Callback

    from ....storage.files.element import Element
    from ....storage.files.files import Files
    from ....storage.files.files_snapshot import FilesSnapshot
    from ....storage.files.namespace import Operation

_ATTRIBUTES: Final[tuple[str, ...]] = ("content_type", "user_tags", "user_metadata")
"""Columns that may be given with what is written."""

_Path = Any
"""A text, or something `os.fspath` takes; fsspec itself is untyped."""


class PagelakeFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files of a store.

    Args:
        store: Directory of the store; created by the first write.
        at: A version, or the name of a tag: files as they were, which cannot be changed.
        read_only: Refuse changes and create nothing.
        fo: The store as chained URLs name it, `pagelake://path::/srv/demo.lake`.
        target_protocol: Of a chained URL; the store is a local directory.
        target_options: Ignored: a local directory has none.
        storage_options: See fsspec's `AbstractFileSystem`.

    Raises:
        ValueError: No store was named, or one that is not local.
    """

    protocol = "pagelake"
    root_marker = "/"
    transaction_type = FilesTransaction

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        at: int | str | None = None,
        read_only: bool = False,
        fo: str | None = None,
        target_protocol: str | None = None,
        target_options: object = None,
        **storage_options: object,
    ) -> None:
        if self._cached:
            return
        super().__init__(**{**storage_options, "use_listings_cache": False})
        named = store if store is not None else fo
        if named is None:
            raise ValueError('pagelake:// needs a store: give store="/srv/demo.lake"')
        if target_protocol not in {None, "file", "local"}:
            raise ValueError(f"a store is a local directory, not one of {target_protocol}://")
        self.store = os.fspath(named)
        self.at = at
        self.read_only = read_only or at is not None
        self._open_store: OpenStore | None = None
        self._closing: weakref.finalize[Any, Any] | None = None

    # The store

    @property
    def files(self) -> Files:
        """The files of the store, opened now if it was not, or not in this process."""
        opened = self._open_store
        if opened is None or opened.process != os.getpid():
            if self._closing is not None:
                self._closing.detach()
            with translated(self.store):
                opened = OpenStore(self.store, read_only=self.read_only)
            self._closing = weakref.finalize(self, opened.give_back)
            self._closing.atexit = False
            self._open_store = opened
        return opened.files

    @property
    def fsid(self) -> str:
        """A name of the store that is the same everywhere."""
        files = self.files
        assert self._open_store is not None
        del files
        return f"pagelake-{self._open_store.database.store.id.hex()}"

    def names(self) -> FilesSnapshot:
        """What a call looks at: the newest state, or that of the version; to be closed."""
        files = self.files
        if self.at is None:
            return files.snapshot()
        version = self.at
        if isinstance(version, str):
            assert self._open_store is not None
            tags = self._open_store.database.store.snapshot().tags
            if version not in tags:
                raise FileError(errno.ENOENT, version)
            version = tags[version]
        return files.at(version)

    def _run(self, path: object, *operations: Operation) -> None:
        """Run operations in one transaction, or when the open one ends."""
        if self.at is not None:
            raise refusal(errno.EROFS, path, "files of a past version cannot be changed")
        if self._intrans:
            self.transaction.files.append(NameChange(self.files.content, operations))
            return
        with translated(path):
            self.files.run(*operations)

    def _run_batch(self, operations: Sequence[Operation]) -> None:
        self._run(None, *operations)

    # Paths

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = str(stringify_path(path))
        for prefix in ("pagelake://", "pagelake::"):
            text = text.removeprefix(prefix)
        with translated(path):
            return normal("/" + "/".join(part for part in text.split("/") if part != "."))

    @classmethod
    def _parent(cls, path: _Path) -> str:
        return parent_of(cls._strip_protocol(path))[0] or "/"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Do nothing: nothing is cached."""

    # Looking

    def info(self, path: _Path, **_kwargs: object) -> dict[str, object]:
        """Everything about a file or directory; see the documentation for the keys.

        Raises:
            FileNotFoundError: There is none.
        """
        path = self._strip_protocol(path)
        with translated(path), self.names() as names:
            found = names.find(path)
            if found is not None and found.is_symlink:
                return described_link(names, found, path, follow=True)
            return described(found or names.resolve(path), path)

    def exists(self, path: _Path, **_kwargs: object) -> bool:
        """Tell whether there is something, behind links too."""
        try:
            path = self._strip_protocol(path)
            with translated(path), self.names() as names:
                names.resolve(path)
        except OSError:
            return False
        return True

    def lexists(self, path: _Path, **_kwargs: object) -> bool:
        """Tell whether there is something, be it a link that leads nowhere."""
        path = self._strip_protocol(path)
        with translated(path), self.names() as names:
            return names.find(path) is not None or self.exists(path)

    def islink(self, path: _Path) -> bool:
        """Tell whether a path is a symbolic link."""
        path = self._strip_protocol(path)
        with translated(path), self.names() as names:
            found = names.find(path)
            return found is not None and found.is_symlink

    def ls(self, path: _Path, detail: bool = True, **_kwargs: object) -> list[Any]:
        """Entries of a directory in the order of their names' bytes; a file lists itself.

        Raises:
            FileNotFoundError: There is none.
        """
        path = self._strip_protocol(path)
        with translated(path), self.names() as names:
            element = names.resolve(path)
            if not element.is_directory:
                return [described(element, path)] if detail else [path]
            below = names.children(element.handle)
            if not detail:
                return [join(path, child.name) for child in below]
            return [told_of(names, child, join(path, child.name)) for child in below]

    def walk(
        self,
        path: _Path,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = "omit",
        detail: bool = False,
        **_kwargs: object,
    ) -> Iterator[tuple[str, Any, Any]]:
        """Directories with what is in them, read as one range; see fsspec's `walk`.

        The names of everything below the directory are held in memory.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = self._strip_protocol(path)
        try:
            with translated(path), self.names() as names:
                found = listings_below(names, names.resolve(path), path, maxdepth, detail=detail)
        except OSError as error:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(error)
            return
        yield from walked(found, path, maxdepth, topdown=topdown, detail=detail)

    def find(
        self,
        path: _Path,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **_kwargs: object,
    ) -> Any:
        """Everything below a path, read as one range; sorted by path.

        Args:
            path: A directory, or a file, which is found itself.
            maxdepth: Levels to go down; all by default.
            withdirs: Whether directories are listed.
            detail: Whether to return a dict of what `info` tells by path, and no list.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = self._strip_protocol(path)
        try:
            with translated(path), self.names() as names:
                top = names.resolve(path)
                if not top.is_directory:
                    return {path: described(top, path)} if detail else [path]
                if not detail:
                    return paths_below(names, top, path, maxdepth, directories=withdirs)
                found = {
                    name: told_of(names, element, name)
                    for name, element in entries(names, top, path, maxdepth)
                    if withdirs or not element.is_directory
                }
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                raise
            return {} if detail else []
        return {name: found[name] for name in sorted(found)}

    def du(
        self,
        path: _Path,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
        **kwargs: object,
    ) -> Any:
        """Bytes of the files below a path: their sum, or a dict by path."""
        path = self._strip_protocol(path)
        if total and maxdepth is None:
            with translated(path), self.names() as names:
                element = names.resolve(path)
                return names.usage(element.path).bytes if element.is_directory else element.size
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        sizes = {name: each["size"] for name, each in found.items()}
        return sum(sizes.values()) if total else sizes

    def checksum(self, path: _Path) -> int:
        """A number that tells contents apart: equal for equal ones."""
        found = self.info(path)
        return int(sha256(str((found["etag"], found["size"])).encode()).hexdigest()[:32], 16)

    def ukey(self, path: _Path) -> str:
        """A text that changes whenever the file is changed or another one stands in its place."""
        found = self.info(path)
        state = [found[key] for key in ("handle", "version", "etag", "size", "mtime_ns")]
        return sha256(str(state).encode()).hexdigest()

    def created(self, path: _Path) -> datetime:
        """When a file was made, in UTC."""
        return moment(self._element(path).creation_time)

    def modified(self, path: _Path) -> datetime:
        """When the content of a file was changed last, in UTC."""
        return moment(self._element(path).mtime)

    def _element(self, path: _Path) -> Element:
        path = self._strip_protocol(path)
        with translated(path), self.names() as names:
            return names.resolve(path)

    # Directories and names

    def mkdir(self, path: _Path, create_parents: bool = True, **_kwargs: object) -> None:
        """Make a directory.

        Raises:
            FileExistsError: There is something of that name.
        """
        path = self._strip_protocol(path)
        self._run(path, directory(path, parents=create_parents, exist_ok=False))

    def makedirs(self, path: _Path, exist_ok: bool = False) -> None:
        """Make a directory and those that it lies in."""
        path = self._strip_protocol(path)
        self._run(path, directory(path, exist_ok=exist_ok))

    def rmdir(self, path: _Path) -> None:
        """Remove an empty directory."""
        path = self._strip_protocol(path)
        self._run(path, RemoveDirectory(path))

    def rm_file(self, path: _Path) -> None:
        """Remove a file or link."""
        path = self._strip_protocol(path)
        self._run(path, Unlink(path))

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with `recursive` directories, in one transaction.

        Args:
            path: One path or several, which may hold wildcards.
            recursive: Remove directories and everything below them.
            maxdepth: Levels to look for what is removed; directories then must be empty.

        Raises:
            FileNotFoundError: There is nothing of that name.
            IsADirectoryError: It is a directory, and `recursive` was not asked for.
        """
        whole = recursive and maxdepth is None
        paths = self.expand_path(path, recursive=recursive and not whole, maxdepth=maxdepth)
        operations: list[Operation] = []
        gone: list[str] = []
        with translated(path), self.names() as names:
            for each in sorted(paths) if whole else sorted(paths, reverse=True):
                if any(each.startswith(f"{tree}/") for tree in gone[-1:]):
                    continue  # below a tree that is removed
                if not names.get(each).is_directory:
                    operations.append(Unlink(each))
                elif whole:
                    operations.append(RemoveTree(each))
                    gone.append(each)
                elif recursive:
                    operations.append(RemoveDirectory(each))
                else:
                    raise FileError(errno.EISDIR, each)
        self._run(path, *operations)

    def mv(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = True,
        maxdepth: int | None = None,
        **_kwargs: object,
    ) -> None:
        """Move: one rename, of a directory with all in it too.

        Args:
            path1: What to move: one path or several, which may hold wildcards.
            path2: Its new path; a directory, or a path that ends in `/`, to move into.
            recursive: Not needed to move a directory.
            maxdepth: Not for directories, which move whole.
        """
        del recursive, maxdepth
        sources = self.expand_path(path1)
        single = isinstance(path1, str) and sources == [self._strip_protocol(path1)]
        if isinstance(path2, list):
            targets = [self._strip_protocol(each) for each in path2]
        elif not single or str(path2).endswith("/") or self.isdir(path2):
            into = self._strip_protocol(path2)
            targets = [join(into, parent_of(each)[1]) for each in sources]
        else:
            targets = [self._strip_protocol(path2)]
        operations: list[Operation] = []
        for source, target in zip(sources, targets, strict=True):
            if source != target:
                operations += [directory(self._parent(target)), Rename(source, target)]
        if operations:
            self._run(path1, *operations)

    def symlink(self, target: str, path: _Path) -> None:
        """Make a symbolic link to `target`, which need not exist."""
        path = self._strip_protocol(path)
        self._run(path, directory(self._parent(path)), MakeSymlink(path, str(target)))

    def link(self, target: _Path, path: _Path) -> None:
        """Make a further name of a file."""
        path = self._strip_protocol(path)
        self._run(path, MakeLink(self._strip_protocol(target), path))

    def touch(self, path: _Path, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty file; with `truncate=False` set the time of one that exists."""
        path = self._strip_protocol(path)
        if truncate or not self.exists(path):
            self.pipe_file(path, b"", **kwargs)
        else:
            self._run(path, SetAttributes(self._element(path).handle, {"mtime": time.time_ns()}))

    # Contents

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: object = None,
        **kwargs: Any,
    ) -> Any:
        if mode == "rb":
            return self._reader(path)
        if self.at is not None:
            raise refusal(errno.EROFS, path, "files of a past version cannot be changed")
        mode = "r+b" if mode == "rb+" else mode
        if mode not in {"wb", "xb", "ab", "r+b"}:
            raise ValueError(f"files are opened to read, write, append or update, not as {mode!r}")
        attributes = {name: kwargs[name] for name in _ATTRIBUTES if name in kwargs}
        with translated(path), self.names() as names:
            path, found = target_of(names, path)
            if found is not None and not found.is_file:
                raise FileError(errno.EISDIR if found.is_directory else errno.ENXIO, path)
            if found is not None and mode == "xb":
                raise FileError(errno.EEXIST, path)
            if found is None and mode == "r+b":
                names.get(path)
            if found is None or mode in {"wb", "xb"}:
                staging = Staging(self, path, exclusive=mode == "xb", attributes=attributes)
                sink = Sink(self.files.content.write(previous=found))
                return ElementWriter(self, mode, sink, staging, autocommit=autocommit)
            editor = self.files.content.edit(names.snapshot, names.get(path))
            edit = Edit(editor, appending=mode == "ab")
        staging = Staging(self, path, element=found)
        if mode == "ab":
            return ElementWriter(self, mode, edit, staging, autocommit=autocommit)
        file = ElementEditor(self, mode, edit, staging, autocommit=autocommit)
        if not autocommit:
            self.transaction.files.append(file)  # fsspec takes it for one that only reads
        return file

    def _reader(self, path: str) -> ElementReader:
        with translated(path):
            names = self.names()
            try:
                return ElementReader(self, path, names, file_of(names, path))
            except BaseException:
                names.close()
                raise

    def cat_file(
        self, path: _Path, start: int | None = None, end: int | None = None, **_kwargs: object
    ) -> bytes:
        """Bytes of a file, from `start` to `end`, which count from its end when negative."""
        path = self._strip_protocol(path)
        with translated(path), self.names() as names:
            return read_range(names, file_of(names, path), start, end)

    def cat_ranges(
        self,
        paths: Sequence[_Path],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **_kwargs: object,
    ) -> list[bytes | Exception]:
        """Bytes of many ranges, all of one state of the store; see fsspec's `cat_ranges`."""
        if not isinstance(starts, list):
            starts = [starts] * len(paths)
        if not isinstance(ends, list):
            ends = [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("as many paths as starts and ends are needed")
        found: list[bytes | Exception] = []
        elements: dict[str, Element] = {}
        with self.names() as names:
            for path, start, end in zip(paths, starts, ends, strict=True):
                try:
                    with translated(path):
                        plain = self._strip_protocol(path)
                        if plain not in elements:
                            elements[plain] = file_of(names, plain)
                        found.append(read_range(names, elements[plain], start, end))
                except OSError as error:
                    if on_error != "return":
                        raise
                    found.append(error)
        return found

    def pipe_file(self, path: _Path, value: Any, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write a whole file.

        Args:
            path: Where to.
            value: Bytes, or what has a buffer of them.
            mode: `overwrite`, or `create` to refuse where there is one.
            kwargs: Attributes, see `open`.
        """
        with self.open(path, "xb" if mode == "create" else "wb", **kwargs) as file:
            file.write(value)

    def cp_file(
        self, path1: _Path, path2: _Path, *, batch: Batch | None = None, **_kwargs: object
    ) -> None:
        """Copy within the store: no bytes move."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        with translated(source), self.names() as names:
            element = names.resolve(source)
            target, found = target_of(names, target)
        if element.is_directory:
            operations: list[Operation] = [directory(target)]
        else:
            operations = [directory(self._parent(target))]
            if found is not None and found.handle == element.handle:
                return
            operations.append(Copy(element.handle, target))
        if batch is None:
            self._run(source, *operations)
        else:
            batch.add(*operations)

    def copy(self, path1: Any, path2: Any, *args: Any, **kwargs: Any) -> None:
        """Copy files and, with `recursive=True`, directories, in one transaction."""
        with Batch(self.files.content, self._run_batch) as batch:
            super().copy(path1, path2, *args, batch=batch, **kwargs)

    def put(self, lpath: Any, rpath: Any, *args: Any, **kwargs: Any) -> None:
        """Copy local files, many to a transaction; see fsspec's `put`."""
        with Batch(self.files.content, self._run_batch) as batch:
            super().put(lpath, rpath, *args, batch=batch, **kwargs)

    def put_file(
        self,
        lpath: _Path,
        rpath: _Path,
        callback: Callback | None = None,
        mode: str = "overwrite",
        *,
        batch: Batch | None = None,
        **kwargs: Any,
    ) -> None:
        """Copy one local file; a directory is made."""
        source = os.fspath(lpath)
        target = self._strip_protocol(stored_path(source, str(rpath)))
        exclusive = mode == "create"
        write_from_local(self, source, target, callback, exclusive=exclusive, batch=batch, **kwargs)

    def get_file(
        self,
        rpath: _Path,
        lpath: Any,
        callback: Callback | None = None,
        outfile: Any = None,
        **_kwargs: object,
    ) -> None:
        """Copy one file to a local path, or into an open file."""
        read_to_local(self, self._strip_protocol(rpath), lpath, callback, outfile)
