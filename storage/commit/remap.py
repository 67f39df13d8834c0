"""Remapping: pending deletes that follow their rows through a compaction.

A delete names positions of row groups. When maintenance has written those row groups anew since
the transaction began, the rows still exist under the same ids at other positions::

    mine    Delete {g1: [4, 7]}            ids 104, 107
    theirs  Rewrite g1, g2 -> g3           ids of g3: 100, 101, 104, 107, 200, ...
    follow  Delete {g3: [2, 3]}

Nothing is remapped that is not the same row: a row that somebody else has deleted or updated
since is a conflict, even where a row of that id exists again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..conflict import Footprint, Kind
from ..delete_vector import overlap
from ..effects import Delete, DeleteVector, Rewrite
from ..row_group import read_row_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..delete_vector import Positions
    from ..effects import Effect, RowGroup
    from ..snapshot import TableState
    from ..store import Store
    from ..transaction import Transaction

_Ids = npt.NDArray[np.int64]
VERSIONS_MAX = 4096
"""Records read at most to settle one conflict; a transaction as old as that runs again."""
_HOPELESS = frozenset({Kind.SCHEMA, Kind.RESTORE, Kind.DROP})
"""What others may have done to a table after which its deletes conflict in any case."""


def follow(
    store: Store, transaction: Transaction, place: Callable[[dict[str, DeleteVector]], None]
) -> list[Effect] | None:
    """Remap what a transaction deletes through the rewrites committed since it began.

    To be called when a commit met a conflict. The transaction's base must still be pinned: the
    row ids of the row groups that were replaced are read from it.

    Args:
        store: The store.
        transaction: The transaction; it is not changed.
        place: Moves the payloads of new vectors to pages where they are too large for a record.

    Returns:
        Its effects with the deletes remapped, or None when that does not settle the conflict.

    Raises:
        Corrupt: Row ids that are needed cannot be read.
    """
    moves = {
        table: _Table(store, state)
        for table in {e.table for e in transaction.effects if isinstance(e, Delete)}
        if (state := transaction.base.tables.get(table)) is not None
    }
    if not moves:
        return None
    effects = list(transaction.effects)
    moved: set[int] = set()
    base, newest = transaction.base.version, store.snapshot().version
    if newest - base > VERSIONS_MAX:
        return None
    for _, committed in store.changes(base, newest):
        theirs = Footprint.of(committed)
        touched = {table for table in moves if table in theirs.tables}
        if any(theirs.tables[table] & _HOPELESS for table in touched):
            return None
        if _share_a_row(store, effects, theirs):
            return None
        for rewrite in committed:
            if not isinstance(rewrite, Rewrite) or rewrite.table not in moves:
                continue
            table = moves[rewrite.table]
            table.learn(rewrite.added)
            for index, effect in enumerate(effects):
                if not isinstance(effect, Delete) or effect.table != rewrite.table:
                    continue
                remapped = table.remap(effect, rewrite)
                if remapped is None:
                    return None
                if remapped is not effect:
                    effects[index] = remapped
                    moved.add(index)
    for index in moved:
        effect = effects[index]
        assert isinstance(effect, Delete)
        place({group: v for group, v in effect.vectors.items() if v.page is None})
    return effects if moved else None


def _share_a_row(store: Store, effects: Iterable[Effect], theirs: Footprint) -> bool:
    """Tell whether somebody else deleted a row that is deleted here."""
    return any(
        overlap(vector.positions(store.pages), other.positions(store.pages))
        for effect in effects
        if isinstance(effect, Delete)
        for group, vector in effect.vectors.items()
        for other in theirs.deletes.get((effect.table, group), ())
    )


@dataclass(slots=True)
class _Table:
    """A table whose deletes are remapped.

    Attributes:
        store: Where its row groups lie.
        state: The table as the transaction found it.
    """

    store: Store
    state: TableState
    _added: dict[str, RowGroup] = field(default_factory=dict)
    _ids: dict[str, _Ids] = field(default_factory=dict)

    def learn(self, groups: Iterable[RowGroup]) -> None:
        """Note row groups that came later."""
        self._added.update((group.id, group) for group in groups)

    def remap(self, delete: Delete, rewrite: Rewrite) -> Delete | None:
        """A delete after a rewrite; None when one of its rows is not there any more."""
        gone = [group for group in rewrite.removed if group in delete.vectors]
        if not gone:
            return delete
        wanted = np.sort(np.concatenate([self._deleted_ids(delete, group) for group in gone]))
        found: dict[str, Positions] = {}
        for group in rewrite.added:
            positions = self._positions(group, wanted)
            if positions.size:
                found[group.id] = positions
        if sum(p.size for p in found.values()) != wanted.size:
            return None
        vectors = {g: v for g, v in delete.vectors.items() if g not in gone}
        vectors.update((group, DeleteVector.of(p)) for group, p in found.items())
        return Delete(delete.table, vectors, delete.keys)

    def _deleted_ids(self, delete: Delete, group: str) -> _Ids:
        return self._row_ids(self._group(group))[delete.vectors[group].positions(self.store.pages)]

    def _group(self, group: str) -> RowGroup:
        known = self._added.get(group)
        if known is None:
            known = next(g for g in self.state.row_groups if g.id == group)
        return known

    def _positions(self, group: RowGroup, wanted: _Ids) -> Positions:
        """Where rows of certain ids, sorted, lie in a row group."""
        if not group.explicit_row_ids:
            first, last = np.searchsorted(
                wanted, (group.first_row_id, group.first_row_id + group.rows)
            )
            return (wanted[first:last] - group.first_row_id).astype(np.uint32)
        mine = np.isin(self._row_ids(group), wanted, assume_unique=True)
        return np.flatnonzero(mine).astype(np.uint32)

    def _row_ids(self, group: RowGroup) -> _Ids:
        if group.id not in self._ids:
            ids = read_row_ids(self.store, self.state.definition, group)
            self._ids[group.id] = ids.to_numpy(zero_copy_only=False)
        return self._ids[group.id]
