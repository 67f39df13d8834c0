"""A device over several directories that survives the loss of any ``parity`` of them.

Small files (commit records, checkpoints, ``store.json`` …) lie on every child, sealed with a
checksum. The first child of the membership's order decides: a name is taken once it is linked
there, then it is linked on the others in order, and a reader that finds it makes sure of the
others before it answers from it. Removing goes the other way round. Since names are never used
again, a copy on any child that may not have been lost keeps its name taken. Segments are cut in
stripes (``stripes``) with Cauchy Reed-Solomon parity (``erasure``); a unit that is missing or
does not match its checksum is computed from the others (``segment_reader``), so reads go on
whatever is lost.

Which children count, and how one comes to be left out, is the business of ``members``. A writer
that published under an epoch that has passed looks whether its file is on the child which decides
now, and otherwise has lost. What is rotten is repaired by a scrub (``scrub``).

``hot/`` and ``tmp/`` are derived and lie on the first child only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from typing import TYPE_CHECKING

from ...errors import Corrupt, OutcomeUnknown, StorageFull, Unavailable
from .file_calls import SYSTEM_CALLS
from .striping.erasure import ErasureCode
from .striping.members import UNREADABLE, Members
from .striping.membership import open_children
from .striping.peers import find_members, remember_peers
from .striping.replica import (
    SEGMENTS,
    TRAILER_BYTES,
    is_derived,
    is_striped,
    publish_copy,
    remove_file,
    unseal,
)
from .striping.segment_reader import SegmentReader
from .striping.striped_file import StripedFile, StripedStagedFile
from .striping.striped_hold import StripedHold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .device import AppendFile, Device, Hold, StagedFile, Turn
    from .file_calls import FileCalls
    from .striping.membership import DeviceSet


class StripedDevice:
    """Files over several children; ``open_striped`` makes one of directories.

    Args:
        devices: The set.
        children: The children that are there, by index.
        paths: Where they lie, by index, for those that are directories.
        read_only: Change nothing, not even to complete what others left half-way.
        threads: False makes all calls one after another, in the caller's thread.
        accept_loss: Go on although those that are missing may have gone on without these.

    Raises:
        Unavailable: More children are missing than the parity covers, or those that are there
            cannot know whether the others went on without them.
    """

    def __init__(
        self,
        devices: DeviceSet,
        children: Mapping[int, Device],
        *,
        paths: Mapping[int, Path] | None = None,
        read_only: bool = False,
        threads: bool = True,
        accept_loss: bool = False,
    ) -> None:
        self.devices = devices
        self.code = ErasureCode(devices.data, devices.parity)
        self.read_only = read_only
        self.members = Members(
            devices,
            children,
            paths or {},
            read_only=read_only,
            threads=threads,
            accept_loss=accept_loss,
        )
        self.segments = SegmentReader(self.members, self.code)
        self._holds: weakref.WeakSet[StripedHold] = weakref.WeakSet()
        self._holds_lock = threading.Lock()
        self.members.changed = self._renew_holds

    # Holds

    def turn(self, name: str) -> Turn | None:
        # On one child it would go with that child, on several it would be no single turn.
        return None

    def hold(self, name: str, content: bytes) -> Hold:
        hold = StripedHold(self.members, name, content)
        with self._holds_lock:
            self._holds.add(hold)
        return hold

    def _renew_holds(self) -> None:
        with self._holds_lock:
            holds = list(self._holds)
        for hold in holds:
            hold.renew()

    def held(self, folder: str) -> list[bytes]:
        """What is held on any child: a holder may do without others than this process."""
        self.members.refresh()
        found: dict[bytes, None] = {}
        for index in self.members.live():
            try:
                found |= dict.fromkeys(self.members[index].held(folder))
            except UNREADABLE:
                if self.members.is_there(index):
                    raise
                self.members.lose(index)
        return list(found)

    # Small files

    def _names(self, index: int, folder: str) -> list[str]:
        try:
            return self.members[index].list(folder)
        except UNREADABLE:
            if self.members.is_there(index):
                raise
            return []

    def stage(self, content: bytes) -> StagedFile:
        return StripedStagedFile(self, bytes(content))

    def exists(self, name: str) -> bool:
        self.members.refresh()
        while True:
            live = self.members.live()
            if is_striped(name):
                return any(self.members.has(index, name) for index in live)
            if self.members.has(live[0], name) or self.is_on_others(name):
                return True
            if self.members.is_there(live[0]):
                return False
            self.members.lose(live[0])

    def read(self, name: str) -> bytes:
        if is_striped(name):
            return bytes(self.map(name, 0, self.size(name)))
        self.members.refresh()
        while True:
            live = self.members.live()
            first = live[0]
            try:
                stored = self.members[first].read(name)
                if is_derived(name):
                    return stored
                content = unseal(stored, name)
            except (*UNREADABLE, Corrupt) as error:
                if not self.members.is_there(first):
                    self.members.lose(first)
                    continue
                if is_derived(name):
                    raise
                content = self._other_copy(name, live[1:], error)
            if not self.read_only:
                self._copy_on(name, content, live)
            return content

    def is_on_others(self, name: str) -> bool:
        """True when a child that does not decide has a file.

        The one that decides may have lost the file alone; names are never used again.
        """
        if is_derived(name):
            return False
        others = self.members.live()[1 : self.devices.parity + 1]
        return any(self.members.has(index, name) for index in others)

    def _other_copy(self, name: str, others: Sequence[int], error: Exception) -> bytes:
        """The content of a file whose copy on the child that decides is not sound."""
        for index in others:
            with contextlib.suppress(*UNREADABLE, Corrupt):
                return unseal(self.members[index].read(name), name)
        raise error

    def _copy_on(self, name: str, content: bytes, others: Sequence[int]) -> None:
        """Give a file to the children that lack it: its author may have died half-way."""
        lacking = [index for index in others if not self.members.has(index, name)]
        for index in lacking:
            self.members.attempt(index, lambda child: publish_copy(child, name, content))
        if lacking:
            self.members.declare()

    def map(self, name: str, offset: int, length: int) -> memoryview:
        if is_striped(name):
            return self.segments.map(name, offset, length)
        if is_derived(name):
            return self.members.first().map(name, offset, length)
        content = self.read(name)
        if len(content) < offset + length:
            raise EOFError(f"{name} is shorter than {offset + length} bytes")
        return memoryview(content)[offset : offset + length]

    def list(self, folder: str) -> list[str]:
        self.members.refresh()
        while True:
            live = self.members.live()
            if folder == SEGMENTS:
                return sorted({n for i in live for n in self._names(i, folder)})
            names = self._names(live[0], folder)
            if names or self.members.is_there(live[0]):
                return names
            self.members.lose(live[0])

    def size(self, name: str) -> int:
        if is_striped(name):
            return self.segments.size(name)
        self.members.refresh()
        if is_derived(name):
            return self.members.first().size(name)
        with contextlib.suppress(*UNREADABLE):
            return max(0, self.members.first().size(name) - TRAILER_BYTES)
        return len(self.read(name))

    def unlink(self, name: str) -> None:
        if is_derived(name):
            remove_file(self.members.first(), name)
            return
        self.members.declare()
        # The one that decides comes last: a crash on the way leaves the file as it was.
        for index in reversed(self.members.live()):
            self.members.attempt(index, lambda child: remove_file(child, name))
        self.segments.removed(name)
        self.members.declare()

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> int | None:
        return None  # the parity covers what was written

    def sync_directory(self, folder: str) -> None:
        if is_derived(folder):
            self.members.first().sync_directory(folder)
            return
        self.members.attempt_each(self.members.live(), lambda _, child: _synced(child, folder))
        self.members.declare()

    # Segments

    def create(self, name: str) -> StripedFile:
        assert is_striped(name), "only segments are appended to"
        self.members.declare()
        parts: dict[int, AppendFile] = {}
        try:
            # Noted one by one: when a child has no room, the others' files are to be closed.
            self.members.attempt_each(
                self.members.live(),
                lambda index, child: parts.setdefault(index, child.create(name)),
            )
            self.members.declare()
        except BaseException:
            for part in parts.values():
                part.close()
            raise
        file = StripedFile(self, name, parts, self.segments.begin(name))
        self.segments.opened(name, file)
        return file

    # Derived files

    def local_path(self, name: str) -> Path | None:
        return self.members.first().local_path(name) if is_derived(name) else None

    def adopt(self, path: Path, name: str) -> bool:
        return self.members.first().adopt(path, name)

    def touch(self, name: str) -> None:
        device = self.members.first()
        device.touch(name)

    def modified_s(self, name: str) -> float:
        if not is_striped(name):
            return self.members.first().modified_s(name)
        times = []
        for index in self.members.live():
            with contextlib.suppress(*UNREADABLE):
                times.append(self.members[index].modified_s(name))
        if not times:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return max(times)

    def remember_peers(self, joining: Mapping[int, tuple[Device, Path]] | None = None) -> None:
        """Let the children remember where all of them lie.

        Args:
            joining: Children that are about to join, with their directories, by index.
        """
        children = {index: self.members[index] for index in self.members.live()}
        paths = dict(self.members.paths)
        for index, (child, path) in (joining or {}).items():
            children[index], paths[index] = child, path
        with contextlib.suppress(StorageFull, Unavailable, OutcomeUnknown):
            remember_peers(children, paths, self.devices)

    def close(self) -> None:
        self.members.close()


def _synced(device: Device, folder: str) -> bool:
    device.sync_directory(folder)
    return True


def open_striped(
    paths: Sequence[Path],
    parity: int | None,
    *,
    create: bool,
    random_bytes: Callable[[int], bytes] = os.urandom,
    calls: FileCalls = SYSTEM_CALLS,
    accept_loss: bool = False,
) -> StripedDevice:
    """Open a device over directories, in whichever order they are named.

    Args:
        paths: The directories; up to ``parity`` may be missing once the set exists.
        parity: How many may be lost; None takes what the set was created with, 1 for a new one.
        create: Open it writable, and make a new set when there is none.
        random_bytes: Source of the name of a new set.
        calls: The operating system.
        accept_loss: Go on although those that are missing may have gone on without these.

    Raises:
        NotAStore, InvalidRequest, Unavailable: As ``membership.open_children`` does.
    """
    devices, children, where = open_children(
        paths, parity, create=create, random_bytes=random_bytes, calls=calls
    )
    try:
        device = StripedDevice(
            devices, children, paths=where, read_only=not create, accept_loss=accept_loss
        )
        if create:
            device.remember_peers()
    except BaseException:
        for child in children.values():
            child.close()
        raise
    return device


def open_member(path: Path, *, create: bool, accept_loss: bool = False) -> StripedDevice | None:
    """Open the device that a directory is a part of; None when it is no such part.

    Args:
        path: The directory of any one child; it remembers where the others are.
        create: Open it writable.
        accept_loss: Go on although those that are missing may have gone on without these.

    Raises:
        NotAStore, Unavailable: As ``peers.find_members`` and ``open_striped`` do.
    """
    where = find_members(path)
    if where is None:
        return None
    return open_striped(list(where.values()), None, create=create, accept_loss=accept_loss)
