"""INSERT, UPDATE and DELETE: the user's expressions run in the kernel, the effects are ours.

An UPDATE or DELETE becomes a query over a view of the table that also tells where each row
lies; the rows found are deleted by position, and new versions of updated rows are appended
with the row ids that they had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import InvalidRequest, UnknownName
from ..sql import statement as st
from ..sql.column_types import column_type
from ..sql.names import close_matches
from ..sql.tokens import TokenStream, quote
from ..storage.delete_vector import Positions
from ..storage.effects import Append, Column, RowGroup, TableDefinition
from ..storage.row_group import RowGroupWriter
from ..storage.snapshot import Snapshot, TableState
from .bulk_write import BulkWrite
from .fast_insert import parameters_by_key
from .kernel_errors import place_of
from .key_check import KeyCheck, key_columns
from .plan_cache import Plan
from .query import OpenRoute, bind_text, from_table, open_route
from .result import BATCH_ROWS, Result
from .table_leaf import Part, row_ids

if TYPE_CHECKING:
    from ..storage.transaction import Transaction
    from .kernel import Parameters
    from .session import Session


def target_table(session: Session, name: st.Name, verb: str) -> TableState:
    """The table that a statement changes.

    Raises:
        UnknownName: There is none.
        Denied: It is a system relation.
        InvalidRequest: It is a view.
    """
    schema, table = session.qualify(name)
    snapshot = session.snapshot()
    state = snapshot.table(schema, table)
    if state is None:
        if snapshot.view(schema, table) is not None:
            raise InvalidRequest(f'cannot {verb} "{table}": it is a view')
        raise UnknownName(
            f'there is no table "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(
                table, [s.definition.name for s in snapshot.tables.values()]
            ),
        )
    return state


def find_column(definition: TableDefinition, name: str, sql: str) -> Column:
    """A column by name.

    Raises:
        UnknownName: The table has no such column.
    """
    column = definition.column(name)
    if column is None:
        raise UnknownName(
            place_of(f'table "{definition.name}" has no column "{name}"', sql, name),
            name=name,
            suggestions=close_matches(name, [c.name for c in definition.columns]),
        )
    return column


def cast_to(expression: str, column: Column) -> str:
    """An expression converted to a column's type."""
    return f"CAST({expression} AS {column.type})"


def default_of(column: Column) -> str:
    """SQL for the value of a column that a statement does not mention."""
    return f"CAST(({column.default or 'NULL'}) AS {column.type})"


def storage_select(definition: TableDefinition) -> str:
    """The select list that stores a table's columns, then one boolean for each check."""
    listed = [
        f"{column_type(c.type, collation=c.collation).to_storage(quote(c.name))} AS {quote(str(c.id))}"
        for c in definition.columns
    ]
    listed += [
        f"({check}) IS NOT FALSE AS {quote(f'check {index}')}"
        for index, check in enumerate(checks_of(definition))
    ]
    return ", ".join(listed)


def checks_of(definition: TableDefinition) -> list[str]:
    """Texts of a table's CHECK constraints."""
    return [c.expression for c in definition.constraints if c.kind == "check" and c.expression]


# INSERT


def insert_fast(
    session: Session, transaction: Transaction, plan: Plan, rows: Sequence[object]
) -> Result | None:
    """Insert rows of plain values; None where the kernel must convert them."""
    fast = plan.fast_insert
    assert fast is not None
    batch = fast.batch([parameters_by_key(parameters) for parameters in rows])
    if batch is None:
        return None
    writer = RowGroupWriter(
        session.database.store, transaction, [c.id for c in fast.definition.columns]
    )
    groups = writer.write([batch])
    if session.in_transaction:
        transaction.add("INSERT", Append(fast.definition.id, groups))
    else:
        transaction.add_blind("INSERT", Append(fast.definition.id, groups))
    return Result(None, count=batch.num_rows)


