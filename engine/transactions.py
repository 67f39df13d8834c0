"""A session's transaction: explicit ones, those of single statements, and savepoints."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..errors import Conflict, Denied, InvalidRequest, OutcomeUnknown, UnknownName
from ..sql.names import close_matches
from ..sql.tokens import TokenStream
from .native.catalog_copy import moved_sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..sql.statement import TransactionControl
    from ..storage.effects import CatalogEntry
    from ..storage.snapshot import Snapshot
    from ..storage.transaction import Savepoint, Transaction
    from .database import Database

_RETRY_PAUSE_S = 0.002
"""Pause before a conflicting statement is tried again: long enough for the winner to finish."""

T = TypeVar("T")


@dataclass(slots=True)
class _Open:
    """An open transaction of the session."""

    transaction: Transaction
    explicit: bool
    aborted: bool = False
    read_only: bool = False
    begun_us: int = 0


class Transactions:
    """What of a session is not committed yet.

    Args:
        database: What is written to.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: _Open | None = None
        self._savepoints: list[tuple[str, Savepoint]] = []

    # What is open

    @property
    def is_open(self) -> bool:
        """True inside a transaction, be it of a single statement."""
        return self._open is not None

    @property
    def explicit(self) -> bool:
        """True between BEGIN and its end."""
        return self._open is not None and self._open.explicit

    @property
    def begun_us(self) -> int | None:
        """When BEGIN was said, in microseconds since 1970; None outside explicit transactions."""
        return self._open.begun_us if self._open is not None and self._open.explicit else None

    @property
    def aborted(self) -> bool:
        """True when an error has made the open transaction useless."""
        return self._open is not None and self._open.aborted

    @property
    def current(self) -> Transaction | None:
        """The open transaction, be it of a single statement."""
        return None if self._open is None else self._open.transaction

    @property
    def snapshot(self) -> Snapshot:
        """The open transaction's snapshot, or the newest committed one."""
        if self._open is not None:
            return self._open.transaction.snapshot
        return self._database.store.snapshot()

    @property
    def names(self) -> Snapshot:
        """A snapshot with the names of the newest; nothing may be answered from it."""
        if self._open is not None:
            return self._open.transaction.snapshot
        return self._database.store.head.names()

    @property
    def private(self) -> str:
        """Id of the open transaction with pending changes, or empty."""
        if self._open is not None and self._open.transaction.snapshot.overlay:
            return self._open.transaction.id
        return ""

    # Running

    def write(
        self,
        operation: str,
        lock_timeout_s: float,
        change: Callable[[Transaction], T],
        *,
        blind: bool = False,
    ) -> T:
        """Run a change in the open transaction, or in one of its own that is retried.

        Args:
            operation: What it is, for the refusal of a read-only store.
            lock_timeout_s: How long a conflict is tried again.
            change: Adds effects to a transaction; may run several times.
            blind: It reads no row of any table.

        Raises:
            Denied: The store was opened read-only, or the transaction begun so.
            Conflict: Others were faster for as long as ``lock_timeout_s``.
        """
        database = self._database
        if database.read_only:
            raise Denied(
                f"{operation}: the store was opened read-only", hint="open it without read_only"
            )
        if self._open is not None:
            if self._open.read_only:
                raise Denied(
                    f"{operation}: the transaction was begun READ ONLY", hint="roll it back first"
                )
            opened = self._open.transaction
            first = len(opened.effects)
            result = change(opened)
            self._database.rivals.enter(opened, first)
            return result
        patience = time.monotonic() + lock_timeout_s
        while True:
            store = database.store
            transaction = store.begin_blind() if blind else store.begin(durable=False)
            self._open = _Open(transaction, explicit=False)
            blocked = False
            try:
                result = change(transaction)
                blocked = True
                self._database.rivals.require_clear(transaction)
                blocked = False
                _commit(transaction)
            except Conflict:
                if blocked or time.monotonic() >= patience:
                    raise
                time.sleep(_RETRY_PAUSE_S)
                continue
            finally:
                self._open = None
                transaction.rollback()
                if transaction.snapshot.overlay:
                    database.router.forget(transaction.id)
            database.maintenance.wake()
            return result

    def look(self, read: Callable[[Transaction], T]) -> T:
        """Run what only reads in the open transaction, or in one of its own that leaves nothing."""
        if self._open is not None:
            return read(self._open.transaction)
        transaction = self._database.store.begin()
        self._open = _Open(transaction, explicit=False)
        try:
            return read(transaction)
        finally:
            self._open = None
            transaction.rollback()

    def control(self, control: TransactionControl) -> None:
        """Run BEGIN, COMMIT, ROLLBACK, SAVEPOINT, ROLLBACK TO or RELEASE."""
        match control.verb:
            case "BEGIN":
                if self._open is not None:
                    raise InvalidRequest("a transaction is open already", hint="COMMIT first")
                begun = self._database.store.begin()
                now_us = self._database.environment.now_us()
                self._open = _Open(begun, True, read_only=control.read_only, begun_us=now_us)
                self._savepoints = []
            case "COMMIT":
                self._commit()
            case "ROLLBACK":
                moved = moved_sequences(self._require("ROLLBACK").transaction)
                self.end()
                self._keep_moved(moved)
            case "SAVEPOINT":
                mark = self._require("SAVEPOINT").transaction.savepoint()
                self._savepoints.append((str(control.savepoint).lower(), mark))
            case "ROLLBACK TO":
                opened = self._require("ROLLBACK TO")
                at = self._savepoint(str(control.savepoint))
                opened.transaction.rollback_to(self._savepoints[at][1])
                self._database.rivals.again(opened.transaction)
                opened.aborted = False
                del self._savepoints[at + 1 :]
            case "RELEASE":
                self._require("RELEASE")
                del self._savepoints[self._savepoint(str(control.savepoint)) :]

    def _require(self, verb: str) -> _Open:
        if self._open is None:
            raise InvalidRequest(f"{verb}: no transaction is open", hint="say BEGIN first")
        return self._open

    def _savepoint(self, name: str) -> int:
        for at in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[at][0] == name.lower():
                return at
        raise UnknownName(
            f'there is no savepoint "{name}"',
            name=name,
            suggestions=close_matches(name, [known for known, _ in self._savepoints]),
        )

    def _commit(self) -> None:
        opened = self._require("COMMIT")
        if opened.aborted:
            self.end()  # as DuckDB does it: nothing can be committed
            return
        try:
            self._database.rivals.require_unaltered(opened.transaction)
            _commit(opened.transaction)
        finally:
            self.end()
        self._database.maintenance.wake()

    def _keep_moved(self, moved: Mapping[CatalogEntry, CatalogEntry]) -> None:
        """Let sequences stand where a transaction that was rolled back has brought them.

        As in DuckDB: a value that was given once, and may have been told somebody, is not given
        again. Where somebody else moves one at the same time, that is as good.
        """
        if not moved or self._database.read_only:
            return
        transaction = self._database.store.begin()
        try:
            for before, after in moved.items():
                if transaction.snapshot.entries.get(before.key) == before:
                    transaction.add("NEXTVAL", after)
            if transaction.effects:
                with suppress(Conflict):
                    _commit(transaction)
        finally:
            transaction.rollback()

    def end(self) -> None:
        """Roll back what is open, if anything is."""
        opened, self._open = self._open, None
        self._savepoints = []
        if opened is not None:
            self._database.rivals.leave(opened.transaction)
            opened.transaction.rollback()
            self._database.router.forget(opened.transaction.id)

    def abort(self) -> None:
        """Note an error: it makes an explicit transaction useless, as in DuckDB."""
        if self._open is not None and self._open.explicit:
            self._open.aborted = True


def ends_transaction(text: str) -> bool:
    """Tell whether a statement may run in an aborted transaction."""
    return TokenStream(text).word() in {"ROLLBACK", "ABORT", "COMMIT", "END"}


def _commit(transaction: Transaction) -> None:
    try:
        transaction.commit()
    except MemoryError as error:
        # It may have come before the record had its name or after.
        raise OutcomeUnknown("the process ran out of memory", hint="reconnect first") from error
