"""The care of a striped device: finding what is rotten or missing, and making it good."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Corrupt, Denied, Unavailable
from ..page import segment_name
from ..pins import held_segments
from .local_device import FOLDERS
from .striping.replica import SEGMENTS, publish_copy, put_strip, remove_file, unseal
from .striping.stripes import file_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from .device import Device
    from .striped_device import StripedDevice

    Progress = Callable[[str, int, int], None]
    Pace = Callable[[int], None]

_FAILURES = (OSError, EOFError, Unavailable, Denied)
_STORE_FILE = "store.json"
# The others hold what is derived, of one process, or of one child.
_REPLICATED = tuple(folder for folder in FOLDERS if folder.partition("/")[0] == "log")


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A child of a striped device.

    Attributes:
        index: Which one.
        path: Where it lies or was last, None when that is not known.
        state: ``live``; ``outdated`` when it is there, but the others went on without it; or
            ``missing``. Nothing is written to those that are not live until they are rebuilt.
        decides: True of the one on which names are taken first.
    """

    index: int
    path: Path | None
    state: str
    decides: bool

    @property
    def live(self) -> bool:
        """True when it holds what it should and is written to."""
        return self.state == "live"


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
    members = device.members
    members.look()
    live = members.live()

    def state_of(index: int) -> str:
        if index in live:
            return "live"
        return "outdated" if index in members and members.is_there(index) else "missing"

    return tuple(
        ChildStatus(index, members.place(index), state_of(index), index == live[0])
        for index in range(device.devices.children)
    )


def scrub(
    device: StripedDevice,
    *,
    repair: bool = True,
    after: str = "",
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> Iterator[Damage]:
    """Read every copy and every unit, and make good what is wrong.

    What is wrong in a segment that a process may still append to is reported and left to a later
    scrub: its writer goes on in the very files that a repair would replace.

    Args:
        device: The device.
        repair: False only reports.
        after: Go on behind this file, where an earlier scrub was stopped.
        progress: Called with each file's name once it is done, bytes done and bytes in all.
        pace: Called with the bytes that were just read; may wait.
    """
    device.members.refresh()
    names = [name for name in file_names(device) if name > after]
    sizes = {name: _stored_bytes(device, name) for name in names}
    done, total = 0, sum(sizes.values())
    spend = pace or _at_once
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            if name.startswith(f"{SEGMENTS}/"):
                yield from _scrub_segment(device, name, repair=repair, pace=spend)
            else:
                yield from _scrub_copies(device, name, repair=repair)
                spend(sizes[name])
        done += sizes[name]
        if progress is not None:
            progress(name, done, total)


def _at_once(_bytes_read: int) -> None:
    """Nobody else wants the disks."""


def _stored_bytes(device: StripedDevice, name: str) -> int:
    """About how many bytes all children together have of a file."""
    live = device.members.live()
    for index in live:
        with contextlib.suppress(*_FAILURES):
            return device.members[index].size(name) * len(live)
    return 0


def file_names(device: StripedDevice) -> list[str]:
    """Names of all files that are on more than one child, sorted."""
    # A copy that is left behind on one child only is to be found too.
    found = {f"{SEGMENTS}/{name}" for name in device.list(SEGMENTS)}
    for index in device.members.live():
        found |= small_file_names(device.members[index])
    return sorted(found)


def small_file_names(child: Device) -> set[str]:
    """Names of what a child holds whole."""
    found: set[str] = set()
    with contextlib.suppress(*_FAILURES):
        if child.exists(_STORE_FILE):
            found.add(_STORE_FILE)
    for folder in _REPLICATED:
        with contextlib.suppress(*_FAILURES):
            found |= {f"{folder}/{name}" for name in child.list(folder)}
    return found - set(FOLDERS)


# Small files


def _scrub_copies(device: StripedDevice, name: str, *, repair: bool) -> Iterator[Damage]:
    members = device.members
    live = members.live()
    contents: dict[int, bytes] = {}
    wrong: dict[int, str] = {}
    for index in live:
        try:
            contents[index] = unseal(members[index].read(name), name)
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
    decided = live[0] in contents
    content = contents[next(index for index in live if index in contents)]
    for index, copy in contents.items():
        if copy != content:
            wrong[index] = "the copy is another file than the one that decides"
    for index, what in wrong.items():
        repaired = repair and _replace_copy(device, index, name, content)
        if repaired and decided and not members.has(live[0], name):
            # It was removed meanwhile, from the one that decides last of all.
            members.attempt(index, lambda child: remove_file(child, name))
            return
        yield Damage(name, index, what, repaired)


def _replace_copy(device: StripedDevice, index: int, name: str, content: bytes) -> bool:
    replaced = device.members.attempt(index, lambda child: replace_sealed(child, name, content))
    return replaced is not None


def replace_sealed(child: Device, name: str, content: bytes) -> bool:
    """Give a child a copy of a small file in the place of the one it has."""
    remove_file(child, name)
    return publish_copy(child, name, content)


# Segments


def being_written(device: StripedDevice, names: Collection[str]) -> set[str]:
    """Those of some segments to which a process may still append.

    Whoever writes one holds it before it exists and lets go for good, so one that is not held
    stays as it is.

    Args:
        device: The device.
        names: Of segments that were there before this look.
    """
    try:
        held = {segment_name(number) for number in held_segments(device)}
    except Unavailable:
        return set(names)
    return {name for name in names if name in held or device.segments.is_open(name)}


def _scrub_segment(
    device: StripedDevice, name: str, *, repair: bool, pace: Pace
) -> Iterator[Damage]:
    key = file_key(name)
    children = device.devices.children
    numbers = {device.segments.child_of(key, n): n for n in range(children)}
    live = device.members.live()
    growing = bool(being_written(device, [name]))  # looked at before the stripes are
    stripes = device.segments.stripes(name)
    bad: dict[int, int] = {}
    hopeless = False
    for stripe in stripes:
        sound = [
            i for i in live if device.segments.stored_unit(name, stripe, numbers[i]) is not None
        ]
        lacking = set(live) - set(sound)
        if growing:
            lacking = {i for i in lacking if _reaches(device.members[i], name, stripe.strip_end)}
        elif len(sound) < device.devices.data:
            hopeless = True
        for index in lacking:
            bad[index] = bad.get(index, 0) + 1
        pace((stripe.strip_end - stripe.strip_offset) * len(live))
    for index, units in sorted(bad.items()):
        repaired = False
        if repair and not hopeless and not growing:
            strip = device.segments.strip(name, stripes, numbers[index])
            repaired = replace_strip(device, index, name, strip)
        what = f"{units} of {len(stripes)} units are missing or damaged"
        if growing:
            what += ", in a file that is being written: scrub again later"
        yield Damage(name, index, what, repaired)


def _reaches(child: Device, name: str, end: int) -> bool:
    """False while a strip may just not have been appended to yet."""
    try:
        return child.size(name) >= end
    except _FAILURES:
        return True


def replace_strip(device: StripedDevice, index: int, name: str, strip: bytes) -> bool:
    """Give a child in use a strip in the place of the one it has; False when it failed."""
    replaced = device.members.attempt(index, lambda child: put_strip(child, name, strip))
    return replaced is not None
