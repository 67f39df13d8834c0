"""The statements of this process, running and recent, behind ``pagelake.queries``."""

from __future__ import annotations

import datetime
import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import Timing

ENTRIES_KEPT = 1000
"""Statements remembered after they ended."""
SQL_CHARACTERS_MAX = 10_000
"""Text kept of a statement: a load of literals must not fill the memory."""


@dataclass(slots=True)
class QueryEntry:
    """One statement."""

    id: int
    sql: str
    version: int
    plan_cached: bool
    timing: Timing
    started_us: int = field(default_factory=lambda: time.time_ns() // 1000)
    state: str = "running"
    rows: int = -1
    error: str | None = None


class QueryLog:
    """Remembers statements, the oldest are forgotten."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._entries: deque[QueryEntry] = deque(maxlen=ENTRIES_KEPT)
        self._lock = threading.Lock()

    def begin(self, sql: str, version: int, *, plan_cached: bool, timing: Timing) -> QueryEntry:
        """Note a statement that starts."""
        entry = QueryEntry(next(self._ids), sql[:SQL_CHARACTERS_MAX], version, plan_cached, timing)
        self._entries.append(entry)
        return entry

    @staticmethod
    def end(entry: QueryEntry, rows: int, error: BaseException | None) -> None:
        """Note how it ended."""
        entry.rows = rows
        entry.state = "failed" if error is not None else "finished"
        # The kind of error, not its text: a text may quote values.
        entry.error = None if error is None else type(error).__name__

    def rows(self) -> list[dict[str, object]]:
        """Rows of ``pagelake.queries``."""
        with self._lock:
            entries = list(self._entries)
        return [
            {
                "id": e.id,
                "sql": e.sql,
                "state": e.state,
                "started": datetime.datetime.fromtimestamp(e.started_us / 1e6, datetime.UTC),
                "total_ms": e.timing.total_ms,
                "planning_ms": e.timing.planning_ms,
                "kernel_ms": e.timing.kernel_ms,
                "rows": e.rows,
                "plan_cached": e.plan_cached,
                "version": e.version,
                "error": e.error,
            }
            for e in entries
        ]
