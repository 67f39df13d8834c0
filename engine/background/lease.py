"""The lease on maintenance: of the processes that write to a store, one keeps it in shape.

Two at it at once would cost time and nothing else, as all they do is transactions and idempotent
upkeep. So the lease is a hold that ends with its process, and a holder that does not move, be it
stopped or stuck, is passed over.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import Unavailable

if TYPE_CHECKING:
    from ...storage.devices.device import Device, Hold

_FOLDER = "leases"
_NAME = f"{_FOLDER}/maintenance"
STILL_S = 60.0
"""How long a holder may stand still while others have work for it."""


class Lease:
    """One process's part in it.

    Args:
        device: The store's device.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._hold: Hold | None = None
        self._turns = 0
        self._theirs: list[bytes] = []
        self._since = time.monotonic()

    def take(self) -> bool:
        """Tell whether to do the work: the lease is ours, or its holder stands still."""
        try:
            self._turns += 1
            content = self._turns.to_bytes(8, "little")
            if self._hold is not None:
                self._hold.update(content)
                return True
            with suppress(FileExistsError):
                self._hold = self._device.hold(_NAME, content)
                return True
            theirs = sorted(self._device.held(_FOLDER))  # removes what the dead left as well
        except Unavailable:
            return True  # nobody can have it where the device has no holds, or is full
        if theirs != self._theirs or not theirs:
            self._theirs, self._since = theirs, time.monotonic()
        return time.monotonic() - self._since > STILL_S

    def give(self) -> None:
        """Leave the work to others. Calling twice is allowed."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None
