"""Background work: checkpoints and hot segments, done where nobody waits.

One thread a database, woken by commits. Whatever it does is derived: it may fail, be
interrupted or be done twice by two processes, and nothing is lost.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

from ..errors import Error

if TYPE_CHECKING:
    from ..storage.effects import RowGroup
    from ..storage.hot_directory import HotFile
    from ..storage.snapshot import TableState
    from .database import Database
    from .leaves.hot_tier import HotWriter

_QUIET_S = 0.5
"""How long commits must have ceased before a hot segment is built, so that one build serves
many of them."""


class Maintenance:
    """The background thread of a database.

    Args:
        database: What it looks after.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._writer: HotWriter | None = None

    def wake(self) -> None:
        """Note that something was committed."""
        if self._stop.is_set() or self._wake.is_set():
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="pagelake-maintenance", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            if self._stop.wait(_QUIET_S):
                return
            self._wake.clear()
            with suppress(Error, OSError, duckdb.Error):
                if self._database.store.checkpoint_due:
                    self._database.store.checkpoint()
                self.build_all()
                self._forget_dropped()

    def build_all(self) -> int:
        """Build the hot segments that are missing; returns how many were built."""
        hot = self._database.hot
        built = 0
        with self._building:
            snapshot = self._database.store.snapshot()
            for state in snapshot.tables.values():
                # A segment that is wanted again right after it was built does not fit the budget
                # beside the others, or was damaged at once: another turn would not end.
                tried: set[str] = set()
                while not self._stop.is_set():
                    groups = hot.candidates(state)
                    if not groups or groups[0].id in tried:
                        break
                    tried.add(groups[0].id)
                    file = self._build(state, groups)
                    if file is None:
                        break
                    hot.drop_superseded(state, file)
                    built += 1
        if built:
            self._database.router.invalidate()
        return built

    def _forget_dropped(self) -> None:
        """Drop what was derived from tables that are gone."""
        database = self._database
        present = set(database.store.snapshot().tables)
        database.deltas.forget_tables(present)
        if database.hot.directory.writable:
            gone = [f for f in database.hot.directory.files().values() if f.table not in present]
            for file in gone:
                database.hot.directory.drop(file)
            if gone:
                database.router.invalidate()

    def _build(self, state: TableState, groups: list[RowGroup]) -> HotFile | None:
        """Build one segment, in a way that ``close`` can interrupt."""
        hot = self._database.hot
        with hot.writer(state.definition) as writer:
            self._writer = writer
            try:
                hot.fill(writer, state, groups)
                return writer.publish(groups, state)
            finally:
                self._writer = None

    def close(self) -> None:
        """Stop; a build under way is given up."""
        self._stop.set()
        self._wake.set()
        writer = self._writer
        if writer is not None:
            with suppress(duckdb.Error):
                writer.interrupt()
        if self._thread is not None:
            self._thread.join()
