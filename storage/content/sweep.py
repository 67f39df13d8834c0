"""Sweeping: rows of chunks that no content refers to any more, and of packs that hold none.

What goes is what the newest version does not need; older versions have tables of their own. A
chunk must have been without a reference for an hour: what was just replaced is likely to be
written again. Whoever refers to a chunk anew at the same moment relies on it, and the sweep is the
one that gives way, or brings its row back if it came first (``staged``).

Of several rows for one chunk one stays, one that is no delta if there is one: so what a delta was
made against is never a delta itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ...errors import Conflict
from ..transaction import Transaction
from .staged import codes
from .table_rows import chunk_rows, is_delta, live_columns, referring, windows
from .tables import CHUNKS, PACKS

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..delete_vector import Positions
    from ..keys.key_run import Integers
    from ..snapshot import Snapshot
    from ..store import Store
    from .table_rows import Window

AGE_S: Final = 3600.0
"""How long a chunk must have been without a reference."""
_TOLD_MAX: Final = 512
"""Rows of one transaction, which tells their keys: so it meets only those who need them."""
_TOLD_TRANSACTIONS_MAX: Final = 64
"""Transactions of one sweep; more rows than they hold go in one, which meets everybody."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did.

    Attributes:
        chunks: Rows of chunks deleted.
        packs: Rows of packs deleted.
        waiting: Chunks without a reference that are not old enough.
    """

    chunks: int
    packs: int
    waiting: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a table; arrays of one length.

    Attributes:
        groups: Ids of row groups.
        ordinals: Which of them each row is in: int64.
        positions: Its position there: int64.
        keys: Its key: int64.
        packs: Its pack: int64.
    """

    groups: list[str]
    ordinals: Integers
    positions: Integers
    keys: Integers
    packs: Integers

    def chosen(self, which: npt.NDArray[np.bool_] | Integers) -> _Rows:
        """Some of the rows."""
        return _Rows(
            self.groups,
            self.ordinals[which],
            self.positions[which],
            self.keys[which],
            self.packs[which],
        )

    def placed(self) -> dict[str, Positions]:
        """Sorted positions by row group."""
        placed = {}
        for ordinal in np.unique(self.ordinals).tolist():
            mine = self.positions[self.ordinals == ordinal]
            placed[self.groups[ordinal]] = np.sort(mine).astype(np.uint32)
        return placed


_NONE: Final = np.empty(0, dtype=np.int64)


