"""The care of a striped device: what is lost, finding and repairing rot, replacing a child."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Corrupt, Denied, InvalidRequest, Unavailable
from .local_device import FOLDERS
from .membership import DEVICE_FILE, EPOCHS, identify_child, join_child, open_child
from .replica import SEGMENTS, publish_copy, unseal
from .stripes import file_key, pack_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .device import Device
    from .erasure import Words
    from .striped_device import StripedDevice
    from .stripes import Stripe

    Progress = Callable[[int, int], None]

_FAILURES = (OSError, EOFError, Unavailable, Denied)
# What is no part of the store's content: derived, of one process, or of one child.
_APART = {"hot", "tmp", "pins", SEGMENTS, EPOCHS}
_REPLICATED = ("", *(folder for folder in FOLDERS if folder not in _APART))


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A child of a striped device.

    Attributes:
        index: Which one.
        path: Where it lies, None when that is not known.
        live: False when it is lost: nothing is written to it until it is rebuilt.
    """

    index: int
    path: Path | None
    live: bool


@dataclass(frozen=True, slots=True)
class Damage:
    """Something on a child that is not as it should be.

    Attributes:
        name: The file.
        index: The child.
        what: What is wrong with it.
        repaired: Whether it is right now.
    """

    name: str
    index: int
    what: str
    repaired: bool


def status(device: StripedDevice) -> tuple[ChildStatus, ...]:
    """State of every child, by index."""
    device.refresh()
    live = device.live()
    return tuple(
        ChildStatus(index, device.paths.get(index), index in live)
        for index in range(device.devices.children)
    )


