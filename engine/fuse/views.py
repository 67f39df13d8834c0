"""The newest committed state of the files, shared by the requests that read it.

A snapshot of files is pinned while it is open. Requests at the same version share one; an open file
keeps the one it was opened at until its bytes are other ones.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...storage.files.files_snapshot import FilesSnapshot


class HeldSnapshot:
    """A snapshot and how many hold it."""

    __slots__ = ("holders", "snapshot")

    def __init__(self, snapshot: FilesSnapshot) -> None:
        self.snapshot = snapshot
        self.holders = 1


class Views:
    """Gives out snapshots.

    Args:
        opened: Opens the newest snapshot.
        version: Tells the newest version, of whatever process; None where nothing ever changes.
    """

    def __init__(
        self, opened: Callable[[], FilesSnapshot], version: Callable[[], int] | None
    ) -> None:
        self._opened = opened
        self._version = version
        self._lock = threading.Lock()
        self._newest = HeldSnapshot(opened())

    def hold(self) -> HeldSnapshot:
        """Take the newest snapshot, to be given back with `release`."""
        version = None if self._version is None else self._version()
        with self._lock:
            newest = self._newest
            # What another thread has put here meanwhile may be newer still.
            if version is None or newest.snapshot.version >= version:
                newest.holders += 1
                return newest
        fresh = HeldSnapshot(self._opened())
        with self._lock:
            if self._newest.snapshot.version < fresh.snapshot.version:
                unused, self._newest = self._newest, fresh
            else:
                unused = fresh
            newest = self._newest
            newest.holders += 1
        self.release(unused)
        return newest

    def release(self, held: HeldSnapshot) -> None:
        """Give one back."""
        with self._lock:
            held.holders -= 1
            unused = not held.holders
        if unused:
            held.snapshot.close()

    @contextmanager
    def newest(self) -> Iterator[FilesSnapshot]:
        """Read the newest snapshot."""
        held = self.hold()
        try:
            yield held.snapshot
        finally:
            self.release(held)

    def close(self) -> None:
        """Give back the newest one."""
        self.release(self._newest)
