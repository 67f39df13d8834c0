"""Which rows of elements differ between two snapshots, told by handle and by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...storage.files.definition import ELEMENT_COLUMNS, ELEMENTS
from ...storage.row_group_run import read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...storage.effects import DeleteVector, RowGroup
    from ...storage.snapshot import Snapshot, TableState
    from ...storage.store import Store

ROWS_MAX: Final = 10_000
"""More rows than this are not looked at one by one."""
_WANTED: Final = ("handle", "target", "parent_handle", "name", "ctime")
_COLUMNS: Final = [next(c for c in ELEMENT_COLUMNS if c.name == name) for name in _WANTED]


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row that was added or removed.

    Attributes:
        handle: Of the element that it is of.
        parent: Handle of the directory.
        name: Its name there.
        ctime: When it was written.
    """

    handle: int
    parent: int
    name: str
    ctime: int | None


def changed_rows(store: Store, before: Snapshot, after: Snapshot) -> set[ChangedRow] | None:
    """Rows that two snapshots do not have in common.

    Returns:
        None when they are many.

    Raises:
        Error: They cannot be read any more.
    """
    new = after.tables.get(ELEMENTS)
    old = before.tables.get(ELEMENTS)
    if new is old or new is None:
        return set()
    if old is None:
        return None
    # Row groups that both have are the same objects, unless they were read from a checkpoint.
    olds, news = set(map(id, old.row_groups)), set(map(id, new.row_groups))
    added = [group for group in new.row_groups if id(group) not in olds]
    lost = [group for group in old.row_groups if id(group) not in news]
    deleted = list(_deleted(old, new))
    if sum(g.rows for g in (*added, *lost)) + sum(v.count for _, v in deleted) > ROWS_MAX:
        return None
    found = _rows(store, new, added)
    if deleted:
        groups = {group.id: group for group in new.row_groups}
        for group_id, vector in deleted:
            found ^= _rows(store, new, [groups[group_id]], vector)
    # What was only written somewhere else stands on both sides.
    return found ^ _rows(store, old, lost)


def _deleted(old: TableState, new: TableState) -> Iterator[tuple[str, DeleteVector]]:
    """What was deleted of row groups that are still there."""
    if new.deletes is old.deletes:
        return
    for group, vectors in new.deletes.items():
        known = old.deletes.get(group, ())
        if vectors is known:
            continue
        seen = {id(vector) for vector in known}
        for vector in vectors:
            if id(vector) not in seen:
                yield group, vector


def _rows(
    store: Store, state: TableState, groups: Sequence[RowGroup], chosen: DeleteVector | None = None
) -> set[ChangedRow]:
    found: set[ChangedRow] = set()
    if not groups:
        return found
    for table in read_run(store, state.definition, groups, _COLUMNS):
        rows = table if chosen is None else table.take(chosen.positions(store.pages))
        handles, targets, parents, names, ctimes = rows.columns
        found.update(
            ChangedRow(handle if target is None else target, parent, name, ctime)
            for handle, target, parent, name, ctime in zip(
                handles.to_pylist(),
                targets.to_pylist(),
                parents.to_pylist(),
                names.to_pylist(),
                ctimes.cast(pa.int64()).to_pylist(),
                strict=True,
            )
        )
    return found
