"""Foreign keys: whether new rows refer to rows that are there, and removed ones are referred to.

As in DuckDB, a row must find the one that it refers to as the table was before the statement, and
a row that goes must not have been referred to then. Rows are looked up by the referred-to key's
index; rows that refer are, too, where there is an index on their columns, else the kernel looks
for them in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ConstraintViolation
from ...sql.column_types import column_type
from ...sql.tokens import quote
from ...storage.conflict import Kind
from ...storage.keys.key_index import read_rows
from ..keys.indexed import is_indexed
from ..query import from_table
from .bulk_write import as_stored
from .change import Change
from .constraint_names import called

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from ...storage.delete_vector import Positions
    from ...storage.effects import Column, Constraint, TableDefinition
    from ...storage.snapshot import TableState

_LOOKED_FOR = "keys_looked_for_5f1c0e7a9b3d4c21"
"""Name under which the kernel finds keys: one that no user's table has."""
_REMOVED_MAX = 1_000_000
"""Removed rows whose keys are looked for at once."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """A foreign key with the tables at its ends, as they were before the statement."""

    child: TableState
    parent: TableState
    constraint: Constraint

    @property
    def referring(self) -> list[Column]:
        """The columns that refer."""
        return _columns(self.child.definition, self.constraint.columns)

    @property
    def referred(self) -> list[Column]:
        """The columns that are referred to, in the same order."""
        return _columns(self.parent.definition, self.constraint.referred)


class ForeignKeys:
    """The foreign keys that one statement's changes to a table meet.

    Args:
        change: The statement's surroundings.
        state: The table before the statement.
        only: Column ids that change; foreign keys on others need no check. None for all.
    """

    def __init__(
        self, change: Change, state: TableState, only: frozenset[int] | None = None
    ) -> None:
        self._change = change
        self._state = state
        self._only = only
        self._tables = tables = change.transaction.snapshot.tables
        self._up = [
            _Reference(state, tables[c.table], c)
            for c in state.definition.constraints
            if c.table is not None and c.table in tables and self._meets(c.columns)
        ]

    def _meets(self, columns: Collection[int]) -> bool:
        return self._only is None or not self._only.isdisjoint(columns)

    @cached_property
    def _down(self) -> list[_Reference]:
        # Of all tables: not for statements that only add.
        return [
            _Reference(child, self._state, c)
            for child in self._tables.values()
            for c in child.definition.constraints
            if c.table == self._state.definition.id and self._meets(c.referred)
        ]

    @property
    def referred(self) -> frozenset[int]:
        """Ids of the columns that rows of other tables refer to."""
        return frozenset(c for reference in self._down for c in reference.constraint.referred)

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Check rows as they go by.

        Args:
            batches: Rows to be added; their stored columns are named by column id.

        Raises:
            ConstraintViolation: A row refers to one that is not there.
        """
        for batch in batches:
            if self._up and batch.num_rows:
                self.added(batch)
            yield batch

    def added(self, batch: pa.RecordBatch) -> None:
        """Check rows that are added.

        Raises:
            ConstraintViolation: One refers to a row that is not there.
        """
        for reference in self._up:
            columns = reference.referring
            keys = _distinct([as_stored(batch.column(str(c.id)), c.arrow_type) for c in columns])
            if not keys.num_rows:
                continue
            self._rely_on(reference.parent, Kind.REFERENCE)
            lacking = self._lacking(reference, keys)
            if lacking is not None:
                raise ConstraintViolation(
                    f"Violates foreign key constraint{called(reference.constraint)} because key "
                    f'"{lacking}" does not exist in the referenced table',
                    hint="insert the row that it refers to first",
                )

    def removed(self, positions: Mapping[str, Positions]) -> None:
        """Check rows that go, or whose keys change.

        Args:
            positions: The rows' positions by row group id.

        Raises:
            ConstraintViolation: One is referred to.
        """
        for reference in self._down:
            self._rely_on(reference.child, Kind.UNREFERENCED)
            if not reference.child.rows:
                continue
            for keys in self._keys_at(positions, reference.referred):
                found = self._referring(reference, keys)
                if found is not None:
                    raise ConstraintViolation(
                        f"Violates foreign key constraint{called(reference.constraint)} because "
                        f'key "{found}" is still referenced by a foreign key in a different table',
                        hint=f"change the rows of {reference.child.definition.name} first",
                    )

    def _rely_on(self, state: TableState, kind: Kind) -> None:
        self._change.transaction.rely_on(state.definition.id, kind)

    # Looking up

    def _lacking(self, reference: _Reference, keys: pa.Table) -> str | None:
        """The first of some keys that no row of the parent has, as text."""
        columns, parent = reference.referred, reference.parent
        if is_indexed(columns):
            index = self._change.session.database.keys.of(parent, [c.id for c in columns])
            if index is not None:
                arrays = [_one(k, c.arrow_type) for k, c in zip(keys.columns, columns, strict=True)]
                there = np.zeros(keys.num_rows, dtype=bool)
                there[index.find(parent, arrays).keys] = True
                if there.all():
                    return None
                return self._told(keys.slice(int(np.argmin(there)), 1), columns)
        return self._search(parent.definition, columns, keys, anti=True)

    def _referring(self, reference: _Reference, keys: pa.Table) -> str | None:
        """The first of some keys that a row of the child refers to, as text."""
        columns, child = reference.referring, reference.child
        ids = tuple(c.id for c in columns)
        if is_indexed(columns) and any(key.columns == ids for key in child.definition.indexes):
            index = self._change.session.database.keys.of(child, ids)
            if index is not None:
                arrays = [_one(k, c.arrow_type) for k, c in zip(keys.columns, columns, strict=True)]
                found = index.find(child, arrays).keys
                return self._told(keys.slice(int(found[0]), 1), columns) if found.size else None
        return self._search(child.definition, columns, keys, anti=False)

    def _search(
        self,
        table: TableDefinition,
        columns: Sequence[Column],
        keys: pa.Table,
        *,
        anti: bool,
    ) -> str | None:
        """Let the kernel find the first of some keys that a table has, or has not."""
        named = f"{quote(table.schema)}.{quote(table.name)}"
        there = ", ".join(_exact(quote(c.name), c) for c in columns)
        restored = ", ".join(_exact(_restored(f"k{i}", c), c) for i, c in enumerate(columns))
        opened = Change(self._change.session, self._change.transaction).open(
            f"SELECT * FROM {named}"
        )
        drained = False
        try:
            opened.register(_LOOKED_FOR, keys.rename_columns(_names(len(columns))))
            having = f"({restored}) {'NOT IN' if anti else 'IN'} (SELECT {there} FROM {named}"
            having += "".join(f" {'AND' if i else 'WHERE'} {quote(c.name)} IS NOT NULL"
                              for i, c in enumerate(columns)) + ")"  # fmt: skip
            with self._change.session.guard.watch(opened.cursor):
                row = opened.cursor.execute(
                    f"SELECT {_told(columns)} FROM {_LOOKED_FOR} WHERE {having} LIMIT 1"
                ).fetchall()
            drained = True
        finally:
            opened.close(drained=drained)
        return str(row[0][0]) if row else None

    def _told(self, key: pa.Table, columns: Sequence[Column]) -> str:
        """A key as DuckDB's messages tell it."""
        named = key.rename_columns(_names(key.num_columns))
        sql = f"SELECT {_told(columns)} FROM rows"
        return str(from_table(self._change.session, named, sql).fetchall()[0][0])

    def _keys_at(
        self, positions: Mapping[str, Positions], columns: Sequence[Column]
    ) -> Iterator[pa.Table]:
        """Keys of rows of the table, without NULL, some at a time."""
        chunks = self._change.session.database.keys.chunks
        places = [
            (number, positions[group.id])
            for number, group in enumerate(self._state.row_groups)
            if group.id in positions
        ]
        while places:
            taken, rows = [], 0
            while places and rows < _REMOVED_MAX:
                taken.append(places.pop())
                rows += taken[-1][1].size
            groups = np.repeat([number for number, _ in taken], [at.size for _, at in taken])
            at = np.concatenate([at for _, at in taken]).astype(np.int64)
            keys = _distinct(
                read_rows(chunks, self._state, groups.astype(np.int64), at, list(columns))
            )
            if keys.num_rows:
                yield keys


