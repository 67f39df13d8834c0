"""How far a scrub came, when the last one ended, and what they found: noted on the children."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .scrub import scrub
from .striping.notes import find_notes, leave_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .scrub import Damage, Pace, Progress
    from .striped_device import StripedDevice

_KIND = "scrub"
_SAVE_EVERY_US = 10_000_000


@dataclass(frozen=True, slots=True)
class ScrubRecord:
    """What is known of the scrubs of a set.

    Attributes:
        saved_us: When this was noted, in microseconds since 1970-01-01 UTC.
        after: The last file that a scrub which was stopped had done; empty when none was.
        finished_us: When the last scrub reached the end; 0 when none did.
        found: How much damage was found since the set was made, by index of the child.
        repaired: How much of it was repaired.
    """

    saved_us: int = 0
    after: str = ""
    finished_us: int = 0
    found: Mapping[int, int] = field(default_factory=dict)
    repaired: Mapping[int, int] = field(default_factory=dict)


def scrub_record(device: StripedDevice) -> ScrubRecord:
    """The newest record on any child."""
    found = [ScrubRecord()]
    for index in device.members.live():
        for note in find_notes(device.members[index], _KIND):
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                found.append(
                    ScrubRecord(
                        int(note["saved_us"]),
                        str(note["after"]),
                        int(note["finished_us"]),
                        {int(i): int(n) for i, n in note["found"].items()},
                        {int(i): int(n) for i, n in note["repaired"].items()},
                    )
                )
    return max(found, key=lambda record: record.saved_us)


def _save(device: StripedDevice, record: ScrubRecord) -> None:
    note = {
        "saved_us": record.saved_us,
        "after": record.after,
        "finished_us": record.finished_us,
        "found": {str(i): n for i, n in record.found.items()},
        "repaired": {str(i): n for i, n in record.repaired.items()},
    }
    for index in device.members.live():
        leave_note(device.members[index], _KIND, note)


def recorded_scrub(
    device: StripedDevice,
    now_us: Callable[[], int],
    *,
    restart: bool = False,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> Iterator[Damage]:
    """Scrub, going on where the last scrub was stopped, and keep the record.

    The position is noted every few seconds and when the iterator is closed, so that neither a
    kill nor Ctrl-C costs more than a few seconds of work.

    Args:
        device: The device, writable.
        now_us: The clock.
        restart: Begin at the first file in any case.
        progress: Called with each file's name once it is done, bytes done and bytes in all.
        pace: Called with the bytes that were just read; may wait.
    """
    before = scrub_record(device)
    found, repaired = Counter(before.found), Counter(before.repaired)
    after = "" if restart else before.after
    saved_us = now_us()

    def record(at: str, finished_us: int) -> None:
        nonlocal saved_us
        saved_us = max(now_us(), before.saved_us + 1)
        _save(device, ScrubRecord(saved_us, at, finished_us, dict(found), dict(repaired)))

    def step(name: str, done_bytes: int, total_bytes: int) -> None:
        nonlocal after
        after = name
        if now_us() - saved_us > _SAVE_EVERY_US:
            record(name, before.finished_us)
        if progress is not None:
            progress(name, done_bytes, total_bytes)

    try:
        for damage in scrub(device, after=after, progress=step, pace=pace):
            found[damage.index] += 1
            repaired[damage.index] += damage.repaired
            yield damage
    except BaseException:
        record(after, before.finished_us)
        raise
    record("", now_us())
