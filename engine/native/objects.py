"""Sequences, macros, types, indexes, comments, and everything that is dropped.

The user's statement runs on a copy of the catalog; what is there afterwards and was not before,
or the other way round, becomes effects.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb

from ...errors import Unsupported
from ...sql.tokens import TokenStream, literal, quote
from ...storage.effects import (
    AttachKeyRuns,
    CatalogEntry,
    CreateSchema,
    DropEntry,
    DropSchema,
    DropTable,
    DropView,
)
from .catalog_copy import OWNER, CatalogCopy, catalog_copy

if TYPE_CHECKING:
    from ...sql import statement as st
    from ...storage.effects import Effect
    from ...storage.snapshot import Snapshot
    from ..statements.change import Change

Inventory = dict[tuple[str, str, str], str]


_QUERY_WORDS = {"SELECT", "FROM", "WITH", "VALUES", "PIVOT", "UNPIVOT", "("}
_TABLE = re.compile(r"\bAS\s+TABLE\b", re.IGNORECASE)
_REPLACED = re.compile(r"\s*CREATE\s+OR\s+REPLACE\b", re.IGNORECASE)


def _gives_table(tail: str) -> bool:
    return _TABLE.search(tail) is not None


def _words(sql: str) -> frozenset[str]:
    """Folded words of a text: what it may name."""
    return frozenset(str(token.text).lower() for token in TokenStream(sql).tokens)


def change_catalog(change: Change, statement: st.CatalogChange) -> None:
    """Run a CREATE, DROP, ALTER or COMMENT ON of what only the kernel understands."""
    session, transaction = change.session, change.transaction
    snapshot = transaction.snapshot
    sql = without_store(statement.sql, session.database.name, snapshot)
    words = _words(sql)
    with catalog_copy(session, snapshot, session.schema, words) as copy:
        macros = statement.kind == "MACRO"
        before = copy.inventory(macros=macros)
        if statement.kind == "TYPE":
            sql = _with_labels(change, sql)
        try:
            copy.cursor.execute(sql)
        except duckdb.CatalogException:
            if statement.verb == "CREATE" or not session.has_kernel_state:
                raise
            session.primary().execute(sql)  # one of the session's own temporary ones
        effects = differences(copy, before, copy.inventory(macros=macros), statement)
    if statement.verb == "ALTER" and statement.kind == "SEQUENCE":
        effects += _ownership(change, sql)
    if effects:
        transaction.add(f"{statement.verb} {statement.kind}", *effects)


def _ownership(change: Change, sql: str) -> list[Effect]:
    """What ALTER SEQUENCE … OWNED BY … says, once the kernel has found no fault in it."""
    snapshot, schema = change.transaction.snapshot, change.session.schema
    stream = TokenStream(sql)
    stream.expect("ALTER", "SEQUENCE")
    stream.accept("IF", "EXISTS")
    sequence = stream.name()
    if not stream.accept("OWNED", "BY"):
        return []
    places = sequence.parts[:-1] or (schema, "main")
    keys = [("sequence", place.lower(), sequence.last.lower()) for place in places]
    owned = next((snapshot.entries[key] for key in keys if key in snapshot.entries), None)
    if owned is None:
        return []  # IF EXISTS, or one of the session's own temporary ones
    name = stream.name()
    for place in name.parts[:-1] or (schema, "main"):
        state, folded = snapshot.table(place, name.last), (place.lower(), name.last.lower())
        if state is not None:
            change.transaction.rely_on(state.definition.id)
            told = CatalogEntry(OWNER, owned.schema, owned.name, state.definition.id)
            # No runs at all: it tells whoever drops the table meanwhile, and nobody else.
            return [told, AttachKeyRuns(state.definition.id, ())]
        if snapshot.view(place, name.last) or ("sequence", *folded) in snapshot.entries:
            owner = f"{quote(place)}.{quote(name.last)}"
            return [CatalogEntry(OWNER, owned.schema, owned.name, owner)]
    return []


def drop_objects(change: Change, sql: str, operation: str) -> None:
    """Drop tables, views and schemas, with what depends on them."""
    session, transaction = change.session, change.transaction
    snapshot = transaction.snapshot
    sql = without_store(sql, session.database.name, snapshot)
    words = _words(sql)
    everything = None if operation == "DROP SCHEMA" else words
    with catalog_copy(session, snapshot, session.schema, everything) as copy:
        before = copy.inventory()
        copy.cursor.execute(sql)
        effects = differences(copy, before, copy.inventory(), None)
    if effects:
        transaction.add(operation, *effects)
    if not transaction.snapshot.has_schema(session.schema):
        session.schema = "main"


def differences(
    copy: CatalogCopy, before: Inventory, after: Inventory, statement: st.CatalogChange | None
) -> list[Effect]:
    """The effects that lead from one inventory of a copy to another."""
    gone = [key for key in before if key not in after or after[key] != before[key]]
    effects = [effect for key in reversed(gone) for effect in _dropped(copy.snapshot, key)]
    for key, text in after.items():
        kind, schema, name = key
        if key in before and before[key] == text and not _is_remade(statement, kind, name):
            continue
        if kind == "schema":
            effects.append(CreateSchema(name))
        elif kind in {"macro", "table_macro"}:
            assert statement is not None, "only CREATE MACRO makes one"
            sql = f"CREATE MACRO {quote(name)}{statement.tail}"
            effects.append(CatalogEntry(kind, schema, name, sql))
        elif kind == "type":
            made = copy.cursor.execute(
                f"SELECT typeof(CAST(NULL AS {copy.path(schema)}.{quote(name)}))"
            ).fetchall()
            sql = f"CREATE TYPE {quote(name)} AS {made[0][0]}"
            effects.append(CatalogEntry(kind, schema, name, sql))
        elif kind in {"sequence", "comment"}:
            effects.append(CatalogEntry(kind, schema, name, text))
    # A schema goes last and comes first.
    return sorted(effects, key=lambda e: isinstance(e, DropSchema) - isinstance(e, CreateSchema))


def _is_remade(statement: st.CatalogChange | None, kind: str, name: str) -> bool:
    """Tell whether a statement replaces something by what has the same text.

    The text of a macro does not tell its defaults, that of a sequence not where it is.
    """
    if statement is None or not _REPLACED.match(statement.sql):
        return False
    if statement.name is None:
        return kind == "sequence" == statement.kind.lower() and name.lower() in _words(
            statement.sql
        )
    made = "table_macro" if _gives_table(statement.tail) else "macro"
    return kind == made and name.lower() == statement.name.last.lower()


def _dropped(snapshot: Snapshot, key: tuple[str, str, str]) -> list[Effect]:
    kind, schema, name = key
    if kind == "table":
        state = snapshot.table(schema, name)
        return [DropTable(state.definition.id)] if state is not None else []
    if kind == "view":
        return [DropView(schema, name)]
    if kind == "schema":
        return [DropSchema(name)]
    if kind == "index":
        return []
    owner = DropEntry(OWNER, schema, name)
    owned = kind == "sequence" and (OWNER, schema.lower(), name.lower()) in snapshot.entries
    return [DropEntry(kind, schema, name), *([owner] if owned else [])]


def _with_labels(change: Change, sql: str) -> str:
    """CREATE TYPE … AS ENUM (query), with the query's rows in its place."""
    stream = TokenStream(sql)
    stream.text_until("ENUM")
    is_enum = stream.accept("ENUM") and stream.word() == "("
    if not is_enum or stream.word(1) not in _QUERY_WORDS:
        return sql
    start = stream.offset + 1
    stream.skip_balanced()
    query, end = sql[start : stream.behind - 1], stream.behind - 1
    opened = change.open(query)
    drained = False
    try:
        with change.session.guard.watch(opened.cursor):
            rows = opened.cursor.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({query})")
            labels = rows.fetchall()
        drained = True
    finally:
        opened.close(drained=drained)
    if any(len(row) != 1 or row[0] is None for row in labels):
        raise Unsupported("an ENUM needs one column of labels, none of them NULL", construct="ENUM")
    distinct = dict.fromkeys(str(row[0]) for row in labels)
    return f"{sql[:start]}{', '.join(map(literal, distinct))}{sql[end:]}"


def without_store(sql: str, store: str, snapshot: Snapshot) -> str:
    """Take the store's own name out of the names of a statement that changes the catalog."""
    if store.lower() not in sql.lower():
        return sql
    tokens = TokenStream(sql).tokens
    cuts: list[tuple[int, int]] = []
    for index in range(len(tokens) - 2):
        first, dot = tokens[index], tokens[index + 1]
        before = tokens[index - 1].text if index else ""
        if first.text.lower() != store.lower() or dot.text != "." or before == ".":
            continue
        longer = index + 3 < len(tokens) and tokens[index + 3].text == "."
        if longer or not (snapshot.has_schema(store) or _is_relation(snapshot, store)):
            cuts.append((first.start, dot.end + 1))
    for start, end in reversed(cuts):
        sql = sql[:start] + sql[end:]
    return sql


def _is_relation(snapshot: Snapshot, name: str) -> bool:
    return any(
        snapshot.table(schema, name) or snapshot.view(schema, name) for schema in snapshot.schemas
    )
