"""What a copy tells while it runs: how far it is, and what could not be done."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entry import Entry


def _never() -> None:
    """Nobody cancels."""


@dataclass(slots=True)
class Watch:
    """Counts of a command's work.

    Attributes:
        poll: Raises when the work was cancelled; called for each entry and each piece.
        changed: Called after `poll`, to show the counts.
        files: Files, links and special files that were copied.
        directories: Directories that were made.
        bytes: Bytes of contents that were copied.
        total_bytes: Bytes there are to copy, as far as that is known.
        total_entries: Entries there are to copy, as far as that is known.
        failures: What could not be done, in the order in which it was found.
        noted: The entries that were copied, where somebody wants to know them.
        is_shown: Whether somebody looks at the counts.
    """

    poll: Callable[[], None] = _never
    changed: Callable[[], None] = _never
    files: int = 0
    directories: int = 0
    bytes: int = 0
    total_bytes: int | None = None
    total_entries: int | None = None
    failures: list[OSError] = field(default_factory=list)
    noted: list[Entry] | None = None
    is_shown: bool = False

    def count_bytes(self, count: int) -> None:
        """Note bytes that were copied."""
        self.bytes += count
        self.poll()
        self.changed()

    def note(self, entry: Entry) -> None:
        """Note an entry that was copied."""
        if entry.is_directory:
            self.directories += 1
        else:
            self.files += 1
        if self.noted is not None:
            self.noted.append(entry)
        self.poll()
        self.changed()

    def fail(self, number: int, told: str, why: str) -> None:
        """Note what could not be done; the others go on."""
        self.failures.append(OSError(number, why, told))

    def fail_by(self, error: OSError, told: str) -> None:
        """Note what the system refused."""
        self.fail(error.errno or errno.EIO, told, error.strerror or str(error))