def scrub(
    device: StripedDevice,
    *,
    repair: bool = True,
    after: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[Damage]:
    """Read every copy and every unit, and make good what is wrong.

    A file that is being written elsewhere may be found short on some children; making that
    good is harmless, but leaves the rest of its strip there to the next scrub.

    Args:
        device: The device.
        repair: False only reports.
        after: Go on behind this file, where an earlier scrub was stopped.
        progress: Called with each file's name once it is done, files done and files in all.
    """
    device.refresh()
    names = [name for name in file_names(device) if name > after]
    for done, name in enumerate(names, 1):
        try:
            if name.startswith(f"{SEGMENTS}/"):
                yield from _scrub_segment(device, name, repair=repair)
            else:
                yield from _scrub_copies(device, name, repair=repair)
        except FileNotFoundError:
            pass  # removed meanwhile
        if progress is not None:
            progress(name, done, len(names))


def file_names(device: StripedDevice) -> list[str]:
    """Names of all files that are on more than one child, sorted."""
    folders = set(FOLDERS)
    # A copy that is left behind on one child only is to be found too.
    found = {f"{SEGMENTS}/{name}" for name in device.list(SEGMENTS)}
    for folder in _REPLICATED:
        prefix = f"{folder}/" if folder else ""
        for index in device.live():
            with contextlib.suppress(*_FAILURES):
                found |= {prefix + name for name in device.children[index].list(folder)}
    return sorted(found - folders - {DEVICE_FILE, EPOCHS})


def _scrub_copies(device: StripedDevice, name: str, *, repair: bool) -> Iterator[Damage]:
    live = device.live()
    contents: dict[int, bytes] = {}
    wrong: dict[int, str] = {}
    for index in live:
        try:
            contents[index] = unseal(device.children[index].read(name), name)
        except FileNotFoundError:
            wrong[index] = "the copy is missing"
        except (*_FAILURES, Corrupt):
            wrong[index] = "the copy is damaged"
    if live[0] in wrong and not device.exists(name):
        return  # removed this moment
    if not contents:
        for index, what in wrong.items():
            yield Damage(name, index, what, repaired=False)
        return
    content = contents[next(index for index in live if index in contents)]
    for index, copy in contents.items():
        if copy != content:
            wrong[index] = "the copy is another file than the one that decides"
    for index, what in wrong.items():
        yield Damage(name, index, what, repair and _replace_copy(device, index, name, content))


def _replace_copy(device: StripedDevice, index: int, name: str, content: bytes) -> bool:
    return device.attempt(index, lambda child: _replace_sealed(child, name, content)) is not None


def _replace_sealed(device: Device, name: str, content: bytes) -> bool:
    device.unlink(name)
    return publish_copy(device, name, content)


def _scrub_segment(device: StripedDevice, name: str, *, repair: bool) -> Iterator[Damage]:
    if device.is_open(name):
        return  # its strips grow at this moment; a later scrub sees it whole
    key = file_key(name)
    numbers = {device.child_of(key, n): n for n in range(device.devices.children)}
    live = device.live()
    stripes = device.stripes(name)
    bad: dict[int, int] = {}
    hopeless = False
    for stripe in stripes:
        sound = [i for i in live if device.stored_unit(name, stripe, numbers[i]) is not None]
        if len(sound) < device.devices.data:
            hopeless = True
        for index in set(live) - set(sound):
            bad[index] = bad.get(index, 0) + 1
    for index, units in sorted(bad.items()):
        repaired = False
        if repair and not hopeless:
            strip = rebuilt_strip(device, name, stripes, numbers[index])
            repaired = device.attempt(index, lambda c, s=strip: _replace(c, name, s)) is not None  # type: ignore[misc]
        what = f"{units} of {len(stripes)} units are missing or damaged"
        yield Damage(name, index, what, repaired)


def rebuilt_strip(
    device: StripedDevice, name: str, stripes: Sequence[Stripe], number: int
) -> bytes:
    """The strip of one child as it should be, computed from the others where it is not."""
    key = file_key(name)
    parts: list[bytes | memoryview] = []
    for stripe in stripes:
        unit: Words = device.units(name, stripe, [number])[number]
        parts += [pack_header(key, stripe, number, unit), unit.data.cast("B")]
    return b"".join(parts)


def _replace(device: Device, name: str, content: bytes) -> bool:
    # Nothing is ever written over: until the new file has the name, the unit counts as missing.
    staged = device.stage(content)
    try:
        device.unlink(name)
        staged.link(name)
    finally:
        staged.discard()
    device.sync_directory(name.rpartition("/")[0])
    return True


def rebuild(
    device: StripedDevice, index: int, path: Path, *, progress: Progress | None = None
) -> None:
    """Put an empty directory in the place of a lost child.

    Reads and commits go on meanwhile, those of other processes too. The child joins at the end
    of the order: it decides nothing until all that were there before it are lost.

    Args:
        device: The device.
        index: Of the lost child.
        path: The directory that takes its place, empty, absent, or of a rebuild that was cut
            short.
        progress: Called with files done and files in all.

    Raises:
        InvalidRequest: The child is not lost.
        NotAStore: The directory holds something else.
        Corrupt: What is left does not suffice to compute a file.
    """
    device.declare()
    device.refresh()
    if index in device.live() or not 0 <= index < device.devices.children:
        raise InvalidRequest(f"device {index} is not lost")
    child = open_child(device.devices, path, create=True)
    try:
        if identify_child(child) is None and child.exists("store.json"):
            raise InvalidRequest(f"{path} holds a store of its own", hint="name an empty directory")
        join_child(child, device.devices, index)
        names = file_names(device)
        for done, name in enumerate(names, 1):
            with contextlib.suppress(FileNotFoundError):
                _restore(device, child, index, name)
            if progress is not None:
                progress(done, len(names))
    except BaseException:
        child.close()
        raise
    device.join(index, child, path)
    # What was written between the copy and the new epoch.
    for _ in scrub(device):
        pass


def _restore(device: StripedDevice, child: Device, index: int, name: str) -> None:
    """Give a replacement its part of a file, unless it has it."""
    if not name.startswith(f"{SEGMENTS}/"):
        content = device.read(name)
        with contextlib.suppress(*_FAILURES, Corrupt):
            if unseal(child.read(name), name) == content:
                return
        _replace_sealed(child, name, content)
        return
    key = file_key(name)
    number = (index - key) % device.devices.children
    _replace(child, name, rebuilt_strip(device, name, device.stripes(name), number))
