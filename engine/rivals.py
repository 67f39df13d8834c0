"""Rivals: open transactions of one process, and what each has changed so far.

The store finds conflicts when a transaction commits. Between sessions of one process they are
found when the second one changes what the first has changed, as in DuckDB: whoever comes later
is told at once, and the first can commit. Between processes the first commit wins.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import Conflict
from ..storage.conflict import Footprint, Kind, check

if TYPE_CHECKING:
    from ..storage.page_store import PageStore
    from ..storage.store import Store
    from ..storage.transaction import Transaction

_ROWS = frozenset({Kind.APPEND, Kind.DELETE})
_DEFINITION = frozenset({Kind.SCHEMA, Kind.DROP})
_CERTAIN = (frozenset({Kind.DELETE}), _DEFINITION)
"""Kinds of which two on the same rows, or two on the same table, never commute."""
_OPEN = "another transaction that is still open"


class Rivals:
    """The explicit transactions that are open in a process.

    Args:
        store: The store that they are transactions of.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, Footprint] = {}
        self._lock = threading.Lock()

    def enter(self, transaction: Transaction, first: int) -> None:
        """Count in what a statement of an explicit transaction has done.

        Args:
            transaction: The transaction.
            first: Number of effects that it had before the statement.

        Raises:
            Conflict: Another open transaction, or one that was committed since this one began, has
                changed the same.
        """
        if first == len(transaction.effects):
            return
        mine = Footprint.of(transaction.effects[first:])
        with self._lock:
            self._require_clear(transaction, mine)
            merged = self._open.setdefault(transaction.id, Footprint())
            _merge(merged, mine)
        head = self._store.head
        for version in range(transaction.base.version + 1, head.visible.version + 1):
            if version > head.recent.since:
                known = head.recent.footprint(version)
                theirs = _unless_deleted_from(_patient(known[0]), mine)
                check(_patient(mine), theirs, self._store.pages, known[1])

    def again(self, transaction: Transaction) -> None:
        """Forget what a transaction took back."""
        with self._lock:
            if transaction.id in self._open:
                self._open[transaction.id] = Footprint.of(transaction.effects)

    def leave(self, transaction: Transaction) -> None:
        """Forget a transaction that has ended."""
        with self._lock:
            self._open.pop(transaction.id, None)

    def require_clear(self, transaction: Transaction) -> None:
        """Refuse what open transactions have changed before.

        Raises:
            Conflict: One of them has.
        """
        if not self._open:
            return
        mine = Footprint.of(transaction.effects)
        with self._lock:
            self._require_clear(transaction, mine)
        self.require_unaltered(transaction)

    def require_unaltered(self, transaction: Transaction) -> None:
        """Refuse to commit rows of a table that an open transaction alters or drops.

        As in DuckDB, which lets the ALTER commit: it has looked at the rows that were there.

        Raises:
            Conflict: One of them has changed it.
        """
        if not self._open.keys() - {transaction.id}:
            return
        mine = _only(_patient(Footprint.of(transaction.effects)), _ROWS)
        rows = Footprint({table: kinds for table, kinds in mine.tables.items() if kinds})
        with self._lock:
            for owner, theirs in self._open.items():
                if owner != transaction.id:
                    altered = Footprint(_only(theirs, _DEFINITION).tables)
                    check(rows, altered, self._store.pages, _OPEN)

    def _require_clear(self, transaction: Transaction, mine: Footprint) -> None:
        for owner, theirs in self._open.items():
            if owner != transaction.id:
                _check(mine, theirs, self._store.pages, _OPEN)


def _check(mine: Footprint, theirs: Footprint, pages: PageStore, describe: str) -> None:
    """Refuse what can never commute; everything else is decided when the later one commits.

    Raises:
        Conflict: Both changed the same rows, the same definition or the same name.
    """
    try:
        for kinds in _CERTAIN:
            check(_only(mine, kinds), _only(theirs, kinds), pages, describe)
        altered = _unless_deleted_from(_only(theirs, frozenset({Kind.SCHEMA})), mine)
        check(_only(_patient(mine), _ROWS), altered, pages, describe)
    except Conflict as conflict:
        hint = "try again when the other transaction has ended"
        raise Conflict(conflict.message, hint=hint) from conflict


def _unless_deleted_from(theirs: Footprint, mine: Footprint) -> Footprint:
    """A footprint without changes of tables from which rows were deleted and nothing else.

    As in DuckDB, those are told of when the deletion commits.
    """
    deleted = {table for table, kinds in mine.tables.items() if kinds == {Kind.DELETE}}
    tables = {
        table: kinds - _DEFINITION if table in deleted else kinds
        for table, kinds in theirs.tables.items()
    }
    return replace(theirs, tables=tables)


def _patient(footprint: Footprint) -> Footprint:
    """A footprint without what only the commit can decide: keys, and what was relied on."""
    tables: dict[str, set[Kind]] = {}
    for table, kinds in footprint.tables.items():
        plain = {*kinds, Kind.APPEND} if Kind.KEYED_APPEND in kinds else set(kinds)
        tables[table] = plain - {Kind.READ, Kind.KEYED_APPEND, Kind.RELY}
    names = {name for name in footprint.names if name[0] != "sequence"}
    return Footprint(tables, footprint.deletes, footprint.rewrites, names)


def _only(footprint: Footprint, kinds: frozenset[Kind]) -> Footprint:
    tables = {table: found & kinds for table, found in footprint.tables.items() if found & kinds}
    names = {name for name in footprint.names if name[0] != "sequence"}
    return Footprint(tables, footprint.deletes, set(), names)


def _merge(into: Footprint, other: Footprint) -> None:
    for table, kinds in other.tables.items():
        into.tables.setdefault(table, set()).update(kinds)
    for key, vectors in other.deletes.items():
        into.deletes.setdefault(key, []).extend(vectors)
    into.rewrites |= other.rewrites
    into.names |= other.names
    into.schemas_used |= other.schemas_used
