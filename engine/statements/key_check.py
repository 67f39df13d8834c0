"""Uniqueness: whether new rows bring a key that is there already, or twice.

Rows that arrive in the order of their key, behind all keys that the table has, are unique by
that order alone; loads in key order therefore cost one comparison a row. Everything else is
looked up in the table itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ConstraintViolation
from ...sql.column_types import column_type
from ...sql.tokens import quote

if TYPE_CHECKING:
    from ...storage.effects import Constraint, TableDefinition
    from ...storage.snapshot import TableState

PROBE_ROWS_MAX = 1_000_000
"""New keys that are held in memory to be looked up; beyond them the whole table is grouped."""

NEW_KEYS = "new_keys_5f1c0e7a9b3d4c21"
"""Name under which a probe finds the new keys: one that no user's table has."""

Probe = Callable[[str, pa.Table | None], list[tuple[Any, ...]]]
"""Runs SQL over the table with the new rows in it; the table of new keys is ``NEW_KEYS``."""


@dataclass(slots=True)
class _Watched:
    """One key and what is known of the new rows' order in it."""

    constraint: Constraint
    names: tuple[str, ...]
    ordered: bool
    last: tuple[Any, ...] | None = None
    first: tuple[Any, ...] | None = None
    held: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0

    def observe(self, batch: pa.RecordBatch) -> None:
        keys = batch.select([str(column) for column in self.constraint.columns])
        self.rows += keys.num_rows
        if self.rows <= PROBE_ROWS_MAX:
            self.held.append(keys)
        if self.ordered:
            self.ordered = self._continues(keys)

    def _continues(self, keys: pa.RecordBatch) -> bool:
        """Tell whether the keys go strictly up, from the last batch on."""
        if any(array.null_count or not _sortable(array.type) for array in keys.columns):
            return False
        greater = np.zeros(keys.num_rows - 1, dtype=bool)
        equal = np.ones(keys.num_rows - 1, dtype=bool)
        for array in keys.columns:
            head, tail = array.slice(0, keys.num_rows - 1), array.slice(1)
            up = pc.greater(tail, head).to_numpy(zero_copy_only=False)
            same = pc.equal(tail, head).to_numpy(zero_copy_only=False)
            greater |= equal & up
            equal &= same
        first = tuple(array[0].as_py() for array in keys.columns)
        if self.last is not None and not first > self.last:
            return False
        self.first = self.first or first
        self.last = tuple(array[keys.num_rows - 1].as_py() for array in keys.columns)
        return bool(greater.all())


def _sortable(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_date(type_) or pa.types.is_string(type_))


class KeyCheck:
    """Watches the keys of one table while rows are written.

    Args:
        state: The table before the rows.
        only: Column ids that change; keys on other columns need no check. None for all.
    """

    def __init__(self, state: TableState, only: frozenset[int] | None = None) -> None:
        self._definition: TableDefinition = state.definition
        self._state = state
        by_id = {c.id: c for c in self._definition.columns}
        self._watched = [
            _Watched(
                key,
                tuple(by_id[c].name for c in key.columns),
                ordered=all(by_id[c].collation is None for c in key.columns),
            )
            for key in self._definition.keys
            if only is None or only & set(key.columns)
        ]

    @property
    def needed(self) -> bool:
        """True when there is a key to watch."""
        return bool(self._watched)

    def observe(self, batch: pa.RecordBatch) -> None:
        """Note the keys of a batch of stored columns, named by id."""
        for watched in self._watched:
            watched.observe(batch)

    def verify(self, probe: Probe) -> None:
        """Check what the order of the rows has not proved.

        Raises:
            ConstraintViolation: A key is there twice.
        """
        for watched in self._watched:
            if watched.rows and not (watched.ordered and self._lies_behind(watched)):
                self._look_up(watched, probe)

    def _lies_behind(self, watched: _Watched) -> bool:
        """Tell whether the first new key is greater than all that the table has."""
        column = watched.constraint.columns[0]
        first = watched.first[0] if watched.first else None
        for group in self._state.row_groups:
            chunk = group.chunks.get(column)
            if chunk is None or chunk.zone is None or chunk.zone.max is None:
                return False
            if not isinstance(first, int) or not isinstance(chunk.zone.max, int):
                return False
            if chunk.zone.max >= first:
                return False
        return True

    def _look_up(self, watched: _Watched, probe: Probe) -> None:
        columns = ", ".join(map(quote, watched.names))
        present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in watched.names)
        new_keys = None
        if watched.rows <= PROBE_ROWS_MAX:
            new_keys = pa.Table.from_batches(watched.held)
            by_id = {c.id: c for c in self._definition.columns}
            restored = ", ".join(
                column_type(by_id[c].type, collation=by_id[c].collation).from_storage(quote(str(c)))
                for c in watched.constraint.columns
            )
            present += f" AND ({columns}) IN (SELECT {restored} FROM {NEW_KEYS})"
        found = probe(f"WHERE {present} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1", new_keys)
        if found:
            kind = watched.constraint.kind.replace("_", " ").upper()
            raise ConstraintViolation(
                f"{kind} constraint failed: duplicate key in {self._definition.name}"
                f" ({', '.join(watched.names)})",
                hint="leave out the rows whose key is there already",
            )


def key_columns(definition: TableDefinition) -> frozenset[int]:
    """Ids of the columns that are part of a key."""
    return frozenset(column for key in definition.keys for column in key.columns)
