"""CREATE, DROP and ALTER: changes of names and definitions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from ...errors import (
    AlreadyExists,
    InvalidRequest,
    UnknownName,
    Unsupported,
)
from ...sql import statement as st
from ...sql.column_types import column_type
from ...sql.names import close_matches
from ...sql.references import without_versions
from ...sql.tokens import TokenStream, quote
from ...sql.type_tree import parse_type
from ...storage.effects import (
    AlterTable,
    CatalogEntry,
    Column,
    CreateSchema,
    CreateTable,
    DropEntry,
    DropTable,
    DropView,
    Effect,
    Rewrite,
    TableDefinition,
    View,
)
from ...storage.schema_path import enclosing, innermost, joined
from ..catalog import CATALOG_SCHEMAS, RESERVED_SCHEMAS
from ..keys.index_statements import attach_runs, carried_over
from ..native.at_hand import at_hand
from ..native.catalog_copy import CatalogCopy, catalog_copy, tracks_dependencies
from ..native.decision import asks_rowid, uses_sequence
from ..native.mirror import alter_rows
from ..native.objects import Inventory, differences, without_store
from ..query import bind_text, open_route
from ..time_travel import require_lasting, splice
from .bulk_write import BulkWrite, as_stored
from .change import Change, checks_of, default_of, find_column, verify_keys
from .constraint_names import (
    with_given_names,
    written_before,
    written_in_action,
    written_in_body,
)
from .drop import require_empty, require_enclosing, schema_path
from .insert import RowSource, insert_query
from .key_check import KeyCheck
from .modify import Located, Search, row_versions
from .rename_field import taken_over
from .rows_check import refuse_duplicates, refuse_nulls
from .shadow import (
    ShadowTable,
    column_of,
    constraints_of,
    define,
    generated_of,
    is_plain,
    plain_column,
    read_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.snapshot import Snapshot, TableState
    from ...storage.transaction import Transaction
    from ..kernel import Cursor
    from ..result import Result
    from ..session import Session

_NESTED = re.compile(r"\s*(ADD|ALTER|DROP)\s+(COLUMN\s+)?(IF\s+(NOT\s+)?EXISTS\s+)?"
                     r"[\w\"]+\s*\.", re.IGNORECASE)  # fmt: skip
"""An ALTER of a field inside a column: the kernel carries values over."""


def operation(statement: st.CreateView | st.CreateSchema | st.Alter) -> str:
    """Name of a change for the history."""
    match statement:
        case st.CreateView():
            return "CREATE VIEW"
        case st.CreateSchema():
            return "CREATE SCHEMA"
        case st.Alter(kind):
            return f"ALTER {kind}"


def change(
    session: Session,
    transaction: Transaction,
    statement: st.CreateView | st.CreateSchema | st.Alter,
) -> None:
    """Run a CREATE, DROP or ALTER of anything but a new table."""
    match statement:
        case st.CreateView():
            _create_view(session, transaction, statement)
        case st.CreateSchema():
            _create_schema(session, transaction, statement)
        case st.Alter():
            _alter(session, transaction, statement)


def make_room(
    snapshot: Snapshot,
    qualified: tuple[str, str],
    kind: str,
    *,
    or_replace: bool = False,
    if_not_exists: bool = False,
) -> list[Effect] | None:
    """Effects that free a name; None when what is there is to be kept.

    Raises:
        AlreadyExists: The name is taken.
    """
    schema, name = qualified
    state, view = snapshot.table(schema, name), snapshot.view(schema, name)
    if state is None and view is None:
        return []
    found = "table" if state is not None else "view"
    if if_not_exists:
        return None
    if or_replace and found == kind:
        return [DropTable(state.definition.id)] if state else [DropView(schema, name)]
    raise AlreadyExists(
        f'a {found} named "{name}" exists already in schema "{schema}"',
        hint=f"say CREATE OR REPLACE {kind.upper()}, or IF NOT EXISTS" if found == kind else None,
    )


def make_room_for_table(
    change: Change, statement: st.CreateTable | st.CloneTable
) -> tuple[tuple[str, str, str], Sequence[Effect]] | None:
    """Choose the id of a table to be created.

    Returns:
        Its id, schema and name, and the effects that free the name; None where the table that is
        there stays.

    Raises:
        AlreadyExists: The name is taken.
    """
    session = change.session
    schema, name = session.qualify(statement.name)
    freed = make_room(
        change.transaction.snapshot,
        (schema, name),
        "table",
        or_replace=statement.or_replace,
        if_not_exists=statement.if_not_exists,
    )
    if freed is None:
        return None
    table_id = session.database.environment.random_bytes(8).hex()
    return (table_id, schema, name), freed


def create_table(change: Change, statement: st.CreateTable) -> Result | None:
    """Run CREATE TABLE or CREATE TABLE AS."""
    session, transaction = change.session, change.transaction
    room = make_room_for_table(change, statement)
    if room is None:
        return None
    identity, freed = room
    if statement.query is None:
        definition = _definition_of_body(session, statement, identity, transaction.snapshot)
        definition = clustered(definition, statement.cluster_by or ())
        transaction.add("CREATE TABLE", *freed, CreateTable(definition))
        return None
    change, query = at_hand(change, statement.query)
    statement = replace(statement, query=query)
    definition = _definition_of_query(change, statement, identity)
    definition = clustered(definition, statement.cluster_by or ())
    # CREATE OR REPLACE t AS SELECT … FROM t reads the old t.
    source = RowSource(query, definition.columns, snapshot=transaction.snapshot)
    transaction.add("CREATE TABLE AS", *freed, CreateTable(definition))
    if not statement.with_rows:
        return None
    state = transaction.snapshot.tables[definition.id]
    return insert_query(change, state, source, operation="CREATE TABLE AS")


def clustered(definition: TableDefinition, columns: Sequence[str]) -> TableDefinition:
    """A definition with the columns that its rows are to be sorted by.

    Raises:
        UnknownName: The table has no such column.
        Unsupported: Values of a column have no order that the store knows.
    """
    found = [find_column(definition, name) for name in columns]
    for column in found:
        if not column_type(column.type, collation=column.collation).ordered:
            raise Unsupported(
                f'the table cannot be clustered by "{column.name}", a {column.type}',
                construct="CLUSTER BY of that type",
            )
    ids = tuple(dict.fromkeys(column.id for column in found))
    return replace(definition, cluster_by=ids)


def _definition_of_body(
    session: Session, statement: st.CreateTable, identity: tuple[str, str, str], snapshot: Snapshot
) -> TableDefinition:
    """Definition of a table from its list of columns and constraints."""
    _, schema, name = identity
    body = without_store(statement.body, session.database.name, snapshot)
    with catalog_copy(session, snapshot, schema, _words(f"{statement.body} {quote(name)}")) as copy:
        replaced = "OR REPLACE " if statement.or_replace else ""
        target = f"{copy.path(schema)}.{quote(name)}"
        copy.cursor.execute(f"CREATE {replaced}TABLE {target} {body}")
        plain = is_plain(statement.body)
        shadow = read_table(copy.cursor, copy.database, schema, name, plain=plain)
        return define(shadow, identity, snapshot, written_in_body(statement.body))


def _words(sql: str) -> frozenset[str]:
    """Folded words of a text: what it may name."""
    return frozenset(str(token.text).lower() for token in TokenStream(sql).tokens)


def _definition_of_query(
    change: Change, statement: st.CreateTable, identity: tuple[str, str, str]
) -> TableDefinition:
    """Definition of a table that a query's rows go to."""
    query = statement.query or ""
    opened = change.open(query)
    try:
        names, types = change.describe(opened, query)
    finally:
        opened.close(drained=True)
    if statement.columns is not None:
        if len(statement.columns) > len(names):
            raise InvalidRequest(f"the query gives {len(names)} columns, more are named")
        names[: len(statement.columns)] = statement.columns
    columns = tuple(
        plain_column(number, name, type_)
        for number, (name, type_) in enumerate(zip(_distinct(names), types, strict=True), 1)
    )
    return TableDefinition(*identity, columns, len(columns) + 1)


