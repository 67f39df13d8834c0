"""Runs of keys for row groups that were written before the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..row_group import read_columns
from .codes import signature
from .key_run import RUN_ROWS_MAX, KeyRun
from .run_builder import RunBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from ..effects import Column, RowGroup
    from ..snapshot import TableState
    from ..store import Store
    from ..transaction import Transaction

_READ_AHEAD = 2
"""Row groups decoded at once: enough to keep the cores busy."""


def write_missing_runs(
    store: Store, transaction: Transaction, state: TableState, columns: Sequence[Column]
) -> list[KeyRun]:
    """Write runs of a key over the paged row groups of a table that have none.

    Memory: the codes of a run, 8 bytes a row twice, and a few row groups' key columns.

    Args:
        store: The store.
        transaction: Whose segment is written to; it gets no effect yet.
        state: The table.
        columns: The key, of types that have codes.

    Raises:
        Corrupt: A row group is damaged.
        StorageFull: The device has no room.
    """
    key = tuple(c.id for c in columns)
    types = [c.arrow_type for c in columns]
    covered = {
        group
        for run in state.key_runs
        if run.columns == key and run.types == signature(types)
        for group in run.groups
    }
    todo = [g for g in state.row_groups if g.inline is None and g.id not in covered]
    written: list[KeyRun] = []
    for groups in _pieces(todo):
        builder = RunBuilder(key, types, store.executor)
        for arrays in _read(store, state, groups, columns):
            builder.observe(arrays)
        written.extend(built.write(transaction.writer()) for built in builder.runs(groups))
    return written


def _pieces(groups: Sequence[RowGroup]) -> Iterator[Sequence[RowGroup]]:
    """Row groups cut to what one run may cover."""
    start = rows = 0
    for number, group in enumerate(groups):
        if rows + group.rows > RUN_ROWS_MAX and number > start:
            yield groups[start:number]
            start, rows = number, 0
        rows += group.rows
    if start < len(groups):
        yield groups[start:]


def _read(
    store: Store, state: TableState, groups: Sequence[RowGroup], columns: Sequence[Column]
) -> Iterator[list[pa.Array]]:
    """The key columns of row groups, decoded a few ahead."""
    submit = store.executor.submit
    flying = [
        submit(read_columns, store.pages, state.definition, group, columns)
        for group in groups[:_READ_AHEAD]
    ]
    for group in groups[_READ_AHEAD:]:
        done = flying.pop(0).result()
        flying.append(submit(read_columns, store.pages, state.definition, group, columns))
        yield done
    for future in flying:
        yield future.result()
