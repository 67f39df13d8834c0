"""Requests about attributes: permissions, owners, times, sizes; room on the file system."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....storage.files.operations import SetAttributes
from .. import protocol
from ..open_file import without_set_id
from ..protocol import Opcode, SetAttribute, SetAttributesRequest
from .handler import Answer, Handler, HandlerGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ....storage.files.element import Element
    from ....storage.files.namespace import NamespaceView
    from ..protocol import Request
    from ..state import MountState

_PLENTY = 1 << 32
"""Blocks and inodes where the device does not tell how many there are."""


@dataclass(frozen=True, slots=True)
class Amend:
    """An operation: changes of attributes that depend on what they are now."""

    handle: int
    changes: Callable[[Element], Mapping[str, object]]

    def apply(self, view: NamespaceView) -> Element | None:
        """Read the element, then change it."""
        element = view.by_handle(self.handle)
        changes = {} if element is None else self.changes(element)
        return SetAttributes(self.handle, changes).apply(view)


class AttributeRequests(HandlerGroup):
    """Handlers of requests about attributes.

    Args:
        state: What the mount knows.
        store: The store's directory; None where it lies in memory.
    """

    def __init__(self, state: MountState, store: str | None) -> None:
        super().__init__(state)
        self._store = store

    def handlers(self) -> Mapping[int, Handler]:
        """Who answers which opcode."""
        return {
            Opcode.GETATTR: self.getattr,
            Opcode.SETATTR: self.setattr,
            Opcode.STATFS: self.statfs,
        }

    def getattr(self, request: Request) -> Answer:
        """Tell the attributes."""
        return [self.state.attributes_reply(self.state.element(request.node))]

    def setattr(self, request: Request) -> Answer:
        """Change attributes; of a file that is being written, together with its bytes."""
        asked = SetAttributesRequest.of(request.body)
        kill = bool(asked.valid & SetAttribute.KILL_SUIDGID)
        if asked.valid & SetAttribute.SIZE:
            self._resize(request.node, asked, clear_set_id=kill)
        changes = _changes(asked)
        if not changes and not kill:
            return [self.state.attributes_reply(self.state.element(request.node))]

        def wanted(element: Element) -> dict[str, object]:
            if kill and "nfs_mode_bits" not in changes and not element.is_directory:
                mode = element.nfs_mode_bits
                if mode != without_set_id(mode):
                    return {**changes, "nfs_mode_bits": without_set_id(mode)}
            return changes

        return [self.state.attributes_reply(self._change(request.node, wanted))]

    def _resize(self, handle: int, asked: SetAttributesRequest, *, clear_set_id: bool) -> None:
        with self.state.briefly_open(handle) as opened:
            opened.truncate(asked.size, clear_set_id=clear_set_id)
            if not asked.valid & SetAttribute.FH:
                # Without a descriptor nobody closes it, so nobody would commit it.
                self.state.commit(opened)

    def _change(self, handle: int, wanted: Callable[[Element], dict[str, object]]) -> Element:
        state = self.state
        opened = state.if_open(handle)
        if opened is not None:
            shown = state.element(handle)
            if opened.keep(wanted(shown)):
                return state.element(handle)
        (changed,) = state.files.run(Amend(handle, wanted))
        assert changed is not None
        state.directories.forget(handle)
        state.note_row(changed)
        # What a directory's row says of its times and links is not all.
        return state.element(handle) if changed.is_directory else state.shown(handle, changed)

    def statfs(self, _request: Request) -> Answer:
        """Tell the room that the store's own file system has."""
        if self._store is None:
            return [protocol.statfs_reply(_PLENTY, _PLENTY, _PLENTY, _PLENTY)]
        found = os.statvfs(self._store)
        scale = found.f_frsize / 4096
        return [
            protocol.statfs_reply(
                int(found.f_blocks * scale), int(found.f_bavail * scale), _PLENTY, _PLENTY
            )
        ]


def _changes(asked: SetAttributesRequest) -> dict[str, object]:
    """Columns and their new values."""
    valid, now = asked.valid, time.time_ns()
    changes: dict[str, object] = {}
    if valid & SetAttribute.MODE:
        changes["nfs_mode_bits"] = stat.S_IMODE(asked.mode)
    if valid & SetAttribute.UID:
        changes["uid"] = asked.uid
    if valid & SetAttribute.GID:
        changes["gid"] = asked.gid
    if valid & SetAttribute.ATIME:
        changes["atime"] = now if valid & SetAttribute.ATIME_NOW else asked.atime
    if valid & SetAttribute.MTIME:
        changes["mtime"] = now if valid & SetAttribute.MTIME_NOW else asked.mtime
    return changes