def _distinct(names: Sequence[str]) -> list[str]:
    """Names made distinct as DuckDB does it, by a number behind them."""
    taken: set[str] = set()
    distinct = []
    for name in names:
        candidate, number = name, 1
        while candidate.lower() in taken:
            candidate, number = f"{name}_{number}", number + 1
        taken.add(candidate.lower())
        distinct.append(candidate)
    return distinct


def _create_view(session: Session, transaction: Transaction, statement: st.CreateView) -> None:
    schema, name = session.qualify(statement.name)
    freed = make_room(
        transaction.snapshot,
        (schema, name),
        "view",
        or_replace=statement.or_replace,
        if_not_exists=statement.if_not_exists,
    )
    if freed is None:
        return
    query, snapshot = statement.query, transaction.snapshot
    view = View(schema, name, query, statement.columns, session.schema, statement.secure)
    require_lasting(query)
    if not statement.deferred:
        _bind_view(session, snapshot, statement)
    if freed and tracks_dependencies(session):
        with catalog_copy(session, snapshot, session.schema, _words(query)) as copy:
            named = f"{copy.path(schema)}.{quote(name)}"
            copy.cursor.execute(f"CREATE OR REPLACE VIEW {named} AS {without_versions(query)}")
    transaction.add("CREATE VIEW", *freed, view)


