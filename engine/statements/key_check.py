"""Uniqueness: whether new rows bring a key that is there already, or twice.

The codes of the new rows' keys are sorted into runs (``storage/keys``), which stay with the
table: a key that comes twice lies next to itself there, and one that the table has is found by
searching the runs that it has. Rows that arrive in the order of their key, outside the range of
all keys that are there, cost one comparison each. Keys without codes (collated text, intervals)
are looked up by the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ...errors import ConstraintViolation
from ...sql.column_types import column_type
from ...sql.tokens import quote
from ...storage.effects import AppendedKeys, AttachKeyRuns
from ...storage.keys.codes import equal_keys
from ...storage.keys.key_index import read_rows
from ...storage.keys.run_builder import RunBuilder
from ..keys.indexed import is_indexed
from .constraint_names import called

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ...storage.effects import Column, Constraint, RowGroup, TableDefinition
    from ...storage.keys.key_index import KeyIndex, KeyIndexes
    from ...storage.keys.run_builder import BuiltRun
    from ...storage.snapshot import TableState
    from ...storage.transaction import Transaction

PROBE_ROWS_MAX = 1_000_000
"""New keys that are held in memory to be looked up; beyond them the whole table is grouped."""

NEW_KEYS = "new_keys_5f1c0e7a9b3d4c21"
"""Name under which a probe finds the new keys: one that no user's table has."""

TOLD_ROWS_MAX = 512
"""Rows up to which a commit record tells the keys of what it appends: 8 bytes each."""

_CODES_MAX = 1 << 20
"""Codes that are searched at once."""

Probe = Callable[[str, pa.Table | None], list[tuple[Any, ...]]]
"""Runs SQL over the table with the new rows in it; the table of new keys is ``NEW_KEYS``."""


@dataclass(slots=True)
class _Watched:
    """One key and what is known of the new rows' values of it.

    Attributes:
        constraint: The key.
        names: Names of its columns.
        checked: True when its values must be unique and may have changed.
        builder: Takes up the codes; None where the kernel must look the keys up.
    """

    constraint: Constraint
    names: tuple[str, ...]
    checked: bool
    builder: RunBuilder | None
    held: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0

    def observe(self, batch: pa.RecordBatch) -> None:
        keys = batch.select([str(column) for column in self.constraint.columns])
        self.rows += keys.num_rows
        if self.builder is not None:
            self.builder.observe(keys.columns)
        elif self.checked and self.rows <= PROBE_ROWS_MAX:
            self.held.append(keys)


