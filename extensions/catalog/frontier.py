"""Which directories are still to be read, and which blocks may leave: the order of a walk.

Workers take directories from the front of the order, and finish them in any order. A block may
leave once its key is below those of all directories that wait or are being read: nothing can come
before it any more. What a task leaves over is put back before the task is forgotten, so that this
bound never falls.

No files and no threads are known here. What waits is kept in the packed form in which it arrived,
so that a directory of a million subdirectories costs their paths and entries, and little more.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Final

import numpy as np

from .block import ENTRY, Block, order_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .block import EntryArray


BLOCK_WEIGHT: Final = 4
"""How many entries take the memory of one block without any."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Directories that one worker is to read, in order.

    Args:
        paths: Absolute paths.
        own: Their entries.
        alone: Read just these and do not descend: one of them may be what stopped a worker.
    """

    paths: list[bytes]
    own: EntryArray
    alone: bool = False


class _Run:
    """Directories in order, packed; `at` is the first that is still to be taken."""

    def __init__(self, paths: Sequence[bytes], own: EntryArray, *, alone: bool) -> None:
        self._joined = b"\0".join(paths)
        ends = np.flatnonzero(np.frombuffer(self._joined, dtype=np.uint8) == 0)
        self._starts = np.concatenate([[0], ends + 1, [len(self._joined) + 1]])
        self.own = own
        self.alone = alone
        self.at = 0

    def __len__(self) -> int:
        return len(self.own)

    def path(self) -> bytes:
        return self._joined[self._starts[self.at] : self._starts[self.at + 1] - 1]


class Frontier:
    """The state of a walk. Not safe for threads: whoever shares it has a lock."""

    def __init__(self) -> None:
        self._waiting: list[tuple[bytes, int, _Run]] = []
        self._running: dict[int, bytes] = {}
        self._finished: list[tuple[bytes, Block]] = []
        self._runs = 0
        self.waiting = 0  # directories
        self.held = 0  # finished entries, blocks counted as `BLOCK_WEIGHT` more

    def put(self, paths: Sequence[bytes], own: EntryArray, *, alone: bool = False) -> None:
        """Add directories to read, in order of their keys."""
        if not paths:
            return
        run = _Run(paths, own, alone=alone)
        self._runs += 1
        heappush(self._waiting, (order_key(paths[0]), self._runs, run))
        self.waiting += len(run)

    def take(self, worker: int, count: int, path_bytes: int = 1 << 15) -> Task | None:
        """Give the first directories in the order to a worker, which must have no other task.

        Args:
            worker: Any number that stands for the worker until `finish`.
            count: How many at most.
            path_bytes: About how long their paths may be together, so that a task fits an empty
                pipe and sending it never blocks.

        Returns:
            The task; None where nothing waits.
        """
        assert worker not in self._running
        if not self._waiting:
            return None
        self._running[worker] = self._waiting[0][0]
        alone = self._waiting[0][2].alone
        if alone:
            count = 1
        paths: list[bytes] = []
        own = []
        while len(paths) < count and self._waiting and self._waiting[0][2].alone == alone:
            run = self._waiting[0][2]
            if paths and path_bytes < len(run.path()):
                break
            paths.append(run.path())
            path_bytes -= len(paths[-1])
            own.append(run.own[run.at])
            run.at += 1
            if run.at == len(run):
                heappop(self._waiting)
            else:
                key = order_key(run.path())
                heapreplace(self._waiting, (key, self._waiting[0][1], run))
        self.waiting -= len(paths)
        return Task(paths, np.array(own, dtype=ENTRY), alone)

    def finish(self, worker: int, blocks: Sequence[Block]) -> None:
        """Take in what a worker found; what it left over is `put` before."""
        del self._running[worker]
        # The heap holds keys made once; of equal keys there are none.
        added = [(order_key(block.path), block) for block in blocks]
        if len(added) * 8 < len(self._finished):
            for item in added:
                heappush(self._finished, item)
        else:
            self._finished += added
            heapify(self._finished)
        self.held += sum(map(_weight, blocks))

    def trust(self) -> None:
        """Forget all suspicion: what stopped a worker is found, the rest need not be alone."""
        for _, _, run in self._waiting:
            run.alone = False

    @property
    def running(self) -> int:
        """How many workers have a task."""
        return len(self._running)

    @property
    def done(self) -> bool:
        """Whether nothing is left to read and nothing to hand out."""
        return not (self._waiting or self._running or self._finished)

    @property
    def ready(self) -> bool:
        """Whether `leave` has a block."""
        if not self._finished:
            return False
        bound = self._bound()
        return bound is None or self._finished[0][0] < bound

    def leave(self, entries: int) -> list[Block]:
        """Take out the next blocks in order.

        Args:
            entries: About how many entries at most; one block comes in any case, if it may.
        """
        bound = self._bound()
        blocks: list[Block] = []
        count = 0
        while self._finished and (bound is None or self._finished[0][0] < bound):
            if blocks and count >= entries:
                break
            block = heappop(self._finished)[1]
            blocks.append(block)
            count += len(block.names)
            self.held -= _weight(block)
        return blocks

    def _bound(self) -> bytes | None:
        """Return the first key of what is not read yet."""
        first = min(self._running.values(), default=None)
        if self._waiting and (first is None or self._waiting[0][0] < first):
            return self._waiting[0][0]
        return first


def _weight(block: Block) -> int:
    return len(block.names) + BLOCK_WEIGHT
