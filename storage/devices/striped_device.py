"""A device over several directories that survives the loss of any ``parity`` of them.

Small files (commit records, checkpoints, ``store.json`` …) lie on every child, sealed with a
checksum. The first child of the membership's order decides: a name is taken once it is linked
there, then it is linked on the others in order, and a reader that finds it makes sure of the
others before it answers from it. Removing goes the other way round. Since names are never used
again, a copy on any child that may not have been lost keeps its name taken. Segments are cut in
stripes (``stripes``) with Cauchy Reed-Solomon parity (``erasure``); a unit that is missing or
does not match its checksum is computed from the others, so reads go on whatever is lost.

A child that cannot be written to is left out by a new epoch (``membership``) before anything
is acknowledged without it. A writer that published under an epoch that has passed looks
whether its file is on the child which decides now, and otherwise has lost. Failed reads never
leave a child out: another copy answers, and a scrub (``scrub``) repairs.

``hot/`` and ``tmp/`` are derived and lie on the first child only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ...errors import Corrupt, Denied, NotAStore, OutcomeUnknown, StorageFull, Unavailable
from .erasure import ErasureCode
from .membership import (
    DEVICE_FILE,
    Membership,
    epoch_name,
    identify_child,
    link_epoch,
    newest_epoch,
    open_child,
    open_children,
    read_epoch,
    too_many_lost,
)
from .replica import SEGMENTS, TRAILER_BYTES, is_derived, is_striped, publish_copy, unseal
from .striped_file import StripedFile, StripedStagedFile
from .stripes import HEADER_BYTES, StripeIndex, file_key, next_stripe, slices, unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .device import Device, Hold, StagedFile
    from .erasure import Words
    from .membership import DeviceSet
    from .stripes import Stripe

# Shortages of this process, which say nothing about a child.
_OWN_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_UNREADABLE = (OSError, EOFError, Unavailable, Denied)

_T = TypeVar("_T")


class StripedDevice:
    """Files over several children; ``open_striped`` makes one of directories.

    Args:
        devices: The set.
        children: The children that are there, by index.
        paths: Where they lie, by index, for reports.
        read_only: Change nothing, not even to complete what others left half-way.

    Raises:
        Unavailable: More children are missing than the parity covers.
    """

    def __init__(
        self,
        devices: DeviceSet,
        children: Mapping[int, Device],
        *,
        paths: Mapping[int, Path] | None = None,
        read_only: bool = False,
    ) -> None:
        self.devices = devices
        self.code = ErasureCode(devices.data, devices.parity)
        self.paths = dict(paths or {})
        self.read_only = read_only
        self.children = dict(children)
        self.lock = threading.RLock()
        self._pool = ThreadPoolExecutor(devices.children, thread_name_prefix="pagelake-device")
        self._strangers: set[int] = set()
        self._indexes: dict[str, StripeIndex] = {}
        self._files: dict[str, StripedFile] = {}
        membership = newest_epoch(self.children, devices)
        if membership is None:
            raise Unavailable("no device knows which of them make up the store")
        self.membership = membership
        self._absent: set[int] = set(membership.order) - set(self.children)
        self.live()
        if not read_only:
            self._complete_epoch()

    # Membership

    def live(self) -> list[int]:
        """Indexes of the children in use, the one that decides first.

        Raises:
            Unavailable: They are too few.
        """
        live = [index for index in self.membership.order if index not in self._absent]
        if len(live) < self.devices.data:
            raise too_many_lost(self.devices, self.devices.children - len(live))
        return live

    def _is_there(self, index: int) -> bool:
        try:
            return self.children[index].exists(DEVICE_FILE)
        except _UNREADABLE:
            return False

    def lose(self, index: int) -> None:
        """Do without a child from here on; ``declare`` says so to everybody.

        Raises:
            Unavailable: The others are too few.
        """
        with self.lock:
            self._absent.add(index)
            self.live()

    def attempt_each(
        self, indexes: Sequence[int], change: Callable[[int, Device], _T]
    ) -> dict[int, _T]:
        """Let children change something at the same time; those that failed are not in the answer.

        Most of the time of a sync is spent waiting, and each child may be a disk of its own.
        """
        calls = {
            index: self._pool.submit(self.attempt, index, partial(change, index))
            for index in indexes
        }
        wait(calls.values())
        results = {index: call.result() for index, call in calls.items()}
        return {index: result for index, result in results.items() if result is not None}

    def attempt(self, index: int, change: Callable[[Device], _T]) -> _T | None:
        """Let a child change something; None when it failed and is left out from here on.

        Raises:
            StorageFull: It has no room.
        """
        try:
            return change(self.children[index])
        except (StorageFull, FileExistsError):
            raise
        except (OSError, Unavailable, OutcomeUnknown, Denied) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if isinstance(cause, OSError) and cause.errno in _OWN_SHORTAGES:
                raise
            self.lose(index)
            return None

    def refresh(self) -> None:
        """Learn of epochs that other processes have begun."""
        # One child more than may be lost: whatever the next epoch leaves out, one of them has it.
        probed = [i for i in self.membership.order if i not in self._absent]
        following = epoch_name(self.membership.epoch + 1)
        for index in probed[: self.devices.parity + 1]:
            if self.children[index].exists(following):
                with self.lock:
                    self._adopt_epoch()
                return

    def _adopt_epoch(self) -> None:
        newest = newest_epoch(self.children, self.devices)
        if newest is None or newest.epoch <= self.membership.epoch:
            return
        joined = set(newest.order) - set(self.membership.order)
        joined |= {i for i in self._absent & set(newest.order) if self._was_out(i, newest.epoch)}
        self.membership = newest
        self._absent &= set(newest.order)
        for index in joined:
            self._join(index)
        self.live()
        if not self.read_only:
            self._complete_epoch()

    def _was_out(self, index: int, newest: int) -> bool:
        """True when an epoch that this process missed went without a child."""
        missed = (
            read_epoch(child, self.devices, epoch)
            for epoch in range(self.membership.epoch + 1, newest)
            for child in self.children.values()
        )
        return any(one is not None and index not in one.order for one in missed)

    def _join(self, index: int) -> None:
        """Use a child that another process has rebuilt."""
        path = self.paths.get(index)
        if path is not None:
            # What is open may be the directory that was there before.
            with contextlib.suppress(NotAStore):
                child = open_child(self.devices, path, create=False)
                if identify_child(child) == (self.devices, index):
                    if index in self.children:
                        self.children[index].close()
                    self.children[index] = child
                    self._absent.discard(index)
                    return
        elif index in self.children and self._is_there(index):
            return
        # It lies elsewhere. To leave it out again would undo the work of others.
        self._absent.add(index)
        self._strangers.add(index)

    def _complete_epoch(self) -> None:
        """Put the epoch on all its children: its author may have died half-way."""
        for index in self.live():
            child = {index: self.children[index]}
            self.attempt(index, lambda _, c=child: link_epoch(c, self.devices, self.membership))  # type: ignore[misc]

    def declare(self) -> None:
        """Make it known to everybody which children are out, before anything depends on it.

        Raises:
            Unavailable: The children that are left are too few, or contradict each other.
        """
        with self.lock:
            while out := self._absent & set(self.membership.order):
                if self._strangers & out:
                    raise Unavailable(
                        "a device of the store was replaced by another directory",
                        hint="connect again, naming the new directory",
                    )
                order = tuple(i for i in self.membership.order if i not in out)
                self.begin_epoch(order)

    def begin_epoch(self, order: tuple[int, ...]) -> None:
        """Begin the next epoch with these children, unless another process begins one."""
        following = Membership(self.membership.epoch + 1, order)
        for index in order:
            child = {index: self.children[index]}
            linked = self.attempt(
                index,
                lambda _, c=child: link_epoch(c, self.devices, following),  # type: ignore[misc]
            )
            if linked is False:
                if index != order[0]:
                    raise Unavailable("two processes disagree on which devices of the store live")
                self._adopt_epoch()
                if self.membership.epoch < following.epoch:
                    raise Unavailable("the membership of the devices cannot be read")
                return
        self.membership = following

    def join(self, index: int, child: Device, path: Path) -> None:
        """Use a replacement that holds all that the lost child did, from the next epoch on."""
        with self.lock:
            if index in self.children:
                self.children[index].close()
            self.children[index] = child
            self.paths[index] = path
            self._absent.discard(index)
            self._strangers.discard(index)
            while index not in self.membership.order:
                self.declare()
                self.begin_epoch((*self.membership.order, index))

    # Holds

    def hold(self, name: str, content: bytes) -> Hold:
        # On the child that decides: whoever reclaims looks there. Holds are advice only.
        return self.children[self.live()[0]].hold(name, content)

    def held(self, folder: str) -> list[bytes]:
        return self.children[self.live()[0]].held(folder)

    # Small files

    def _names(self, index: int, folder: str) -> list[str]:
        try:
            return self.children[index].list(folder)
        except _UNREADABLE:
            if self._is_there(index):
                raise
            return []

    def stage(self, content: bytes) -> StagedFile:
        return StripedStagedFile(self, bytes(content))

    def exists(self, name: str) -> bool:
        self.refresh()
        while True:
            live = self.live()
            if is_striped(name):
                return any(self._has(index, name) for index in live)
            if self._has(live[0], name) or self.is_on_others(name):
                return True
            if self._is_there(live[0]):
                return False
            self.lose(live[0])

    def read(self, name: str) -> bytes:
        if is_striped(name):
            return bytes(self.map(name, 0, self.size(name)))
        self.refresh()
        while True:
            live = self.live()
            first = live[0]
            try:
                stored = self.children[first].read(name)
                if is_derived(name):
                    return stored
                content = unseal(stored, name)
            except (*_UNREADABLE, Corrupt) as error:
                if not self._is_there(first):
                    self.lose(first)
                    continue
                if is_derived(name):
                    raise
                content = self._other_copy(name, live[1:], error)
            if not self.read_only:
                self._copy_on(name, content, live)
            return content

    def _has(self, index: int, name: str) -> bool:
        try:
            return self.children[index].exists(name)
        except _UNREADABLE:
            return False

    def is_on_others(self, name: str) -> bool:
        """True when a child that does not decide has a file.

        The one that decides may have lost the file alone; names are never used again.
        """
        if is_derived(name):
            return False
        return any(self._has(index, name) for index in self.live()[1 : self.devices.parity + 1])

    def _other_copy(self, name: str, others: Sequence[int], error: Exception) -> bytes:
        """The content of a file whose copy on the child that decides is not sound."""
        for index in others:
            with contextlib.suppress(*_UNREADABLE, Corrupt):
                return unseal(self.children[index].read(name), name)
        raise error

    def _copy_on(self, name: str, content: bytes, others: Sequence[int]) -> None:
        """Give a file to the children that lack it: its author may have died half-way."""
        lacking = [index for index in others if not self._has(index, name)]
        for index in lacking:
            self.attempt(index, lambda child: publish_copy(child, name, content))
        if lacking:
            self.declare()

    def map(self, name: str, offset: int, length: int) -> memoryview:
        if is_striped(name):
            return self._map_striped(name, offset, length)
        if is_derived(name):
            return self.children[self.live()[0]].map(name, offset, length)
        content = self.read(name)
        if len(content) < offset + length:
            raise EOFError(f"{name} is shorter than {offset + length} bytes")
        return memoryview(content)[offset : offset + length]

    def list(self, folder: str) -> list[str]:
        self.refresh()
        while True:
            live = self.live()
            if folder == SEGMENTS:
                return sorted({n for i in live for n in self._names(i, folder)})
            names = self._names(live[0], folder)
            if names or self._is_there(live[0]):
                return names
            self.lose(live[0])

    def size(self, name: str) -> int:
        if is_striped(name):
            file = self._files.get(name)
            return file.size if file else self._index(name, None).end
        self.refresh()
        if is_derived(name):
            return self.children[self.live()[0]].size(name)
        with contextlib.suppress(*_UNREADABLE):
            return self.children[self.live()[0]].size(name) - TRAILER_BYTES
        return len(self.read(name))

    def unlink(self, name: str) -> None:
        if is_derived(name):
            device = self.children[self.live()[0]]
            device.unlink(name)
            return
        self.declare()
        # The one that decides comes last: a crash on the way leaves the file as it was.
        for index in reversed(self.live()):
            self.attempt(index, lambda device: device.unlink(name))
        with self.lock:
            self._indexes.pop(name, None)
            self._files.pop(name, None)
        self.declare()

    def sync_directory(self, folder: str) -> None:
        if is_derived(folder):
            self.children[self.live()[0]].sync_directory(folder)
            return
        self.attempt_each(self.live(), lambda _, child: child.sync_directory(folder))
        self.declare()

    # Segments

    def create(self, name: str) -> StripedFile:
        assert is_striped(name), "only segments are appended to"
        self.declare()
        parts = self.attempt_each(self.live(), lambda _, child: child.create(name))
        self.declare()
        with self.lock:
            stripes = self._indexes[name] = StripeIndex()
            file = self._files[name] = StripedFile(self, name, parts, stripes)
        return file

    def child_of(self, key: int, number: int) -> int:
        """Index of the child that has a unit of a file."""
        return (number + key) % self.devices.children

    def is_open(self, name: str) -> bool:
        """True while this process appends to a file."""
        return name in self._files

    def stripes(self, name: str) -> tuple[Stripe, ...]:
        """All stripes of a file, in order.

        Raises:
            FileNotFoundError: No child has the file.
        """
        return tuple(self._index(name, None))

    def forget(self, name: str) -> None:
        """A file takes no further appends."""
        with self.lock:
            self._files.pop(name, None)

    def _map_striped(self, name: str, offset: int, length: int) -> memoryview:
        if length == 0:
            return memoryview(b"")
        index = self._index(name, offset + length)
        if index.end < offset + length:
            raise EOFError(f"{name} is shorter than {offset + length} bytes")
        pieces: list[memoryview] = []
        for stripe in index.overlapping(offset, length):
            wanted = slices(stripe, offset, length, self.devices.data)
            units = self.units(name, stripe, [number for number, _, _ in wanted])
            pieces += [
                units[number].data.cast("B")[start:end].toreadonly()
                for number, start, end in wanted
            ]
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def units(self, name: str, stripe: Stripe, wanted: Sequence[int]) -> dict[int, Words]:
        """Units of a stripe, read where they are sound and computed where not.

        Raises:
            Corrupt: Fewer than ``data`` units of the stripe are sound.
        """
        found = {
            number: unit
            for number in wanted
            if (unit := self.stored_unit(name, stripe, number)) is not None
        }
        missing = [number for number in wanted if number not in found]
        if not missing:
            return found
        present = dict(found)
        for number in range(self.devices.children):
            if len(present) >= self.devices.data:
                break
            if number not in wanted:
                unit = self.stored_unit(name, stripe, number)
                if unit is not None:
                    present[number] = unit
        if len(present) < self.devices.data:
            raise Corrupt(
                f"of a stripe of {name} only {len(present)} units are sound, and "
                f"{self.devices.data} are needed",
                file=name,
                offset=stripe.offset,
                hint="bring a missing device back, or restore the file from a backup",
            )
        return found | dict(zip(missing, self.code.rebuild(present, missing), strict=True))

    def stored_unit(self, name: str, stripe: Stripe, number: int) -> Words | None:
        """A unit as its child has it, None when the child or the unit is not sound."""
        key = file_key(name)
        index = self.child_of(key, number)
        if index not in self.membership.order or index in self._absent:
            return None
        size = HEADER_BYTES + stripe.unit_bytes
        try:
            stored = self.children[index].map(name, stripe.strip_offset, size)
        except _UNREADABLE:
            return None
        return unit_of(stored, key, number, stripe)

    def _index(self, name: str, needed: int | None) -> StripeIndex:
        """Stripes of a file at least up to an offset, or all of them.

        Raises:
            FileNotFoundError: No child has the file.
        """
        with self.lock:
            index = self._indexes.setdefault(name, StripeIndex())
            if needed is not None and needed <= index.end:
                return index
            file = self._files.get(name)
        if file is not None:
            file.flush()
            return index
        with self.lock:
            try:
                self._scan(name, index)
            except BaseException:
                self._indexes.pop(name, None)
                raise
        return index

    def _scan(self, name: str, index: StripeIndex) -> None:
        """Add the stripes that were appended since the last look."""
        key = file_key(name)
        live = set(self.live())
        numbers = [n for n in range(self.devices.children) if self.child_of(key, n) in live]
        sizes: dict[int, int] = {}
        for number in numbers:
            with contextlib.suppress(*_UNREADABLE):
                sizes[number] = self.children[self.child_of(key, number)].size(name)
        if not sizes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

        def header_of(number: int, at: int) -> memoryview | None:
            with contextlib.suppress(*_UNREADABLE):
                return self.children[self.child_of(key, number)].map(name, at, HEADER_BYTES)
            return None

        while stripe := next_stripe(index, key, sizes, header_of, self.devices.data):
            index.add(stripe)

    # Derived files

    def local_path(self, name: str) -> Path | None:
        return self.children[self.live()[0]].local_path(name) if is_derived(name) else None

    def adopt(self, path: Path, name: str) -> bool:
        return self.children[self.live()[0]].adopt(path, name)

    def touch(self, name: str) -> None:
        device = self.children[self.live()[0]]
        device.touch(name)

    def modified_s(self, name: str) -> float:
        if not is_striped(name):
            return self.children[self.live()[0]].modified_s(name)
        times = []
        for index in self.live():
            with contextlib.suppress(*_UNREADABLE):
                times.append(self.children[index].modified_s(name))
        if not times:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return max(times)

    def close(self) -> None:
        self._pool.shutdown()
        for child in self.children.values():
            child.close()


def open_striped(
    paths: Sequence[Path],
    parity: int | None,
    *,
    create: bool,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> StripedDevice:
    """Open a device over directories, in whichever order they are named.

    Args:
        paths: The directories; up to ``parity`` may be missing once the set exists.
        parity: How many may be lost; None takes what the set was created with, 1 for a new one.
        create: Open it writable, and make a new set when there is none.
        random_bytes: Source of the name of a new set.

    Raises:
        NotAStore, InvalidRequest, Unavailable: As ``membership.open_children`` does.
    """
    devices, children, where = open_children(
        paths, parity, create=create, random_bytes=random_bytes
    )
    return StripedDevice(devices, children, paths=where, read_only=not create)