class KeyCheck:
    """Watches the keys of one table while rows are written.

    Args:
        state: The table before the rows.
        only: Column ids that change; keys on other columns need no check. None for all.
    """

    def __init__(self, state: TableState, only: frozenset[int] | None = None) -> None:
        self._definition: TableDefinition = state.definition
        self._state = state
        self._rows = 0
        by_id = {c.id: c for c in self._definition.columns}
        self._watched: list[_Watched] = []
        for key in self._definition.indexes:
            columns = [by_id[c] for c in key.columns]
            changes = only is None or bool(only & set(key.columns))
            checked = key in self._definition.keys and changes
            builder = None
            if is_indexed(columns):
                builder = RunBuilder(key.columns, [c.arrow_type for c in columns])
            if checked or builder is not None:
                names = tuple(c.name for c in columns)
                self._watched.append(_Watched(key, names, checked, builder))

    @property
    def needed(self) -> bool:
        """True when there is a key to watch, be it only to index it."""
        return bool(self._watched)

    @property
    def unique(self) -> bool:
        """True when the rows' keys are checked."""
        return any(watched.checked for watched in self._watched)

    def appended(self) -> tuple[AppendedKeys, ...]:
        """The keys of the rows, where they are few: others then see that theirs differ.

        Every unique key is told, or none is.
        """
        if self._rows > TOLD_ROWS_MAX:
            return ()
        told: dict[tuple[int, ...], AppendedKeys] = {}
        for watched in self._watched:
            if watched.constraint not in self._definition.keys:
                continue
            if watched.builder is None:
                return ()
            found = watched.builder.codes()
            codes = found.codes if found.valid is None else found.codes[found.valid]
            columns = watched.constraint.columns
            told[columns] = AppendedKeys(columns, codes.astype("<u8").tobytes())
        return tuple(told.values())

    def use(self, executor: Executor) -> None:
        """Compute the codes of long batches in other threads."""
        for watched in self._watched:
            if watched.builder is not None:
                watched.builder.executor = executor

    def observe(self, batch: pa.RecordBatch) -> None:
        """Note the keys of a batch of stored columns, named by id."""
        self._rows += batch.num_rows
        for watched in self._watched:
            watched.observe(batch)

    def verify(self, transaction: Transaction, indexes: KeyIndexes, probe: Probe) -> None:
        """Check the keys, and attach their runs to the table.

        Args:
            transaction: Sees the table with the new rows in it, and without those replaced.
            indexes: Where the table's keys are searched.
            probe: Asks the kernel.

        Raises:
            ConstraintViolation: A key is there twice.
            Corrupt: A key run or a row group is damaged.
        """
        if not self._rows:
            return
        state = transaction.snapshot.tables[self._definition.id]
        first = self._first_new(state)
        groups = state.row_groups[first:]
        runs: dict[tuple[int, ...], list[BuiltRun]] = {}
        for watched in self._watched:
            index = indexes.of(state, watched.constraint.columns)
            if watched.builder is None or index is None:
                self._look_up(watched, probe)
                continue
            columns = watched.constraint.columns
            built = watched.builder.runs(groups)
            if watched.checked and _New(watched.builder, built, index, indexes, state, first).clash(
                self._state
            ):
                raise self._violation(watched)
            runs[columns] = built
        if all(group.inline is None for group in groups):
            written = [b.write(transaction.writer()) for built in runs.values() for b in built]
            if written:
                operation = transaction.operations[-1]
                transaction.add(operation, AttachKeyRuns(self._definition.id, tuple(written)))

    def _first_new(self, state: TableState) -> int:
        """Index of the first row group that the observed rows became: they are the last ones."""
        rows, first = 0, len(state.row_groups)
        while rows < self._rows and first:
            first -= 1
            rows += state.row_groups[first].rows
        assert rows == self._rows, "the new rows are the table's last"
        return first

    def _violation(self, watched: _Watched) -> ConstraintViolation:
        kind = watched.constraint.kind.replace("_index", "").replace("_", " ").upper()
        return ConstraintViolation(
            f"{kind} constraint{called(watched.constraint)} failed: "
            f"duplicate key in {self._definition.name}"
            f" ({', '.join(watched.names)})",
            hint="leave out the rows whose key is there already",
        )

    def _look_up(self, watched: _Watched, probe: Probe) -> None:
        if not watched.checked:
            return
        by_id = {c.id: c for c in self._definition.columns}
        keys = [by_id[c] for c in watched.constraint.columns]
        columns = ", ".join(as_key(quote(c.name), c) for c in keys)
        present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in watched.names)
        new_keys = None
        if watched.rows <= PROBE_ROWS_MAX:
            new_keys = pa.Table.from_batches(watched.held)
            restored = ", ".join(
                as_key(column_type(c.type, collation=c.collation).from_storage(quote(str(c.id))), c)
                for c in keys
            )
            present += f" AND ({columns}) IN (SELECT {restored} FROM {NEW_KEYS})"
        if probe(f"WHERE {present} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1", new_keys):
            raise self._violation(watched)


