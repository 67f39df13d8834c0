"""Upkeep of `touches`: of the moments of a directory only the last one counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..row_group_run import read_run
from .definition import TOUCHES

if TYPE_CHECKING:
    from ..snapshot import TableState
    from ..store import Store

Integers = npt.NDArray[np.int64]

THIN_EVERY: Final = 4096
"""Moments that a process adds between two looks."""


def thin(store: Store) -> int:
    """Delete moments that later ones hide, if those are more than half of all.

    Returns:
        Number of rows deleted.

    Raises:
        Conflict: Somebody else does the same. Nothing happened.
    """
    transaction = store.begin(durable=False)
    try:
        state = transaction.base.tables.get(TOUCHES)
        if state is None:
            return 0
        group, position, handle, time = _rows(store, state)
        order = np.lexsort((time, handle))
        hidden = order[:-1][handle[order][1:] == handle[order][:-1]]
        if 2 * hidden.size <= handle.size:
            return 0
        places = {
            state.row_groups[index].id: np.sort(position[hidden][group[hidden] == index])
            for index in np.unique(group[hidden]).tolist()
        }
        transaction.delete("FILES", TOUCHES, {g: p.astype(np.uint32) for g, p in places.items()})
        transaction.commit()
        return int(hidden.size)
    finally:
        transaction.rollback()


def _rows(store: Store, state: TableState) -> tuple[Integers, Integers, Integers, Integers]:
    """All live rows: index of the row group, position, handle, and nanoseconds since 1970."""
    table = pa.concat_tables(
        read_run(store, state.definition, list(state.row_groups), state.definition.columns)
    )
    counts = np.array([group.rows for group in state.row_groups], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    group = np.repeat(np.arange(counts.size), counts)
    position = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    live = np.ones(group.size, dtype=bool)
    for index, row_group in enumerate(state.row_groups):
        for vector in state.deletes.get(row_group.id, ()):
            live[starts[index] + vector.positions(store.pages)] = False
    handle = table.column(0).to_numpy()
    time = table.column(1).cast(pa.int64()).to_numpy()
    return group[live], position[live], handle[live], time[live]
