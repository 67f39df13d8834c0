"""Puts a directory in the place of a child that a striped device has lost."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ...errors import Corrupt, Denied, InvalidRequest, Unavailable
from .scrub import being_written, file_names, replace_sealed, small_file_names
from .striping.membership import identify_child, join_child, open_child
from .striping.replica import SEGMENTS, put_strip, remove_file, unseal
from .striping.stripes import HEADER_BYTES, file_key, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .device import Device
    from .scrub import Pace, Progress
    from .striped_device import StripedDevice

_FAILURES = (OSError, EOFError, Unavailable, Denied)
_KIND = b"b"


def rebuild(
    device: StripedDevice,
    index: int,
    path: Path,
    *,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> None:
    """Put a directory in the place of a lost child.

    Reads and commits go on meanwhile, those of other processes too. The child joins at the end
    of the order: it decides nothing until all that were there before it are lost. What the
    directory holds already and is right is kept, so a rebuild that was cut short goes on, and a
    child that comes back needs only what has changed.

    Args:
        device: The device.
        index: Of the lost child.
        path: The directory that takes its place: empty, absent, of a rebuild that was cut short,
            or that of the lost child itself.
        progress: Called with each file's name once it is done, bytes done and bytes in all.
        pace: Called with the bytes that were just read; may wait.

    Raises:
        InvalidRequest: The child is not lost, or another process rebuilds it.
        NotAStore: The directory holds something else.
        Corrupt: What is left does not suffice to compute a file.
    """
    members = device.members
    members.look()
    members.declare()
    if not 0 <= index < device.devices.children:
        raise InvalidRequest(f"there is no device {index}: they are numbered from 0")
    if index in members.membership.order:
        raise InvalidRequest(f"device {index} is not lost")
    device.held("pins")  # removes what those left who died
    try:
        # Two directories in the place of one child would be worse than none.
        hold = device.hold(f"pins/rebuild-{index}", _KIND + bytes([index]))
    except FileExistsError:
        raise InvalidRequest(f"another process rebuilds device {index}") from None
    try:
        child = open_child(device.devices, path, create=True)
        try:
            _fill(device, child, index, path, progress=progress, pace=pace)
        except BaseException:
            child.close()
            raise
        # Whoever learns that it has joined must find it.
        device.remember_peers({index: (child, path)})
        members.join(index, child, path)
        _complete(device, index)
    finally:
        hold.release()


def _fill(
    device: StripedDevice,
    child: Device,
    index: int,
    path: Path,
    *,
    progress: Progress | None,
    pace: Pace | None,
) -> None:
    """Give a replacement all that it should have at this moment."""
    if identify_child(child) is None and child.exists("store.json"):
        raise InvalidRequest(f"{path} holds a store of its own", hint="name an empty directory")
    join_child(child, device.devices, index)
    # What grows is left until the child has joined: from then on its writer minds it, too.
    names = file_names(device)
    growing = being_written(device, _segments(names))
    names = [name for name in names if name not in growing]
    _remove_all_but(child, names)
    sizes = {name: _size(device, name) for name in names}
    done, total = 0, sum(sizes.values())
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            _restore(device, child, index, name)
        done += sizes[name]
        if pace is not None:
            pace(sizes[name])
        if progress is not None:
            progress(name, done, total)


def _segments(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{SEGMENTS}/")]


def _size(device: StripedDevice, name: str) -> int:
    with contextlib.suppress(*_FAILURES):
        return device.size(name)
    return 0


def _remove_all_but(child: Device, names: Iterable[str]) -> None:
    """Remove what a returning child still has and the others have not: it was removed."""
    held = {f"{SEGMENTS}/{name}" for name in child.list(SEGMENTS)} | small_file_names(child)
    for name in sorted(held - set(names)):
        with contextlib.suppress(*_FAILURES):
            remove_file(child, name)


def _restore(device: StripedDevice, child: Device, index: int, name: str) -> None:
    """Give a replacement its part of a file, unless it has it."""
    if not name.startswith(f"{SEGMENTS}/"):
        content = device.read(name)
        with contextlib.suppress(*_FAILURES, Corrupt):
            if unseal(child.read(name), name) == content:
                return
        replace_sealed(child, name, content)
        return
    key = file_key(name)
    number = (index - key) % device.devices.children
    stripes = device.segments.stripes(name)
    with contextlib.suppress(*_FAILURES):
        end = stripes[-1].strip_end if stripes else 0
        if child.size(name) == end and all(
            unit_of(
                child.map(name, stripe.strip_offset, HEADER_BYTES + stripe.unit_bytes),
                key,
                number,
                stripe,
            )
            is not None
            for stripe in stripes
        ):
            return
    put_strip(child, name, device.segments.strip(name, stripes, number))


def _complete(device: StripedDevice, index: int) -> None:
    """Make up for what happened between the copy and the epoch with which the child joined."""
    child = device.members[index]
    others = [i for i in device.members.live() if i != index]
    names = file_names(device)
    growing = being_written(device, _segments(names))
    for name in names:
        if name in growing:
            _give_strip(device, index, name)
            continue
        if not any(device.members.has(i, name) for i in others):
            device.members.attempt(index, lambda c, n=name: remove_file(c, n))  # type: ignore[misc]
            continue
        with contextlib.suppress(FileNotFoundError):
            if name.startswith(f"{SEGMENTS}/"):
                stripes = device.segments.stripes(name)
                end = stripes[-1].strip_end if stripes else 0
                if device.members.has(index, name) and child.size(name) >= end:
                    continue
            elif device.members.has(index, name):
                continue
            _restore(device, child, index, name)
    device.members.declare()


def _give_strip(device: StripedDevice, index: int, name: str) -> None:
    """Give a child that has joined what is there of a segment that grows.

    Its writer may be idle for long. Once it knows that the child has joined, it puts the whole
    strip there itself, in the place of this one and before anything refers to what is not in it.
    """
    number = (index - file_key(name)) % device.devices.children
    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
        stripes = device.segments.stripes(name)
        strip = device.segments.strip(name, stripes, number)
        device.members.attempt(index, lambda child: _put_first(child, name, strip))


def _put_first(child: Device, name: str, strip: bytes) -> bool:
    """Give a child a strip unless its writer has, whose strip goes further than this one."""
    staged = child.stage(strip)
    try:
        first = staged.link(name)
    finally:
        staged.discard()
    child.sync_directory(SEGMENTS)
    return first
