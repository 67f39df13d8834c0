"""Writing entries to a store, some hundred to a transaction."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final

from ...errors import Corrupt
from ...storage.files.definition import DIRECTORY, FILE, SYMLINK
from ...storage.files.operations import (
    Copy,
    Create,
    MakeDirectory,
    MakeSpecial,
    MakeSymlink,
    SetAttributes,
)
from ...storage.files.path import join, parent_of
from ...storage.files.removal import Unlink
from .batch import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...storage.content.content import Content
    from ...storage.files.files import Files
    from ...storage.files.files_snapshot import FilesSnapshot
    from ...storage.files.namespace import Operation
    from .entry import Entry
    from .watch import Watch

SMALL_BYTES: Final = 4 << 20
"""Files up to this size share pages with others."""
_LISTINGS_MAX: Final = 64
"""Directories whose names are known at a time."""


class ToStore:
    """Copies entries to a store. What is there under their names is replaced, links too.

    Args:
        files: The store's.
        watch: Is told what is done, and what cannot be.
        preserve: Keep times, owners and all permissions.
        clobber: Replace what is there.
        same: Whether the entries are elements of this very store: no bytes are read then.
    """

    def __init__(
        self, files: Files, watch: Watch, *, preserve: bool, clobber: bool, same: bool = False
    ) -> None:
        self._files = files
        self._watch = watch
        self._preserve = preserve
        self._clobber = clobber
        self._same = same
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._made: set[str] = set()
        self._listings: OrderedDict[str, dict[str, str]] = OrderedDict()

    def copy(self, entries: Iterable[Entry], target: str) -> None:
        """Copy a tree, or a file.

        Args:
            entries: Each directory before what is in it.
            target: Path that the first one gets.

        Raises:
            FileError: The store refuses the target.
            Error: The store cannot go on.
        """
        directories: list[tuple[str, Entry]] = []
        refused: set[str] = set()
        with self._files.snapshot() as names, Batch(self._files.content, self._run) as batch:
            for entry in entries:
                path = target
                for name in entry.names:
                    path = join(path, name)
                if parent_of(path)[0] in refused and entry.names:
                    refused |= {path} if entry.is_directory else set()
                elif self._add(batch, names, entry, path):
                    if entry.is_directory:
                        directories.append((path, entry))
                elif entry.is_directory:
                    refused.add(path)
        if self._preserve:
            # Afterwards: what is put into a directory changes its time.
            with Batch(self._files.content, self._run) as batch:
                for path, entry in reversed(directories):
                    batch.add(SetAttributes(path, _kept(entry)))

    def _run(self, operations: Iterable[Operation]) -> None:
        self._files.run(*operations)

    def _there(self, names: FilesSnapshot, path: str) -> str | None:
        """What type of element has a path, None where there is none."""
        parent, name = parent_of(path)
        if not name:
            return DIRECTORY
        if parent in self._made:
            return None
        known = self._listings.get(parent)
        if known is None:
            directory = names.find(parent)
            children = [] if directory is None else names.children(directory.handle)
            known = {child.name: child.element_type for child in children}
            self._listings[parent] = known
            if len(self._listings) > _LISTINGS_MAX:
                self._listings.popitem(last=False)
        return known.get(name)

    def _add(self, batch: Batch, names: FilesSnapshot, entry: Entry, path: str) -> bool:
        """Add what makes an entry; tells whether its own entries can follow."""
        watch, there = self._watch, self._there(names, path)
        if entry.is_directory:
            if there is None:
                self._made.add(path)
                mode = entry.mode if self._preserve else entry.mode & 0o777 & ~self._umask
                batch.add(MakeDirectory(path, mode, parents=True, exist_ok=True))
            elif there != DIRECTORY:
                watch.fail(errno.ENOTDIR, entry.told, f"what is at {path} is no directory")
                return False
            watch.note(entry)
            return True
        if there == DIRECTORY:
            watch.fail(errno.EISDIR, entry.told, f"what is at {path} is a directory")
            return False
        if there is not None and not self._clobber:
            return False
        if not entry.names and (self._same or entry.element_type != FILE):
            batch.add(MakeDirectory(parent_of(path)[0] or "/", parents=True, exist_ok=True))
        if there is not None and (there != FILE or entry.element_type != FILE):
            batch.add(Unlink(path))
        try:
            self._add_file(batch, entry, path)
        except OSError as error:
            watch.fail_by(error, entry.told)
            return False
        except Corrupt as error:
            watch.fail(errno.EIO, entry.told, error.message)
            return False
        watch.note(entry)
        return True

    def _add_file(self, batch: Batch, entry: Entry, path: str) -> None:
        if self._same and entry.handle is not None:
            batch.add(Copy(entry.handle, path))
            self._watch.count_bytes(entry.size)
            if self._preserve:
                batch.add(SetAttributes(path, _kept(entry)))
        elif entry.element_type == FILE:
            self._add_content(batch, entry, path)
        else:
            if entry.element_type == SYMLINK:
                batch.add(MakeSymlink(path, entry.link))
            else:
                batch.add(
                    MakeSpecial(path, entry.element_type, entry.mode, entry.major, entry.minor)
                )
            if self._preserve:
                batch.add(SetAttributes(path, _kept(entry)))

    def _add_content(self, batch: Batch, entry: Entry, path: str) -> None:
        make = partial(self._create, entry, path)
        pieces = entry.pieces()
        if entry.size <= SMALL_BYTES:
            whole = b"".join(pieces)
            batch.write(whole, make)
            self._watch.count_bytes(len(whole))
            return
        with self._files.content.write() as writer:
            for piece in pieces:
                writer.write(piece)
                self._watch.count_bytes(len(piece))
            batch.keep(writer.finish(), make)

    def _create(self, entry: Entry, path: str, content: Content) -> Create:
        mode = entry.mode if self._preserve else entry.mode & 0o777 & ~self._umask
        attributes = _kept(entry) if self._preserve else {}
        parents = not entry.names
        return Create(path, content, mode, exclusive=False, attributes=attributes, parents=parents)


def _kept(entry: Entry) -> dict[str, object]:
    """What `--preserve` keeps of an entry."""
    kept: dict[str, object] = {"uid": entry.uid, "gid": entry.gid}
    kept |= {"atime": entry.atime, "mtime": entry.mtime}
    return kept if entry.element_type == SYMLINK else {**kept, "nfs_mode_bits": entry.mode}
