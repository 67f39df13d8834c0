"""What maintenance did of late: the rows of ``pagelake.maintenance``."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb

from ...errors import Closed, Conflict, Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...storage.effects import TableDefinition
    from ...storage.environment import Environment
    from ...storage.maintenance.compaction import Rewritten

TASKS_KEPT = 100
"""Tasks remembered."""


@dataclass(slots=True)
class TaskRun:
    """One task that runs or ran.

    Attributes:
        task: ``seal``, ``compact``, ``cluster``, ``checkpoint``, ``hot build``, ``sweep`` or
            ``reclaim``.
        table_schema: Schema of the table it is about, None where it is about the store.
        table_name: Name of that table.
        state: ``running``, ``done``, ``yielded`` (others were faster, or the database closes)
            or ``failed``.
        started_us: When it began, microseconds since the epoch.
        seconds: How long it took, or has taken so far.
        rows: Rows it wrote.
        bytes_read: Bytes on the device that it read.
        bytes_written: Bytes on the device that it wrote.
        message: What there is to say; None mostly.
    """

    task: str
    table_schema: str | None
    table_name: str | None
    started_us: int
    state: str = "running"
    seconds: float = 0.0
    rows: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    message: str | None = None

    def count(self, done: Rewritten) -> None:
        """Add what a transaction did."""
        self.rows += done.rows
        self.bytes_read += done.bytes_read
        self.bytes_written += done.bytes_written


class TaskLog:
    """The last tasks of a database.

    Args:
        environment: For the time at which tasks began.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runs: deque[tuple[TaskRun, float]] = deque(maxlen=TASKS_KEPT)
        self._lock = threading.Lock()

    @contextmanager
    def task(self, name: str, definition: TableDefinition | None = None) -> Iterator[TaskRun]:
        """Note a task while it runs, and how it ended. Errors pass through."""
        schema = None if definition is None else definition.schema
        table = None if definition is None else definition.name
        run = TaskRun(name, schema, table, self._environment.now_us())
        began = time.monotonic()
        with self._lock:
            self._runs.append((run, began))
        try:
            yield run
        except (Closed, Conflict) as error:
            run.state, run.message = "yielded", str(error)
            raise
        except (Error, OSError, duckdb.Error) as error:
            run.state, run.message = "failed", str(error)
            raise
        else:
            run.state = "done"
        finally:
            run.seconds = time.monotonic() - began
            if run.state == "running":
                run.state = "failed"

    def rows(self) -> list[dict[str, object]]:
        """The tasks, oldest first."""
        with self._lock:
            runs = list(self._runs)
        now = time.monotonic()
        return [
            {
                "task": run.task,
                "table_schema": run.table_schema,
                "table_name": run.table_name,
                "state": run.state,
                "started": datetime.fromtimestamp(run.started_us / 1e6, UTC),
                "seconds": now - began if run.state == "running" else run.seconds,
                "rows": run.rows,
                "bytes_read": run.bytes_read,
                "bytes_written": run.bytes_written,
                "message": run.message,
            }
            for run, began in runs
        ]