def _columns(definition: TableDefinition, ids: Sequence[int]) -> list[Column]:
    by_id = {c.id: c for c in definition.columns}
    return [by_id[i] for i in ids]


def _names(count: int) -> list[str]:
    return [f"k{i}" for i in range(count)]


def _restored(name: str, column: Column) -> str:
    return column_type(column.type, collation=column.collation).from_storage(name)


def _exact(value: str, column: Column) -> str:
    """SQL for a value as keys compare it: to the letter, whatever the collation."""
    return value if column.collation is None else f"encode({value})"


def _told(columns: Sequence[Column]) -> str:
    """SQL for the text of a key that ``k0`` and those behind it hold."""
    parts = []
    for i, column in enumerate(columns):
        label = column.name.replace("'", "''")
        parts.append(f"'{label}: ' || CAST({_restored(f'k{i}', column)} AS VARCHAR)")
    return " || ', ' || ".join(parts)


def _distinct(columns: Sequence[pa.Array]) -> pa.Table:
    """Keys, each once; one with a NULL refers to nothing."""
    table = pa.table(dict(zip(_names(len(columns)), columns, strict=True)))
    for column in table.columns:
        if column.null_count:
            table = table.filter(_complete(table))
            break
    if table.num_rows > 1:
        try:
            return table.group_by(table.column_names, use_threads=False).aggregate([])
        except pa.ArrowNotImplementedError:
            return table
    return table


def _complete(table: pa.Table) -> pa.ChunkedArray:
    valid = pc.is_valid(table.column(0))
    for column in table.columns[1:]:
        valid = pc.and_(valid, pc.is_valid(column))
    return valid


def _one(column: pa.ChunkedArray, type_: pa.DataType) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    return array if array.type.equals(type_) else array.cast(type_)
