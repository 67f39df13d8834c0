"""INSERT: rows of a query, or of literals and parameters, appended to a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import InvalidRequest
from ...sql import statement as st
from ...sql.tokens import TokenStream, quote
from ...storage.effects import Append, RowGroup
from ...storage.row_group import RowGroupWriter, inline_row_group
from ..result import Result
from .bulk_write import BulkWrite
from .change import (
    cast_to,
    checks_of,
    default_of,
    find_column,
    keep,
    returned,
    storage_select,
    target_table,
    verify_keys,
)
from .fast_insert import parameters_by_key
from .foreign_keys import ForeignKeys
from .key_check import KeyCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from ...storage.effects import Column
    from ...storage.snapshot import Snapshot, TableState
    from ..plan_cache import Plan
    from ..query import OpenRoute
    from .change import Change


def insert_fast(change: Change, plan: Plan, rows: Sequence[object]) -> Result | None:
    """Insert rows of plain values; None where the kernel must convert them."""
    fast = plan.fast_insert
    assert fast is not None
    state = change.transaction.snapshot.tables.get(fast.definition.id)
    if state is None or state.definition != fast.definition:
        return None  # the table was changed or dropped since the statement was planned
    batch = fast.batch([parameters_by_key(parameters) for parameters in rows])
    if batch is None:
        return None
    transaction, store = change.transaction, change.session.database.store
    columns = [c.id for c in fast.definition.columns]
    inlined = inline_row_group(transaction, batch, columns)
    if inlined is not None:
        groups: tuple[RowGroup, ...] = (inlined,)
    else:
        groups = RowGroupWriter(store, transaction, columns).write([batch])
    if fast.blind:
        append = Append(fast.definition.id, groups)
        if change.session.in_transaction:
            transaction.add("INSERT", append)
        else:
            transaction.add_blind("INSERT", append)
        return Result(None, count=batch.num_rows)
    ForeignKeys(change, state).added(batch)
    keys = KeyCheck(state)
    keys.observe(batch)
    append = Append(fast.definition.id, groups, keys.unique, keys.appended())
    transaction.add("INSERT", append)
    verify_keys(change, state.definition, keys)
    return Result(None, count=batch.num_rows)


def insert(change: Change, plan: Plan) -> Result:
    """Run an INSERT."""
    statement = plan.statement
    assert isinstance(statement, st.Insert)
    if plan.fast_insert is not None:
        result = insert_fast(change, plan, [change.parameters])
        if result is not None:
            return result
    state = target_table(change.session, statement.target, "insert into")
    definition = state.definition
    listed = [find_column(definition, n) for n in statement.columns or ()]
    if len({c.id for c in listed}) < len(listed):
        raise InvalidRequest("a column is listed twice")
    targets = listed or list(definition.columns)
    if statement.source is None:
        source, targets = "SELECT 1", []
    else:
        source = statement.ctes + converted_values(statement.source, targets)
    rows = RowSource(source, tuple(targets), by_name=statement.by_name)
    return insert_query(change, state, rows, returning=statement.returning)


def converted_values(
    source: str, targets: Sequence[Column], convert: Callable[[str, Column], str] = cast_to
) -> str:
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
                text = default_of(column) if item.upper() == "DEFAULT" else convert(item, column)
                pieces += [source[done:start], text]
                done = start + len(item)
            index += 1
            if not stream.accept(",") or stream.word() == ")":
                break
        stream.expect(")")
        if index != len(targets):
            raise InvalidRequest(
                f"the table takes {len(targets)} values, but a row of VALUES has {index}"
            )
        stream.accept(",")
    if not stream.at_end():
        return source
    return "".join([*pieces, source[done:]])


@dataclass(frozen=True, slots=True)
class RowSource:
    """Where inserted rows come from.

    Attributes:
        sql: The query's text.
        targets: The columns that its columns go to, in order; with ``by_name`` its own names
            decide. None at all: each row is made of defaults.
        by_name: Match columns by name.
        snapshot: What the query reads; the transaction's present snapshot by default.
    """

    sql: str
    targets: tuple[Column, ...]
    by_name: bool = False
    snapshot: Snapshot | None = None


def insert_query(
    change: Change,
    state: TableState,
    source: RowSource,
    *,
    returning: str | None = None,
    operation: str = "INSERT",
) -> Result:
    """Insert the rows of a query into a table.

    Args:
        change: The statement's surroundings.
        state: The table.
        source: The rows.
        returning: Select list to answer with, over the new rows.
        operation: Name of the operation for the history.
    """
    definition, database = state.definition, change.session.database
    keys = KeyCheck(state)
    write = BulkWrite(
        database.store,
        change.transaction,
        definition,
        database.hot,
        checks_of(definition),
        keys if keys.needed else None,
    )
    kept: list[pa.RecordBatch] = []
    opened = change.open(source.sql, source.snapshot)
    drained = False
    try:
        targets = target_columns(change, opened, definition.name, source, state)
        sql = storing_query(state, source.sql, targets)
        with change.session.guard.watch(opened.cursor):
            batches = ForeignKeys(change, state).watch(change.read(opened, sql))
            groups = write.run(batches if returning is None else keep(batches, kept))
        drained = True
    finally:
        opened.close(drained=drained)
    if groups:
        append = Append(definition.id, groups, keys.unique, keys.appended())
        change.transaction.add(operation, append)
    verify_keys(change, definition, keys)
    if returning is not None:
        return returned(change, definition, kept, returning)
    return Result(None, count=write.rows)


def storing_query(
    state: TableState,
    source: str,
    targets: Sequence[Column],
    convert: Callable[[str, Column], str] = cast_to,
) -> str:
    """The query that gives the stored columns of a source's rows."""
    definition = state.definition
    names = [f"x{index}" for index in range(len(targets))]
    given = {c.id: convert(f"source.{n}", c) for c, n in zip(targets, names, strict=True)}
    inner = ", ".join(
        f"{given.get(c.id) or default_of(c)} AS {quote(c.name)}" for c in definition.columns
    )
    aliased = f"({', '.join(names)})" if names else ""
    return (
        f"SELECT {storage_select(definition)} FROM (SELECT {inner} FROM ({source}\n) "
        f"AS source{aliased}) AS {quote(definition.name)}"
    )


def target_columns(
    change: Change, opened: OpenRoute, table: str, source: RowSource, state: TableState
) -> Sequence[Column]:
    """The columns that the source's columns go to."""
    if not source.targets or TokenStream(source.sql).word() == "VALUES":
        return source.targets
    columns, _ = change.describe(opened, source.sql)
    if source.by_name:
        if len({name.lower() for name in columns}) < len(columns):
            raise InvalidRequest("the query gives two columns of one name")
        return [find_column(state.definition, name) for name in columns]
    if len(columns) != len(source.targets):
        raise InvalidRequest(
            f'table "{table}" takes {len(source.targets)} columns here, but the query gives '
            f"{len(columns)}",
            hint="list the columns, or INSERT … BY NAME",
        )
    return source.targets