def _bind_view(session: Session, snapshot: Snapshot, statement: st.CreateView) -> None:
    """Bind a view once, so that one that cannot work is refused where it is created."""
    query = splice(session, statement.query, session.catalog(snapshot)).sql
    if asks_rowid(snapshot, query):
        with catalog_copy(session, snapshot, session.schema, _words(query)) as copy:
            _require_width(statement, len(copy.cursor.sql(query).columns))
        return
    logical = bind_text(session, query, snapshot)
    opened = open_route(session, logical, None, snapshot)
    try:
        width = len(opened.cursor.sql(query).columns)
    finally:
        opened.close(drained=True)
    _require_width(statement, width)


def _require_width(statement: st.CreateView, width: int) -> None:
    if len(statement.columns) > width:
        raise InvalidRequest(f"the view names {len(statement.columns)} columns of {width}")


def _create_schema(session: Session, transaction: Transaction, statement: st.CreateSchema) -> None:
    snapshot = transaction.snapshot
    name = schema_path(session, snapshot, statement.name)
    allowed = CATALOG_SCHEMAS if session.importing else frozenset()
    if name.lower() in {*RESERVED_SCHEMAS, "temp"} - allowed:
        raise AlreadyExists(f'the schema "{name}" is reserved for the system')
    if transaction.snapshot.has_schema(name):
        if statement.if_not_exists:
            return
        if statement.or_replace:
            require_empty(transaction.snapshot, name)
            return
        raise AlreadyExists(f'there is a schema "{name}" already')
    require_enclosing(snapshot, name)
    around = enclosing(name)[-1:]
    spelled = [s for s in snapshot.schemas if (s.lower(),) == tuple(a.lower() for a in around)]
    transaction.add("CREATE SCHEMA", CreateSchema(joined(*spelled, innermost(name))))


# ALTER


def _alter(session: Session, transaction: Transaction, statement: st.Alter) -> None:
    try:
        schema, name = session.qualify(statement.name, existing=True)
    except UnknownName:
        if statement.if_exists:
            return
        raise
    snapshot = transaction.snapshot
    state = snapshot.table(schema, name)
    stream = TokenStream(statement.action)
    if state is not None and statement.kind == "VIEW":
        raise InvalidRequest(f'"{name}" is a table', hint="say ALTER TABLE")
    if state is None:
        view = snapshot.view(schema, name)
        if view is not None and stream.accept("RENAME", "TO"):
            renamed = replace(view, name=stream.identifier())
            make_room(snapshot, (schema, renamed.name), "view")
            transaction.add("ALTER VIEW", DropView(schema, name), renamed)
            return
        if statement.if_exists:
            return
        raise UnknownName(
            f'there is no table "{statement.name.dotted}"',
            name=statement.name.dotted,
            suggestions=close_matches(name, session.catalog().names()),
        )
    if stream.accept("RENAME", "TO"):
        _rename_table(session, transaction, state, stream.identifier())
    elif stream.accept("SET", "SCHEMA"):
        _move_table(session, transaction, state, stream.identifier())
    elif stream.accept("CLUSTER BY"):
        definition = clustered(state.definition, stream.names_in_parentheses())
        transaction.add("ALTER TABLE", AlterTable(definition))
    elif stream.accept("RESET", "CLUSTER BY"):
        transaction.add("ALTER TABLE", AlterTable(replace(state.definition, cluster_by=())))
    else:
        _alter_columns(session, transaction, state, statement.action)


