"""Which directories make up a striped device, and which of them count.

Every child holds ``device.json`` (which set it belongs to and its index in it) and
``devices/<epoch>`` (the indexes that count from that epoch on, in the order in which files are
published on them). A child that fails is left out by linking the next epoch on all that
remain; one that was rebuilt joins again at the end of the order, so that the child which
decides is never one that may lack something.

An epoch is never changed. A process may not know the newest one: whoever publishes looks for
the next epoch afterwards, on one child more than may be lost, and so meets it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....errors import Corrupt, Denied, InvalidRequest, NotAStore, Unavailable
from ..file_calls import SYSTEM_CALLS
from ..local_device import LocalDevice
from .erasure import UNITS_MAX
from .replica import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ..device import Device
    from ..file_calls import FileCalls

DEVICE_FILE = "device.json"
EPOCHS = "devices"
_FORMAT = 1
_SET_ID_BYTES = 16
_MAPS_MAX = 256  # of all children together: every mapping holds a descriptor


@dataclass(frozen=True, slots=True)
class DeviceSet:
    """What all children of a striped device have in common.

    Attributes:
        id: Hexadecimal name of the set, random.
        children: How many directories there are.
        parity: How many of them may be lost.
    """

    id: str
    children: int
    parity: int

    @property
    def data(self) -> int:
        """Units of a stripe that hold content."""
        return self.children - self.parity


@dataclass(frozen=True, slots=True)
class Membership:
    """The children that count, since an epoch.

    Attributes:
        epoch: Its number, from 0.
        order: Indexes of the children, the one that decides first.
    """

    epoch: int
    order: tuple[int, ...]


def epoch_name(epoch: int) -> str:
    """Name of an epoch's file."""
    return f"{EPOCHS}/{epoch:020d}"


def describe_child(devices: DeviceSet, index: int) -> bytes:
    """Content of a child's ``device.json``."""
    description = {
        "format": _FORMAT, "set_id": devices.id, "index": index, "devices": devices.children,
        "parity": devices.parity,
    }  # fmt: skip
    return json.dumps(description).encode()


def identify_child(device: Device) -> tuple[DeviceSet, int] | None:
    """The set and the index of a child, None when it is none or cannot be read."""
    try:
        description = json.loads(device.read(DEVICE_FILE))
        if description["format"] != _FORMAT:
            return None
        devices = DeviceSet(
            str(description["set_id"]), int(description["devices"]), int(description["parity"])
        )
        index = int(description["index"])
    except (OSError, ValueError, KeyError, TypeError, Unavailable, Denied):
        return None
    return (devices, index) if 0 <= index < devices.children else None


def encode_epoch(devices: DeviceSet, membership: Membership) -> bytes:
    """Content of an epoch's file."""
    description = {"set_id": devices.id, "epoch": membership.epoch, "order": membership.order}
    return seal(json.dumps(description).encode())


def read_epoch(device: Device, devices: DeviceSet, epoch: int) -> Membership | None:
    """An epoch as one child knows it, None when it does not know it or cannot be read."""
    try:
        description = json.loads(unseal(device.read(epoch_name(epoch)), epoch_name(epoch)))
        if description["set_id"] != devices.id or description["epoch"] != epoch:
            return None
        return Membership(epoch, tuple(int(index) for index in description["order"]))
    except (OSError, Corrupt, ValueError, KeyError, TypeError, Unavailable, Denied):
        return None


def newest_epoch(children: Mapping[int, Device], devices: DeviceSet) -> Membership | None:
    """The newest epoch that any child knows, None when no child knows one.

    Raises:
        Unavailable: Two groups of children went on without each other.
    """
    known: dict[int, Membership] = {}
    for index, child in children.items():
        membership = _newest_of(child, devices)
        if membership is not None:
            known[index] = membership
    if not known:
        return None
    epoch = max(one.epoch for one in known.values())
    newest = _begun({i: one for i, one in known.items() if one.epoch == epoch})
    for index, one in known.items():
        apart = not set(one.order) & set(newest.order)
        if apart and _contradicts(one, newest, children, devices):
            raise Unavailable(
                f"device {index} and those of epoch {newest.epoch} went on without each other",
                hint="open the devices that hold what is to be kept, without the others",
            )
    return newest