def insert(
    session: Session,
    transaction: Transaction,
    plan: Plan,
    parameters: Parameters,
    frame: FrameType | None,
) -> Result:
    """Run an INSERT."""
    statement = plan.statement
    assert isinstance(statement, st.Insert)
    if plan.fast_insert is not None:
        result = insert_fast(session, transaction, plan, [parameters])
        if result is not None:
            return result
    state = target_table(session, statement.target, "insert into")
    definition = state.definition
    listed = [find_column(definition, n, plan.text) for n in statement.columns or ()]
    if len({c.id for c in listed}) < len(listed):
        raise InvalidRequest("a column is listed twice")
    targets = listed or list(definition.columns)
    if statement.source is None:
        source, targets = "SELECT 1", []
    else:
        source = statement.ctes + _values_for(statement.source, targets)
    return insert_query(
        session, transaction, state, source, targets, parameters, frame,
        by_name=statement.by_name, returning=statement.returning,
    )  # fmt: skip


def _values_for(source: str, targets: Sequence[Column]) -> str:
    """Convert each item of a VALUES list to its column: rows may mix types, and say DEFAULT."""
    stream = TokenStream(source)
    if not stream.accept("VALUES"):
        return source
    pieces: list[str] = []
    done = 0
    while stream.accept("("):
        index = 0
        while True:
            start = stream.offset
            item = stream.text_until(",", ")")
            if index < len(targets):
                column = targets[index]
                text = default_of(column) if item.upper() == "DEFAULT" else cast_to(item, column)
                pieces += [source[done:start], text]
                done = start + len(item)
            index += 1
            if not stream.accept(","):
                break
        stream.expect(")")
        if index != len(targets):
            raise InvalidRequest(
                f"the table takes {len(targets)} values, but a row of VALUES has {index}"
            )
        stream.accept(",")
    if not stream.done:
        return source
    return "".join([*pieces, source[done:]])


def insert_query(  # noqa: PLR0913 - the whole context of a statement
    session: Session,
    transaction: Transaction,
    state: TableState,
    source: str,
    targets: Sequence[Column],
    parameters: Parameters,
    frame: FrameType | None,
    *,
    by_name: bool = False,
    returning: str | None = None,
    operation: str = "INSERT",
    read_from: Snapshot | None = None,
) -> Result:
    """Insert the rows of a query into a table.

    Args:
        session: The session.
        transaction: Where the effects go.
        state: The table.
        source: The query's text.
        targets: The columns that its columns go to, in order; by name when ``by_name``.
        parameters: Parameters of the query.
        frame: The caller's frame.
        by_name: Match columns by name.
        returning: Select list to answer with, over the new rows.
        operation: Name of the operation for the history.
        read_from: The snapshot that the query reads; the transaction's present one by default.
    """
    definition = state.definition
    snapshot = read_from or transaction.snapshot
    logical = bind_text(session, source, snapshot)
    opened = open_route(session, source, logical, frame, snapshot)
    drained = False
    try:
        if by_name or (targets and not TokenStream(source).word() == "VALUES"):
            targets = _match_columns(opened, source, parameters, definition, targets, by_name)
        names = [f"x{index}" for index in range(len(targets))]
        given = {c.id: cast_to(f"source.{n}", c) for c, n in zip(targets, names, strict=True)}
        inner = ", ".join(
            f"{given.get(c.id) or default_of(c)} AS {quote(c.name)}" for c in definition.columns
        )
        aliased = f"({', '.join(names)})" if names else ""
        sql = (
            f"SELECT {storage_select(definition)} FROM (SELECT {inner} FROM ({source}\n) "
            f"AS source{aliased}) AS {quote(definition.name)}"
        )
        keys = KeyCheck(state)
        kept: list[pa.RecordBatch] | None = [] if returning else None
        write = BulkWrite(
            session.database.store, transaction, definition, session.database.hot,
            checks_of(definition), keys if keys.needed else None,
        )  # fmt: skip
        with session.guard.watch(opened.cursor):
            batches = _read(opened, sql, parameters)
            groups = write.run(batches if kept is None else _keep(batches, kept))
        drained = True
    finally:
        opened.close(drained=drained)
    if groups:
        transaction.add(operation, Append(definition.id, groups, keyed=keys.needed))
    verify_keys(session, transaction, definition, keys)
    if returning is not None and kept is not None:
        return _returned(session, definition, kept, returning)
    return Result(None, count=write.rows)


