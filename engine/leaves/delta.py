"""Deltas: fresh rows as small native tables in memory.

The kernel plans a native table with true statistics, which streamed rows do not have. A delta
holds row groups of one table in the order in which they were asked for and only grows; each
snapshot reads the ranges of it that are its own, so a commit adds its rows and nothing is
copied twice. One that has become mostly garbage is started anew.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ...storage.row_group import stored_schema
from ...storage.row_group_run import read_run
from .hot_tier import native_select

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    import numpy.typing as npt

    from ...storage.effects import Column, RowGroup, TableDefinition
    from ...storage.store import Store
    from ..kernel import Cursor, Kernel

DELTA_ROWS_MAX = 1_000_000
"""Rows of a table that are copied into memory; more are streamed until they are hot."""
_GARBAGE_MAX = 0.5
"""Share of rows that no current reader wants, beyond which a delta is started anew."""
_Columns = tuple[tuple[int, str, bytes | None], ...]
"""Id, type and initial value of each column: an id may come again after a rollback."""
_RANGES_MAX = 8
"""Row ranges a view may select from a delta before it is started anew."""
_TAIL_ROWS_MIN = 10_000
"""A tail up to this size is not worth copying into a new base."""
_INSERT_ROWS = 122_880
"""Rows of small batches that are put together before the kernel sees them."""
# Called from C for each of maybe a hundred thousand row groups.
_ID, _ROWS = attrgetter("id"), attrgetter("rows")


@dataclass(slots=True)
class Delta:
    """One native table.

    Attributes:
        name: Its qualified name in the kernel.
        columns: What its columns are.
        offsets: Position of the first row of each row group in it.
        rows: Rows in it.
        users: Routes that read it.
        grows: False for a base, which is complete when it is made.
    """

    name: str
    columns: _Columns
    offsets: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    users: int = 0
    grows: bool = False


class Deltas:
    """The deltas of a database.

    Args:
        kernel: Where the native tables live.
        store: Where rows come from.
    """

    def __init__(self, kernel: Kernel, store: Store) -> None:
        self._kernel = kernel
        self._store = store
        self._database = kernel.attach_memory("delta")
        self._cursor: Cursor = kernel.cursor()
        self._current: dict[tuple[str, str, str], Delta] = {}
        self._retired: list[Delta] = []
        self._lock = threading.RLock()

    def hold(
        self, definition: TableDefinition, groups: Sequence[RowGroup], *, private: str = ""
    ) -> list[tuple[Delta, list[RowGroup]]]:
        """Make sure that row groups are in deltas, and keep those until ``release``.

        A table has a *base*, which never grows and is read without any condition, so that the
        kernel's estimates stay true, and a *tail* for what was committed since.

        Args:
            definition: The table.
            groups: Its row groups that are neither hot nor streamed.
            private: Id of the open transaction whose pending rows these are, so that they never
                end up in a delta that others grow.

        Returns:
            The deltas to read, each with the row groups to read from it.

        Raises:
            Corrupt: A page is damaged.
        """
        with self._lock:
            columns = tuple((c.id, c.type, c.initial) for c in definition.columns)
            base_key, tail_key = (definition.id, private, "base"), (definition.id, private, "tail")
            base, tail = self._current.get(base_key), self._current.get(tail_key)
            for key, delta in ((base_key, base), (tail_key, tail)):
                if delta is not None and (
                    delta.columns != columns or self._wasteful(delta, groups)
                ):
                    self._retire(key)
            base, tail = self._current.get(base_key), self._current.get(tail_key)
            chosen, recent = _split(groups, base)
            if base is None or total_rows(recent) > max(base.rows, _TAIL_ROWS_MIN):
                for key in (base_key, tail_key):
                    if key in self._current:
                        self._retire(key)
                base = self._start(base_key, definition, columns, groups)
                chosen, recent, tail = list(groups), [], None
            held = [(base, chosen)]
            if recent:
                if tail is None:
                    tail = self._start(tail_key, definition, columns, recent)
                missing = [g for g in recent if g.id not in tail.offsets]
                self._insert(tail, definition, missing)
                held.append((tail, recent))
            held = [(delta, chosen) for delta, chosen in held if chosen]
            for delta, _ in held:
                delta.users += 1
            self._collect()
            return held

    def _start(
        self,
        key: tuple[str, str, str],
        definition: TableDefinition,
        columns: _Columns,
        groups: Sequence[RowGroup],
    ) -> Delta:
        delta = self._create(definition.columns, columns)
        delta.grows = key[2] == "tail"
        try:
            self._insert(delta, definition, groups)
        except BaseException:
            self._retired.append(delta)
            raise
        self._current[key] = delta
        return delta

    def release(self, delta: Delta) -> None:
        """Give a delta back."""
        with self._lock:
            delta.users -= 1
            self._collect()

    def forget(self, private: str) -> None:
        """Drop the private deltas of a transaction that has ended."""
        with self._lock:
            for key in [k for k in self._current if k[1] == private]:
                self._retire(key)
            self._collect()

    def forget_tables(self, present: Container[str]) -> None:
        """Drop the deltas of tables that are gone."""
        with self._lock:
            for key in [k for k in self._current if not k[1] and k[0] not in present]:
                self._retire(key)
            self._collect()

    def _wasteful(self, delta: Delta, groups: Sequence[RowGroup]) -> bool:
        wanted, _ = _split(groups, delta)
        if delta.rows and total_rows(wanted) < delta.rows * _GARBAGE_MAX:
            return True
        return len(ranges(wanted, delta)) > _RANGES_MAX

    def _create(self, columns: Sequence[Column], described: _Columns) -> Delta:
        name = f"{self._database}.main.{self._kernel.name('delta')}"
        # Not empty_table(): making its arrays would import pandas, 0.2 s of a fresh process.
        empty = pa.Table.from_batches([], schema=stored_schema(columns))
        self._cursor.register("s", empty)
        try:
            self._cursor.execute(f"CREATE TABLE {name} AS SELECT {native_select(columns)} FROM s")
        finally:
            self._cursor.unregister("s")
        return Delta(name, described)

    def _insert(
        self, delta: Delta, definition: TableDefinition, groups: Sequence[RowGroup]
    ) -> None:
        schema = stored_schema(definition.columns)
        select = native_select(definition.columns)
        try:
            for table in self._tables(definition, groups, schema):
                self._cursor.register("s", table)
                try:
                    self._cursor.execute(f"INSERT INTO {delta.name} SELECT {select} FROM s")
                finally:
                    self._cursor.unregister("s")
            rows = _rows(groups)
            starts = delta.rows + np.cumsum(rows) - rows
            delta.offsets.update(zip(map(_ID, groups), starts.tolist(), strict=True))
            delta.rows += int(rows.sum())
        except BaseException:
            # A damaged page, or Ctrl-C: some of the rows are there and were not counted, so the
            # positions of all that came after them would be wrong.
            for key in [key for key, known in self._current.items() if known is delta]:
                self._retire(key)
            raise

    def _tables(
        self, definition: TableDefinition, groups: Sequence[RowGroup], schema: pa.Schema
    ) -> Iterator[pa.Table]:
        """Row groups decoded and put together to bearable pieces."""
        held: list[pa.Table] = []
        rows = 0
        for table in read_run(self._store, definition, groups, definition.columns):
            held.append(table)
            rows += table.num_rows
            if rows >= _INSERT_ROWS:
                yield pa.concat_tables(held).cast(schema)
                held, rows = [], 0
        if held:
            yield pa.concat_tables(held).cast(schema)

    def _retire(self, key: tuple[str, str, str]) -> None:
        self._retired.append(self._current.pop(key))

    def _collect(self) -> None:
        for delta in [d for d in self._retired if d.users == 0]:
            self._kernel.execute(f"DROP TABLE {delta.name}")
            self._retired.remove(delta)


def _split(
    groups: Sequence[RowGroup], delta: Delta | None
) -> tuple[list[RowGroup], list[RowGroup]]:
    """Row groups that a delta holds, and those that it does not."""
    if delta is None:
        return [], list(groups)
    held = delta.offsets
    return [g for g in groups if g.id in held], [g for g in groups if g.id not in held]


def _rows(groups: Sequence[RowGroup]) -> npt.NDArray[np.int64]:
    """Row count of each row group: int64."""
    return np.fromiter(map(_ROWS, groups), np.int64, len(groups))


def total_rows(groups: Sequence[RowGroup]) -> int:
    """Rows of some row groups, deleted ones included."""
    return sum(map(_ROWS, groups))


def ranges(groups: Sequence[RowGroup], delta: Delta) -> list[tuple[int, int]]:
    """Half-open row ranges of a delta that hold some row groups, ascending and merged."""
    if not groups:
        return []
    if len(groups) == len(delta.offsets):
        return [(0, delta.rows)]
    rows = _rows(groups)
    starts = np.fromiter(map(delta.offsets.__getitem__, map(_ID, groups)), np.int64, len(groups))
    order = np.argsort(starts)
    starts, ends = starts[order], (starts + rows)[order]
    apart = np.flatnonzero(starts[1:] != ends[:-1])
    firsts, lasts = np.append(0, apart + 1), np.append(apart, len(groups) - 1)
    return list(zip(starts[firsts].tolist(), ends[lasts].tolist(), strict=True))
