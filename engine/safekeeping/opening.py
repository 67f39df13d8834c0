"""The device of a store that exists, whatever it lies on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import NotAStore
from ...storage.devices.local_device import LocalDevice
from ...storage.devices.striped_device import open_member, open_striped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.devices.device import Device


def open_device(paths: Sequence[str | os.PathLike[str]], *, writable: bool) -> Device:
    """The device of a store that exists.

    Raises:
        NotAStore: There is none.
    """
    roots = [Path(path).expanduser().absolute() for path in paths]
    if len(roots) == 1:
        one: Device | None = open_member(roots[0], create=writable)
        return one or _existing(roots[0])
    return open_striped(roots, None, create=writable)


def _existing(root: Path) -> Device:
    try:
        return LocalDevice(root, create=False)
    except NotAStore as error:
        error.hint = "name the directory of a store"  # not to create one, as a connection would
        raise


def paths_of(
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[str | os.PathLike[str]]:
    """The directories that name a store: one, or several."""
    return [store] if isinstance(store, str | os.PathLike) else list(store)
