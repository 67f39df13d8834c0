"""Commits: how the transactions of a process become records of the log.

All commits of a process are made by one thread, which takes along everybody who waits (group
commit), each with an outcome of its own. Signals reach the main thread only, so nothing
interrupts a commit half-way.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import Closed, Conflict, Error, OutcomeUnknown, SnapshotGone
from .conflict import Footprint, check
from .failpoints import Failpoint
from .log.commit_log import record_name
from .log.record import encode, record_hash

if TYPE_CHECKING:
    from .devices.device import Device, StagedFile
    from .environment import Environment
    from .head import Head
    from .log.commit_log import CommitLog
    from .page_store import PageStore
    from .transaction import Transaction

GROUP_COMMIT_MAX = 256
"""Transactions that share one record at most: bounds the latency of the first of them."""
GATHER_S = 0.0003
"""How long a commit waits for further callers when the last one had several."""


@dataclass(slots=True)
class _Request:
    """A transaction that waits for its commit."""

    transaction: Transaction
    footprint: Footprint
    done: threading.Event = field(default_factory=threading.Event)
    taken: bool = False
    version: int = 0
    error: BaseException | None = None


@dataclass(slots=True)
class Committer:
    """Makes the commits of one process.

    Attributes:
        device: The store's device.
        log: Its log.
        head: What commits build on.
        pages: Where large delete vectors are read from.
        environment: Clock, failpoints, and whether there may be a thread.
        store_id: 16 bytes.
    """

    device: Device
    log: CommitLog
    head: Head
    pages: PageStore
    environment: Environment
    store_id: bytes
    _queue: threading.Condition = field(default_factory=threading.Condition)
    _waiting: list[_Request] = field(default_factory=list)
    _thread: threading.Thread | None = None
    _closing: bool = False
    _poisoned: bool = False

    def commit(self, transaction: Transaction) -> int:
        """Commit a transaction whose pages are synced; see ``Store.commit``."""
        request = _Request(transaction, Footprint.of(transaction.effects, transaction.reads or ()))
        if self.environment.threads:
            self._wait_for(request)
        else:
            if self._closing:
                raise Closed("the store is closed")
            with self.head.lock:
                self._commit_batch([request])
        if request.error is not None:
            raise request.error
        return request.version

    def _wait_for(self, request: _Request) -> None:
        try:
            with self._queue:
                if self._closing:
                    raise Closed("the store is closed")
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="pagelake-commit", daemon=True)
                    thread.start()
                    self._thread = thread
                self._waiting.append(request)
                self._queue.notify()
            request.done.wait()
        except BaseException:
            # An interrupt must not leave the caller in doubt: what has not begun is withdrawn, a
            # commit under way is awaited.
            with self._queue:
                self._waiting = [r for r in self._waiting if r is not request]
                under_way = request.taken
            if under_way:
                request.done.wait()
            raise

    def _run(self) -> None:
        """Commit whoever waits, together, until the store closes."""
        crowd = 0
        while True:
            with self._queue:
                while not self._waiting and not self._closing:
                    self._queue.wait()
            if crowd > 1:
                # Several callers are at it: those who were just answered will be back in a moment,
                # and one sync for all of them is worth more than an early one for a few.
                time.sleep(GATHER_S)
            with self._queue:
                batch = self._waiting[:GROUP_COMMIT_MAX]
                del self._waiting[:GROUP_COMMIT_MAX]
                for request in batch:
                    request.taken = True
            if not batch:
                return
            try:
                with self.head.lock:
                    self._commit_batch(batch)
            except BaseException as error:  # noqa: BLE001 - handed to everybody who waits for it
                for request in batch:
                    if not request.version and request.error is None:
                        request.error = error
            crowd = len(batch)
            for request in batch:
                request.done.set()

    def _commit_batch(self, batch: list[_Request]) -> None:
        if self._poisoned:
            raise OutcomeUnknown("an earlier commit's outcome is unknown", hint="reconnect first")
        self.head.refresh(sync=False)
        pending = self._survivors(batch, since=None, among_themselves=True)
        while pending:
            pending = self._publish(pending)

    def _survivors(
        self, requests: list[_Request], *, since: int | None, among_themselves: bool = False
    ) -> list[_Request]:
        """Requests that commute with all that was committed after their snapshot."""
        survivors: list[_Request] = []
        head = self.head.snapshot
        for request in requests:
            blind = request.footprint.blind
            try:
                base = request.transaction.base.version if since is None else since
                for version in range(base + 1, head.version + 1):
                    known = self.head.footprint(version)
                    if known is None:
                        raise Conflict(
                            f"the transaction began {head.version - base} versions ago",
                            hint="run the transaction again",
                        )
                    theirs, described = known
                    if not (blind and theirs.blind):
                        check(request.footprint, theirs, self.pages, described)
                # A record that cannot be applied would make the log unreadable for everybody.
                head.require_fit(request.transaction.effects)
                if among_themselves:
                    for other in survivors:
                        if blind and other.footprint.blind:
                            continue
                        described = "a transaction that commits at the same moment"
                        check(request.footprint, other.footprint, self.pages, described)
                survivors.append(request)
            except Conflict as conflict:
                request.error = conflict
        return survivors

    def _publish(self, pending: list[_Request]) -> list[_Request]:
        """Link one record for all; returns who must try again because others dropped out."""
        transactions = tuple(request.transaction.committed() for request in pending)
        base = self.head.snapshot
        time_us = max(base.time_us + 1, self.environment.now_us())
        content = encode(
            transactions,
            store_id=self.store_id,
            base_version=base.version,
            base_hash=base.record_hash,
            time_us=time_us,
        )
        staged = self.device.stage(content)
        self.environment.reach(Failpoint.COMMIT_STAGED)
        try:
            while not self._link(staged, content):
                lost_to = self.head.snapshot.version
                self.head.refresh(sync=False)
                survivors = self._survivors(pending, since=lost_to)
                # A file that was linked and unlinked again has no way back on Linux, so one whose
                # name proved to be folded already is staged anew.
                folded = self.log.boundary.seen > lost_to
                if folded or len(survivors) < len(pending):
                    return survivors
        finally:
            staged.discard()
        try:
            self.device.sync_directory("log")
        except (Error, OSError) as error:
            self._poisoned = True
            raise OutcomeUnknown(
                "the commit was published, but syncing the log failed",
                hint="reconnect: a fresh read of the store decides",
            ) from error
        self.environment.reach(Failpoint.COMMIT_SYNCED)
        self.head.advance(transactions, record_hash(content), time_us, len(content))
        self.head.visible = self.head.snapshot
        for request in pending:
            request.version = self.head.snapshot.version
        return []

    def _link(self, staged: StagedFile, content: bytes) -> bool:
        """Offer a record as the next version; False when another one has that."""
        version = self.head.snapshot.version + 1
        if not staged.link(record_name(version)):
            return False
        self.environment.reach(Failpoint.COMMIT_LINKED)
        try:
            if self.log.is_mine(version, content):
                return True
        except (SnapshotGone, Error, OSError) as error:
            self._poisoned = True
            raise OutcomeUnknown(
                "the commit was published, but whether in time cannot be told any more",
                hint="reconnect: a fresh read of the store decides",
            ) from error
        # The name was free because its record had been folded long ago; nobody looks there.
        self.device.unlink(record_name(version))
        return False

    def close(self) -> None:
        """Finish the commits that wait. Closing twice is allowed."""
        with self._queue:
            self._closing = True
            self._queue.notify_all()
        if self._thread is not None:
            self._thread.join()
