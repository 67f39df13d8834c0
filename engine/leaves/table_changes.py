"""The changes of a table between two versions, read from the log.

    appended row group  →  insert            the same row id deleted and appended
    delete vector       →  delete            in one version  →  update, before and after

Row groups that maintenance rewrote hold the same rows under the same ids and change nothing. A
version that restored, cloned or rewrote the table is compared as a whole, by row id, with the
version before it; after a restore also by value, as a row that is as it was is no change. Rows
come in the columns of the last version; what a row had no value for has the column's initial
value, or NULL.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...sql.column_types import column_type
from ...sql.tokens import quote
from ...storage.effects import (
    AlterTable,
    Append,
    CloneTable,
    CreateTable,
    Delete,
    DropTable,
    Effect,
    RestoreTable,
    Rewrite,
)
from ...storage.row_group import read_row_group, read_row_ids, stored_schema
from ...storage.snapshot import RowGroupList, Snapshot, TableState
from .same_values import same_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...storage.effects import Column, RowGroup
    from ...storage.store import Store
    from .leaf_source import Comparison

_Ids = npt.NDArray[np.int64]
_OWN = (("change_type", pa.string()), ("version", pa.int64()), ("row_id", pa.int64()))
_WHOLE = (Rewrite, RestoreTable, CloneTable)
"""Effects after which a table is compared as a whole."""


def changes_select(state: TableState) -> str:
    """The select list that gives changes the user's names and types."""
    columns = state.definition.columns
    return ", ".join(
        [name for name, _ in _OWN]
        + [
            f"{column_type(c.type, collation=c.collation).from_storage(quote(str(c.id)))} "
            f"AS {quote(c.name)}"
            for c in columns
        ]
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows of a row group.

    Attributes:
        group: The row group.
        positions: Their places in it.
        ids: Their row ids, in the same order.
    """

    group: RowGroup
    positions: _Ids
    ids: _Ids


@dataclass(slots=True)
class TableChanges:
    """Changes as a kernel leaf.

    Attributes:
        store: Where they lie.
        table: The table's id.
        since: First version whose changes count.
        version: Last version whose changes count.
        state: The table at the last version.

    Raises:
        SnapshotGone: One of the versions can no longer be read.
    """

    store: Store
    table: str
    since: int
    version: int
    state: TableState = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.store.snapshot_at(self.version).tables[self.table]

    def schema(self) -> pa.Schema:
        """What happened, at which version, to which row; then the stored columns by id."""
        own = pa.schema([pa.field(name, type_) for name, type_ in _OWN])
        return pa.unify_schemas([own, stored_schema(self.state.definition.columns)])

    def rows(self) -> int:
        """How many rows the versions changed in all tables: an upper bound."""
        return sum(
            info.rows_added + info.rows_deleted
            for info in self.store.history()
            if self.since <= info.version <= self.version
        )

    def batches(
        self, columns: Sequence[str], comparisons: Sequence[Comparison]
    ) -> Iterator[pa.RecordBatch]:
        """Read the log version by version; a version without changes of the table costs little."""
        wanted = tuple(columns) or ("version",)
        before = self.store.snapshot_at(self.since - 1).tables.get(self.table)
        if before is not None:
            # A list of its own, which may grow in place.
            before = replace(before, row_groups=RowGroupList(list(before.row_groups)))
        for version, effects in self.store.changes(self.since - 1, self.version):
            ours = [effect for effect in effects if _table_of(effect) == self.table]
            if not ours:
                continue
            after = self._applied(before, ours, version)
            removed, added = self._difference(before, after, ours)
            for kinds, rows in ((("delete", "update_preimage"), removed),
                                (("insert", "update_postimage"), added)):  # fmt: skip
                others = added if rows is removed else removed
                shared = np.concatenate([r.ids for r in others]) if others else _none()
                for some in rows:
                    if some.ids.size:
                        yield self._batch(some, version, np.isin(some.ids, shared), kinds, wanted)
            before = after

    def _applied(
        self, before: TableState | None, effects: list[Effect], version: int
    ) -> TableState | None:
        alone = Snapshot(tables={} if before is None else {self.table: before})
        resolve = self.store.table_at
        applied = alone.apply(effects, version=version, in_place=True, resolve=resolve)
        after = applied.tables.get(self.table)
        if after is not None and any(isinstance(effect, _WHOLE) for effect in effects):
            return replace(after, row_groups=RowGroupList(list(after.row_groups)))
        return after

    # What changed

    def _difference(
        self, before: TableState | None, after: TableState | None, effects: list[Effect]
    ) -> tuple[list[_Rows], list[_Rows]]:
        """Rows that a version took away, and rows that it brought."""
        if any(isinstance(effect, _WHOLE) for effect in effects):
            return self._compared(before, after, effects)
        fresh = {g.id for e in effects if isinstance(e, Append) for g in e.row_groups}
        gone: dict[str, list[_Ids]] = {}
        for effect in effects:
            if isinstance(effect, Delete):
                for group, vector in effect.vectors.items():
                    if group not in fresh:  # a row that came and went is no change
                        found = vector.positions(self.store.pages).astype(np.int64)
                        gone.setdefault(group, []).append(found)
        removed, added = [], []
        if gone and before is not None:
            removed = [
                self._rows(before, group, np.sort(np.concatenate(gone[group.id])))
                for group in before.row_groups
                if group.id in gone
            ]
        if fresh and after is not None:
            # Appended row groups are the last ones.
            tail = after.row_groups[max(0, len(after.row_groups) - len(fresh)) :]
            added = [self._live(after, g) for g in tail if g.id in fresh]
        return removed, added

    def _compared(
        self, before: TableState | None, after: TableState | None, effects: list[Effect]
    ) -> tuple[list[_Rows], list[_Rows]]:
        """The same by comparing two states row group by row group, and those by row id."""
        old, new = _unshared(before, after), _unshared(after, before)
        removed = [self._live(before, g) for g in old] if before is not None else []
        added = [self._live(after, g) for g in new] if after is not None else []
        moved = np.intersect1d(_all_ids(removed), _all_ids(added))
        if any(isinstance(effect, RestoreTable) for effect in effects):
            # Which of them are as they were cannot be told from their ids.
            moved = self._unchanged(removed, added, moved)
        else:
            appended = {g.id for e in effects if isinstance(e, Append) for g in e.row_groups}
            updated = _all_ids([r for r in added if r.group.id in appended])
            moved = np.setdiff1d(moved, updated)
        return [_without(r, moved) for r in removed], [_without(r, moved) for r in added]

    def _unchanged(self, removed: list[_Rows], added: list[_Rows], ids: _Ids) -> _Ids:
        """Those of some rows, on both sides, whose values are the same on both."""
        places = {rows.group.id: rows.ids for rows in removed}
        in_place = [
            np.intersect1d(rows.ids, places[rows.group.id], assume_unique=True)
            for rows in added
            if rows.group.id in places
        ]
        same = np.concatenate(in_place) if in_place else _none()
        others = np.setdiff1d(ids, same)
        for column in self.state.definition.columns:
            if not others.size:
                break
            ours, theirs = (self._values(rows, others, column) for rows in (removed, added))
            others = others[same_values(ours, theirs)]
        return np.union1d(same, others)

    def _values(self, rows: list[_Rows], ids: _Ids, column: Column) -> pa.Array:
        """Values of a column in the order of row ids, which are sorted and all there."""
        arrays, found = [], []
        for some in rows:
            wanted = np.isin(some.ids, ids)
            if wanted.any():
                batch = read_row_group(self.store, self.state.definition, some.group, [column])
                arrays.append(batch.column(0).take(pa.array(some.positions[wanted])))
                found.append(some.ids[wanted])
        order = np.argsort(np.concatenate(found))
        return pa.concat_arrays(arrays).take(pa.array(order))

    def _live(self, state: TableState, group: RowGroup) -> _Rows:
        keep = np.ones(group.rows, dtype=bool)
        for vector in state.deletes.get(group.id, ()):
            keep[vector.positions(self.store.pages)] = False
        return self._rows(state, group, np.flatnonzero(keep).astype(np.int64))

    def _rows(self, state: TableState, group: RowGroup, positions: _Ids) -> _Rows:
        ids = read_row_ids(self.store, state.definition, group)
        return _Rows(group, positions, ids.to_numpy(zero_copy_only=False)[positions])

    def _batch(
        self,
        rows: _Rows,
        version: int,
        updated: npt.NDArray[np.bool_],
        kinds: tuple[str, str],
        wanted: tuple[str, ...],
    ) -> pa.RecordBatch:
        by_id = {str(c.id): c for c in self.state.definition.columns}
        stored = [by_id[name] for name in wanted if name in by_id]
        arrays: dict[str, pa.Array] = {}
        if stored:
            batch = read_row_group(self.store, self.state.definition, rows.group, stored)
            if rows.positions.size < rows.group.rows:
                batch = batch.take(pa.array(rows.positions))
            arrays = {str(c.id): a for c, a in zip(stored, batch.columns, strict=True)}
        count = rows.positions.size
        if "change_type" in wanted:
            kind = pa.DictionaryArray.from_arrays(updated.astype(np.int8), list(kinds))
            arrays["change_type"] = kind.cast(pa.string())
        if "version" in wanted:
            arrays["version"] = pa.array(np.full(count, version, dtype=np.int64))
        if "row_id" in wanted:
            arrays["row_id"] = pa.array(rows.ids)
        return pa.RecordBatch.from_pydict({name: arrays[name] for name in wanted})


def _table_of(effect: Effect) -> str | None:
    match effect:
        case CreateTable(definition) | AlterTable(definition) | CloneTable(definition):
            return definition.id
        case Append(table) | Delete(table) | Rewrite(table) | DropTable(table):
            return table
        case RestoreTable(table):
            return table
    return None


def _unshared(state: TableState | None, other: TableState | None) -> list[RowGroup]:
    """Row groups of a state that another one does not have, or has with other deleted rows."""
    if state is None:
        return []
    if other is None:
        return list(state.row_groups)
    theirs = {group.id for group in other.row_groups}
    return [
        group
        for group in state.row_groups
        if group.id not in theirs
        or state.deletes.get(group.id, ()) != other.deletes.get(group.id, ())
    ]


def _none() -> _Ids:
    return np.empty(0, dtype=np.int64)


def _all_ids(rows: Iterable[_Rows]) -> _Ids:
    found = [r.ids for r in rows]
    return np.concatenate(found) if found else _none()


def _without(rows: _Rows, ids: _Ids) -> _Rows:
    """Rows except those with certain ids."""
    if not ids.size:
        return rows
    keep = ~np.isin(rows.ids, ids)
    return _Rows(rows.group, rows.positions[keep], rows.ids[keep])