def _newest_of(child: Device, devices: DeviceSet) -> Membership | None:
    try:
        names = [name for name in child.list(EPOCHS) if name.isdigit()]
    except (OSError, Unavailable, Denied):
        return None
    found = (read_epoch(child, devices, int(name)) for name in reversed(names))
    return next((one for one in found if one is not None), None)


def _begun(known: Mapping[int, Membership]) -> Membership:
    """The epoch that was begun, of several with one number that processes began to begin.

    All link theirs in the order of the epoch before. The first child that every one of them names
    has the one that goes on to all others; where nobody came so far, any of them may still.
    """
    contenders = sorted(set(known.values()), key=lambda one: one.order)
    for index in contenders[0].order:
        if index in known and all(index in one.order for one in contenders):
            return known[index]
    told = list(known.values())
    return max(contenders, key=told.count)


def _contradicts(
    one: Membership, newest: Membership, children: Mapping[int, Device], devices: DeviceSet
) -> bool:
    """True when an epoch is none of those that led to the newest."""
    there = (read_epoch(children[i], devices, one.epoch) for i in newest.order if i in children)
    return any(other is not None and other != one for other in there)


def known_epochs(children: Mapping[int, Device], devices: DeviceSet) -> list[Membership]:
    """All epochs up to the newest, as those that it names know them, oldest first."""
    newest = newest_epoch(children, devices)
    if newest is None:
        return []
    found = []
    for epoch in range(newest.epoch + 1):
        there = (read_epoch(children[i], devices, epoch) for i in newest.order if i in children)
        one = next((one for one in there if one is not None), None)
        if one is not None:
            found.append(one)
    return found


def link_epoch(children: Mapping[int, Device], devices: DeviceSet, membership: Membership) -> bool:
    """Publish an epoch on the children that it names; False when another has its number.

    Completing an epoch that its author left half-way is the same call.
    """
    content = encode_epoch(devices, membership)
    for index in membership.order:
        if index not in children:
            continue
        child = children[index]
        if read_epoch(child, devices, membership.epoch) == membership:
            continue
        staged = child.stage(content)
        try:
            ours = staged.link(epoch_name(membership.epoch))
        finally:
            staged.discard()
        if not ours and read_epoch(child, devices, membership.epoch) != membership:
            return False
        child.sync_directory(EPOCHS)
    return True


def open_children(
    paths: Sequence[Path],
    parity: int | None,
    *,
    create: bool,
    random_bytes: Callable[[int], bytes],
    calls: FileCalls = SYSTEM_CALLS,
) -> tuple[DeviceSet, dict[int, LocalDevice], dict[int, Path]]:
    """Open the directories of a set in whichever order they are named.

    Args:
        paths: The directories; some may be missing or empty.
        parity: How many may be lost; None takes what the set was created with.
        create: Make a new set when there is none, and finish one that is incomplete.
        random_bytes: Source of the name of a new set.
        calls: The operating system.

    Returns:
        The set, the children that are there, and where each of them lies, by index.

    Raises:
        NotAStore: A directory belongs to another set, or there is no set here.
        InvalidRequest: The number of directories or the parity does not fit.
        Unavailable: More are missing than the parity covers.
    """
    if len({str(path) for path in paths}) < len(paths):
        raise InvalidRequest("a directory is named twice among the devices")
    known = {path: found for path in paths if (found := _look(path)) is not None}
    if not known:
        if not create:
            raise NotAStore("none of the directories holds a part of a store")
        return _create(paths, parity, random_bytes, calls)
    devices = Counter(found[0] for found in known.values()).most_common(1)[0][0]
    where: dict[int, Path] = {}
    for path, (others, index) in known.items():
        if others != devices:
            raise NotAStore(
                f"{path} belongs to another set of devices than the rest",
                hint="name the directories of one store only",
            )
        if index in where:
            raise NotAStore(f"{path} and {where[index]} are copies of one device")
        where[index] = path
    if parity is not None and parity != devices.parity:
        raise InvalidRequest(
            f"the store was created with parity={devices.parity}, not {parity}",
            hint="leave the parity out",
        )
    children = _opened(devices, where, create=create, calls=calls)
    if create and len(where) < devices.children and newest_epoch(children, devices) is None:
        # Its creator died before the set was whole: nothing can have been stored yet.
        free = [index for index in range(devices.children) if index not in where]
        empty = [path for path in paths if path not in known]
        where.update(zip(free, empty, strict=False))
        for child in children.values():
            child.close()
        return devices, _found(devices, where, calls), where
    if len(children) < devices.data:
        for child in children.values():
            child.close()
        raise too_many_lost(devices, devices.children - len(children))
    return devices, children, where


