"""How much lies below a directory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..row_group import without
from ..row_group_run import read_run
from .definition import DIRECTORY, LINK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..snapshot import TableState
    from ..store import Store

USAGE_COLUMNS: Final = ("handle", "element_type", "size", "used", "nlinks")
_GROUPS_READ: Final = 1024
"""Row groups decoded at once: most are small ones, in commit records."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What lies below a directory, itself included.

    Attributes:
        files: Elements that are no directories; one with several names counts once.
        directories: Directories.
        bytes: Bytes of content.
        used: Bytes that the store keeps for it.
    """

    files: int
    directories: int
    bytes: int
    used: int

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            self.files + other.files,
            self.directories + other.directories,
            self.bytes + other.bytes,
            self.used + other.used,
        )


def usage_of(rows: pa.RecordBatch | pa.Table, seen: set[int]) -> Usage:
    """Count elements, each once.

    Args:
        rows: `USAGE_COLUMNS` of the elements.
        seen: Handles of elements with several names that were counted; those found are added.
    """
    directories = pc.equal(rows.column(1), DIRECTORY)
    several = pc.and_(pc.invert(directories), pc.greater(rows.column(4), 1))
    keep = np.ones(rows.num_rows, dtype=bool)
    for at in np.flatnonzero(np.asarray(several)).tolist():
        handle = rows.column(0)[at].as_py()
        keep[at] = handle not in seen
        seen.add(handle)
    once = rows.filter(pa.array(keep))
    count = pc.sum(directories).as_py() or 0
    return Usage(
        once.num_rows - count,
        count,
        pc.sum(once.column(2)).as_py() or 0,
        pc.sum(once.column(3)).as_py() or 0,
    )


class TotalUsage:
    """The usage of a whole store, remembered for as long as nothing changes; thread-safe.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: tuple[TableState, Usage] | None = None

    def of(self, state: TableState) -> Usage:
        """What all rows of a table of elements come to."""
        with self._lock:
            if self._known is not None and self._known[0] is state:
                return self._known[1]
        total = Usage(0, 0, 0, 0)
        for table in self._rows(state):
            # Rows of further names are left out: the element's own row is among the others.
            own = table.filter(pc.not_equal(table.column(1), LINK))
            total = total.plus(usage_of(own, set()))
        with self._lock:
            self._known = state, total
        return total

    def _rows(self, state: TableState) -> Iterator[pa.Table]:
        by_name = {column.name: column for column in state.definition.columns}
        columns = [by_name[name] for name in USAGE_COLUMNS]
        whole = [group for group in state.row_groups if group.id not in state.deletes]
        for start in range(0, len(whole), _GROUPS_READ):
            groups = whole[start : start + _GROUPS_READ]
            yield from read_run(self._store, state.definition, groups, columns)
        for group in state.row_groups:
            vectors = state.deletes.get(group.id)
            if vectors:
                gone = np.concatenate([v.positions(self._store.pages) for v in vectors])
                (table,) = read_run(self._store, state.definition, [group], columns)
                batch = table.combine_chunks().to_batches()[0]
                yield pa.Table.from_batches([without(batch, gone)])
