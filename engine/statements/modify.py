"""UPDATE and DELETE: rows are found by the kernel, and changed by position.

Either becomes a query over a view of the table that also tells where each row lies; the rows
found are deleted by position, and new versions of updated rows are appended with the row ids
that they had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ...errors import InvalidRequest
from ...sql.tokens import quote
from ...storage.effects import Append
from ..leaves.table_leaf import row_ids
from ..result import Result
from .bulk_write import BulkWrite
from .change import (
    cast_to,
    check_returning,
    checks_of,
    collected,
    default_of,
    find_column,
    keep,
    returned,
    storage_select,
    target_table,
    verify_keys,
)
from .key_check import KeyCheck, key_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ...sql import statement as st
    from ...storage.delete_vector import Positions
    from ...storage.effects import Column, RowGroup, TableDefinition
    from ...storage.snapshot import TableState
    from ..leaves.table_leaf import Part
    from ..query import OpenRoute
    from .change import Change


@dataclass(frozen=True, slots=True)
class Search:
    """Which rows of a table a statement is about.

    Attributes:
        state: The table.
        source: FROM and WHERE, with ``{table}`` where the table stands.
        ctes: WITH clause before it, or empty.
        once: True when a row may be found several times and counts once.
    """

    state: TableState
    source: str
    ctes: str = ""
    once: bool = False

    @classmethod
    def of(cls, state: TableState, statement: st.Update | st.Delete) -> Search:
        """The rows of an UPDATE or DELETE."""
        alias = quote(statement.alias or state.definition.name)
        clause = f"{{table}} AS {_escape(alias)}"
        if statement.sources:
            clause += f", {_escape(statement.sources)}\n"
        if statement.condition:
            clause += f" WHERE ({_escape(statement.condition)}\n)"
        return cls(state, clause, statement.ctes, once=statement.sources is not None)

    @classmethod
    def everything(cls, state: TableState) -> Search:
        """All rows of a table."""
        return cls(state, f"{{table}} AS {_escape(quote(state.definition.name))}")

    def query(self, listed: str, table: str) -> str:
        """A query over the rows, with the table read from a relation."""
        return f"{self.ctes}SELECT {listed} FROM {self.source.format(table=table)}"

    @property
    def named(self) -> str:
        """The table's qualified name."""
        definition = self.state.definition
        return f"{quote(definition.schema)}.{quote(definition.name)}"


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@dataclass(slots=True)
class Located:
    """Positions that a statement found, by part of the table's leaf."""

    parts: Sequence[Part] = ()
    found: dict[int, list[npt.NDArray[np.int64]]] = field(default_factory=dict)

    def note(self, part: npt.NDArray[np.int64], position: npt.NDArray[np.int64]) -> None:
        """Add rows by part number and position."""
        for number in np.unique(part):
            self.found.setdefault(int(number), []).append(position[part == number])

    def positions(self) -> dict[str, Positions]:
        """Positions by row group, sorted and distinct."""
        located: dict[str, Positions] = {}
        for number, pieces in self.found.items():
            located.update(self.parts[number].locate(np.concatenate(pieces)))
        return located


def delete(change: Change, statement: st.Delete) -> Result:
    """Run a DELETE or TRUNCATE."""
    state = target_table(change.session, statement.target, "delete from")
    search = Search.of(state, statement)
    answer: Result | None = None
    if statement.returning is not None:
        check_returning(statement.returning)
        answer = collected(change, search.query(statement.returning, search.named))
    if statement.condition is None and statement.sources is None:
        positions = _all_positions(change, state)
    else:
        located = Located()
        for batch in _find(change, search, (), state.definition, located):
            located.note(_integers(batch, 0), _integers(batch, 1))
        positions = located.positions()
    change.transaction.delete("DELETE", state.definition.id, positions)
    count = sum(int(p.size) for p in positions.values())
    return answer or Result(None, count=count)


def _all_positions(change: Change, state: TableState) -> dict[str, Positions]:
    """Every live position of a table."""
    pages = change.session.database.store.pages
    positions: dict[str, Positions] = {}
    for group in state.row_groups:
        live = np.ones(group.rows, dtype=bool)
        for vector in state.deletes.get(group.id, ()):
            live[vector.positions(pages)] = False
        positions[group.id] = np.flatnonzero(live).astype(np.uint32)
    return positions


