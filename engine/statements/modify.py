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
from ...sql.column_types import typed_null
from ...sql.tokens import quote
from ...storage.effects import Append
from ..keys.keyed_rows import PART, POSITION, named_by_key
from ..leaves.row_order import with_generated
from ..leaves.table_leaf import row_ids
from ..result import Result
from .bulk_write import BulkWrite
from .change import (
    cast_to,
    checks_of,
    default_of,
    find_column,
    keep,
    restore_select,
    returned,
    storage_select,
    target_table,
    verify_keys,
)
from .foreign_keys import ForeignKeys
from .key_check import KeyCheck, key_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ...sql import statement as st
    from ...storage.delete_vector import Positions
    from ...storage.effects import Column, RowGroup, TableDefinition
    from ...storage.snapshot import TableState
    from ..keys.keyed_rows import Places
    from ..leaves.table_leaf import Part
    from .change import Change

_FOUND = "rows_found_5f1c0e7a9b3d4c21"
"""Name of the rows that were found by a key: one that no user has."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which rows of a table a statement is about.

    Attributes:
        state: The table.
        source: FROM and WHERE, with ``{table}`` where the table stands.
        ctes: WITH clause before it, or empty.
        once: True when a row may be found several times and counts once.
        in_order: Rows are found in the order in which they lie.
        places: Where they lie, for those that are named by a key.
    """

    state: TableState
    source: str
    ctes: str = ""
    once: bool = False
    in_order: bool = False
    places: Places | None = None

    @classmethod
    def of(cls, change: Change, state: TableState, statement: st.Update | st.Delete) -> Search:
        """The rows of an UPDATE or DELETE."""
        alias = quote(statement.alias or state.definition.name)
        clause = f"{{table}} AS {_escape(alias)}"
        if statement.sources:
            clause += f", {_escape(statement.sources)}\n"
        if statement.condition:
            clause += f" WHERE ({_escape(statement.condition)}\n)"
        once = statement.sources is not None
        in_order = once and statement.returning is not None
        places = named_by_key(change, statement, state)
        return cls(state, clause, statement.ctes, once, in_order, places)

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
    search, definition = Search.of(change, state, statement), state.definition
    answer: Result | None = None
    if statement.condition is None and statement.sources is None and statement.returning is None:
        positions = all_positions(change, state)
    elif search.places is not None and statement.returning is None:
        positions = search.places.by_row_group()
    else:
        located, kept = Located(), list[pa.RecordBatch]()
        alias = quote(statement.alias or definition.name)
        listed = [(f"{alias}.{quote(c.name)}", c) for c in definition.columns]
        wanted = listed if statement.returning is not None else ()
        for batch in _find(change, search, wanted, definition, located):
            located.note(_integers(batch, 0), _integers(batch, 1))
            if wanted:
                names = [str(c.id) for c in definition.columns]
                columns = batch.columns[2 : 2 + len(names)]
                kept.append(pa.RecordBatch.from_arrays(columns, names=names))
        positions = located.positions()
        if statement.returning is not None:
            answer = returned(change, definition, kept, statement.returning, statement.alias)
    ForeignKeys(change, state).removed(positions)
    change.transaction.delete("DELETE", state.definition.id, positions)
    count = sum(int(p.size) for p in positions.values())
    return answer or Result(None, count=count)


def all_positions(change: Change, state: TableState) -> dict[str, Positions]:
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
    return update_table(change, target_table(change.session, statement.target, "update"), statement)


def update_table(change: Change, state: TableState, statement: st.Update) -> Result:
    """Run an UPDATE of a table, whatever name it has."""
    definition = state.definition
    assigned = _assignments(definition, statement)
    alias = quote(statement.alias or definition.name)
    expressions = [(assigned.get(c.id, f"{alias}.{quote(c.name)}"), c) for c in definition.columns]
    located = Located()
    versions = row_versions(
        change, Search.of(change, state, statement), expressions, definition, located
    )
    changed = frozenset(assigned)
    keys, references = KeyCheck(state, changed), ForeignKeys(change, state, changed)
    versions = references.watch(versions)
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
    positions = located.positions()
    references.removed(positions)
    change.transaction.delete("UPDATE", definition.id, positions)
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
    generated = {column.name.lower() for column in definition.generated}
    for name, expression in statement.assignments:
        if name.lower() in generated:
            raise InvalidRequest(f'column "{name}" is generated: nothing can be assigned to it')
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
    definition, places = search.state.definition, search.places
    if places is None:
        opened = change.open(search.query(listed, search.named))
    else:
        # The table itself is read only where an expression does.
        opened = change.open(search.query(listed, f"({_no_rows(definition)})"))
    drained = False
    try:
        if places is None:
            view, part, position = opened.route.located(definition.id)
            opened.route.register(opened.cursor, opened.registered)
            located.parts = opened.route.leaf(definition.id).parts
        else:
            opened.register(_FOUND, places.read(change.session.database.keys.chunks))
            part, position, located.parts = PART, POSITION, places.parts()
            rows = f"SELECT {part}, {position}, {restore_select(definition)} FROM {_FOUND}"
            view = f"({with_generated(definition, rows, part, position)})"
        sql = _locating_query(search, expressions, becomes, (view, part, position))
        with change.session.guard.watch(opened.cursor):
            yield from change.read(opened, sql)
        drained = True
    finally:
        opened.close(drained=drained)


def _no_rows(definition: TableDefinition) -> str:
    """A query with a table's columns and no rows."""
    nulls = ", ".join(f"{typed_null(c.type)} AS {quote(c.name)}" for c in definition.columns)
    return with_generated(definition, f"SELECT {nulls} WHERE false")


def _locating_query(
    search: Search,
    expressions: Sequence[tuple[str, Column]],
    becomes: TableDefinition,
    located: tuple[str, str, str],
) -> str:
    view, part, position = located
    body = f"{part}, {position}"
    for text, column in expressions:
        body += f", {cast_to(text, column)} AS {quote(column.name)}"
    chosen = search.query(body, view)
    if search.once:
        chosen += f" QUALIFY row_number() OVER (PARTITION BY {part}, {position}) = 1"
    stored = f", {storage_select(becomes)}" if expressions else ""
    ordered = f" ORDER BY {part}, {position}" if search.in_order else ""
    return f"SELECT {part}, {position}{stored} FROM ({chosen}) AS {quote(becomes.name)}{ordered}"


def _integers(batch: pa.RecordBatch, index: int) -> npt.NDArray[np.int64]:
    array = batch.column(index).cast(pa.int64())
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)
