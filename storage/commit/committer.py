"""Commits: how the transactions of a process become records of the log.

All commits of a process are made by one thread, which takes along everybody who waits (group
commit), in its own process and in others (``combining``), each with an outcome of its own. Signals
reach the main thread only, so nothing interrupts a commit half-way.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import Closed, Conflict, Error, OutcomeUnknown, SnapshotGone
from ..conflict import Footprint, Kind, check
from ..failpoints import Failpoint
from ..log.commit_log import record_name
from ..log.key_change import gather
from ..log.record import Record, RecordHead, encode, record_hash, transaction_to_wire
from .combining import Combining, Durable, Offer, may_offer
from .company import Company

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..devices.device import Device, StagedFile
    from ..environment import Environment
    from ..head import Head
    from ..log.commit_log import CommitLog
    from ..page_store import PageStore
    from ..transaction import Transaction

GROUP_COMMIT_MAX = 256
"""Transactions that share one record at most: bounds the latency of the first of them."""
GATHER_S = 0.0003
"""How long a commit waits for further callers when the last one had several."""
POLL_S = 0.001
"""How often a process that waits for another one's commit looks: a sync takes about as long."""
STALL_S = 0.25
"""How long the turn may stand still before the others go on without it."""
ORDERLY_S = 0.02
"""How long a commit that cannot be offered waits for the turn: to race costs it more."""
ALIVE_S = 5.0
"""How often a caller looks whether the thread that commits is still there."""
_POLLS_MAX = 8
"""Looks at what others do in a run without threads, where time does not pass by itself."""


@dataclass(slots=True)
class _Request:
    """A transaction that waits for its commit."""

    transaction: Transaction
    footprint: Footprint
    done: threading.Event = field(default_factory=threading.Event)
    taken: bool = False
    offered: bool = False
    version: int = 0
    error: BaseException | None = None

    @property
    def answered(self) -> bool:
        """True when its outcome is known."""
        return bool(self.version) or self.error is not None