def update(change: Change, statement: st.Update) -> Result:
    """Run an UPDATE."""
    state = target_table(change.session, statement.target, "update")
    definition = state.definition
    assigned = _assignments(definition, statement)
    alias = quote(statement.alias or definition.name)
    expressions = [(assigned.get(c.id, f"{alias}.{quote(c.name)}"), c) for c in definition.columns]
    located = Located()
    versions = row_versions(change, Search.of(state, statement), expressions, definition, located)
    changed = frozenset(assigned)
    keys = KeyCheck(state, changed)
    kept: list[pa.RecordBatch] = []
    write = BulkWrite(
        change.session.database.store,
        change.transaction,
        definition,
        None,
        checks_of(definition),
        keys if keys.needed else None,
        row_ids=True,
    )
    groups: tuple[RowGroup, ...] = write.run(
        versions if statement.returning is None else keep(versions, kept)
    )
    change.transaction.delete("UPDATE", definition.id, located.positions())
    if groups:
        keyed = bool(changed & key_columns(definition))
        append = Append(definition.id, groups, keyed, keys.appended() if keyed else ())
        change.transaction.add("UPDATE", append)
    verify_keys(change, definition, keys)
    if statement.returning is not None:
        return returned(change, definition, kept, statement.returning, statement.alias)
    return Result(None, count=write.rows)


def _assignments(definition: TableDefinition, statement: st.Update) -> dict[int, str]:
    """New values by column id."""
    assigned: dict[int, str] = {}
    for name, expression in statement.assignments:
        column = find_column(definition, name)
        if column.id in assigned:
            raise InvalidRequest(f'column "{column.name}" is assigned twice')
        is_default = expression.strip().upper() == "DEFAULT"
        assigned[column.id] = default_of(column) if is_default else f"({expression}\n)"
    return assigned


def row_versions(
    change: Change,
    search: Search,
    expressions: Sequence[tuple[str, Column]],
    becomes: TableDefinition,
    located: Located,
) -> Iterator[pa.RecordBatch]:
    """New versions of rows: stored columns, row ids, then one boolean for each check.

    Args:
        change: The statement's surroundings.
        search: The rows.
        expressions: The new values, column by column.
        becomes: The definition that the new versions have.
        located: Takes up where each row lay as the batches go by.
    """
    width = len(becomes.columns)
    names = [*(str(c.id) for c in becomes.columns), "row id", *checks_of(becomes)]
    store, definition = change.session.database.store, search.state.definition
    for batch in _find(change, search, expressions, becomes, located):
        part, position = _integers(batch, 0), _integers(batch, 1)
        located.note(part, position)
        pending = change.transaction.id
        ids = row_ids(located.parts, part, position, store, definition, pending)
        columns = batch.columns
        stored = [*columns[2 : 2 + width], ids, *columns[2 + width :]]
        yield pa.RecordBatch.from_arrays(stored, names=names)


def _find(
    change: Change,
    search: Search,
    expressions: Sequence[tuple[str, Column]],
    becomes: TableDefinition,
    located: Located,
) -> Iterator[pa.RecordBatch]:
    """Find rows: batches of part, position and, with expressions, the new stored columns."""
    listed = ", ".join(text for text, _ in expressions) or "1"
    opened = change.open(search.query(listed, search.named))
    drained = False
    try:
        sql = _locating_query(opened, search, expressions, becomes)
        located.parts = opened.route.leaf(search.state.definition.id).parts
        with change.session.guard.watch(opened.cursor):
            yield from change.read(opened, sql)
        drained = True
    finally:
        opened.close(drained=drained)


def _locating_query(
    opened: OpenRoute,
    search: Search,
    expressions: Sequence[tuple[str, Column]],
    becomes: TableDefinition,
) -> str:
    view, part, position = opened.route.located(search.state.definition.id)
    opened.route.register(opened.cursor, opened.registered)
    body = f"{part}, {position}"
    for text, column in expressions:
        body += f", {cast_to(text, column)} AS {quote(column.name)}"
    chosen = search.query(body, view)
    if search.once:
        chosen += f" QUALIFY row_number() OVER (PARTITION BY {part}, {position}) = 1"
    stored = f", {storage_select(becomes)}" if expressions else ""
    return f"SELECT {part}, {position}{stored} FROM ({chosen}) AS {quote(becomes.name)}"


def _integers(batch: pa.RecordBatch, index: int) -> npt.NDArray[np.int64]:
    array = batch.column(index).cast(pa.int64())
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)
