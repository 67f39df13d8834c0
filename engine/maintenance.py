"""Background work: sealing, compaction, checkpoints, hot segments, reclaiming.

    commit -> wake -> seal -> compact -> checkpoint -> build hot segments -> sweep -> reclaim

One thread a database, woken by commits; of the processes on one store, one at a time writes row
groups anew. Whatever is done may fail, be interrupted or be done twice by two processes, and
nothing is lost: each step is a transaction that yields to those of users, or is derived.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import duckdb

from ..errors import Conflict, Error
from ..storage.content.content_pages import groups_naming
from ..storage.content.tables import CHUNKS, NEVER_SCANNED
from ..storage.maintenance.compaction import rewrite
from ..storage.maintenance.plan import (
    SEAL_GROUPS_MIN,
    SEAL_IDLE_GROUPS_MIN,
    Step,
    plan_compaction,
    plan_moving,
    plan_sealing,
    unsorted_columns,
)
from .background.lease import Lease
from .background.pace import Pace, lower_priority
from .background.task_log import TaskLog
from .leaves.hot_tier import HOT_ROWS_MIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..storage.content.sweep import Sweeper
    from ..storage.effects import RowGroup
    from ..storage.hot_directory import HotFile
    from ..storage.snapshot import TableState
    from .background.task_log import TaskRun
    from .database import Database
    from .leaves.hot_tier import HotWriter

_QUIET_S = 0.5
"""How long after a commit work begins, so that one turn serves many commits."""
_IDLE_S = 10.0
"""How long commits must have ceased before small leftovers are sealed too."""
_BATCH_ROWS_MAX = 4_000_000
"""Rows that one compaction transaction writes anew at most; fewer after a conflict."""
_CONFLICTS_MAX = 4
"""Conflicts after which a table is left alone for a while, or a caller is told."""
_REST_S = 30.0
"""How long a table is left alone that others change too fast."""
_RECLAIM_EVERY_S = 60.0
"""How often space is looked for that nobody can reach any more."""
_KEPT_S = 2.0
"""How long the lease is kept without a commit of one's own: others may be busy."""