def _opened(
    devices: DeviceSet, where: Mapping[int, Path], *, create: bool, calls: FileCalls
) -> dict[int, LocalDevice]:
    """Open directories; one that cannot be opened counts as missing where others suffice."""
    children: dict[int, LocalDevice] = {}
    failure: Exception | None = None
    try:
        for index, path in where.items():
            try:
                children[index] = open_child(devices, path, create=create, calls=calls)
            except (NotAStore, Unavailable) as error:
                failure = error
        if failure is not None and len(children) < devices.data:
            raise failure
    except BaseException:
        for child in children.values():
            child.close()
        raise
    return children


def too_many_lost(devices: DeviceSet, lost: int) -> Unavailable:
    """The error that says that the parity does not cover a loss."""
    return Unavailable(
        f"{lost} of {devices.children} devices are missing, and parity={devices.parity} covers "
        f"the loss of {devices.parity}",
        hint="bring one of the missing directories back",
    )


def perhaps_outdated(devices: DeviceSet, live: int) -> Unavailable:
    """The error that says that the others may have gone on without those that are there."""
    return Unavailable(
        f"{live} of {devices.children} devices are there, and the others may have gone on without "
        "them: these cannot know",
        hint="bring one more of the missing directories back, or if they are lost for good, say "
        "so: pagelake devices accept-loss",
    )


def open_child(
    devices: DeviceSet, path: Path, *, create: bool, calls: FileCalls = SYSTEM_CALLS
) -> LocalDevice:
    """Open one directory of a set."""
    maps_max = max(1, _MAPS_MAX // devices.children)
    return LocalDevice(path, create=create, calls=calls, extra_folders=(EPOCHS,), maps_max=maps_max)


def _look(path: Path) -> tuple[DeviceSet, int] | None:
    try:
        device = LocalDevice(path, create=False)
    except NotAStore:
        return None
    try:
        return identify_child(device)
    finally:
        device.close()


def _create(
    paths: Sequence[Path],
    parity: int | None,
    random_bytes: Callable[[int], bytes],
    calls: FileCalls,
) -> tuple[DeviceSet, dict[int, LocalDevice], dict[int, Path]]:
    parity = 1 if parity is None else parity
    if not 2 <= len(paths) <= UNITS_MAX or not 1 <= parity < len(paths):
        raise InvalidRequest(
            f"{len(paths)} devices cannot have parity={parity}",
            hint="name at least two directories, and a parity of at least 1 and less than those",
        )
    devices = DeviceSet(random_bytes(_SET_ID_BYTES).hex(), len(paths), parity)
    where = dict(enumerate(paths))
    return devices, _found(devices, where, calls), where


def _found(
    devices: DeviceSet, where: Mapping[int, Path], calls: FileCalls
) -> dict[int, LocalDevice]:
    """Make the directories children of the set, and publish its first epoch."""
    children: dict[int, LocalDevice] = {}
    try:
        for index, path in where.items():
            children[index] = open_child(devices, path, create=True, calls=calls)
        for index, child in children.items():
            if child.exists("store.json"):
                raise NotAStore(f"{where[index]} holds a store of its own already")
            join_child(child, devices, index)
        link_epoch(children, devices, Membership(0, tuple(range(devices.children))))
    except BaseException:
        for child in children.values():
            child.close()
        raise
    return children


def join_child(child: Device, devices: DeviceSet, index: int) -> None:
    """Write a child's ``device.json``.

    Raises:
        NotAStore: It is another child, or one of another set.
    """
    staged = child.stage(describe_child(devices, index))
    try:
        staged.link(DEVICE_FILE)
    finally:
        staged.discard()
    if identify_child(child) != (devices, index):
        raise NotAStore(
            f"the directory is another device than device {index} of this store",
            hint="name an empty or a new directory",
        )
    child.sync_directory("")
