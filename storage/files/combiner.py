"""Combining: one thread makes the changes of all callers of a process, in one commit for all.

Each caller has an outcome of its own: an operation that is refused leaves the others alone. That
one succeeded is proved by the commit, which finds what others have changed since the snapshot that
it was applied to. So creates are applied to a snapshot that may be some milliseconds old. What is
refused, and what changes nothing, is told only where it holds in the newest durable snapshot.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ...errors import Closed, Conflict, Corrupt, Error, OutcomeUnknown
from ..commit.recent import VERSIONS_KEPT
from ..effects import Append, Rely
from .changes import HandleTaken, write
from .namespace import apply_all
from .operations import Create, MakeDirectory, MakeSpecial, MakeSymlink
from .removal import RemoveTree
from .touches import THIN_EVERY, thin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..snapshot import Snapshot
    from .element import Element
    from .files import Files
    from .namespace import NamespaceView, Operation

SLOTS_MAX: Final = 256
"""Callers that share one commit at most: bounds what the first of them waits."""
HEAVY_OPERATIONS: Final = 64
"""A caller with more operations than this commits alone."""
STALE_VERSIONS_MAX: Final = VERSIONS_KEPT * 3 // 4
"""Versions after which creates are applied to a newer snapshot: what came before must still be
remembered for conflicts. To look sooner is of no use where nothing is refused, and costs each
process for each row that any of them adds."""
STALE_S: Final = 30.0
"""Seconds after which the same is done: the old snapshot keeps row groups in memory."""
GATHER_S: Final = 0.001
"""How long callers who were just answered are waited for, as they are likely to come again."""
PATIENCE_S: Final = 30.0
"""How long operations are applied again that meet conflicts."""
ALIVE_S: Final = 5.0
"""How often a caller looks whether the thread is still there."""
_LIGHT: Final = (Create, MakeDirectory, MakeSpecial, MakeSymlink)
"""Operations that only add rows, most of the time."""
_BLIND_EFFECTS: Final = (Append, Rely)
"""Effects that name no place of a row."""


@dataclass(slots=True, eq=False)
class Slot:
    """A caller that waits.

    Attributes:
        operations: What is to be done, all or nothing.
        done: Set when it is over.
        taken: True from when it cannot be withdrawn any more.
        answers: What came of the operations.
        error: Why nothing came of them.
    """

    operations: Sequence[Operation]
    done: threading.Event = field(default_factory=threading.Event)
    taken: bool = False
    answers: list[Element | None] | None = None
    error: BaseException | None = None

    def result(self) -> list[Element | None]:
        """What came of the operations; raises what is wrong with them."""
        if self.error is not None:
            raise self.error
        assert self.answers is not None
        return self.answers

    @property
    def light(self) -> bool:
        """True for what can be applied to a snapshot that is not the newest."""
        return all(isinstance(operation, _LIGHT) for operation in self.operations)

    @property
    def heavy(self) -> bool:
        """True for what should not keep others waiting, nor be done again for their sake."""
        return len(self.operations) > HEAVY_OPERATIONS or any(
            isinstance(operation, RemoveTree) for operation in self.operations
        )


class _ReadAnew(Exception):
    """What was found must be looked at in a newer snapshot before anything is told."""


class Combiner:
    """Makes the changes of one process.

    Args:
        files: Whose.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._store = files.store
        self._queue = threading.Condition()
        self._waiting: list[Slot] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._busy = False
        self._snapshot: Snapshot | None = None
        self._stale_at = 0.0
        self._touched = 0

    def submit(self, operations: Sequence[Operation]) -> list[Element | None]:
        """Do operations, all or none; returns when they are durable."""
        slot = Slot(operations)
        if self._is_alone():
            # Two changes of threads less.
            try:
                self.serve([slot])
            finally:
                with self._queue:
                    self._busy = False
                    self._queue.notify_all()
        else:
            self._wait_for(slot)
        return slot.result()

    def _is_alone(self) -> bool:
        """Tell whether a caller may do it himself, as nobody else is there; he does it then."""
        with self._queue:
            if self._closing:
                raise Closed("the store is closed")
            if self._busy and not self._store.environment.threads:
                self._queue.wait_for(lambda: not self._busy)
            if self._busy or self._waiting:
                return False
            self._busy = True
            return True

    def _wait_for(self, slot: Slot) -> None:
        thread: threading.Thread | None = None
        try:
            with self._queue:
                if self._closing:
                    raise Closed("the store is closed")
                thread = self._thread
                if thread is None or not thread.is_alive():
                    thread = threading.Thread(target=self._run, name="pagelake-files", daemon=True)
                    thread.start()
                    self._thread = thread
                self._waiting.append(slot)
                self._queue.notify_all()
            while not slot.done.wait(ALIVE_S):
                if not thread.is_alive() and not slot.done.is_set():
                    raise OutcomeUnknown(
                        "the thread that changes files has died",
                        hint="reconnect: a fresh read of the store decides",
                    )
        except BaseException:
            # What has not begun is withdrawn when the caller is interrupted; what is under way
            # is awaited.
            with self._queue:
                self._waiting = [other for other in self._waiting if other is not slot]
                under_way = slot.taken
            while under_way and thread and thread.is_alive() and not slot.done.wait(ALIVE_S):
                """It goes on."""
            raise

    def _run(self) -> None:
        crowd = 0
        while True:
            with self._queue:
                if crowd:
                    # The callers of the last commit, who will come again, and those who came since.
                    crowd += len(self._waiting)
                    self._queue.wait_for(self._has(crowd), GATHER_S)
                    self._busy = False
                    self._queue.notify_all()
                self._queue.wait_for(self._may_begin)
                batch = self._take()
                if not batch:
                    return
                self._busy = True
            self.serve(batch)
            for slot in batch:
                slot.done.set()
            crowd = len(batch)

    def _has(self, crowd: int) -> Callable[[], bool]:
        return lambda: len(self._waiting) >= crowd or self._closing

    def _may_begin(self) -> bool:
        return not self._busy and (bool(self._waiting) or self._closing)

    def _take(self) -> list[Slot]:
        """Whoever goes next, together; nobody when all is over."""
        count = 0
        for slot in self._waiting[:SLOTS_MAX]:
            if slot.heavy and count:
                break
            count += 1
            if slot.heavy:
                break
        batch = self._waiting[:count]
        del self._waiting[:count]
        for slot in batch:
            slot.taken = True
        return batch

    def serve(self, batch: list[Slot]) -> None:
        """Give every caller its outcome."""
        try:
            self._commit(batch)
        except BaseException as error:  # noqa: BLE001 - handed to everybody who waits for it
            refused = [slot for slot in batch if slot.error is not None]
            for slot in batch:
                slot.error = slot.error or error
            if len(refused) < len(batch):
                # They may have been refused for what others wanted, which has failed now.
                for slot in refused:
                    slot.error = None
                    self.serve([slot])

    def _commit(self, batch: list[Slot]) -> None:
        """Apply everything and commit it; raises for all but refusals."""
        patience = time.monotonic() + PATIENCE_S
        stale = all(slot.light for slot in batch)
        durable = False
        while True:
            try:
                if stale:
                    self._attempt_stale(batch)
                else:
                    self._attempt(batch, durable=durable)
                return
            except _ReadAnew:
                durable = True
            except HandleTaken:
                self._files.renew_handles()
            except Conflict:
                if time.monotonic() > patience:
                    raise
            stale = False

    def _attempt_stale(self, batch: list[Slot]) -> None:
        """Apply everything to a snapshot that is at hand."""
        transaction = self._store.begin_blind()
        snapshot = self._at_hand()
        transaction.since = min(transaction.since, snapshot.version)
        view = self._files.view_to_change(snapshot)
        if self._apply(view, batch) or view.founding or view.replaces:
            raise _ReadAnew
        try:
            write(view, transaction, self._files.content, blind=True)
        except Corrupt as error:
            raise _ReadAnew from error  # nobody keeps what was read from being reclaimed
        if any(not isinstance(effect, _BLIND_EFFECTS) for effect in transaction.effects):
            raise _ReadAnew  # places of rows must be kept while it commits
        self._files.note_own(transaction.commit())

    def _at_hand(self) -> Snapshot:
        """A snapshot that is not too old, in which finding names costs little."""
        head, now = self._store.head, time.monotonic()
        if (
            self._snapshot is None
            or head.tail - self._snapshot.version > STALE_VERSIONS_MAX
            or now > self._stale_at
        ):
            self._snapshot = head.newest(sync=False)
            self._stale_at = now + STALE_S
        return self._snapshot

    def _attempt(self, batch: list[Slot], *, durable: bool) -> None:
        """Apply everything to the newest snapshot, which is kept meanwhile."""
        transaction = self._store.begin(durable=durable)
        self._snapshot = None
        try:
            view = self._files.view_to_change(transaction.base)
            doubtful = self._apply(view, batch)
            self._files.release_with(transaction, view)
            if doubtful and not durable:
                raise _ReadAnew
            if view.changed:
                write(view, transaction, self._files.content, blind=True)
                self._files.note_own(transaction.commit())
                self._touched += len(view.touched)
        finally:
            transaction.rollback()
        if self._touched >= THIN_EVERY:
            self._touched = 0
            with suppress(Error):  # what callers wanted is done, and somebody else may do this
                thin(self._store)

    def _apply(self, view: NamespaceView, batch: list[Slot]) -> bool:
        """Apply everything; True when somebody is told something that no commit proves."""
        doubtful = False
        for slot in batch:
            slot.answers, slot.error = None, None
            before = view.changes
            try:
                slot.answers = apply_all(view, slot.operations)
            except Error as error:
                slot.error = error
            doubtful |= view.changes == before
        return doubtful

    def close(self) -> None:
        """Finish what waits, and take nothing more."""
        with self._queue:
            self._closing = True
            self._queue.notify_all()
            self._queue.wait_for(lambda: not self._busy)
        if self._thread is not None:
            self._thread.join()