class Sweeper:
    """Sweeps a store, again and again; remembers what was without a reference before.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: Integers = _NONE
        self._since_s = -np.inf

    def due(self, now_s: float, age_s: float = AGE_S) -> bool:
        """Tell whether a sweep could find anything that is old enough."""
        return bool(now_s - self._since_s >= age_s)

    def run(self, now_s: float, age_s: float = AGE_S) -> Swept:
        """Delete what has been without a reference since the sweep before.

        Args:
            now_s: A clock's seconds, from any origin.
            age_s: How long it must have been; 0 deletes at once.

        Raises:
            Corrupt: A table cannot be read: nothing is deleted then.
            StorageFull: No room to say so.
        """
        # One version decides, whatever is committed meanwhile: who refers to a chunk afterwards
        # says that he relies on it, and meets these transactions, which all begin there.
        anchor = self._store.begin()
        try:
            snapshot = anchor.base
            dead, used = self._dead(snapshot)
            old = np.isin(dead.keys, self._waiting) | (age_s <= 0)
            gone = np.zeros(dead.keys.size, dtype=bool)
            gone[old] = self._delete(snapshot, CHUNKS, dead.chosen(old))
            left = dead.chosen(~gone)
            self._waiting, self._since_s = np.unique(left.keys), now_s
            packs = self._empty_packs(snapshot, np.union1d(used, left.packs))
            emptied = int(self._delete(snapshot, PACKS, packs).sum())
            return Swept(int(gone.sum()), emptied, int(left.keys.size))
        finally:
            anchor.rollback()

    def _dead(self, snapshot: Snapshot) -> tuple[_Rows, Integers]:
        """Rows of chunks that nothing needs, and the packs of the others."""
        state = snapshot.tables.get(CHUNKS)
        groups = [] if state is None else [group.id for group in state.row_groups]
        dead, used = _Rows(groups, _NONE, _NONE, _NONE, _NONE), _NONE
        for window in windows(snapshot):
            rows, seconds, deltas, needed = self._in_window(snapshot, groups, window)
            # Of equal chunks the first one stays, one that is no delta before one that is.
            order = np.lexsort((deltas, seconds, rows.keys))
            keys, seconds = rows.keys[order], seconds[order]
            repeated = np.zeros(order.size, dtype=bool)
            repeated[1:] = (keys[1:] == keys[:-1]) & (seconds[1:] == seconds[:-1])
            kept = np.isin(keys, needed) & ~repeated
            found = rows.chosen(order[~kept])
            dead = _Rows(
                groups,
                np.concatenate([dead.ordinals, found.ordinals]),
                np.concatenate([dead.positions, found.positions]),
                np.concatenate([dead.keys, found.keys]),
                np.concatenate([dead.packs, found.packs]),
            )
            used = np.union1d(used, rows.packs[order[kept]])
        return dead, used

    def _in_window(
        self, snapshot: Snapshot, groups: list[str], window: Window
    ) -> tuple[_Rows, Integers, npt.NDArray[np.bool_], Integers]:
        """Chunks with a code in a window: rows, second words, deltas; codes that are needed."""
        pages, low, high = self._store.pages, *window
        parts: list[tuple[Integers, ...]] = [(_NONE,) * 6]
        needed = [_NONE]
        for ordinal, rows in enumerate(chunk_rows(pages, snapshot)):
            inside = rows.within(window)
            words = rows.words[inside]
            parts.append((
                np.full(len(words), ordinal, dtype=np.int64),
                rows.positions[inside],
                words[:, 0],
                rows.packs[inside],
                words[:, 1],
                is_delta(rows.codecs[inside]).astype(np.int64),
            ))  # fmt: skip
            # Of deltas that nothing needs either: those go first, and these the next time.
            needed.append(rows.bases[:, 0])
        ordinals, positions, keys, packs, seconds, deltas = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        for part in referring(pages, snapshot):
            first = part.extents["first"]
            needed.append(np.unique(first[(first >= low) & (first <= high)]))
        rows_found = _Rows(groups, ordinals, positions, keys, packs)
        return rows_found, seconds, deltas.astype(bool), np.unique(np.concatenate(needed))

    def _empty_packs(self, snapshot: Snapshot, used: Integers) -> _Rows:
        """Rows of packs that hold no chunk."""
        state = snapshot.tables.get(PACKS)
        groups, parts = [], [(_NONE,) * 3]
        if state is not None:
            groups = [group.id for group in state.row_groups]
            several = live_columns(self._store.pages, state, ("pack",))
            for ordinal, (_, positions, (packs,)) in enumerate(several):
                numbers = packs.to_numpy(zero_copy_only=False)
                ordinals = np.full(positions.size, ordinal, dtype=np.int64)
                parts.append((ordinals, positions, numbers))
        ordinals, positions, packs = (np.concatenate(p) for p in zip(*parts, strict=True))
        rows = _Rows(groups, ordinals, positions, packs, packs)
        return rows.chosen(~np.isin(packs, used))

    def _delete(self, snapshot: Snapshot, table: str, rows: _Rows) -> npt.NDArray[np.bool_]:
        """Delete rows; tells which are gone: those that nobody wanted at the same moment."""
        count = rows.keys.size
        gone = np.zeros(count, dtype=bool)
        step = _TOLD_MAX if count <= _TOLD_MAX * _TOLD_TRANSACTIONS_MAX else max(count, 1)
        for start in range(0, count, step):
            part = rows.chosen(np.arange(start, min(start + step, count)))
            told = (codes(part.keys),) if step == _TOLD_MAX else ()
            transaction = self._begin(snapshot)
            try:
                transaction.delete("SWEEP", table, part.placed(), told)
                transaction.commit()
                gone[start : start + step] = True
            except Conflict:
                continue
            finally:
                transaction.rollback()
        return gone

    def _begin(self, snapshot: Snapshot) -> Transaction:
        """A transaction on the version that decides, which is pinned."""
        store = self._store
        store.pins.pin(snapshot.version)
        return Transaction(store, snapshot, store.environment.random_bytes(16).hex())
