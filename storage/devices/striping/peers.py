"""Where the other children of a striped device lie, as each of them remembers it.

So that naming any one directory opens the store. What is remembered is a place to look at: a
directory counts only if its ``device.json`` says that it is the child in question.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import NotAStore, StorageFull, Unavailable
from ..local_device import LocalDevice
from .membership import DeviceSet, identify_child
from .notes import find_notes, leave_note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..device import Device

_KIND = "peers"


def find_peers(child: Device, path: Path, devices: DeviceSet) -> dict[int, list[Path]]:
    """Where a child remembers each of the set: relative to itself first, they may have moved.

    Args:
        child: The child.
        path: Where it lies.
        devices: The set.
    """
    places: dict[int, list[Path]] = {}
    for note in find_notes(child, _KIND):
        if note.get("set_id") != devices.id:
            continue
        for index, (relative, absolute) in _pairs(note):
            beside = Path(os.path.normpath(path / relative))
            places.setdefault(index, []).extend((beside, Path(absolute)))
    return {index: list(dict.fromkeys(found)) for index, found in places.items()}


def _pairs(note: Mapping[str, object]) -> list[tuple[int, tuple[str, str]]]:
    with suppress(AttributeError, TypeError, ValueError):
        return [(int(i), (str(r), str(a))) for i, (r, a) in note["paths"].items()]  # type: ignore[attr-defined]
    return []


def remember_peers(
    children: Mapping[int, Device], paths: Mapping[int, Path], devices: DeviceSet
) -> None:
    """Let children remember where all of them lie, unless they do already.

    Args:
        children: Those that can be written to, by index.
        paths: All that are known, by index.
        devices: The set.
    """
    for index, child in children.items():
        if index not in paths:
            continue
        own = paths[index]
        known = find_notes(child, _KIND)
        # Who is missing at the moment is remembered where it was.
        before = dict(_pairs(known[0])) if len(known) == 1 else {}
        here = {i: (os.path.relpath(path, own), str(path)) for i, path in paths.items()}
        wanted = {str(i): list(pair) for i, pair in sorted((before | here).items())}
        note = {"set_id": devices.id, "paths": wanted}
        if known != [note]:
            leave_note(child, _KIND, note)


def identify_path(path: Path) -> tuple[DeviceSet, int] | None:
    """The set and the index of the child in a directory, None when there is none.

    Raises:
        Unavailable: That cannot be read at the moment.
    """
    try:
        device = LocalDevice(path, create=False)
    except NotAStore:
        return None
    try:
        return identify_child(device)
    finally:
        device.close()


def find_members(path: Path) -> dict[int, Path] | None:
    """All children of the set that the one in a directory belongs to, None when there is none.

    Args:
        path: A directory.

    Returns:
        Where those lie that are there, by index.

    Raises:
        NotAStore: It does not know where the others are.
        Unavailable: They are not where they were last, more of them than may be lost.
    """
    found = identify_path(path)
    if found is None:
        return None
    devices, index = found
    where = {index: path}
    missing: dict[int, Path] = {}
    asked: set[int] = set()
    while unasked := [i for i in where if i not in asked]:
        for one in unasked:
            asked.add(one)
            for other, places in _remembered(where[one], devices).items():
                if other in where:
                    continue
                missing.setdefault(other, places[-1])
                at = next((p for p in places if _lies_at(p, devices, other)), None)
                if at is not None:
                    where[other] = at
    if len(where) >= devices.data:
        return where
    gone = sorted(str(place) for other, place in missing.items() if other not in where)
    if gone:
        raise Unavailable(
            f"{devices.children - len(where)} of {devices.children} devices are missing, and "
            f"parity={devices.parity} covers the loss of {devices.parity}: {', '.join(gone)}",
            hint="bring one of them back, or name the directories if they have moved",
        )
    raise NotAStore(
        f"{path} is one of {devices.children} devices of a store, and does not know where the "
        "others are",
        hint="name the directories of all of them",
    )


def _remembered(path: Path, devices: DeviceSet) -> dict[int, list[Path]]:
    device = LocalDevice(path, create=False)
    try:
        return find_peers(device, path, devices)
    finally:
        device.close()


def _lies_at(path: Path, devices: DeviceSet, index: int) -> bool:
    with suppress(Unavailable, StorageFull):
        return identify_path(path) == (devices, index)
    return False
