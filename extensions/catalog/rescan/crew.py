"""Several processes that look at directories when asked: `stat` and `read`, many at a time.

A walk has its processes find their way by themselves; a rescan knows what it wants to see. The
processes are the same (`worker`), and fail in the same way: one that hangs or dies is replaced, and
the directory that did it is an error.
"""

from __future__ import annotations

import errno
import queue
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import numpy as np

from ....errors import Interrupted, Unavailable
from ..block import ENTRY, Block, WalkError, joined
from ..coordinator import DEATHS_MAX, POLL_SECONDS, processes_for
from ..walker import Answer, Walker
from ..worker_process import WorkerLost, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from ..block import EntryArray, WalkOptions
    from ..statx import Failure

T = TypeVar("T")
R = TypeVar("R")

STAT_TASK: Final = 2048
"""Directories of a task of `stat`: about 5 ms of work."""

READ_TASK: Final = 64
"""Directories of a task of `read`, as in a walk."""

HERE_STAT_MAX: Final = 100_000
"""Directories up to which starting processes takes longer than looking at them."""

HERE_READ_MAX: Final = 500
"""Directories up to which the same holds for listing them."""


@dataclass(slots=True)
class Found:
    """What listing directories gave.

    Args:
        blocks: One for each directory, in the order asked for.
        entered: Paths of their subdirectories that a walk would enter.
        own: Their entries.
        crossing: Whether each is where another mount begins.
    """

    blocks: list[Block] = field(default_factory=list)
    entered: list[bytes] = field(default_factory=list)
    own: EntryArray = field(default_factory=lambda: np.empty(0, ENTRY))
    crossing: list[bool] = field(default_factory=list)


class Looker(Protocol):
    """Looks at directories of one tree."""

    def stat(self, paths: Sequence[bytes]) -> tuple[EntryArray, NDArray[np.int32]]:
        """Return an entry for each path, and its errno; the entry counts where that is 0.

        A link in the middle of a path is followed: the answer is about the tree only where those
        for all directories above are.
        """
        ...

    def read(self, paths: Sequence[bytes], own: EntryArray) -> Found:
        """List directories, and stat all in them, without descending.

        Args:
            paths: The directories.
            own: Their entries as last seen: another directory in that place is an error.
        """
        ...


class Crew:
    """The `Looker` of several processes. Close it.

    Args:
        root: The root of the tree, absolute.
        device: Its device number.
        options: How it is walked.
        cancelled: Asked ten times a second; True ends what is going on.
        here: Do what is little in this process, and start others only for more. Not for file
            systems that may hang: nobody could end that.
    """

    def __init__(
        self,
        root: bytes,
        device: int,
        options: WalkOptions,
        cancelled: Callable[[], bool] | None = None,
        here: bool = False,
    ) -> None:
        self._here = Walker(root, device, options, beat=self._check) if here else None
        self._tree = root, device, options
        self._cancelled = cancelled
        count = processes_for(options)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="catalog rescan")
        self._idle: queue.SimpleQueue[WorkerProcess | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        self._closed = False
        self._deaths = 0
        for _ in range(count):
            self._idle.put(None)
        if not here:
            # They start while the caller still reads what is known.
            for _ in range(count):
                self._threads.submit(self._with_worker, _nothing)

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in list(self._workers):
            self._drop(worker)

    def stat(self, paths: Sequence[bytes]) -> tuple[EntryArray, NDArray[np.int32]]:
        """See `Looker`."""
        if self._here is not None and len(paths) <= HERE_STAT_MAX:
            return _placed(len(paths), *self._here.stat(paths))
        tasks = [list(paths[at : at + STAT_TASK]) for at in range(0, len(paths), STAT_TASK)]
        entries, failures = [], []
        for number, (found, failed) in enumerate(self._run(self._stat, tasks)):
            entries.append(found)
            failures += [(number * STAT_TASK + index, code) for index, code in failed]
        return _placed(len(paths), joined(entries), failures)

    def read(self, paths: Sequence[bytes], own: EntryArray) -> Found:
        """See `Looker`."""
        if self._here is not None and len(paths) <= HERE_READ_MAX:
            return found_in([self._here.task(paths, own, 0)])
        starts = range(0, len(paths), READ_TASK)
        tasks = [(list(paths[at : at + READ_TASK]), own[at : at + READ_TASK]) for at in starts]
        return found_in([answer for some in self._run(self._read, tasks) for answer in some])

    def _check(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Interrupted("the scan was cancelled")

    def _run(self, work: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """Do work for all tasks at the same time; answers come in the order of tasks."""
        futures: list[Future[R]] = [self._threads.submit(work, task) for task in tasks]
        waiting: set[Future[R]] = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, POLL_SECONDS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                self._check()
        finally:
            for future in waiting:
                future.cancel()
        return [future.result() for future in futures]

    def _stat(self, paths: list[bytes]) -> tuple[EntryArray, list[Failure]]:
        try:
            return self._with_worker(lambda worker: worker.stat(paths))
        except WorkerLost as lost:
            # Which of them it was will be seen when they are listed.
            return np.empty(0, ENTRY), [(index, lost.number) for index in range(len(paths))]

    def _read(self, task: tuple[list[bytes], EntryArray]) -> list[Answer]:
        paths, own = task
        try:
            return [self._with_worker(lambda worker: worker.run(paths, own, 0))]
        except WorkerLost as lost:
            if len(paths) > 1:
                # One by one, to find out which it was.
                single = range(len(paths))
                return [self._read(([paths[at]], own[at : at + 1]))[0] for at in single]
            error = (0, WalkError(paths[0], "scan", lost.number))
            return [Answer(paths, own[:1], [0], errors=[error])]

    def _with_worker(self, work: Callable[[WorkerProcess], R]) -> R:
        worker = self._idle.get()
        try:
            if worker is None:
                worker = self._started()
            result = work(worker)
        except BaseException as error:
            if worker is not None:
                self._drop(worker)
            self._idle.put(None)
            if isinstance(error, WorkerLost) and error.number != errno.ETIMEDOUT:
                self._count_death(error)
            raise
        self._idle.put(worker)
        return result

    def _count_death(self, lost: WorkerLost) -> None:
        with self._lock:
            self._deaths += 1
            if self._deaths > DEATHS_MAX and not self._closed:
                raise Unavailable("the processes of the scan keep dying") from lost

    def _started(self) -> WorkerProcess:
        worker = WorkerProcess(*self._tree)
        with self._lock:
            self._workers.add(worker)
            if self._closed:
                worker.kill()
        worker.start()
        return worker

    def _drop(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.close()


def _placed(
    count: int, found: EntryArray, failures: Sequence[Failure]
) -> tuple[EntryArray, NDArray[np.int32]]:
    """Return entries in the places of their paths, and errnos."""
    errnos = np.zeros(count, dtype=np.int32)
    for index, code in failures:
        errnos[index] = code
    if not failures:
        return found, errnos
    entries = np.zeros(count, dtype=ENTRY)
    raw = np.dtype((np.void, ENTRY.itemsize))
    # As plain bytes: fields would be copied one by one.
    entries.view(raw)[errnos == 0] = found.view(raw)
    return entries, errnos


def found_in(answers: Iterable[Answer]) -> Found:
    """Return what answers of tasks that do not descend say together."""
    found = Found()
    own = []
    for answer in answers:
        found.blocks += answer.blocks()
        found.entered += answer.left
        found.crossing += answer.crossing
        own.append(answer.left_own)
    found.own = joined(own)
    return found


def _nothing(_worker: WorkerProcess) -> None:
    """Do no work: the process starts, which is all."""
