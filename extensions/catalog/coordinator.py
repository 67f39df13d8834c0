"""Walks a directory tree with several processes and yields its blocks in order.

                 tasks                       blocks
    Frontier ──────────▶ driver thread ◀──▶ WorkerProcess        one pair for each process
        ▲                     │
        └──── what was found ─┘
        │
        ▼ blocks whose turn it is
      walk()

A driver thread only waits for its worker's pipe. All state is the `Frontier`'s and the counters',
under one lock; the caller's thread takes blocks out, reports and asks whether to go on.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ...errors import Interrupted, InvalidRequest, Unavailable, Unsupported
from .block import ENTRY, Block, WalkError, WalkOptions, WalkProgress
from .frontier import Frontier, Task
from .globs import Exclusion
from .statx import stat_buffer
from .walker import BUDGET
from .worker_process import WorkerLost, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .walker import Answer

PROCESSES_MAX: Final = 8
"""Processes by default at most: more only wait for the one that takes the blocks."""

TASK_DIRECTORIES: Final = 64
SEED_BUDGET: Final = 2_000
"""Entries of a task while other workers have nothing to do."""

HELD_ENTRIES_MAX: Final = 400_000
"""Entries that may wait for their turn or for the caller, about 60 MB, before workers pause."""

LEAVE_ENTRIES: Final = 16_384
DEATHS_MAX: Final = 20
"""Workers that may die, not counting those that hung, before the walk gives up."""

POLL_SECONDS: Final = 0.1
STOP_SECONDS: Final = 5.0

ALONE_MAX: Final = 5_000
"""Directories read one by one after a loss; where none of them stops a worker, it was chance."""


def walk(
    root: bytes,
    options: WalkOptions | None = None,
    on_progress: Callable[[WalkProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Generator[Block, None, None]:
    """Walk the tree below a directory.

    Close the generator (`contextlib.closing`) to stop early: it ends the processes.

    Args:
        root: The directory, not itself a link; made absolute.
        options: How to walk.
        on_progress: Called in the caller's thread, at most ten times a second and at the end.
        cancelled: Asked as often; True ends the walk.

    Returns:
        The blocks: a directory before what is below it, siblings by their names' bytes. What could
        not be read is in their `errors`.

    Raises:
        InvalidRequest: The root is no directory or cannot be read, or a glob has no meaning.
        Interrupted: `cancelled` said so.
        Unavailable: Processes cannot be started, or keep dying.
        Unsupported: Extended attributes cannot be read on this system.
    """
    options = WalkOptions() if options is None else options
    if options.xattrs and not hasattr(os, "listxattr"):
        raise Unsupported("extended attributes cannot be read on this system")
    if options.processes is not None and options.processes < 1:
        raise InvalidRequest(f"a scan needs at least one process, not {options.processes}")
    if options.timeout_seconds <= 0:
        raise InvalidRequest("the time-out of a scan must be above zero seconds")
    Exclusion(options.exclude)
    path, own = root_of(root, options)
    return _Walk(path, own, options, on_progress, cancelled).blocks()


def root_of(root: bytes, options: WalkOptions) -> tuple[bytes, np.void]:
    """Return the absolute path of the root of a walk, and its entry.

    Raises:
        InvalidRequest: It is no directory, or cannot be read.
    """
    shown = repr(os.fsdecode(root))
    if not root or b"\0" in root:
        raise InvalidRequest(f"{shown} is no directory to scan")
    # `..` after a link is not the directory before it: the file system says where it leads.
    path = os.path.realpath(root) if b".." in root.split(b"/") else os.path.abspath(root)
    path = b"/" + path.lstrip(b"/")  # POSIX lets two leading slashes stand
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            target = os.fsdecode(os.path.realpath(path))
            raise InvalidRequest(
                f"{shown} is a symbolic link", hint=f"scan what it points to: {target!r}"
            )
        if not stat.S_ISDIR(found.st_mode):
            raise InvalidRequest(f"{shown} is a file, not a directory")
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidRequest(f"{shown} cannot be scanned: {error.strerror}") from error
    try:
        stats = stat_buffer()
        failures = stats.fill(descriptor, [b"."])
        if failures:
            raise InvalidRequest(f"{shown} cannot be scanned: {os.strerror(failures[0][1])}")
        own = stats.take()[0][0]
    finally:
        os.close(descriptor)
    if (int(own["device"]), int(own["inode"])) in options.skip:
        raise InvalidRequest(f"{shown} is itself what the scan is to skip")
    return path, own


class _Walk:
    """One walk under way."""

    def __init__(
        self,
        root: bytes,
        own: np.void,
        options: WalkOptions,
        on_progress: Callable[[WalkProgress], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._root = root
        self._options = options
        self._device = int(own["device"])
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._processes = processes_for(options)
        self._changed = threading.Condition()
        self._frontier = Frontier()
        self._frontier.put([root], np.array([own], dtype=ENTRY))
        self._workers: dict[int, WorkerProcess] = {}
        self._mounts = {root: (int(own["device"]), int(own["inode"]))}
        self._progress = WalkProgress(entries=1, total_bytes=int(own["size"]))
        self._reported_at = 0.0
        self._failure: BaseException | None = None
        self._stopped = False
        self._deaths = 0
        self._alone = 0

    def blocks(self) -> Generator[Block, None, None]:
        """Yield the blocks in order; ends the processes however it is left."""
        drivers = [
            threading.Thread(target=self._drive, args=(number,), daemon=True, name="catalog scan")
            for number in range(self._processes)
        ]
        try:
            for driver in drivers:
                driver.start()
            while True:
                self._report()
                with self._changed:
                    if not (self._frontier.ready or self._frontier.done or self._failure):
                        self._changed.wait(POLL_SECONDS)
                    if self._failure is not None:
                        raise self._failure
                    blocks = self._frontier.leave(LEAVE_ENTRIES)
                    done = self._frontier.done
                    if blocks:
                        self._progress = replace(self._progress, path=blocks[-1].path)
                        self._changed.notify_all()
                yield from blocks
                if done:
                    break
            self._report(last=True)
        finally:
            self._stop(drivers)

    def _report(self, *, last: bool = False) -> None:
        """Tell how far the walk is, and ask whether to go on."""
        if self._cancelled is not None and self._cancelled():
            raise Interrupted("the scan was cancelled")
        now = time.monotonic()
        if self._on_progress is not None and (last or now - self._reported_at >= POLL_SECONDS):
            self._reported_at = now
            with self._changed:
                progress = self._progress
            self._on_progress(progress)

    def _stop(self, drivers: list[threading.Thread]) -> None:
        with self._changed:
            self._stopped = True
            for worker in self._workers.values():
                worker.kill()
            self._changed.notify_all()
        until = time.monotonic() + STOP_SECONDS
        for driver in drivers:
            if driver.ident is not None:
                driver.join(max(0.0, until - time.monotonic()))

    def _drive(self, number: int) -> None:
        """Give tasks to one worker until there are none; the target of a thread."""
        worker: WorkerProcess | None = None
        try:
            while (given := self._next_task(number)) is not None:
                task, budget = given
                try:
                    if worker is None:
                        worker = self._start_worker(number)
                    answer = worker.run(task.paths, task.own, budget)
                except WorkerLost as lost:
                    self._drop_worker(number, worker)
                    worker = None
                    self._take_loss(number, task, lost)
                else:
                    self._take_answer(number, task, answer)
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the caller's thread
            with self._changed:
                if not self._stopped:
                    self._failure = self._failure or error
                self._changed.notify_all()
        finally:
            self._drop_worker(number, worker)

    def _next_task(self, number: int) -> tuple[Task, int] | None:
        """Wait for a task; None: there will be none."""
        frontier = self._frontier
        with self._changed:
            while not (self._stopped or self._failure):
                # Over the limit, one worker goes on if nothing else can move the front.
                stuck = not (frontier.running or frontier.ready)
                if frontier.waiting and (frontier.held < HELD_ENTRIES_MAX or stuck):
                    share = frontier.waiting // (2 * self._processes)
                    scarce = frontier.waiting + frontier.running < self._processes
                    task = frontier.take(number, max(1, min(TASK_DIRECTORIES, share)))
                    assert task is not None
                    if task.alone:
                        return task, 0
                    return task, SEED_BUDGET if scarce else BUDGET
                if not (frontier.waiting or frontier.running):
                    return None
                self._changed.wait()
        return None

    def _start_worker(self, number: int) -> WorkerProcess:
        worker = WorkerProcess(self._root, self._device, self._options)
        with self._changed:
            self._workers[number] = worker
            if self._stopped:
                worker.kill()
        worker.start()
        return worker

    def _drop_worker(self, number: int, worker: WorkerProcess | None) -> None:
        with self._changed:
            # One that did not get as far as `start` is known here only.
            worker = self._workers.pop(number, worker)
        if worker is not None:
            worker.close()

    def _take_answer(self, number: int, task: Task, answer: Answer) -> None:
        blocks = list(answer.blocks())
        crossing = np.array(answer.crossing, dtype=np.bool_)
        with self._changed:
            if crossing.any():
                blocks += self._enter_mounts(answer, np.flatnonzero(crossing))
                plain = np.flatnonzero(~crossing)
                paths, own = [answer.left[i] for i in plain.tolist()], answer.left_own[plain]
            else:
                paths, own = answer.left, answer.left_own
            self._frontier.put(paths, own, alone=task.alone)
            self._alone += task.alone
            if self._alone > ALONE_MAX:
                self._trust()
            self._finish(number, blocks, len(answer.names), int(answer.entries["size"].sum()))

    def _enter_mounts(self, answer: Answer, indexes: np.ndarray) -> list[Block]:
        """Put the directories where other mounts begin, and return blocks of those refused.

        A mount that shows a directory it lies below would go round for ever.
        """
        refused = []
        for index in indexes.tolist():
            path, own = answer.left[index], answer.left_own[index : index + 1]
            identity = int(own["device"][0]), int(own["inode"][0])
            above = (mount for mount in _ancestors(path) if mount in self._mounts)
            if any(self._mounts[mount] == identity for mount in above):
                refused.append(lost_block(path, own[0], WalkError(path, "open", errno.ELOOP)))
            else:
                self._mounts[path] = identity
                self._frontier.put([path], own)
        return refused

    def _take_loss(self, number: int, task: Task, lost: WorkerLost) -> None:
        """Find out which directory it was, by reading them one by one; or know it already."""
        with self._changed:
            if self._stopped:
                return
            if lost.number != errno.ETIMEDOUT:
                self._deaths += 1
                if self._deaths > DEATHS_MAX:
                    raise Unavailable("the processes of the scan keep dying") from lost
            if task.alone:
                path = task.paths[0]
                error = WalkError(path, "scan", lost.number)
                self._trust()
                self._finish(number, [lost_block(path, task.own[0], error)], 0, 0)
            else:
                self._frontier.put(task.paths, task.own, alone=True)
                self._finish(number, [], 0, 0)

    def _trust(self) -> None:
        self._alone = 0
        self._frontier.trust()

    def _finish(self, number: int, blocks: list[Block], entries: int, size: int) -> None:
        progress = self._progress
        self._progress = WalkProgress(
            progress.entries + entries,
            progress.directories + len(blocks),
            progress.total_bytes + size,
            progress.errors + sum(len(block.errors) for block in blocks),
            progress.path,
        )
        self._frontier.finish(number, blocks)
        self._changed.notify_all()


def lost_block(path: bytes, own: np.void, error: WalkError) -> Block:
    """Return the block of a directory that could not be read."""
    return Block(path, own, [], np.empty(0, dtype=ENTRY), errors=(error,))


def _ancestors(path: bytes) -> Iterator[bytes]:
    yield b"/"
    at = path.find(b"/", 1)
    while at > 0:
        yield path[:at]
        at = path.find(b"/", at + 1)


def processes_for(options: WalkOptions) -> int:
    """Return how many processes are to walk."""
    if options.processes is not None:
        return options.processes
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        cpus = os.cpu_count() or 1
    return min(PROCESSES_MAX, cpus)
