"""CREATE INDEX and DROP INDEX: named keys of a table that are searched, and may be unique."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import AlreadyExists, ConstraintViolation, InvalidRequest, UnknownName, Unsupported
from ...sql import statement as st
from ...sql.names import close_matches
from ...sql.tokens import TokenStream, quote
from ...storage.effects import AlterTable, AttachKeyRuns, Constraint
from ...storage.keys.missing_runs import write_missing_runs
from ..native.catalog_copy import catalog_copy
from ..statements.change import target_table
from ..statements.key_check import as_key
from .indexed import is_indexed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...storage.effects import Column, TableDefinition
    from ...storage.snapshot import Snapshot, TableState
    from ...storage.store import Store
    from ...storage.transaction import Transaction
    from ..session import Session
    from ..statements.change import Change

_INDEXES = frozenset({"index", "unique_index"})


def run(change: Change, statement: st.CreateIndex | st.DropIndex) -> None:
    """Run CREATE INDEX or DROP INDEX."""
    if isinstance(statement, st.CreateIndex):
        _create(change, statement)
    else:
        _drop(change, statement)


def _create(change: Change, statement: st.CreateIndex) -> None:
    session, transaction = change.session, change.transaction
    state = target_table(session, statement.table, "index")
    definition = state.definition
    name = statement.name
    if _find(transaction.snapshot, definition.schema, name) is not None:
        if statement.if_not_exists:
            return
        raise AlreadyExists(
            f'an index named "{name}" exists already in schema "{definition.schema}"',
            hint="say CREATE INDEX IF NOT EXISTS",
        )
    _try_on_shadow(session, statement, definition)
    columns = _columns(statement, definition)
    if columns is None:
        if statement.unique:
            raise Unsupported(
                "a unique index on an expression is not supported",
                construct="CREATE UNIQUE INDEX on an expression",
                hint="index a column that holds the expression's value",
            )
        index = Constraint("index", (), ", ".join(statement.keys), name)
        transaction.add("CREATE INDEX", AlterTable(_with(definition, index), only_indexes=True))
        return
    kind = "unique_index" if statement.unique else "index"
    index = Constraint(kind, tuple(c.id for c in columns), None, name)
    if statement.unique:
        _refuse_duplicates(change, definition, columns)
    altered = AlterTable(_with(definition, index), only_indexes=not statement.unique)
    transaction.add("CREATE INDEX", altered)
    attach_runs(session.database.store, transaction, definition.id, [index])


def attach_runs(
    store: Store, transaction: Transaction, table: str, keys: Iterable[Constraint]
) -> None:
    """Give a table sorted runs of keys that are new to it.

    Args:
        store: The store.
        transaction: In which the keys were added.
        table: Table id.
        keys: The keys.
    """
    for key in keys:
        state = transaction.snapshot.tables[table]
        by_id = {c.id: c for c in state.definition.columns}
        columns = [by_id[c] for c in key.columns]
        if columns and is_indexed(columns):
            runs = write_missing_runs(store, transaction, state, columns)
            if runs:
                transaction.add(transaction.operations[-1], AttachKeyRuns(table, tuple(runs)))


def carried_over(
    old: TableDefinition, new: TableDefinition, retyped: Iterable[Column]
) -> TableDefinition:
    """A table's definition after ALTER, with the indexes that it had.

    Raises:
        InvalidRequest: A column that an index is on is dropped or gets another type.
    """
    kept = {c.id for c in new.columns}
    changed = {c.id for c in retyped}
    indexes = [c for c in old.constraints if c.kind in _INDEXES]
    for index in indexes:
        if not kept >= set(index.columns) or changed & set(index.columns):
            raise InvalidRequest(
                f'index "{index.name}" depends on the column',
                hint=f"say DROP INDEX {quote(index.name or '')} first",
            )
    return replace(new, constraints=(*new.constraints, *indexes))


def _with(definition: TableDefinition, index: Constraint) -> TableDefinition:
    return replace(definition, constraints=(*definition.constraints, index))


def _find(snapshot: Snapshot, schema: str, name: str) -> tuple[TableState, Constraint] | None:
    """An index by its name, regardless of case."""
    for state in snapshot.tables.values():
        if state.definition.schema.lower() != schema.lower():
            continue
        for constraint in state.definition.constraints:
            if constraint.kind in _INDEXES and str(constraint.name).lower() == name.lower():
                return state, constraint
    return None


def _try_on_shadow(
    session: Session, statement: st.CreateIndex, definition: TableDefinition
) -> None:
    """Let the kernel refuse what it would refuse: unknown columns, types without an order."""
    unique = "UNIQUE " if statement.unique else ""
    snapshot = session.snapshot()
    with catalog_copy(session, snapshot, definition.schema, tables=[definition.id]) as copy:
        target = copy.table(snapshot.tables[definition.id])
        keys = ", ".join(statement.keys)
        copy.cursor.execute(f"CREATE {unique}INDEX tried ON {target} ({keys})")


def _columns(statement: st.CreateIndex, definition: TableDefinition) -> tuple[Column, ...] | None:
    """The columns that an index is on; None where one of its keys is an expression."""
    found: list[Column] = []
    for key in statement.keys:
        stream = TokenStream(key)
        while stream.accept("(") and stream.word(-1) != ")":
            pass
        try:
            column = definition.column(stream.identifier())
        except InvalidRequest:
            return None
        rest = {")", "ASC", "DESC", "NULLS", "FIRST", "LAST"}
        while stream.word() in rest:
            stream.at += 1
        if column is None or not stream.at_end():
            return None
        if column not in found:
            found.append(column)
    return tuple(found)


def _refuse_duplicates(
    change: Change, definition: TableDefinition, columns: tuple[Column, ...]
) -> None:
    names = ", ".join(quote(c.name) for c in columns)
    present = " AND ".join(f"{quote(c.name)} IS NOT NULL" for c in columns)
    named = f"{quote(definition.schema)}.{quote(definition.name)}"
    keys = ", ".join(as_key(quote(c.name), c) for c in columns)
    sql = f"SELECT 1 FROM {named} WHERE {present} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
    opened = change.open(sql)
    drained = False
    try:
        with change.session.guard.watch(opened.cursor):
            found = opened.cursor.execute(sql).fetchall()
        drained = True
    finally:
        opened.close(drained=drained)
    if found:
        raise ConstraintViolation(
            f"UNIQUE constraint failed: {definition.name} has duplicates in ({names})"
        )


def _drop(change: Change, statement: st.DropIndex) -> None:
    for name in statement.names:
        snapshot = change.transaction.snapshot
        schema = name.parts[-2] if len(name.parts) > 1 else change.session.schema
        found = _find(snapshot, schema, name.last)
        if found is None:
            if change.session.has_kernel_state and len(name.parts) == 1:
                # It may be one of a temporary table, which the kernel alone knows.
                change.session.primary().execute(f"DROP INDEX IF EXISTS {quote(name.last)}")
                continue
            if statement.if_exists:
                continue
            known = [
                str(c.name)
                for state in snapshot.tables.values()
                for c in state.definition.constraints
                if c.kind in _INDEXES
            ]
            raise UnknownName(
                f'there is no index "{name.dotted}"',
                name=name.dotted,
                suggestions=close_matches(name.last, known),
            )
        state, index = found
        left = tuple(c for c in state.definition.constraints if c != index)
        altered = replace(state.definition, constraints=left)
        transaction = change.transaction
        transaction.add("DROP INDEX", AlterTable(altered, only_indexes=index.kind == "index"))