def _open(requests: Sequence[_Request]) -> list[_Request]:
    return [request for request in requests if not request.answered]


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
    _combining: Combining = field(init=False)
    _queue: threading.Condition = field(default_factory=threading.Condition)
    _waiting: list[_Request] = field(default_factory=list)
    _thread: threading.Thread | None = None
    _closing: bool = False
    _poisoned: bool = False
    _stalled: bool = False
    _stalled_at: bytes = b""
    _wait_s: float = 0.0

    def __post_init__(self) -> None:
        self._combining = Combining(self.device, self.environment)

    def commit(self, transaction: Transaction) -> int:
        """Commit a transaction whose pages are synced; see ``Store.commit``."""
        read = {(table, Kind.READ) for table in transaction.reads or ()}
        footprint = Footprint.of(transaction.effects, read | transaction.relied)
        request = _Request(transaction, footprint)
        if self.environment.threads:
            self._wait_for(request)
        else:
            if self._closing:
                raise Closed("the store is closed")
            self._commit_batch([request])
        if request.error is not None:
            raise request.error
        return request.version

    def _wait_for(self, request: _Request) -> None:
        thread: threading.Thread | None = None
        try:
            with self._queue:
                if self._closing:
                    raise Closed("the store is closed")
                thread = self._thread
                if thread is None or not thread.is_alive():
                    thread = threading.Thread(target=self._run, name="pagelake-commit", daemon=True)
                    thread.start()
                    self._thread = thread
                self._waiting.append(request)
                self._queue.notify()
            while not request.done.wait(ALIVE_S):
                if not thread.is_alive() and not request.done.is_set():
                    raise OutcomeUnknown(
                        "the thread that commits has died, as it may for want of memory",
                        hint="reconnect: a fresh read of the store decides",
                    )
        except BaseException:
            # An interrupt must not leave the caller in doubt: what has not begun is withdrawn, a
            # commit under way is awaited.
            with self._queue:
                self._waiting = [r for r in self._waiting if r is not request]
                under_way = request.taken
            while under_way and thread and thread.is_alive() and not request.done.wait(ALIVE_S):
                """It goes on."""
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
                self._commit_batch(batch)
            except BaseException as error:  # noqa: BLE001 - handed to everybody who waits for it
                for request in _open(batch):
                    request.error = error
            crowd = len(batch)
            for request in batch:
                request.done.set()

    def _commit_batch(self, batch: list[_Request]) -> None:
        if self._poisoned:
            raise OutcomeUnknown("an earlier commit's outcome is unknown", hint="reconnect first")
        if all(r.footprint.additive and may_offer(r.transaction.effects) for r in batch):
            self._combine(batch)
            return
        patience = time.monotonic() + ORDERLY_S
        taken = self._combining.take()
        while taken is False and self.environment.threads and time.monotonic() < patience:
            time.sleep(POLL_S)
            taken = self._combining.take()
        self._lead(batch, turn=bool(taken), combine=False)

    # With others

    def _combine(self, batch: list[_Request]) -> None:
        """Commit requests that another process may commit as well."""
        try:
            turn = self._combining.take()
            if turn is False and not self._stands_still() and self._offer(batch):
                try:
                    turn = self._await(batch)
                finally:
                    self._combining.withdraw()
            if _open(batch):
                self._lead(batch, turn=bool(turn), combine=bool(turn))
        except Exception as error:
            for request in _open(batch):
                if request.offered:
                    request.error = OutcomeUnknown(
                        f"it was offered to other processes, and then: {error}",
                        hint="a fresh read of the store decides",
                    )
            if _open(batch):
                raise

    def _stands_still(self) -> bool:
        """Tell whether the turn was found to stand still, and nothing has happened since."""
        self._stalled = self._stalled and self._combining.said() == self._stalled_at
        return self._stalled

    def _offer(self, batch: list[_Request]) -> bool:
        wires = tuple(transaction_to_wire(request.transaction.committed()) for request in batch)
        since = min(request.transaction.since for request in batch)
        for request in batch:
            request.offered = True
        offered = self._combining.offer(Offer(since, wires))
        if offered:
            self.environment.reach(Failpoint.COMMIT_OFFERED)
        return offered

    def _await(self, batch: list[_Request]) -> bool:
        """Wait until others have committed all that was offered; True when the turn is ours."""
        before = said = self._combining.said()
        begun, polls = time.monotonic(), 0
        patience = begun + STALL_S
        if self.environment.threads:
            time.sleep(min(self._wait_s / 2, STALL_S / 4))  # it took twice that the last times
        while _open(batch):
            latest = self._combining.said()
            if latest != said:
                said = latest
                patience = time.monotonic() + STALL_S
                self._look_for(batch, Durable.decode(said))
                continue
            if self._combining.take():
                return True
            polls += 1
            # Not the time where there are no threads: a simulated run must be repeatable.
            if time.monotonic() > patience if self.environment.threads else polls > _POLLS_MAX:
                self._stalled, self._stalled_at = said == before, said
                return False
            if self.environment.threads:
                time.sleep(POLL_S)
        self._wait_s += (time.monotonic() - begun - self._wait_s) / 8
        return False

    def _look_for(self, batch: list[_Request], said: Durable | None) -> None:
        """Answer those of the requests that are in the log, as far as that is durable."""
        if said is None:
            return
        with self.head.lock:
            self.head.look()
            if self.head.recent.record_hash(said.version) == said.record_hash:
                self.head.durable(said.version)
            for request in _open(batch):
                version = self.head.recent.version_of(request.transaction.id)
                if version is not None and version <= self.head.synced:
                    request.version = version

    def _lead(self, batch: list[_Request], *, turn: bool, combine: bool) -> None:
        """Commit requests.

        Args:
            batch: The requests.
            turn: The turn is ours, to be given back.
            combine: Commit what others offer as well; only with the turn.
        """
        durable: Durable | None = None
        try:
            with self.head.lock:
                offers = self._combining.others() if combine else ()
                if all(request.footprint.additive for request in batch):
                    self.head.look()
                else:
                    self.head.newest(sync=False)
                pending = self._survivors(_open(batch), among_themselves=True)
                for request in pending if turn else ():
                    # Whoever had the turn before has finished, so nobody has the offer in hand,
                    # and it was looked for among what they committed.
                    request.offered = False
                while pending:
                    pending = self._publish(pending, self._taken(offers, pending))
                self._sync_found(batch)
                # The tail may be a record that its writer died over before the sync.
                if synced_hash := self.head.recent.record_hash(self.head.synced):
                    durable = Durable(self.head.synced, synced_hash)
        finally:
            if turn:
                self._combining.give(durable)

    def _taken(self, offers: Iterable[Offer], pending: list[_Request]) -> list[Offer]:
        """Offers that can be committed next, in one record with those that are pending."""
        company = Company(self.pages)
        for request in pending:
            company.join(request.footprint)
        return [offer for offer in offers if self._takes(offer, company)]

    def _takes(self, offer: Offer, company: Company) -> bool:
        """Tell whether an offer can be committed next: it may be in the log already.

        Args:
            offer: The offer; it is taken as a whole or not at all.
            company: What else will be in the record; joined by an offer that is taken.
        """
        head = self.head
        if not offer.tables <= head.snapshot.tables.keys():
            return False
        if any(head.recent.version_of(transaction) for transaction in offer.ids):
            return False
        own = Company(self.pages)
        try:
            for footprint in offer.footprints:
                self._check_since(footprint, offer.since)
                company.check(footprint)
                own.check(footprint)
                own.join(footprint)
        except Conflict:
            return False
        for footprint in offer.footprints:
            company.join(footprint)
        return True

    # Alone

    def _survivors(
        self,
        requests: list[_Request],
        *,
        since: int | None = None,
        among_themselves: bool = False,
    ) -> list[_Request]:
        """Requests that are not in the log and commute with all that came after their snapshot."""
        survivors: list[_Request] = []
        company = Company(self.pages) if among_themselves else None
        for request in requests:
            version = self.head.recent.version_of(request.transaction.id)
            if version is not None:
                request.version = version
                continue
            base = request.transaction.since if since is None else since
            if request.offered and base < self.head.recent.since:
                request.error = OutcomeUnknown(
                    "another process may have committed this, too long ago to tell",
                    hint="a fresh read of the store decides",
                )
                continue
            try:
                self._check_since(request.footprint, base)
                # A record that cannot be applied would make the log unreadable for everybody.
                self.head.snapshot.require_fit(request.transaction.effects)
                if company is not None:
                    company.check(request.footprint)
                    company.join(request.footprint)
                survivors.append(request)
            except Conflict as conflict:
                request.error = conflict
        return survivors

    def _check_since(self, mine: Footprint, base: int) -> None:
        """Raise Conflict unless something commutes with every version after one."""
        recent, tail = self.head.recent, self.head.tail
        if base < recent.since:
            raise Conflict(
                f"the transaction began {tail - base} versions ago",
                hint="run the transaction again",
            )
        if mine.additive and recent.is_clear(mine, base):
            return
        for version in range(base + 1, tail + 1):
            theirs, described = recent.footprint(version)
            check(mine, theirs, self.pages, described)

    def _publish(self, pending: list[_Request], offers: list[Offer]) -> list[_Request]:
        """Link one record for all; returns who must try again because others dropped out."""
        head = self.head
        transactions = tuple(request.transaction.committed() for request in pending)
        wires = [transaction_to_wire(transaction) for transaction in transactions]
        offered = {wire[0]: wire for offer in offers for wire in offer.transactions}
        for wire in wires:
            offered.pop(wire[0], None)  # withdrawn too late: it is one of those that are pending
        additive = all(request.footprint.additive for request in pending)
        rows_only = all(request.footprint.rows_only for request in pending)
        base = head.tail, head.tail_hash
        time_us = max(head.tail_time_us + 1, self.environment.now_us())
        all_wires = [*wires, *offered.values()]
        content = encode(
            all_wires,
            store_id=self.store_id,
            base=base,
            time_us=time_us,
            rows_only=rows_only,
        )
        staged = self.device.stage(content)
        self.environment.reach(Failpoint.COMMIT_STAGED)
        try:
            while not self._link(staged, content):
                lost_to = head.tail
                if additive:
                    head.look()
                else:
                    head.newest(sync=False)
                survivors = self._survivors(pending, since=lost_to)
                # A file that was linked and unlinked again has no way back on Linux, so one whose
                # name proved to be folded already is staged anew.
                folded = self.log.boundary.seen > lost_to
                if (
                    folded
                    or len(survivors) < len(pending)
                    or len(self._taken(offers, pending)) < len(offers)
                ):
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
        digest = record_hash(content)
        ids = (*(t.id for t in transactions), *offered) if rows_only else None
        keys = gather(e for wire in all_wires for e in wire[2]) if rows_only else None
        head.committed(
            RecordHead(*base, time_us, digest, ids, keys),
            None if offered else Record(*base, time_us, transactions, digest, len(content)),
        )
        head.durable(head.tail)
        for request in pending:
            request.version = head.tail
        return []

    def _sync_found(self, batch: list[_Request]) -> None:
        """Make sure that what others have committed for us is durable before it is answered."""
        if any(request.version > self.head.synced for request in batch):
            try:
                self.device.sync_directory("log")
            except BaseException:
                self._poisoned = True
                for request in batch:
                    request.version = 0
                raise
            self.head.durable(self.head.tail)

    def _link(self, staged: StagedFile, content: bytes) -> bool:
        """Offer a record as the next version; False when another one has that."""
        version = self.head.tail + 1
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
        self._combining.close()
