"""Scrubs and rebuilds at a bounded rate, as the command line and CALL run them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest
from ...storage.devices.rebuild import rebuild
from ...storage.devices.scrub import scrub
from ...storage.devices.scrub_record import recorded_scrub
from ...storage.devices.striped_device import StripedDevice

if TYPE_CHECKING:
    from pathlib import Path

    from ...storage.devices.device import Device
    from ...storage.devices.scrub import Damage

RATE_MB_DEFAULT: Final = 40.0
"""Megabytes that a scrub reads a second: what runs beside it slows down by less than 5 %."""
_BEHIND_S_MAX: Final = 0.1
"""A scrub that was held up makes up for so much at most, so that it does not come in bursts."""

Progress = Callable[[str, int, int], None]


class Pace:
    """Waits so that no more than so many bytes are read a second.

    Args:
        mb_per_s: Megabytes a second; 0 for as fast as possible.
        clock: Seconds that only go on.
        wait: Waits so many seconds.
    """

    def __init__(
        self,
        mb_per_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bytes_per_s = mb_per_s * 1e6
        self._clock = clock
        self._wait = wait
        self._due = clock()

    def __call__(self, bytes_read: int) -> None:
        """Account for what was read, and wait until more may be."""
        if self._bytes_per_s <= 0:
            return
        now = self._clock()
        self._due = max(self._due, now - _BEHIND_S_MAX) + bytes_read / self._bytes_per_s
        if self._due > now:
            self._wait(self._due - now)


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What a scrub found.

    Attributes:
        files: Files that were looked at.
        bytes: Bytes that all devices together hold of them.
        damage: What was wrong.
        seconds: How long it took.
    """

    files: int
    bytes: int
    damage: tuple[Damage, ...]
    seconds: float

    @property
    def left(self) -> int:
        """How much of the damage is still there."""
        return sum(not one.repaired for one in self.damage)


def require_striped(device: Device) -> StripedDevice:
    """The device of a store that has parity.

    Raises:
        InvalidRequest: It has none.
    """
    if not isinstance(device, StripedDevice):
        raise InvalidRequest(
            "the store lies on one device only, without parity",
            hint="pagelake check verifies it; pagelake devices create makes a store over several",
        )
    return device


def run_scrub(
    device: StripedDevice,
    now_us: Callable[[], int],
    *,
    repair: bool = True,
    restart: bool = False,
    mb_per_s: float = RATE_MB_DEFAULT,
    progress: Progress | None = None,
) -> ScrubReport:
    """Scrub from where the last one was stopped; without repairing, all of it.

    Args:
        device: The device.
        now_us: The clock, in microseconds since 1970-01-01 UTC.
        repair: False only reports, and leaves no record.
        restart: Begin at the first file in any case.
        mb_per_s: Megabytes to read a second; 0 for as fast as possible.
        progress: Told what is being looked at, the bytes done and the bytes in all.
    """
    started = time.perf_counter()
    files, total = 0, 0

    def step(name: str, done_bytes: int, total_bytes: int) -> None:
        nonlocal files, total
        files, total = files + 1, done_bytes
        if progress is not None:
            progress(name, done_bytes, total_bytes)

    pace = Pace(mb_per_s)
    found = (
        recorded_scrub(device, now_us, restart=restart, progress=step, pace=pace)
        if repair
        else scrub(device, repair=False, progress=step, pace=pace)
    )
    damage = tuple(found)
    return ScrubReport(files, total, damage, time.perf_counter() - started)


def run_rebuild(
    device: StripedDevice,
    index: int,
    directory: Path | None,
    *,
    mb_per_s: float = 0.0,
    progress: Progress | None = None,
) -> Path:
    """Rebuild a lost device; returns the directory that took its place.

    Args:
        device: The device.
        index: Number of the lost one.
        directory: What takes its place; None for the directory where it was.
        mb_per_s: Megabytes to rebuild a second; 0 for as fast as possible.
        progress: Told what is being rebuilt, the bytes done and the bytes in all.
    """
    target = directory or device.members.place(index)
    if target is None:
        raise InvalidRequest(
            f"nobody remembers where device {index} was", hint="name a directory for it"
        )
    rebuild(device, index, target, progress=progress, pace=Pace(mb_per_s))
    return target
