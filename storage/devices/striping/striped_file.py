"""The files of a striped device that are being written: appended to, or staged."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING

from ....errors import Corrupt, Denied, Error, OutcomeUnknown, Unavailable
from .replica import put_strip, remove_file, seal
from .stripes import cut, file_key

if TYPE_CHECKING:
    from ..device import AppendFile, Device, StagedFile
    from ..striped_device import StripedDevice
    from .stripes import Stripe, StripeIndex

BATCH_BYTES = 8 * 1024 * 1024
"""What is appended is cut in stripes at this size even when nobody syncs: bounds the memory."""


class StripedFile:
    """A file that is appended to, over the strips of all children.

    Args:
        device: The device.
        name: Of the file.
        parts: The strips, by index of the child.
        index: Takes the stripes as they are written.
    """

    def __init__(
        self, device: StripedDevice, name: str, parts: dict[int, AppendFile], index: StripeIndex
    ) -> None:
        self._device = device
        self._name = name
        self._key = file_key(name)
        self._parts = parts
        self._homes = {child: device.members[child] for child in parts}
        self._index = index
        self._last: Stripe | None = None
        self._waiting = bytearray()
        self._poisoned = False
        self._closed = False
        self._lock = threading.RLock()
        self.size = 0

    def append(self, *parts: bytes | memoryview) -> int:
        """Append the parts; they may wait for the next sync before they reach the children."""
        with self._lock:
            self._require_sound()
            offset = self.size
            for part in parts:
                self._waiting += part
                self.size += memoryview(part).nbytes
            if len(self._waiting) >= BATCH_BYTES:
                self.flush()
            return offset

    def _require_sound(self) -> None:
        if self._poisoned:
            raise OutcomeUnknown(f"{self._name} takes no appends after a failed write or sync")

    def flush(self) -> None:
        """Write what waits as stripes, so that it can be read; not durable yet."""
        with self._lock:
            self._require_sound()
            if not self._waiting:
                return
            content, self._waiting = self._waiting, bytearray()
            try:
                self._rejoin()
                stripes, units = cut(content, self._last, self._device.code, self._key)
                for number, parts in enumerate(units):
                    child = self._device.segments.child_of(self._key, number)
                    self._append(child, parts)
                self._require_enough()
            except BaseException:
                # The strips may have come out of step.
                self._poisoned = True
                raise
            for stripe in stripes:
                self._index.add(stripe)
            self._last = stripes[-1]

    def _rejoin(self) -> None:
        """Go on with a strip on children that were rebuilt since: they count again."""
        members = self._device.members
        for child in members.live():
            if child in self._parts:
                if self._homes[child] is members[child]:
                    continue
                self._drop(child)  # it went on in the directory that was there before
            strip = self._strip(child)
            if strip is None:
                continue
            part = members.attempt(child, partial(_begin_again, name=self._name, strip=strip))
            if part is not None:
                self._parts[child], self._homes[child] = part, members[child]

    def _strip(self, child: int) -> bytes | None:
        """What a child should have of the file, None when too little of it is left."""
        number = (child - self._key) % self._device.devices.children
        with contextlib.suppress(Corrupt):
            return self._device.segments.strip(self._name, tuple(self._index), number)
        return None

    def _append(self, child: int, parts: list[bytes | memoryview]) -> None:
        part = self._parts.get(child)
        if part is not None and (
            self._device.members.attempt(child, lambda _: part.append(*parts)) is None
        ):
            self._drop(child)

    def _drop(self, child: int) -> None:
        self._homes.pop(child)
        self._parts.pop(child).close()

    def _require_enough(self) -> None:
        """Refuse to go on with so few strips that the content could not be read back."""
        live = self._device.members.live()
        if sum(child in self._parts for child in live) < self._device.devices.data:
            raise Unavailable(f"too few devices of {self._name} are left to write to")

    def sync(self) -> None:
        """Make everything appended so far durable on every child that is in use."""
        with self._lock:
            self.flush()
            self._require_sound()
            try:
                synced = self._device.members.attempt_each(
                    list(self._parts), lambda child, _: _synced(self._parts[child])
                )
                for child in set(self._parts) - set(synced):
                    self._drop(child)
                self._require_enough()
                # What was lost on the way must be out before anybody refers to the content.
                self._device.members.declare()
            except BaseException:
                self._poisoned = True
                raise

    def settle(self) -> bool:
        """Make what is durable already so on children that were rebuilt since, too.

        Whoever appended without knowing that a child has joined must do this before anybody
        refers to the content: it counts on the child from then on.

        Returns:
            True when the file takes no further appends.
        """
        members = self._device.members
        with self._lock:
            lacking = [i for i in members.live() if self._homes.get(i) is not members[i]]
            if not self._closed and not self._poisoned:
                if lacking:
                    self._rejoin()
                    self.sync()
                return False
            for child in lacking:
                strip = self._strip(child)
                if strip is None:
                    continue
                home = members[child]
                if members.attempt(child, partial(put_strip, name=self._name, strip=strip)):
                    self._homes[child] = home
            return self._closed

    def close(self) -> None:
        """Release the strips. Closing twice is allowed."""
        with self._lock:
            self._closed = True
            if not self._poisoned and self._parts:
                # Nothing that was synced waits; whoever needs the rest would have synced it.
                with contextlib.suppress(Error):
                    self.flush()
            for part in self._parts.values():
                part.close()
            self._parts.clear()
            self._waiting.clear()
            self._device.segments.closed(self._name)


def _begin_again(child: Device, name: str, strip: bytes) -> AppendFile:
    part = None
    while part is None:
        remove_file(child, name)
        # Whoever rebuilds the child may give it the strip this moment, which happens once.
        with contextlib.suppress(FileExistsError):
            part = child.create(name)
    try:
        part.append(strip)
        child.sync_directory(name.rpartition("/")[0])
    except BaseException:
        part.close()
        raise
    return part


def _synced(part: AppendFile) -> bool:
    part.sync()
    return True


class StripedStagedFile:
    """A small file that is staged on every child.

    Args:
        device: The device.
        content: Of the file.
    """

    def __init__(self, device: StripedDevice, content: bytes) -> None:
        self._device = device
        self._content = content
        self._staged: dict[int, StagedFile] = {}
        self._homes: dict[int, Device] = {}
        self._linked: set[int] = set()
        try:
            device.members.refresh()
            device.members.declare()
            self._stage()
            device.members.declare()
        except BaseException:
            self.discard()
            raise

    def _stage(self) -> None:
        sealed = seal(self._content)
        members = self._device.members
        for index, home in list(self._homes.items()):
            if members[index] is not home:  # another directory has taken its place
                self._homes.pop(index)
                self._staged.pop(index).discard()
                self._linked.discard(index)
        missing = [index for index in members.live() if index not in self._staged]

        def stage(index: int, child: Device) -> bool:
            # Noted one by one: when a child has no room, the others' files are to be discarded.
            self._staged[index], self._homes[index] = child.stage(sealed), child
            return True

        members.attempt_each(missing, stage)

    def link(self, name: str) -> bool:
        """Give the file a name on all children; False when it is taken."""
        self._linked.clear()
        try:
            while True:
                self._device.members.refresh()
                self._device.members.declare()
                epoch = self._device.members.membership.epoch
                written = self._device.segments.settle()
                self._stage()
                taken = self._link_everywhere(name)
                if taken is None:
                    continue
                self._device.members.declare()
                self._device.members.refresh()
                if self._device.members.membership.epoch == epoch:
                    self._device.segments.settled(written)
                    break
                # Others may have gone on without the child that decided: the one that decides
                # now must have the file. A child that joined must have what it refers to.
        except (Unavailable, Denied, OSError) as error:
            if not self._linked:
                raise
            raise OutcomeUnknown(
                f"{name} was published on some of the devices only",
                hint="reconnect: a fresh read of the store decides",
            ) from error
        if taken:
            # Whoever was first may have died half-way, and a caller who lost reads its file.
            with contextlib.suppress(FileNotFoundError):
                self._device.read(name)
        return not taken

    def _link_everywhere(self, name: str) -> bool | None:
        """Link on all children; True when the name is taken, None when a child failed."""
        for place, index in enumerate(self._device.members.live()):
            if index in self._linked:
                continue
            staged = self._staged.get(index)
            if staged is None:
                return None
            if place == 0 and not self._linked and self._device.is_on_others(name):
                return True
            linked = self._device.members.attempt(index, lambda _, s=staged: s.link(name))  # type: ignore[misc]
            if linked is None:
                return None
            if linked or (self._linked and self._is_ours(index, name)):
                self._linked.add(index)
            elif place == 0:
                return True
            else:
                self._require_new_epoch(index, name)
                return None
        return False

    def _is_ours(self, index: int, name: str) -> bool:
        """True when a reader has put our file there before us."""
        try:
            return self._device.members[index].read(name) == seal(self._content)
        except (OSError, Unavailable, Denied):
            return False

    def _require_new_epoch(self, index: int, name: str) -> None:
        """Another file has the name on a child that does not decide, or did not a moment ago."""
        epoch = self._device.members.membership.epoch
        self._device.members.refresh()
        if self._device.members.membership.epoch == epoch:
            raise Unavailable(
                f"device {index} holds another {name} than the devices before it",
                hint="scrub the store",
            )

    def discard(self) -> None:
        """Drop what was not linked. Calling twice is allowed."""
        for staged in self._staged.values():
            staged.discard()
        self._staged.clear()
        self._homes.clear()