class Maintenance:
    """The background thread of a database, and its work for the foreground.

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
        self._rewriting = threading.Lock()
        self._waiting = 0
        self._writer: HotWriter | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._planned: dict[str, tuple[int, bool]] = {}
        self._resting: dict[str, float] = {}
        self._reclaimed = time.monotonic()
        self._sweeper: Sweeper | None = None
        self._lease = Lease(database.store.device)
        self._pace = Pace(self._rate, self._stop)
        self.log = TaskLog(database.environment)

    def wake(self) -> None:
        """Note that something was committed."""
        if self._stop.is_set() or self._wake.is_set():
            return
        if not self._database.environment.threads:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="pagelake-maintenance", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    # No room for a thread, which must not fail the commit before this.
                    return
                self._thread = thread
        self._wake.set()

    def close(self) -> None:
        """Stop; work under way is given up."""
        self._stop.set()
        self._wake.set()
        writer = self._writer
        if writer is not None:
            with suppress(duckdb.Error):
                writer.interrupt()
        if self._thread is not None:
            self._thread.join()
        self._lease.give()
        if self._executor is not None:
            self._executor.shutdown()

    # In the foreground

    def seal(self, table: str | None = None) -> int:
        """Put inlined row groups together on pages; returns the rows written.

        Args:
            table: Table id; None is all tables.

        Raises:
            Conflict: Others changed the table again and again.
        """
        with self._foreground():
            return sum(
                self._rewrite_all(t, "seal", lambda s: plan_sealing(s, groups_min=1), self._stopped)
                for t in self._tables(table)
            )

    def compact(self, table: str | None = None) -> int:
        """Leave deleted rows out, merge small row groups, sort clustered tables.

        Args:
            table: Table id; None is all tables.

        Returns:
            Rows written; 0 for tables in good shape.

        Raises:
            Conflict: Others changed the table again and again.
        """
        with self._foreground():
            return sum(
                self._rewrite_all(
                    t, "compact", lambda s: plan_compaction(s, eager=True), self._stopped
                )
                for t in self._tables(table)
            )

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
                    with self.log.task("hot build", state.definition) as run:
                        file = self._build(state, groups, run)
                    if file is None:
                        break
                    hot.drop_superseded(state, file)
                    built += 1
        if built:
            self._database.router.invalidate()
        return built

    @contextmanager
    def _foreground(self) -> Iterator[None]:
        """Take the place of the background, which hurries up meanwhile."""
        with self._lock:
            self._waiting += 1
        try:
            with self._rewriting:
                yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _tables(self, table: str | None) -> list[str]:
        return [table] if table is not None else list(self._database.store.snapshot().tables)

    def _rate(self) -> float:
        return 0.0 if self._waiting else self._database.settings.integer("maintenance_mbps") * 1e6

    def _stopped(self, _bytes: int) -> None:
        Pace(lambda: 0.0, self._stop)(0)

    # In the background

    def _run(self) -> None:
        lower_priority()
        leftovers = True
        while not self._stop.is_set():
            if self._wake.wait(_KEPT_S):
                if self._stop.wait(_QUIET_S):
                    return
                self._wake.clear()
                leftovers = True
                self._look_after(idle=False)
                continue
            # Whoever writes now gets to know of the commits of all.
            self._lease.give()
            if not leftovers:
                self._wake.wait()
            elif not self._wake.wait(_IDLE_S - _KEPT_S):
                leftovers = False
                self._look_after(idle=True)

    def _look_after(self, *, idle: bool) -> None:
        """Do what is due, unless another process is at it."""
        database = self._database
        if database.settings.get("background_maintenance") and self._lease.take():
            try:
                self._turn(idle=idle)
            except RuntimeError as error:
                # The process ends without closing the database: executors take nothing any more.
                if "shutdown" not in str(error):
                    raise
                self._stop.set()
        # In memory, and each process's own: without a look at what others have done.
        database.deltas.forget_tables(database.store.head.snapshot.tables.keys())

    def _turn(self, *, idle: bool) -> None:
        if self._database.read_only:
            return
        for task in (
            lambda: self._tidy(idle=idle),
            self._checkpoint,
            self.build_all,
            self._forget_dropped,
            self._sweep,
            self._reclaim,
        ):
            # One task that fails must not keep the others from being done.
            with suppress(Error, OSError, duckdb.Error):
                if not self._stop.is_set():
                    task()

    def _tidy(self, *, idle: bool) -> None:
        """Seal and compact what has changed since it was last looked at."""
        due: dict[str, tuple[str, Callable[[TableState], list[Step]]]] = {}
        snapshot = self._database.store.snapshot()
        groups_min = SEAL_IDLE_GROUPS_MIN if idle else SEAL_GROUPS_MIN

        def sealing(state: TableState) -> list[Step]:
            return plan_sealing(state, groups_min=groups_min)

        now = time.monotonic()
        for table, state in snapshot.tables.items():
            if self._planned.get(table) == (state.changed, idle) or now < self._resting.get(
                table, 0.0
            ):
                continue
            if sealing(state):
                due[table] = ("seal", sealing)
            elif plan_compaction(state):
                due[table] = ("compact", plan_compaction)
            else:
                self._planned[table] = (state.changed, idle)
        if not due:
            return
        for table, (task, plan) in due.items():
            with self._rewriting, suppress(Conflict):
                self._rewrite_all(table, task, plan, self._pace, background=True)
        if not self._stop.is_set():
            self._wake.set()  # what was sealed may now be worth merging

    def _checkpoint(self) -> None:
        if self._database.store.checkpoint_due:
            with self.log.task("checkpoint"):
                self._database.store.checkpoint()
        if self._database.store.fold_due:
            with self.log.task("fold"):
                self._database.store.fold()

    def _sweep(self) -> None:
        if CHUNKS not in self._database.store.head.snapshot.tables:
            return
        if self._swept_by().due(time.monotonic()):
            with self.log.task("sweep") as run:
                run.rows = self._swept_by().run(time.monotonic()).chunks

    def sweep(self) -> int:
        """Forget chunks of contents that the newest version does not need; returns how many."""
        if CHUNKS not in self._database.store.snapshot().tables:
            return 0
        with self.log.task("sweep") as run:
            run.rows = self._swept_by().run(time.monotonic(), age_s=0.0).chunks
        return run.rows

    def _swept_by(self) -> Sweeper:
        from ..storage.content.sweep import Sweeper

        with self._lock:
            if self._sweeper is None:
                self._sweeper = Sweeper(self._database.store)
            return self._sweeper

    def _reclaim(self) -> None:
        if time.monotonic() - self._reclaimed < _RECLAIM_EVERY_S:
            return
        self._reclaimed = time.monotonic()
        keep_us = int(self._database.settings.seconds("snapshots_keep") * 1e6)
        self._database.keys.release()
        with self.log.task("reclaim"):
            self._database.store.reclaim(keep_us=keep_us)
        self.empty_sparse_segments()

    def empty_sparse_segments(self) -> None:
        """Move row groups out of segments that reclaim found mostly dead and had to leave whole."""
        store = self._database.store
        sparse = store.pages.sparse
        for table in store.snapshot().tables if sparse else ():
            with self._rewriting, suppress(Conflict):
                self._rewrite_all(
                    table, "compact",
                    lambda s: plan_moving(s, sparse, groups_naming(store.pages, s, sparse)),
                    self._pace, background=True,
                )  # fmt: skip

    def _forget_dropped(self) -> None:
        """Drop what was derived from tables that are gone."""
        database = self._database
        present = set(database.store.snapshot().tables)
        for known in (self._planned, self._resting):
            for table in known.keys() - present:
                known.pop(table)
        if database.hot.directory.writable:
            gone = [f for f in database.hot.directory.files().values() if f.table not in present]
            for file in gone:
                database.hot.directory.drop(file)
            if gone:
                database.router.invalidate()

    # Rewriting

    def _rewrite_all(
        self,
        table: str,
        task: str,
        plan: Callable[[TableState], list[Step]],
        pace: Callable[[int], None],
        *,
        background: bool = False,
    ) -> int:
        """Carry out a table's plan in transactions of bounded size; returns the rows written.

        Raises:
            Conflict: Others changed the same row groups again and again.
        """
        store = self._database.store
        state = store.snapshot().tables.get(table)
        steps = [] if state is None else plan(state)
        if state is None or not steps:
            return 0
        rows_max, conflicts = _BATCH_ROWS_MAX, 0
        with self.log.task(steps[0].task if task == "compact" else task, state.definition) as run:
            left_out = unsorted_columns(state.definition)
            if left_out:
                run.message = f"not sorted by {', '.join(left_out)}: the type has no order"
            while steps:
                batch = _batch(steps, rows_max)
                try:
                    done = rewrite(
                        store, table, batch, pace=pace,
                        executor=self._background_executor() if background else None,
                        derive=lambda state, groups: self._derive(state, groups, pace),
                    )  # fmt: skip
                except Conflict:
                    conflicts += 1
                    if conflicts > _CONFLICTS_MAX:
                        self._resting[table] = time.monotonic() + _REST_S
                        raise
                    # A smaller transaction is over sooner, and meets fewer others.
                    rows_max //= 4
                    state = store.snapshot().tables.get(table)
                    steps = [] if state is None else plan(state)
                    continue
                except (Error, OSError):
                    # A damaged page is not read again and again.
                    self._resting[table] = time.monotonic() + _REST_S
                    raise
                run.count(done)
                steps = steps[len(batch) :]
                if background and self._waiting:
                    break
            self._drop_empty_segments(table)
        return run.rows

    def _background_executor(self) -> ThreadPoolExecutor:
        """One thread that encodes; started by the background thread, it has its priority."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="pagelake-background")
        return self._executor

    def _derive(
        self, state: TableState, groups: Sequence[RowGroup], pace: Callable[[int], None]
    ) -> None:
        """Build the hot segment of new row groups before they are committed.

        Queries would otherwise find that the rows of a hot table are no longer hot.
        """
        hot = self._database.hot
        if sum(group.rows for group in groups) < HOT_ROWS_MIN or not hot.directory.writable:
            return
        if state.definition.id in NEVER_SCANNED:
            return
        with (
            suppress(OSError, duckdb.Error),
            self.log.task("hot build", state.definition) as run,
            self._building,
        ):
            self._build(state, list(groups), run, pace)

    def _drop_empty_segments(self, table: str) -> None:
        state = self._database.store.snapshot().tables.get(table)
        if state is not None and self._database.hot.drop_unused(state):
            self._database.router.invalidate()

    def _build(
        self,
        state: TableState,
        groups: list[RowGroup],
        run: TaskRun,
        pace: Callable[[int], None] | None = None,
    ) -> HotFile | None:
        """Build one segment, in a way that ``close`` can interrupt."""
        hot = self._database.hot
        with hot.writer(state.definition) as writer:
            self._writer = writer
            try:
                hot.fill(writer, state, groups, pace)
                file = writer.publish(groups, state)
            finally:
                self._writer = None
        run.rows = sum(group.rows for group in groups)
        run.bytes_read = sum(group.stored_bytes for group in groups)
        run.bytes_written = 0 if file is None else file.bytes
        return file


def _batch(steps: Sequence[Step], rows_max: int) -> list[Step]:
    """Steps from the first on, as many as one transaction should carry out."""
    batch: list[Step] = []
    rows = 0
    for step in steps:
        if batch and rows + step.rows > rows_max:
            break
        batch.append(step)
        rows += step.rows
    return batch
