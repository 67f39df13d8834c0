"""A transaction: pending effects over a snapshot, and the segments its pages went to.

Reading inside a transaction is reading ``Transaction.snapshot``: the base with the pending
effects applied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import Closed, Conflict, StorageFull
from .commit.remap import follow
from .conflict import Kind
from .effects import CloneTable, CreateTag, Delete, DeleteVector, Effect, RestoreTable
from .failpoints import Failpoint
from .log.record import CommittedTransaction
from .page import PageKind
from .snapshot import OVERLAY_STAMP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .delete_vector import Positions
    from .effects import AppendedKeys
    from .page_store import SegmentWriter
    from .snapshot import Snapshot
    from .store import Store

DELETE_INLINE_BYTES_MAX = 64 << 10
"""Delete vectors beyond this many bytes a statement go to pages, to keep records short."""


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A place in a transaction to come back to."""

    effects: int
    snapshot: Snapshot


class Transaction:
    """Pending changes of one writer.

    Not thread-safe: one session uses it at a time.

    ``on_end`` holds what is to be called once it has ended: with True where its effects are true
    now, False where they are not, None where that is unknown.

    Args:
        store: The store it commits to.
        base: The snapshot it reads, pinned; unpinned when the transaction ends.
        transaction_id: 32 hexadecimal digits, unique.
        since: For a transaction that reads no rows, and pins nothing: the version up to which
            the names in ``base`` are right. By default that of the base.
    """

    def __init__(
        self, store: Store, base: Snapshot, transaction_id: str, *, since: int | None = None
    ) -> None:
        self._store = store
        self._writers: list[SegmentWriter] = []
        self._row_groups = 0
        self._statements = 0
        self.id = transaction_id
        self.base = base
        self.snapshot = base
        self.effects: list[Effect] = []
        self.operations: list[str] = []
        self.message: str | None = None
        self.author: str | None = None
        self.reads: set[str] | None = None
        self.relied: set[tuple[str, Kind]] = set()
        self.open = True
        self.since = base.version if since is None else since
        self.on_end: list[Callable[[bool | None], None]] = []
        self._pinned = [base.version] if since is None else []

    def add(self, operation: str, *effects: Effect) -> None:
        """Apply effects to what this transaction sees and will commit."""
        if not self.open:
            raise Closed("the transaction has ended")
        for effect in effects:
            if isinstance(effect, CloneTable | RestoreTable | CreateTag):
                self._keep(effect.version)
        self._statements += 1
        # Overlay stamps lie beyond any version, so that caches keyed by a table's last change
        # never take pending rows for committed ones.
        stamp = OVERLAY_STAMP + self._statements
        applied = self.snapshot.apply(effects, version=stamp, resolve=self._store.head.table_at)
        self.snapshot = replace(applied, overlay=self._statements)
        self.effects.extend(effects)
        if operation not in self.operations:
            self.operations.append(operation)

    def _keep(self, version: int) -> None:
        """Pin a version that the record will refer to, until reclaim sees it in the record."""
        self._store.pins.pin(version)
        self._pinned.append(version)
        self._store.require_kept(version)

    def add_blind(self, operation: str, *effects: Effect) -> None:
        """Add effects that nothing in this transaction will read before it commits."""
        if not self.open:
            raise Closed("the transaction has ended")
        self.effects.extend(effects)
        if operation not in self.operations:
            self.operations.append(operation)

    def delete(
        self,
        operation: str,
        table: str,
        positions: Mapping[str, Positions],
        keys: tuple[AppendedKeys, ...] = (),
    ) -> None:
        """Delete positions of row groups of a table.

        Args:
            operation: The statement's kind.
            table: Its id.
            positions: Sorted positions by row group id.
            keys: The rows' keys, where they are few; see ``Delete``.
        """
        vectors = {g: DeleteVector.of(p) for g, p in positions.items() if p.size}
        if not vectors:
            return
        self._place(vectors)
        self.add(operation, Delete(table, vectors, keys))

    def next_row_group_id(self) -> str:
        """A row group id that no other row group has."""
        self._row_groups += 1
        return f"{self.id}-{self._row_groups:x}"

    def writer(self, *, exclusive: bool = False) -> SegmentWriter:
        """The segment this transaction appends to; held until it ends."""
        for writer in self._writers:
            if writer.private or not exclusive:
                return writer
        self._writers.append(self._store.pages.writer(exclusive=exclusive))
        return self._writers[-1]

    def make_serializable(self) -> None:
        """Note from here on what is read: the commit fails if others have changed that."""
        self.reads = set() if self.reads is None else self.reads

    def note_read(self, table: str) -> None:
        """Note that a table was read; matters to serializable transactions only."""
        if self.reads is not None:
            self.reads.add(table)

    def rely_on(self, table: str, kind: Kind = Kind.READ) -> None:
        """Let the commit fail if others have changed a table meanwhile.

        Args:
            table: Its id.
            kind: What was looked at: READ for all of it.
        """
        self.relied.add((table, kind))

    def savepoint(self) -> Savepoint:
        """Remember the present state."""
        return Savepoint(len(self.effects), self.snapshot)

    def rollback_to(self, savepoint: Savepoint) -> None:
        """Forget what was done since a savepoint."""
        del self.effects[savepoint.effects :]
        self._statements += 1
        self.snapshot = replace(savepoint.snapshot, overlay=self._statements)

    def committed(self) -> CommittedTransaction:
        """The transaction in the form that a commit record holds."""
        operation = ", ".join(self.operations)
        return CommittedTransaction(
            self.id, operation, tuple(self.effects), self.message, self.author
        )

    def commit(self) -> int:
        """Make the effects true; returns the version they became visible at.

        Raises:
            Conflict: A concurrent transaction does not commute with this one.
            StorageFull: No room for the commit record.
            OutcomeUnknown: The commit may or may not have happened.
        """
        if not self.open:
            raise Closed("the transaction has ended")
        if not self.effects:
            self.rollback()
            self._store.snapshot()  # what it says rests on what it read: that must be durable
            return self.base.version
        try:
            version = self._commit()
        except (Conflict, StorageFull):
            self.rollback()
            raise
        except BaseException:
            # The record may have been published, and then refers to the pages.
            self._abandon(keep=True)
            raise
        self.open = False
        for writer in self._writers:
            self._store.pages.release(writer)
        self._writers.clear()
        self._unpin()
        self._tell(committed=True)
        return version

    def _commit(self) -> int:
        """Commit; where maintenance was faster, once more with what it moved."""
        while True:
            self._store.pages.sync(self._writers)
            self._store.environment.reach(Failpoint.PAGES_SYNCED)
            try:
                return self._store.commit(self)
            except Conflict:
                followed = follow(self._store, self, self._place)
                if followed is None:
                    raise
                self.effects = followed

    def _place(self, vectors: Mapping[str, DeleteVector]) -> None:
        """Move delete vectors to pages where they are too large for a record."""
        if sum(len(v.payload or b"") for v in vectors.values()) > DELETE_INLINE_BYTES_MAX:
            writer = self.writer()
            for vector in vectors.values():
                vector.page = writer.append(vector.payload or b"", PageKind.DELETE_VECTOR)
                vector.payload = None

    def rollback(self) -> None:
        """Forget everything. Ending twice is allowed."""
        self._abandon(keep=False)

    def _abandon(self, *, keep: bool) -> None:
        self.open = False
        for writer in self._writers:
            # Pages without a referrer are harmless; a segment of its own goes at once.
            self._store.pages.abandon(writer, keep=keep)
        self._writers.clear()
        self._unpin()
        self._tell(committed=None if keep else False)

    def _tell(self, *, committed: bool | None) -> None:
        """Let those who hold something for this transaction know how it ended."""
        while self.on_end:
            self.on_end.pop()(committed)

    def _unpin(self) -> None:
        while self._pinned:
            self._store.pins.unpin(self._pinned.pop())