def _match_columns(  # noqa: PLR0913
    opened: OpenRoute,
    source: str,
    parameters: Parameters,
    definition: TableDefinition,
    targets: Sequence[Column],
    by_name: bool,
) -> Sequence[Column]:
    """The columns that the source's columns go to."""
    cursor = opened.cursor
    relation = cursor.sql(source) if parameters is None else cursor.sql(source, params=parameters)
    columns = list(relation.columns)
    if by_name:
        return [find_column(definition, name, source) for name in columns]
    if len(columns) != len(targets):
        raise InvalidRequest(
            f'table "{definition.name}" takes {len(targets)} columns here, but the query gives '
            f"{len(columns)}",
            hint="list the columns, or INSERT … BY NAME",
        )
    return targets


def _read(opened: OpenRoute, sql: str, parameters: Parameters) -> pa.RecordBatchReader:
    """Run a query and stream its rows."""
    cursor = opened.cursor
    relation = cursor.sql(sql) if parameters is None else cursor.sql(sql, params=parameters)
    return relation.to_arrow_reader(BATCH_ROWS)


def _keep(
    batches: Iterator[pa.RecordBatch] | pa.RecordBatchReader, kept: list[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        kept.append(batch)
        yield batch


def _returned(
    session: Session, definition: TableDefinition, kept: list[pa.RecordBatch], returning: str
) -> Result:
    """Answer RETURNING from stored rows."""
    restored = ", ".join(
        f"{column_type(c.type, collation=c.collation).from_storage(quote(str(c.id)))} "
        f"AS {quote(c.name)}"
        for c in definition.columns
    )
    arrays = {str(c.id): index for index, c in enumerate(definition.columns)}
    if kept:
        table = pa.Table.from_batches(kept).select(range(len(arrays)))
    else:
        table = pa.schema(
            [pa.field(str(c.id), c.arrow_type) for c in definition.columns]
        ).empty_table()
    select = f"{returning} FROM (SELECT {restored} FROM rows) AS {quote(definition.name)} --"
    return from_table(session, table, select)


def verify_keys(
    session: Session, transaction: Transaction, definition: TableDefinition, keys: KeyCheck
) -> None:
    if not keys.needed:
        return

    def probe(condition: str, new_keys: pa.Table | None) -> list[tuple[object, ...]]:
        named = f"{quote(definition.schema)}.{quote(definition.name)}"
        logical = bind_text(session, f"SELECT * FROM {named}", transaction.snapshot)
        opened = open_route(session, named, logical, None, transaction.snapshot)
        drained = False
        try:
            if new_keys is not None:
                opened.register("new_keys", new_keys)
            with session.guard.watch(opened.cursor):
                found = opened.cursor.execute(f"SELECT 1 FROM {named} {condition}").fetchall()
            drained = True
            return found
        finally:
            opened.close(drained=drained)

    keys.verify(probe)


# UPDATE and DELETE


@dataclass(slots=True)
class Located:
    """Positions that a statement found, by part of the table's leaf."""

    parts: Sequence[Part]
    found: dict[int, list[npt.NDArray[np.int64]]] = field(default_factory=dict)

    def note(self, part: npt.NDArray[np.int64], position: npt.NDArray[np.int64]) -> None:
        for number in np.unique(part):
            self.found.setdefault(int(number), []).append(position[part == number])

    def positions(self) -> dict[str, Positions]:
        """Positions by row group, sorted and distinct."""
        located: dict[str, Positions] = {}
        for number, pieces in self.found.items():
            located.update(self.parts[number].locate(np.concatenate(pieces)))
        return located


def _column(batch: pa.RecordBatch, index: int) -> npt.NDArray[np.int64]:
    array = batch.column(index).cast(pa.int64())
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)


def delete(
    session: Session,
    transaction: Transaction,
    statement: st.Delete,
    parameters: Parameters,
    frame: FrameType | None,
) -> Result:
    """Run a DELETE or TRUNCATE."""
    state = target_table(session, statement.target, "delete from")
    definition = state.definition
    source = _from_clause(definition, statement.alias, statement.sources, statement.condition)
    returned: Result | None = None
    if statement.returning is not None:
        named = f"{quote(definition.schema)}.{quote(definition.name)}"
        sql = f"{statement.ctes}SELECT {statement.returning} FROM {source.format(table=named)}"
        returned = _collected(session, transaction, sql, parameters, frame)
    everything = statement.condition is None and statement.sources is None
    if everything and not statement.ctes:
        positions = _all_positions(state, session)
    else:
        located = Located(())
        for batch, leaf_parts in _located_rows(
            session, transaction, state, statement.ctes, source, [], parameters, frame
        ):
            located.parts = leaf_parts
            located.note(_column(batch, 0), _column(batch, 1))
        positions = located.positions()
    transaction.delete("DELETE", definition.id, positions)
    count = sum(int(p.size) for p in positions.values())
    return returned or Result(None, count=count)


def _all_positions(state: TableState, session: Session) -> dict[str, Positions]:
    """Every live position of a table."""
    pages = session.database.store.pages
    positions: dict[str, Positions] = {}
    for group in state.row_groups:
        live = np.ones(group.rows, dtype=bool)
        for vector in state.deletes.get(group.id, ()):
            live[vector.positions(pages)] = False
        positions[group.id] = np.flatnonzero(live).astype(np.uint32)
    return positions


def _from_clause(
    definition: TableDefinition, alias: str | None, sources: str | None, condition: str | None
) -> str:
    """``{table} AS alias, sources WHERE condition`` with a place for the table's view."""
    clause = f"{{table}} AS {quote(alias or definition.name)}"
    if sources:
        clause += f", {_escape(sources)}\n"
    if condition:
        clause += f" WHERE ({_escape(condition)}\n)"
    return clause


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _located_rows(  # noqa: PLR0913 - the whole context of a statement
    session: Session,
    transaction: Transaction,
    state: TableState,
    ctes: str,
    source: str,
    expressions: Sequence[tuple[str, Column]],
    parameters: Parameters,
    frame: FrameType | None,
    *,
    once: bool = False,
    becomes: TableDefinition | None = None,
) -> Iterator[tuple[pa.RecordBatch, Sequence[Part]]]:
    """Find rows: batches of part, position and, when asked for, new stored columns.

    ``expressions`` give the columns of ``becomes``, the table's definition by default.
    """
    definition = state.definition
    becomes = becomes or definition
    named = f"{quote(definition.schema)}.{quote(definition.name)}"
    listed = ", ".join(text for text, _ in expressions) or "1"
    readable = f"{ctes}SELECT {listed} FROM {source.format(table=named)}"
    logical = bind_text(session, readable, transaction.snapshot)
    opened = open_route(session, readable, logical, frame, transaction.snapshot)
    drained = False
    try:
        view, part, position = opened.route.located(definition.id)
        opened.route.register(opened.cursor, opened.registered)
        body = f"{part}, {position}"
        for text, column in expressions:
            body += f", {cast_to(text, column)} AS {quote(column.name)}"
        chosen = f"{ctes}SELECT {body} FROM {source.format(table=view)}"
        if once:
            chosen += f" QUALIFY row_number() OVER (PARTITION BY {part}, {position}) = 1"
        stored = f", {storage_select(becomes)}" if expressions else ""
        sql = f"SELECT {part}, {position}{stored} FROM ({chosen}) AS {quote(definition.name)}"
        parts = opened.route.leaf(definition.id).parts
        with session.guard.watch(opened.cursor):
            for batch in _read(opened, sql, parameters):
                yield batch, parts
        drained = True
    finally:
        opened.close(drained=drained)


def update(
    session: Session,
    transaction: Transaction,
    statement: st.Update,
    parameters: Parameters,
    frame: FrameType | None,
) -> Result:
    """Run an UPDATE."""
    state = target_table(session, statement.target, "update")
    definition = state.definition
    alias = quote(statement.alias or definition.name)
    assigned: dict[int, str] = {}
    for name, expression in statement.assignments:
        column = find_column(definition, name, name)
        if column.id in assigned:
            raise InvalidRequest(f'column "{column.name}" is assigned twice')
        is_default = expression.strip().upper() == "DEFAULT"
        assigned[column.id] = default_of(column) if is_default else f"({expression}\n)"
    expressions = [
        (assigned.get(c.id, f"{alias}.{quote(c.name)}"), c) for c in definition.columns
    ]
    source = _from_clause(definition, statement.alias, statement.sources, statement.condition)
    located = Located(())
    changed = frozenset(assigned)
    keys = KeyCheck(state, changed)
    kept: list[pa.RecordBatch] = []
    versions = row_versions(
        session, transaction, state, definition, statement.ctes, source, expressions, parameters,
        frame, located, once=statement.sources is not None,
    )  # fmt: skip
    write = BulkWrite(
        session.database.store, transaction, definition, None, checks_of(definition),
        keys if keys.needed else None, row_ids=True,
    )  # fmt: skip
    groups: tuple[RowGroup, ...] = write.run(
        versions if statement.returning is None else _keep(versions, kept)
    )
    positions = located.positions()
    transaction.delete("UPDATE", definition.id, positions)
    if groups:
        keyed = bool(changed & key_columns(definition))
        transaction.add("UPDATE", Append(definition.id, groups, keyed=keyed))
    verify_keys(session, transaction, definition, keys)
    if statement.returning is not None:
        return _returned(session, definition, kept, statement.returning)
    return Result(None, count=write.rows)


def row_versions(  # noqa: PLR0913 - the whole context of a statement
    session: Session,
    transaction: Transaction,
    state: TableState,
    becomes: TableDefinition,
    ctes: str,
    source: str,
    expressions: Sequence[tuple[str, Column]],
    parameters: Parameters,
    frame: FrameType | None,
    located: Located,
    *,
    once: bool = False,
) -> Iterator[pa.RecordBatch]:
    """New versions of rows: stored columns, row ids, then one boolean for each check.

    Where each row lay is noted in ``located`` as the batches go by.
    """
    width, checks = len(becomes.columns), checks_of(becomes)
    for batch, parts in _located_rows(
        session, transaction, state, ctes, source, expressions, parameters, frame,
        once=once, becomes=becomes,
    ):  # fmt: skip
        located.parts = parts
        part, position = _column(batch, 0), _column(batch, 1)
        located.note(part, position)
        ids = row_ids(
            parts, part, position, session.database.store, state.definition, transaction.id
        )
        columns = batch.columns
        stored = [*columns[2 : 2 + width], ids, *columns[2 + width :]]
        names = [*(str(c.id) for c in becomes.columns), "row id", *checks]
        yield pa.RecordBatch.from_arrays(stored, names=names)


def _collected(
    session: Session,
    transaction: Transaction,
    sql: str,
    parameters: Parameters,
    frame: FrameType | None,
) -> Result:
    """Run a query now and keep its rows: what it reads is about to be deleted."""
    logical = bind_text(session, sql, transaction.snapshot)
    opened = open_route(session, sql, logical, frame, transaction.snapshot)
    drained = False
    try:
        with session.guard.watch(opened.cursor):
            table = _read(opened, sql, parameters).read_all()
        drained = True
    finally:
        opened.close(drained=drained)
    return from_table(session, table)