def _rename_table(session: Session, transaction: Transaction, state: TableState, name: str) -> None:
    old = state.definition
    snapshot = transaction.snapshot
    # The kernel knows what depends on the table's name.
    with catalog_copy(session, snapshot, old.schema, _words(quote(old.name))) as copy:
        copy.cursor.execute(f"ALTER TABLE {copy.table(state)} RENAME TO {quote(name)}")
    if name.lower() != old.name.lower():
        make_room(transaction.snapshot, (old.schema, name), "table")
    transaction.add("ALTER TABLE", AlterTable(replace(with_given_names(old, snapshot), name=name)))


def _move_table(session: Session, transaction: Transaction, state: TableState, schema: str) -> None:
    found = next((s for s in session.snapshot().schemas if s.lower() == schema.lower()), None)
    if found is None:
        raise UnknownName(f'there is no schema "{schema}"', name=schema)
    make_room(transaction.snapshot, (found, state.definition.name), "table")
    transaction.add("ALTER TABLE", AlterTable(replace(state.definition, schema=found)))


def _alter_columns(
    session: Session, transaction: Transaction, state: TableState, action: str
) -> None:
    """Let the kernel alter an empty copy, and take over the difference."""
    snapshot = transaction.snapshot
    old = with_given_names(state.definition, snapshot)
    words = _words(f"{action} {quote(old.name)}")
    with catalog_copy(session, snapshot, old.schema, words) as copy:
        before = read_table(copy.cursor, copy.database, old.schema, old.name)
        others = copy.inventory() if snapshot.entries else {}
        copy.cursor.execute(f"ALTER TABLE {copy.table(state)} {action}")
        after = read_table(copy.cursor, copy.database, old.schema, old.name)
        related = _related(copy, others)
        columns, next_id, retyped = _merge(old, before, after, action, copy.cursor)
    kept = {c.id for c in columns}
    dropped = (*old.dropped, *(c for c in old.columns if c.id not in kept))
    replaced = {was.id: new_id for new_id, was in retyped.items() if was is not None}
    plain = replace(old, columns=columns, generated=generated_of(after))
    names = {c.id: c.name for c in columns}
    names |= {was: names[now] for was, now in replaced.items()}
    checks = [c.expression for c in after.constraints if c.kind == "check"]
    written = [*written_before(old, names, checks), *written_in_action(action)]
    new = replace(
        plain,
        next_column_id=next_id,
        constraints=constraints_of(after, plain, snapshot, written),
        dropped=dropped,
        cluster_by=tuple(found for c in old.cluster_by if (found := replaced.get(c, c)) in kept),
    )
    new = carried_over(old, new, [was for was in retyped.values() if was is not None])
    if retyped and (_NESTED.match(action) or uses_sequence(action)):
        groups = alter_rows(Change(session, transaction), state, action, new)
        gone = tuple(group.id for group in state.row_groups)
        transaction.add("ALTER TABLE", AlterTable(new), Rewrite(old.id, gone, groups), *related)
        return
    if retyped:
        _rewrite(session, transaction, state, new, retyped, action)
        if related:
            transaction.add("ALTER TABLE", *related)
        return
    for column in new.columns:
        was = next((c for c in old.columns if c.id == column.id), None)
        if was is not None and was.nullable and not column.nullable:
            refuse_nulls(session, transaction, old, was)
        if was is None and not column.nullable and column.initial is None and state.row_groups:
            raise InvalidRequest(
                f'column "{column.name}" is NOT NULL, but rows that are there would have no value',
                hint="add it with a DEFAULT, or fill it first and SET NOT NULL then",
            )
    for key in new.keys:
        if key not in old.keys:
            refuse_duplicates(session, transaction, old, new, key)
    transaction.add("ALTER TABLE", AlterTable(new), *related)
    attach_runs(session.database.store, transaction, old.id, set(new.keys) - set(old.keys))


def _related(copy: CatalogCopy, before: Inventory) -> list[Effect]:
    """What an ALTER did to indexes and comments."""
    if not before:
        return []
    found = differences(copy, before, copy.inventory(), None)
    return [e for e in found if isinstance(e, CatalogEntry | DropEntry)]


