"""Compaction: row groups written anew, by transactions that lose to everybody else.

One call of ``rewrite`` is one transaction. It reads the row groups of some steps, leaves
deleted rows out, sorts where the table is clustered, writes the rows to pages and commits a
``Rewrite``. Rows keep their ids: implied ones where they are consecutive, a column of explicit
ones elsewhere. Whoever deletes from the same row groups meanwhile wins; nothing is left of the
attempt then, and old snapshots keep reading the old row groups in any case.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import Conflict
from ..content.pack_mover import move_packs
from ..content.tables import ELEMENTS, PACKS
from ..delete_vector import ROW_GROUP_ROWS_MAX
from ..effects import ROW_ID_COLUMN, AttachKeyRuns, Rewrite, RowGroup
from ..keys.key_index import has_codes
from ..keys.run_builder import RunBuilder
from ..row_group import ROW_ID_FIELD, RowGroupWriter, flat
from ..row_group_run import read_run
from .plan import cluster_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from ..content.settle import Settler
    from ..snapshot import TableState
    from ..store import Store
    from ..transaction import Transaction
    from .plan import Step

_SORT_KEY = "k"


@dataclass(slots=True)
class Rewritten:
    """What one transaction did.

    Attributes:
        version: The version it became true at.
        rows: Rows written anew.
        bytes_read: Bytes on the device of the row groups replaced.
        bytes_written: Bytes on the device of the row groups that replaced them.
        removed: Row groups replaced.
        added: Row groups that replaced them.
    """

    version: int = 0
    rows: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    removed: int = 0
    added: list[RowGroup] = field(default_factory=list)
    _keys: list[RunBuilder] | None = None

    def note_keys(self, state: TableState, rows: pa.Table, executor: Executor) -> None:
        """Take up the keys of rows in the order in which they are written."""
        if self._keys is None:
            by_id = {c.id: c for c in state.definition.columns}
            keys = {
                key.columns: [by_id[c] for c in key.columns] for key in state.definition.indexes
            }
            self._keys = [
                RunBuilder(key, [c.arrow_type for c in columns], executor)
                for key, columns in keys.items()
                if has_codes(columns)
            ]
        for batch in rows.to_batches(ROW_GROUP_ROWS_MAX) if self._keys else ():
            for builder in self._keys:
                builder.observe([batch.column(str(column)) for column in builder.columns])

    @property
    def keys(self) -> Sequence[RunBuilder]:
        """What was taken up."""
        return self._keys or ()


def rewrite(
    store: Store,
    table: str,
    steps: Sequence[Step],
    *,
    pace: Callable[[int], None] | None = None,
    executor: Executor | None = None,
    derive: Callable[[TableState, Sequence[RowGroup]], None] | None = None,
) -> Rewritten:
    """Carry out steps of one table in one transaction.

    Memory: the rows of the largest step, twice while they are sorted.

    Args:
        store: The store.
        table: Table id.
        steps: What to do, planned on any snapshot.
        pace: Called with each number of bytes read or written; may wait, and may raise to give
            the whole transaction up.
        executor: Where columns are encoded; None is the store's own.
        derive: Called before the commit with the table as it will be and the new row groups,
            to build what queries will want of them.

    Raises:
        Conflict: Others have changed these row groups, or the table, meanwhile. Nothing happened.
        Corrupt: A row group is damaged.
        StorageFull: No room; nothing happened.
    """
    transaction = store.begin()
    done = Rewritten()
    settler = _settler(store, table)
    try:
        for step in steps:
            _rewrite_step(
                store, transaction, table, step, done, pace or _unhurried, executor, settler
            )
        _attach_key_runs(transaction, table, done)
        if derive is not None:
            derive(transaction.snapshot.tables[table], done.added)
        done.version = transaction.commit()
        if settler is not None:
            settler.release(committed=True)
    finally:
        transaction.rollback()
        if settler is not None:
            settler.release(committed=None)
    return done


def _settler(store: Store, table: str) -> Settler | None:
    """What takes contents out of rows; needed for the table of files only, and not light."""
    if table != ELEMENTS:
        return None
    from ..content.settle import Settler

    return Settler(store)


def _unhurried(_bytes: int) -> None:
    """No pace to keep."""


def _rewrite_step(
    store: Store,
    transaction: Transaction,
    table: str,
    step: Step,
    done: Rewritten,
    pace: Callable[[int], None],
    executor: Executor | None,
    settler: Settler | None,
) -> None:
    state = transaction.snapshot.tables.get(table)
    if state is None:
        raise Conflict("the table was dropped meanwhile")
    wanted = set(step.groups)
    groups = [group for group in state.row_groups if group.id in wanted]
    if len(groups) != len(wanted):
        raise Conflict("the row groups were changed meanwhile")
    rows = _live_table(store, state, groups, pace)
    done.bytes_read += sum(group.stored_bytes for group in groups)
    if state.definition.cluster_by:
        rows = _sorted(rows, state)
    if settler is not None:
        rows = settler.settle(transaction, state, rows)
    elif table == PACKS and store.pages.sparse:
        rows = move_packs(store, transaction, rows)
    writers: dict[bool, RowGroupWriter] = {}
    added: list[RowGroup] = []
    for piece in _pieces(rows):
        group = _write(store, transaction, state, piece, writers, executor)
        pace(group.stored_bytes)
        done.bytes_written += group.stored_bytes
        added.append(group)
    done.note_keys(state, rows, executor or store.executor)
    done.rows += rows.num_rows
    done.removed += len(groups)
    done.added.extend(added)
    transaction.add("COMPACT" if step.task != "seal" else "SEAL", Rewrite(
        table, tuple(group.id for group in groups), tuple(added)
    ))  # fmt: skip


def _attach_key_runs(transaction: Transaction, table: str, done: Rewritten) -> None:
    """Write sorted runs of the keys of all rows that were written anew."""
    if not done.added:
        return
    runs = [
        built.write(transaction.writer())
        for builder in done.keys
        for built in builder.runs(done.added)
    ]
    if runs:
        transaction.add(transaction.operations[-1], AttachKeyRuns(table, tuple(runs)))


def _live_table(
    store: Store, state: TableState, groups: Sequence[RowGroup], pace: Callable[[int], None]
) -> pa.Table:
    """The rows of row groups with their ids, deleted ones left out."""
    definition = state.definition
    deleted: list[npt.NDArray[np.int64]] = []
    tables, start = [], 0
    for group in groups:
        deleted.extend(
            vector.positions(store.pages).astype(np.int64) + start
            for vector in state.deletes.get(group.id, ())
        )
        start += group.rows
    for table in read_run(store, definition, groups, definition.columns, row_ids=True):
        tables.append(table)
        pace(table.nbytes)
    rows = pa.concat_tables(tables)
    if deleted:
        keep = np.ones(rows.num_rows, dtype=bool)
        keep[np.concatenate(deleted)] = False
        rows = rows.filter(pa.array(keep))
    return rows


def _sorted(rows: pa.Table, state: TableState) -> pa.Table:
    """Rows in the order of the columns that their table is clustered by: NaN, then NULL last.

    Columns of types without an order (lists, structures, intervals) are left out. Rows that are
    equal in all of them keep their order.
    """
    columns = cluster_columns(state.definition)
    if not columns:
        return rows
    keys: dict[str, pa.ChunkedArray] = {}
    for number, column in enumerate(columns):
        keys[f"{_SORT_KEY}{number}"] = _plain(rows.column(str(column.id)))
    # The position as a last key makes the sort stable.
    keys[_SORT_KEY] = pa.chunked_array([pa.array(np.arange(rows.num_rows))])
    order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return rows.take(order)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without its extension type, which sorting does not know."""
    while isinstance(column.type, pa.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(chunks, type=column.type.storage_type)
    return column


def _pieces(rows: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, ROW_GROUP_ROWS_MAX):
        yield rows.slice(start, ROW_GROUP_ROWS_MAX)


def _write(
    store: Store,
    transaction: Transaction,
    state: TableState,
    rows: pa.Table,
    writers: dict[bool, RowGroupWriter],
    executor: Executor | None,
) -> RowGroup:
    """Write one row group, its ids implied when they are consecutive."""
    arrays = [flat(column) for column in rows.columns]
    ids = arrays[-1].to_numpy()
    explicit = not bool((ids == np.arange(ids[0], ids[0] + ids.size)).all())
    columns = [column.id for column in state.definition.columns]
    schema = rows.schema
    if explicit:
        columns.append(ROW_ID_COLUMN)
    else:
        arrays = arrays[:-1]
        schema = schema.remove(schema.get_field_index(ROW_ID_FIELD.name))
    if explicit not in writers:
        writers[explicit] = RowGroupWriter(
            store, transaction, columns, inlines=False, executor=executor
        )
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    try:
        (group,) = writers[explicit].write([batch])
    except CancelledError as error:
        raise Conflict("the store is being closed") from error
    return replace(group, first_row_id=int(ids.min()))
