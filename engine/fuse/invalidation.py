"""Tells the kernel what others have changed, sooner than it would ask by itself.

A thread looks at the tip of the log. The kernel's own time-outs are what is promised; this makes
changes visible in a twentieth of a second where they are few.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from ...errors import Error
from ...storage.files.file_error import FileError
from ...storage.files.name import bytes_of
from .changed_rows import changed_rows
from .state import report

if TYPE_CHECKING:
    from ...storage.files.files_snapshot import FilesSnapshot
    from ...storage.snapshot import Snapshot
    from ...storage.store import Store
    from .changed_rows import ChangedRow
    from .state import MountState

LOOK_EVERY_S: Final = 0.05
MOVE_ON_EVERY_S: Final = 60.0
"""How often files that stay open let go of the snapshot that they were opened at."""


class Follower:
    """Follows the log for a mount.

    Args:
        state: What the mount knows.
        store: The store.
    """

    def __init__(self, state: MountState, store: Store) -> None:
        self._state = state
        self._store = store
        self._seen = store.snapshot()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._follow, name="pagelake-fuse-follower", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for that."""
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        failed = False
        moved = time.monotonic()
        pause = LOOK_EVERY_S
        while not self._stop.wait(pause):
            begun = time.monotonic()
            try:
                self.look()
                # It takes a tenth of a processor at most, however much is changed.
                pause = max(LOOK_EVERY_S, 10 * (time.monotonic() - begun))
                if time.monotonic() - moved > MOVE_ON_EVERY_S:
                    moved = time.monotonic()
                    for opened in self._state.open_files():
                        opened.move_on()
                failed = False
            except (Error, OSError) as error:
                # What is wrong is told to whoever asks next; this thread says it once.
                if not failed:
                    report(error)
                failed = True

    def look(self) -> None:
        """Tell the kernel what has changed since the last look."""
        newest = self._store.snapshot()
        if newest.version == self._seen.version:
            return
        before, self._seen = self._seen, newest
        with self._state.views.newest() as files:
            self._renew_open(files)
            self._tell(files, before, newest)

    def _renew_open(self, files: FilesSnapshot) -> None:
        """Let open files that others have written go on to the new bytes."""
        state = self._state
        for opened in state.open_files():
            found = files.by_handle(opened.handle)
            if found is None or found.version == state.cached_version(opened.handle):
                continue
            try:
                renewed = opened.renew()
            except FileError:
                continue
            known = state.cached_version(opened.handle) == renewed.version
            fresh = opened.element is not None and opened.element.version == renewed.version
            if fresh and not known:
                state.note_cached(opened.handle, renewed.version)
                state.channel.forget_inode(opened.handle, pages=True)

    def _tell(self, files: FilesSnapshot, before: Snapshot, newest: Snapshot) -> None:
        rows = changed_rows(self._store, before, newest)
        if rows is None:
            self._state.directories.forget()
        for row in rows or ():
            self._tell_row(files, row)

    def _tell_row(self, files: FilesSnapshot, row: ChangedRow) -> None:
        state = self._state
        if state.knows(row.parent) or row.parent == 1:
            named = files.child(row.parent, row.name)
            handle = None if named is None else named.handle
            if not state.believes_name(row.parent, row.name, handle):
                state.directories.forget(row.parent)
                state.channel.forget_entry(row.parent, bytes_of(row.name))
                state.channel.forget_inode(row.parent, pages=False)
                state.note_name(row.parent, row.name, handle)
        if state.knows(row.handle):
            found = files.by_handle(row.handle)
            if found is not None and not state.believes_row(found):
                state.directories.forget(row.handle)
                state.channel.forget_inode(row.handle, pages=False)
                state.note_row(found)
