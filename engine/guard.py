"""Cancellation and time-out of what a session runs in the kernel."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import duckdb

from ..errors import Timeout

if TYPE_CHECKING:
    from ..sql.logical import LogicalPlan
    from .kernel import Cursor
    from .leaves.route import Route
    from .settings import Settings


class Interruptible(Protocol):
    """Something that runs and can be stopped: a kernel cursor, or what works beside the kernel."""

    def interrupt(self) -> None:
        """Ask it to stop."""


class Guard:
    """Knows what of a session is busy, kernel cursors above all.

    Args:
        settings: For ``statement_timeout``.

    Attributes:
        one_result: Whether every result is read, or given up, before the next statement: rows of
            temporary relations then stream, and are not collected for whoever comes late.
        is_observed: Whether somebody watches, and wants the two that follow.
        last: The kernel cursor that ran last: it can tell how far it is, and what it read.
        reads: Route and plan of the query that was opened last.
    """

    def __init__(self, settings: Settings) -> None:
        self.one_result = False
        self.is_observed = False
        self.last: Cursor | None = None
        self.reads: tuple[Route, LogicalPlan] | None = None
        self._settings = settings
        self._busy: dict[int, Interruptible] = {}
        self._lock = threading.Condition()

    def watch(self, cursor: Interruptible) -> Watch:
        """A context in which the cursor can be cancelled and timed out."""
        return Watch(self, cursor, self._settings.seconds("statement_timeout"))

    def interrupt(self) -> None:
        """Cancel everything that runs."""
        with self._lock:
            for cursor in self._busy.values():
                cursor.interrupt()

    def wait_idle(self, patience_s: float) -> bool:
        """Wait until nothing runs any more; False when that took longer than patience allows."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._busy, patience_s)


class Watch:
    """One run of the kernel under guard."""

    __slots__ = ("_cursor", "_guard", "_over", "_seconds", "_timer", "timed_out")

    def __init__(self, guard: Guard, cursor: Interruptible, seconds: float) -> None:
        self._guard = guard
        self._cursor = cursor
        self._seconds = seconds
        self._timer: threading.Timer | None = None
        self._over = False
        self.timed_out = False

    def _expire(self) -> None:
        with self._guard._lock:
            # The cursor may run the next statement already, which has a time-out of its own.
            if not self._over:
                self.timed_out = True
                self._cursor.interrupt()

    def __enter__(self) -> Watch:
        with self._guard._lock:
            self._guard._busy[id(self._cursor)] = self._cursor
            if self._guard.is_observed and isinstance(self._cursor, duckdb.DuckDBPyConnection):
                self._guard.last = self._cursor
        if self._seconds > 0:
            self._timer = threading.Timer(self._seconds, self._expire)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._guard._lock:
            self._guard._busy.pop(id(self._cursor), None)
            self._over = True
            self._guard._lock.notify_all()
        if self._timer is not None:
            self._timer.cancel()
        if self.timed_out and error is not None:
            raise Timeout(
                f"the statement ran longer than statement_timeout ({self._seconds:g} s)",
                hint="SET statement_timeout = 0 lifts the limit",
            ) from error
