"""The latest moment of each directory, remembered as rows are added.

Moments only grow: what was added later is later, and a row that is gone was taken out later still.
So a directory is looked up once, and of a newer snapshot only the row groups that are new must be
looked at, however many names a directory has.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..row_group_run import read_run
from ..snapshot import OVERLAY_STAMP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..effects import RowGroup
    from ..snapshot import TableState
    from ..store import Store

Integers = npt.NDArray[np.int64]

DIRECTORIES_MAX: Final = 1 << 20
"""Directories of which moments are remembered: some 100 MB."""


class LatestTimes:
    """Moments that rows of a table tell; thread-safe.

    Args:
        store: The store.
        directory: Name of the column with the directory's handle.
        time: Name of the column with the moment.
    """

    def __init__(self, store: Store, directory: str, time: str) -> None:
        self._store = store
        self._columns = directory, time
        self._lock = threading.Lock()
        self._latest: dict[int, int] = {}
        self._found: dict[int, int] = {}
        self._seen: set[str] = set()
        self._shared: Sequence[RowGroup] = ()
        self._upto = 0
        self._committed = -1

    def of(
        self, state: TableState, directories: Integers, find: Callable[[Integers], Integers]
    ) -> Integers:
        """The latest moments of some directories, 0 where none is known.

        Args:
            state: The table.
            directories: Their handles.
            find: Finds the moments of directories in the table.
        """
        with self._lock:
            # What is remembered is of no use for an older snapshot, or one that is not committed.
            known = state.changed < OVERLAY_STAMP and state.committed >= self._committed
            if known and (
                state.rebased > self._committed
                or len(self._latest) + len(self._found) > DIRECTORIES_MAX
            ):
                self._forget()
            if known:
                self._look(state)
                handles = directories.tolist()
                new = np.array([h for h in handles if h not in self._found], dtype=np.int64)
                if new.size:
                    self._found.update(zip(new.tolist(), find(new).tolist(), strict=True))
                moments = [max(self._found[h], self._latest.get(h, 0)) for h in handles]
                return np.array(moments, dtype=np.int64)
        return find(directories)

    def _forget(self) -> None:
        """Begin anew: a restore has brought older rows back, or there are too many."""
        self._latest.clear()
        self._found.clear()
        self._seen.clear()
        self._shared, self._upto, self._committed = (), 0, -1

    def _look(self, state: TableState) -> None:
        groups = state.row_groups
        if groups.shared is self._shared:
            new = groups[self._upto :]
        else:
            new = [group for group in groups if group.id not in self._seen]
            self._seen = {group.id for group in groups}
        if new and self._committed >= 0:
            self._take(state, new)
        self._seen.update(group.id for group in new)
        self._shared, self._upto = groups.shared, len(groups)
        self._committed = state.committed

    def _take(self, state: TableState, groups: Sequence[RowGroup]) -> None:
        columns = [column for name in self._columns if (column := state.definition.column(name))]
        for table in read_run(self._store, state.definition, groups, columns):
            directories = table.column(0).to_numpy()
            moments = table.column(1).cast(pa.int64()).fill_null(0).to_numpy()
            order = np.lexsort((moments, directories))
            directories, moments = directories[order], moments[order]
            last = np.flatnonzero(np.append(directories[1:] != directories[:-1], True))
            for handle, moment in zip(
                directories[last].tolist(), moments[last].tolist(), strict=True
            ):
                if moment > self._latest.get(handle, 0):
                    self._latest[handle] = moment