def _merge(
    old: TableDefinition, before: ShadowTable, after: ShadowTable, action: str, cursor: Cursor
) -> tuple[tuple[Column, ...], int, dict[int, Column | None]]:
    """Match the columns after an ALTER with those before.

    Returns:
        The new columns, the next free id, and columns to be written anew: new id to old column,
        None for an added one.
    """
    renamed, computed = _renamed(before, after), _computed(action)
    next_id = old.next_column_id
    columns: list[Column] = []
    retyped: dict[int, Column | None] = {}
    for column in (c for c in after.columns if c.generated is None):
        was = old.column(renamed.get(column.name.lower(), column.name))
        if was is None:
            made = column_of(column, next_id)
            if _is_volatile(cursor, made):
                retyped[next_id] = None  # a value of its own for each row
                columns.append(made)
            else:
                columns.append(replace(made, initial=_initial(cursor, made)))
            next_id += 1
        elif was.type != column.type or was.name.lower() == computed:
            columns.append(column_of(column, next_id))
            retyped[next_id] = was
            next_id += 1
        else:
            columns.append(
                replace(was, name=column.name, nullable=column.nullable, default=column.default)
            )
    return tuple(columns), next_id, retyped


def _computed(action: str) -> str | None:
    """The folded name of the column that ``ALTER … TYPE … USING`` gives other values."""
    if _using(action) is None:
        return None
    stream = TokenStream(action)
    stream.accept("ALTER")
    stream.accept("COLUMN")
    return stream.identifier().lower()


def _renamed(before: ShadowTable, after: ShadowTable) -> dict[str, str]:
    """New folded name to old name, when one column changed nothing but its name."""
    if len(before.columns) != len(after.columns):
        return {}
    pairs = zip(before.columns, after.columns, strict=True)
    changed = [(a, b) for a, b in pairs if a.name != b.name]
    return {b.name.lower(): a.name for a, b in changed}


def _is_volatile(cursor: Cursor, column: Column) -> bool:
    """Tell whether a default is another value for each row, such as uuid()."""
    if column.default is None:
        return False
    if uses_sequence(column.default):
        return True
    values = f"SELECT {default_of(column)}::VARCHAR AS v FROM range(64)"
    sql = f"SELECT count(DISTINCT v) FROM ({values})"
    found = cursor.execute(sql).fetchall()
    return bool(found[0][0] > 1)


def _initial(cursor: Cursor, column: Column) -> bytes | None:
    """The value, in its stored form, that rows have which are older than a column."""
    if column.default is None:
        return None
    stored = column_type(column.type, collation=column.collation)
    value = default_of(column)
    relation = cursor.sql(f"SELECT {stored.to_storage('v')} AS v FROM (SELECT {value} AS v)")
    initial = as_stored(relation.to_arrow_table().column(0).chunk(0), column.arrow_type)
    if initial.null_count:
        return None
    batch = pa.record_batch({"v": initial})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _rewrite(
    session: Session,
    transaction: Transaction,
    state: TableState,
    new: TableDefinition,
    retyped: dict[int, Column | None],
    action: str,
) -> None:
    """Write all rows anew with converted and added columns; row ids are kept."""
    old = state.definition
    using = _using(action)
    expressions: list[tuple[str, Column]] = []
    for column in new.columns:
        if column.id not in retyped:
            kept = next(c for c in old.columns if c.id == column.id)
            expressions.append((quote(kept.name), column))
        elif (was := retyped[column.id]) is None:
            expressions.append((default_of(column), column))
        else:
            source = using or _carried(quote(was.name), was, column, action)
            expressions.append((source, column))
    keys = KeyCheck(replace(state, definition=new))
    write = BulkWrite(
        session.database.store,
        transaction,
        new,
        session.database.hot,
        checks_of(new),
        keys if keys.needed else None,
        row_ids=True,
    )
    change = Change(session, transaction)
    search = Search.everything(state)
    groups = write.run(row_versions(change, search, expressions, new, Located()))
    removed = tuple(group.id for group in state.row_groups)
    transaction.add("ALTER TABLE", AlterTable(new), Rewrite(old.id, removed, groups))
    verify_keys(change, new, keys)


def _carried(source: str, was: Column, column: Column, action: str) -> str:
    """The value of a retyped column: renamed fields keep theirs, all else is converted."""
    if not TokenStream(action).accept("RENAME"):
        return source
    return taken_over(source, parse_type(was.type), parse_type(column.type))


def _using(action: str) -> str | None:
    """The expression of ``ALTER … TYPE … USING expression``."""
    stream = TokenStream(action)
    stream.text_until("USING")
    return stream.rest() if stream.accept("USING") else None
