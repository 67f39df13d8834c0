"""Requests about names: looking up, making, linking, renaming, removing."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from ....storage.files.file_error import FileError
from ....storage.files.name import bytes_of, require_name, text_of
from ....storage.files.operations import (
    Create,
    MakeDirectory,
    MakeLink,
    MakeSpecial,
    MakeSymlink,
)
from ....storage.files.removal import RemoveDirectory, Unlink
from ....storage.files.renaming import Rename
from .. import protocol
from ..protocol import Opcode
from ..state import TYPES
from .handler import Answer, Handler, HandlerGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ....storage.files.element import Element
    from ....storage.files.namespace import Operation
    from ..protocol import Request


class Names(HandlerGroup):
    """Handlers of requests about names."""

    def handlers(self) -> Mapping[int, Handler]:
        """Who answers which opcode."""
        return {
            Opcode.LOOKUP: self.lookup,
            Opcode.FORGET: self.forget,
            Opcode.BATCH_FORGET: self.batch_forget,
            Opcode.READLINK: self.readlink,
            Opcode.SYMLINK: self.symlink,
            Opcode.MKNOD: self.mknod,
            Opcode.MKDIR: self.mkdir,
            Opcode.CREATE: self.create,
            Opcode.LINK: self.link,
            Opcode.UNLINK: self.unlink,
            Opcode.RMDIR: self.rmdir,
            Opcode.RENAME: self.rename,
            Opcode.RENAME2: self.rename2,
        }

    def lookup(self, request: Request) -> Answer:
        """Find what a name names; that there is nothing is remembered as well."""
        name = require_name(text_of(request.name()))
        with self.state.views.newest() as snapshot:
            found = snapshot.child(request.node, name)
        if found is None:
            return [protocol.absent_reply(self.state.cache_ns)]
        return [self.state.entry(self.state.shown(found.handle, found))]

    def forget(self, request: Request) -> Answer:
        """The kernel forgets an inode."""
        self.state.forget(request.node, *protocol.FORGET.unpack_from(request.body))
        return None

    def batch_forget(self, request: Request) -> Answer:
        """The kernel forgets inodes."""
        count, _ = protocol.BATCH.unpack_from(request.body)
        size = protocol.FORGET_ONE.size
        forgotten = request.body[protocol.BATCH.size :][: count * size]
        for handle, times in protocol.FORGET_ONE.iter_unpack(forgotten):
            self.state.forget(handle, times)
        return None

    def readlink(self, request: Request) -> Answer:
        """Tell where a symbolic link points."""
        element = self.state.element(request.node)
        if element.symlink_path is None:
            raise FileError(errno.EINVAL)
        return [bytes_of(element.symlink_path)]

    def symlink(self, request: Request) -> Answer:
        """Make a symbolic link."""
        name, target = request.names()
        place = request.node, text_of(name)
        return self._made(MakeSymlink(place, text_of(target), uid=request.uid, gid=request.gid))

    def mknod(self, request: Request) -> Answer:
        """Make a file of any kind but a directory."""
        mode, device, _, _ = protocol.MKNOD.unpack_from(request.body)
        place = request.node, text_of(request.name(protocol.MKNOD.size))
        uid, gid = request.uid, request.gid
        kind = stat.S_IFMT(mode)
        if kind in {0, stat.S_IFREG}:
            return self._made(Create(place, mode=mode & 0o7777, uid=uid, gid=gid))
        if kind not in TYPES:
            raise FileError(errno.EINVAL)
        major, minor = protocol.device_parts(device)
        return self._made(
            MakeSpecial(place, TYPES[kind], mode & 0o7777, major, minor, uid=uid, gid=gid)
        )

    def mkdir(self, request: Request) -> Answer:
        """Make a directory."""
        mode, _ = protocol.MKDIR.unpack_from(request.body)
        place = request.node, text_of(request.name(protocol.MKDIR.size))
        return self._made(MakeDirectory(place, mode & 0o7777, uid=request.uid, gid=request.gid))

    def create(self, request: Request) -> Answer:
        """Make a file and open it; one that another process has just made is opened."""
        flags, mode, _, _ = protocol.CREATE.unpack_from(request.body)
        place = request.node, text_of(request.name(protocol.CREATE.size))
        state = self.state
        made = True
        try:
            element = self._run(Create(place, mode=mode & 0o7777, uid=request.uid, gid=request.gid))
        except FileError as error:
            if error.errno != errno.EEXIST or flags & os.O_EXCL:
                raise
            found = state.views.hold()
            try:
                existing = found.snapshot.child(*place)
            finally:
                state.views.release(found)
            if existing is None:
                raise FileError(errno.ESTALE) from error
            element, made = existing, False
        opened = state.open(element.handle, element if made else None)
        if flags & os.O_TRUNC and element.size:
            opened.truncate(0, clear_set_id=False)
        state.note_cached(element.handle, element.version)
        self._note(element)
        shown = state.shown(element.handle, opened.element)
        return [state.entry(shown), protocol.open_reply(0, 0)]

    def link(self, request: Request) -> Answer:
        """Give an element a further name."""
        (handle,) = protocol.LINK.unpack_from(request.body)
        place = request.node, text_of(request.name(protocol.LINK.size))
        made = self._run(MakeLink(handle, place))
        self.state.directories.forget(request.node)
        self.state.note_name(*place, handle)
        return [self.state.entry(self.state.shown(handle, made))]

    def unlink(self, request: Request) -> Answer:
        """Take a name away; an open file lives on without."""
        return self._removed(request, Unlink((request.node, text_of(request.name()))))

    def rmdir(self, request: Request) -> Answer:
        """Remove an empty directory."""
        return self._removed(request, RemoveDirectory((request.node, text_of(request.name()))))

    def rename(self, request: Request) -> Answer:
        """Rename, over an existing name too."""
        (parent,) = protocol.RENAME.unpack_from(request.body)
        return self._renamed(request, parent, 0, protocol.RENAME.size)

    def rename2(self, request: Request) -> Answer:
        """Rename, but not over an existing name, or exchange two names."""
        parent, flags, _ = protocol.RENAME2.unpack_from(request.body)
        if flags & ~(protocol.RENAME_NOREPLACE | protocol.RENAME_EXCHANGE):
            raise FileError(errno.EINVAL)
        return self._renamed(request, parent, flags, protocol.RENAME2.size)

    def _renamed(self, request: Request, parent: int, flags: int, skip: int) -> Answer:
        old, new = map(text_of, request.names(skip))
        exchange = bool(flags & protocol.RENAME_EXCHANGE)
        replaced = None if exchange else self._child(parent, new)
        (renamed,) = self.state.files.run(
            Rename(
                (request.node, old),
                (parent, new),
                no_replace=bool(flags & protocol.RENAME_NOREPLACE),
                exchange=exchange,
            )
        )
        self.state.directories.forget()
        self.state.note_name(request.node, old, None)
        if renamed is not None and not exchange:
            self.state.note_name(parent, new, renamed.handle)
            self.state.note_row(renamed)
        if replaced is not None:
            self.state.depart(replaced)
        return []

    def _removed(self, request: Request, operation: Operation) -> Answer:
        name = text_of(request.name())
        removed = self._child(request.node, name)
        self.state.files.run(operation)
        gone = request.node if removed is None else removed.handle
        self.state.directories.forget(request.node, gone)
        self.state.note_name(request.node, name, None)
        if removed is not None:
            self.state.depart(removed)
        return []

    def _child(self, parent: int, name: str) -> Element | None:
        with self.state.views.newest() as snapshot:
            return snapshot.child(parent, name)

    def _made(self, operation: Operation) -> Answer:
        made = self._run(operation)
        self._note(made)
        # Nothing lies in a new directory; its row does not count.
        return [self.state.entry(replace(made, nlinks=2) if made.is_directory else made)]

    def _note(self, element: Element) -> None:
        self.state.directories.entered(element)
        self.state.note_name(element.parent_handle, element.name, element.handle)
        self.state.note_row(element)

    def _run(self, operation: Operation) -> Element:
        (element,) = self.state.files.run(operation)
        assert element is not None
        return element
