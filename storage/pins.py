"""Pins: what processes are reading, so that nobody reclaims it.

A process that reads holds one file; in it stands a version that is not above any snapshot in use.
The device tells whether a holder is alive, so that the pins of killed processes vanish and those
of stopped ones do not. A reader pins first and looks at the horizon afterwards; a reclaimer raises
the horizon first and looks at the pins afterwards: one of them sees the other.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import Unavailable

if TYPE_CHECKING:
    from .devices.device import Device, Hold
    from .environment import Environment

FOLDER = "pins"
_LINGER_S = 1.0
"""How long a pin outlives its last reader: the next one is likely to come soon."""
_IDLE = (1 << 63) - 1
"""Stands for no version: the file stays, so that a full disk keeps nobody from reading."""
_WRITER = b"w"
_READER = b"r"


def _packed(kind: bytes, *numbers: int) -> bytes:
    return kind + b"".join(number.to_bytes(8, "little") for number in numbers)


def _held(device: Device, kind: bytes) -> list[tuple[int, int]]:
    """Both numbers of each hold of a kind; one that is not there is 0."""
    held = [content for content in device.held(FOLDER) if content[:1] == kind]
    return [
        (int.from_bytes(content[1:9], "little"), int.from_bytes(content[9:17], "little"))
        for content in held
    ]


def held_versions(device: Device) -> list[int]:
    """A version for each living process that reads: it reads nothing older."""
    return [version for version, _ in _held(device, _READER) if version != _IDLE]


def held_segments(device: Device) -> dict[int, int]:
    """Segments that living processes may still append to, each with its settled bytes.

    What lies below those was written by transactions that are over: whoever looks at the newest
    version afterwards sees all that refers to it.
    """
    return dict(_held(device, _WRITER))


def hold_segment(device: Device, environment: Environment, segment: int) -> Hold:
    """Keep a segment from being reclaimed while its writer is at it."""
    name = f"{FOLDER}/{environment.random_bytes(8).hex()}"
    return device.hold(name, _packed(_WRITER, segment, 0))


def settle_segment(hold: Hold, segment: int, settled_bytes: int) -> None:
    """Let reclaim look at the pages of a held segment that no open transaction has written.

    A device that fails here only keeps what could be given back.
    """
    with suppress(Unavailable):
        hold.update(_packed(_WRITER, segment, settled_bytes))


class Pins:
    """The versions that this process reads.

    Args:
        device: The store's device.
        environment: Source of names.
    """

    def __init__(self, device: Device, environment: Environment) -> None:
        self._device = device
        self._environment = environment
        self._lock = threading.Lock()
        self._used: Counter[int] = Counter()
        self._kept: set[int] = set()
        self._hold: Hold | None = None
        self._pinned = _IDLE
        self._timer: threading.Timer | None = None
        self._closed = False

    def pin(self, version: int) -> None:
        """Keep a version and all later ones; ``unpin`` as often."""
        with self._lock:
            self._used[version] += 1
            if version < self._pinned:
                self._say(version)

    def _say(self, version: int) -> None:
        """Tell everybody what is read, as far as the device lets it.

        Reading must be possible where nothing can be written any more, and a commit that was made
        must not fail for its pin. Whoever could not pin risks an error if others reclaim, never a
        wrong row.
        """
        with suppress(Unavailable):
            if self._hold is None:
                name = f"{FOLDER}/{self._environment.random_bytes(8).hex()}"
                self._hold = self._device.hold(name, _packed(_READER, version))
            else:
                self._hold.update(_packed(_READER, version))
            self._pinned = version

    def secures(self, version: int) -> bool:
        """Tell whether everybody was told that a version is read."""
        with self._lock:
            return self._pinned <= version

    def unpin(self, version: int) -> None:
        """Give a version back."""
        with self._lock:
            self._used[version] -= 1
            if self._used[version] <= 0:
                del self._used[version]
                self._kept.discard(version)
            if not self._environment.threads:
                self._settle()
            elif self._timer is None and not self._closed and self._pinned < self._lowest():
                timer = threading.Timer(_LINGER_S, self._expire)
                timer.daemon = True
                try:
                    timer.start()
                    self._timer = timer
                except RuntimeError:
                    # No room for a thread, which must not fail the commit before this.
                    self._settle()

    def note_kept(self, version: int) -> None:
        """Note that a version was still there after it was pinned: it is for as long as it is."""
        with self._lock:
            if self._used[version] > 0:
                self._kept.add(version)

    def keeps(self, version: int) -> bool:
        """Tell whether a version was noted to be kept, and has been pinned ever since."""
        return version in self._kept

    def _lowest(self) -> int:
        return min(self._used, default=_IDLE)

    def _expire(self) -> None:
        with self._lock:
            self._timer = None
            if not self._closed:
                self._settle()

    def settle(self) -> None:
        """Let go of what nobody reads any more."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        if self._hold is None:
            return
        lowest = self._lowest()
        if lowest > self._pinned:
            self._say(lowest)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            if self._hold is not None:
                self._hold.release()
                self._hold = None
