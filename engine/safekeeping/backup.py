"""Backing a store up: checks of where to, and the opening and closing of both sides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidRequest, NotAStore
from ...storage.devices.local_device import LocalDevice
from ...storage.devices.striping.peers import identify_path
from ...storage.maintenance.backup import Backup
from ...storage.maintenance.backup import backup as copy_store
from ...storage.maintenance.finding import no_progress
from ...storage.store import Store
from .opening import open_device, paths_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from ...storage.maintenance.finding import Progress


def backup(
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    destination: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Backup:
    """Bring a copy of a store up to its newest version; see `pagelake.backup`."""
    paths = paths_of(store)
    target = Path(destination).expanduser().absolute()
    device = open_device(paths, writable=True)
    try:
        if not device.exists("store.json"):
            raise NotAStore("there is no store here", hint="name the directory of a store")
        _require_apart(target, [Path(path).expanduser() for path in paths])
        source = Store(device)
    except BaseException:
        device.close()
        raise
    try:
        copy = LocalDevice(target, create=True)
        try:
            return copy_store(source, copy, progress or no_progress)
        finally:
            copy.close()
    finally:
        source.close()


def _require_apart(target: Path, roots: Sequence[Path]) -> None:
    """Refuse a destination that is, holds or lies in what is to be copied.

    Raises:
        InvalidRequest: It does.
    """
    resolved = target.resolve()
    for root in roots:
        found = root.resolve()
        if found == resolved or found in resolved.parents or resolved in found.parents:
            raise InvalidRequest(
                f"a store cannot be backed up into itself: {target}",
                hint="name a directory outside of it, best on another disk",
            )
    if identify_path(target) is not None:
        raise InvalidRequest(f"{target} is a device of a store already")