@dataclass(slots=True)
class _New:
    """The new rows' values of one key.

    Attributes:
        builder: Their codes.
        built: The codes sorted.
        index: Searches the table by the key.
        indexes: Where rows are read for comparison.
        state: The table with the new rows.
        first: Index of the first new row group.
    """

    builder: RunBuilder
    built: list[BuiltRun]
    index: KeyIndex
    indexes: KeyIndexes
    state: TableState
    first: int

    def clash(self, before: TableState) -> bool:
        """Tell whether a key is there twice.

        Args:
            before: The table before the statement; what was deleted since does not count.
        """
        return self._repeats() or self._exists(before)

    def _repeats(self) -> bool:
        start = 0
        for number, built in enumerate(self.built):
            left, right = built.repeated()
            if left.size and (built.run.exact or self._equal(left + start, right + start)):
                return True
            rows = sum(built.run.rows)
            if number and self._in_earlier(number, start, rows):
                return True
            start += rows
        return False

    def _in_earlier(self, number: int, start: int, rows: int) -> bool:
        """Tell whether a run has a key that one before it has: a load of very many rows."""
        found = self.builder.codes()
        offset = 0
        for earlier in self.built[:number]:
            codes = found.codes[start : start + rows]
            run, pages = earlier.run, self.indexes.pages
            maybe = np.flatnonzero(run.matches(codes, pages))
            if found.valid is not None:
                maybe = maybe[found.valid[start + maybe]]
            if maybe.size:
                index, row = run.search(codes[maybe], pages)
                if index.size and (run.exact or self._equal(start + maybe[index], offset + row)):
                    return True
            offset += sum(run.rows)
        return False

    def _exists(self, before: TableState) -> bool:
        kept = self._kept(before)
        if kept is not None and not kept.any():
            return False
        found = self.builder.codes()
        numbers = None if found.valid is None else np.flatnonzero(found.valid)
        codes = found.codes if numbers is None else found.codes[numbers]
        suspects = self.index.suspects(before, codes)
        then = replace(before, deletes=self.state.deletes)
        for start in range(0, suspects.size, _CODES_MAX):
            chosen = suspects[start : start + _CODES_MAX]
            rows, proven = self.index.candidates(then, codes[chosen])
            if kept is not None:
                rows, proven = rows.chosen(kept[rows.groups]), proven[kept[rows.groups]]
            if not rows.keys.size:
                continue
            if self.index.exact and bool(proven.any()):
                return True
            mine = chosen[rows.keys]
            there = self.index.values(then, rows.groups, rows.positions)
            if equal_keys(self._values(mine if numbers is None else numbers[mine]), there).any():
                return True
        return False

    def _kept(self, before: TableState) -> Any:
        """For each earlier row group whether it is still there; None where all are."""
        if self.first == len(before.row_groups):
            return None
        ids = {group.id for group in self.state.row_groups[: self.first]}
        return np.fromiter((g.id in ids for g in before.row_groups), bool, len(before.row_groups))

    def _equal(self, left: Any, right: Any) -> bool:
        return bool(equal_keys(self._values(left), self._values(right)).any())

    def _values(self, rows: Any) -> list[pa.Array]:
        """The key of new rows, by their numbers."""
        groups: tuple[RowGroup, ...] = tuple(self.state.row_groups[self.first :])
        starts = np.cumsum((0, *(group.rows for group in groups)), dtype=np.int64)[:-1]
        owner = starts.searchsorted(rows, side="right") - 1
        by_id = {c.id: c for c in self.state.definition.columns}
        columns = [by_id[column] for column in self.builder.columns]
        chunks = self.indexes.chunks
        return read_rows(chunks, self.state, owner + self.first, rows - starts[owner], columns)


def as_key(value: str, column: Column) -> str:
    """SQL for a value as keys compare it: to the letter, whatever its collation, as in DuckDB."""
    return value if column.collation is None else f"encode({value})"


def key_columns(definition: TableDefinition) -> frozenset[int]:
    """Ids of the columns that are part of a key."""
    return frozenset(column for key in definition.keys for column in key.columns)
