"""Marks that only rise: numbers that all processes of a store must respect.

A mark is a folder of empty files named by version; its value is the greatest name. Raising it
links a new name, so that two raisers cannot undo each other, and syncs before it returns.

The *boundary* is raised before a commit record's name is freed. A writer that stalled and then
links a freed name finds the boundary at or above it, and does not take its commit for
acknowledged; a reader never believes a loose record at or below it. After SlateDB's RFC 0026.
The *horizon* is raised before the data of old versions is freed; versions below it are gone.

Names: docs/format/store.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..devices.device import Device

BOUNDARY = "log/boundary"
HORIZON = "log/horizon"
_KEPT = 2
"""Names that stay: one being deleted while the folder is listed must not hide them all."""


class RisingMark:
    """A version that only rises, shared by all processes.

    Args:
        device: The store's device.
        folder: Where the mark is kept.
    """

    def __init__(self, device: Device, folder: str) -> None:
        self._device = device
        self._folder = folder
        self._seen = 0

    @property
    def seen(self) -> int:
        """The greatest value that this process has seen, without looking again."""
        return self._seen

    def read(self) -> int:
        """The present value; 0 when it was never raised."""
        found = [int(name) for name in self._device.list(self._folder) if name.isdigit()]
        self._seen = max(self._seen, *found) if found else self._seen
        return self._seen

    def raise_to(self, version: int) -> None:
        """Raise the mark; durable on return. A value that is not above the present one is void."""
        if version <= self.read():
            # Whoever raised it may have died before its name was durable.
            self._device.sync_directory(self._folder)
            return
        staged = self._device.stage(b"")
        try:
            staged.link(f"{self._folder}/{version:020d}")
        finally:
            staged.discard()
        self._device.sync_directory(self._folder)
        self._seen = max(self._seen, version)
        names = [name for name in self._device.list(self._folder) if name.isdigit()]
        for name in names[:-_KEPT]:
            self._device.unlink(f"{self._folder}/{name}")
