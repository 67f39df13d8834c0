"""A copy of the store's catalog as the kernel's own objects, without rows.

Tables keep their constraints and defaults, and sequences, macros, types, indexes and comments
are really there; a statement of the user's that runs here does, and refuses, what DuckDB does.
What came of it is read back (``inventory``) or, for rows, compared (``mirror``).
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import duckdb

from ...extensions.facts.vector import FACTS_SQL
from ...extensions.files import relations as files
from ...sql.references import without_versions
from ...sql.tokens import TokenStream, literal, quote
from ...storage.effects import CatalogEntry
from ..statements.constraint_names import INDEX_KINDS
from ..statements.shadow import render, render_index

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ...storage.effects import View
    from ...storage.snapshot import Snapshot, TableState
    from ...storage.transaction import Transaction
    from ..kernel import Cursor
    from ..session import Session

_NEXT = re.compile(r" /\* next (-?\d+) \*/$")
"""Behind the text of a sequence: the value that it gives next, where setval has said so."""
OWNER = "owner"
"""Kind of the entry that tells what a sequence goes with: a table's id, or a name in quotes."""
_ORDER = {"type": 0, "sequence": 1, "macro": 2, "table_macro": 2, OWNER: 6, "comment": 6}
_TABLES, _VIEWS, _INDEXES = 3, 4, 5
_TURNS_MAX = 8
"""How often what failed is tried again: objects may be needed by others that come later."""


@dataclass(frozen=True, slots=True)
class CatalogCopy:
    """A database of the kernel's that holds the copy.

    Attributes:
        cursor: A kernel cursor on which the copy's names resolve.
        database: Its name in the kernel.
        snapshot: What was copied.
        tables: The tables that the copy has, each behind those that it refers to.
        foreign_keys: Whether the tables have theirs.
    """

    cursor: Cursor
    database: str
    snapshot: Snapshot
    tables: tuple[TableState, ...]
    foreign_keys: bool = True

    def path(self, schema: str) -> str:
        """The entry of a search path that makes a schema of the copy the current one."""
        return f"{self.database}.{quote(schema)}"

    def enter(self, schema: str) -> None:
        """Make a schema the current one."""
        self.cursor.execute(f"SET search_path = {literal(self.path(schema))}")

    def table(self, state: TableState) -> str:
        """Qualified name of a table."""
        return f"{self.path(state.definition.schema)}.{quote(state.definition.name)}"

    def build(self, words: Collection[str] | None) -> None:
        """Create the objects.

        Args:
            words: Folded words; views that none of them names are left out. None for all.
        """
        for schema in self.snapshot.schemas:
            if schema.lower() not in {"main", files.HIDDEN_SCHEMA}:
                self.cursor.execute(f"CREATE SCHEMA {self.path(schema)}")
        pending = sorted(self._statements(words), key=lambda item: item[0])
        for _ in range(_TURNS_MAX):
            failed: list[tuple[int, str, str]] = []
            for order, schema, sql in pending:
                try:
                    self.enter(schema)
                    self.cursor.execute(sql)
                except duckdb.Error:
                    failed.append((order, schema, sql))
            if not failed or len(failed) == len(pending):
                self._make_unbound({sql for _, _, sql in failed})
                break
            pending = failed
        for entry in self.snapshot.entries.values():
            if entry.kind == "sequence":
                self._put_in_place(entry)

    def lend_files(self) -> None:
        """Create the views of files, which the store always has, without rows.

        What can be named without a schema is temporary: it is nothing that the user has made.
        """
        made = {entry.name.lower() for entry in self.snapshot.entries.values()}
        if files.READ_FILE not in made:
            self.cursor.execute(
                f"CREATE TEMP MACRO {files.READ_FILE}(path) AS NULL::BLOB, "
                "(path, start, bytes) AS NULL::BLOB"
            )
        if files.FILE_FACTS not in made:
            self.cursor.execute(f"CREATE TEMP MACRO {files.FILE_FACTS}(path) AS NULL::{FACTS_SQL}")
        schema = self.path(files.SCHEMA)
        self.cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for name in (files.FILES, files.OBJECTS):
            sql = files.view_sql(name, stored=False)
            self.cursor.execute(f"CREATE VIEW {schema}.{name} AS {sql}")
            taken = [s.definition.name.lower() for s in self.snapshot.tables.values()]
            if name not in {*taken, *(view.name.lower() for view in self.snapshot.views.values())}:
                self.cursor.execute(f"CREATE TEMP VIEW {name} AS {sql}")

    def _statements(self, words: Collection[str] | None) -> Iterator[tuple[int, str, str]]:
        for state in self.tables:
            definition = state.definition
            there = self.snapshot if self.foreign_keys else None
            sql = render(definition, self.table(state), there)
            yield _TABLES, definition.schema, sql
            for index in definition.constraints:
                if index.kind in INDEX_KINDS:
                    yield _INDEXES, definition.schema, render_index(index, definition)
        for view in self.snapshot.views.values():
            if words is None or view.name.lower() in words:
                yield _VIEWS, view.search_schema, self._view(view)
        made = {state.definition.id: state for state in self.tables}
        for entry in self.snapshot.entries.values():
            if entry.kind != OWNER:
                yield _ORDER[entry.kind], entry.schema, entry.sql
            elif entry.sql in made or entry.sql.startswith('"'):
                sequence = f"{self.path(entry.schema)}.{quote(entry.name)}"
                owning = made.get(entry.sql)
                owner = f"{self.database}.{entry.sql}" if owning is None else self.table(owning)
                sql = f"ALTER SEQUENCE {sequence} OWNED BY {owner}"
                yield _ORDER[entry.kind], entry.schema, sql

    def _put_in_place(self, sequence: CatalogEntry) -> None:
        """Let a sequence have given the value that it gave last, and give next what it would."""
        named = literal(f"{self.path(sequence.schema)}.{quote(sequence.name)}")
        if sequence.value is not None:
            self.cursor.execute(f"SELECT setval({named}, {sequence.value})").fetchall()
        if (found := _NEXT.search(sequence.sql)) is not None:
            self.cursor.execute(f"SELECT setval({named}, {found[1]}, false)").fetchall()

    def _view(self, view: View, option: str = "") -> str:
        columns = f" ({', '.join(map(quote, view.columns))})" if view.columns else ""
        named = f"{self.path(view.schema)}.{quote(view.name)}"
        secure = "SECURE " if view.secure else ""
        # What it reads of the past has the same columns, as far as the catalog can tell.
        body = without_versions(view.sql)
        return f"CREATE {secure}VIEW {named}{columns} {option} AS {body}"

    def _make_unbound(self, failed: Collection[str]) -> None:
        """Make the views that cannot be bound, such as those of a table that is gone."""
        for view in self.snapshot.views.values():
            if self._view(view) in failed:
                self.enter(view.search_schema)
                with suppress(duckdb.Error):
                    self.cursor.execute(self._view(view, "WITH (DEFER_BINDING)"))

    # Reading back

    def inventory(self, *, macros: bool = False) -> dict[tuple[str, str, str], str]:
        """What is there now: kind, schema and name, to a text that tells changes.

        Args:
            macros: There may be macros that the snapshot does not have. They are looked for only
                then: the kernel lists all its functions for that.
        """
        macros = macros or any(e.kind in _MACROS for e in self.snapshot.entries.values())
        found: dict[tuple[str, str, str], str] = {}
        for kind, sql in _INVENTORY.items():
            for schema, name, text in self._told(sql):
                found[kind, schema, name] = str(text)
        comments = self._told(_COMMENTS)
        for kind, schema, name, text, comment in self._told(_MACROS_THERE) if macros else ():
            found[kind, schema, name] = str(text)
            if comment is not None:
                comments.append((schema, _MACROS[kind], name, None, comment))
        for schema, kind, name, column, text in comments:
            on = f"{quote(name)}.{quote(column)}" if column else quote(name)
            key = ("comment", schema, f"{kind} {on}")
            found[key] = f"COMMENT ON {kind} {on} IS {literal(text)}"
        return found

    def _told(self, sql: str) -> list[tuple[Any, ...]]:
        return self.cursor.execute(sql.format(database=literal(self.database))).fetchall()


SEQUENCE_SQL = """concat('CREATE SEQUENCE "', replace(sequence_name, '"', '""'), '"',
    substr(rtrim(sql, ';'), len('CREATE SEQUENCE ') + len(sequence_name) + 1))"""
"""The statement that makes a sequence; the kernel leaves out the quotes that its name may need."""

_INVENTORY = {
    "schema": "SELECT schema_name, schema_name, '' FROM duckdb_schemas() "
    "WHERE database_name = {database} AND schema_name NOT IN ('information_schema', 'pg_catalog')",
    "table": "SELECT schema_name, table_name, table_oid FROM duckdb_tables() "
    "WHERE database_name = {database}",
    "view": "SELECT schema_name, view_name, sql FROM duckdb_views() "
    "WHERE database_name = {database} AND NOT internal",
    "sequence": f"SELECT schema_name, sequence_name, {SEQUENCE_SQL} FROM duckdb_sequences() "
    "WHERE database_name = {database}",
    "type": "SELECT schema_name, type_name, concat(logical_type, labels::VARCHAR) "
    "FROM duckdb_types() WHERE database_name = {database} AND NOT internal",
    "index": "SELECT schema_name, index_name, rtrim(sql, ';') FROM duckdb_indexes() "
    "WHERE database_name = {database}",
}


_MACROS = {"macro": "MACRO", "table_macro": "MACRO TABLE"}
"""Kinds of macros, as entries and as COMMENT ON call them."""
# Once for both, with their comments: the kernel lists thousands of functions for it.
_MACROS_THERE = """
SELECT function_type, schema_name, function_name,
    string_agg(concat(parameters::VARCHAR, macro_definition)), any_value(comment)
FROM duckdb_functions() WHERE database_name = {database} AND NOT internal
    AND function_type IN ('macro', 'table_macro') GROUP BY ALL
"""
_COMMENTED = (
    ("TABLE", "duckdb_tables", "table_name", "NULL"),
    ("VIEW", "duckdb_views", "view_name", "NULL"),
    ("COLUMN", "duckdb_columns", "table_name", "column_name"),
    ("INDEX", "duckdb_indexes", "index_name", "NULL"),
    ("SEQUENCE", "duckdb_sequences", "sequence_name", "NULL"),
    ("TYPE", "duckdb_types", "type_name", "NULL"),
)
_COMMENTS = " UNION ALL ".join(
    f"SELECT schema_name, '{kind}', {name}, {column}, comment FROM {function}() "
    "WHERE database_name = {database} AND comment IS NOT NULL"
    for kind, function, name, column in _COMMENTED
)


def words_inside(snapshot: Snapshot, words: Collection[str]) -> frozenset[str]:
    """Words, and those of the views and macros that they name, and of what these name in turn."""
    texts = [(view.name.lower(), view.sql) for view in snapshot.views.values()]
    texts += [
        (entry.name.lower(), entry.sql)
        for entry in snapshot.entries.values()
        if entry.kind in {"macro", "table_macro", OWNER}
    ]
    found, seen = set(words), set[str]()
    while fresh := [text for name, text in texts if name in found and text not in seen]:
        for text in fresh:
            seen.add(text)
            found |= {str(token.text).lower() for token in TokenStream(text).tokens}
    return frozenset(found)


def _tables_named(snapshot: Snapshot, words: Collection[str]) -> set[str]:
    """Tables that words name, or a sequence or macro that they use, or an index of theirs."""
    named = {t for t, s in snapshot.tables.items() if s.definition.name.lower() in words}
    made = {e.name.lower() for e in snapshot.entries.values()} & set(words)
    if made:
        uses = re.compile(rf"(?i)\b({'|'.join(map(re.escape, made))})\b")
        for table, state in snapshot.tables.items():
            texts = (c.default for c in state.definition.columns)
            if any(text and uses.search(text) for text in texts):
                named.add(table)
        owners = {
            e.sql for e in snapshot.entries.values() if e.kind == OWNER and e.name.lower() in made
        }
        named |= owners & snapshot.tables.keys()
    for table, state in snapshot.tables.items():
        names = (c.name for c in state.definition.constraints if c.kind in INDEX_KINDS)
        if any(name and name.lower() in words for name in names):
            named.add(table)
    return named


def connected(snapshot: Snapshot, wanted: Collection[str]) -> tuple[TableState, ...]:
    """Tables, and those that they refer to or are referred to by, in an order to make them in."""
    found, size = set(wanted), -1
    references = {
        table: {c.table for c in state.definition.constraints if c.table}
        for table, state in snapshot.tables.items()
        if any(c.table for c in state.definition.constraints)
    }
    while size != len(found):
        size = len(found)
        for table, referred in references.items():
            if table in found or referred & found:
                found |= {table, *(t for t in referred if t)}
    left = [t for t in snapshot.tables if t in found]
    ordered: list[TableState] = []
    while left:
        free = [t for t in left if not (references.get(t, set()) - {t}) & set(left)] or left
        ordered += [snapshot.tables[t] for t in free]
        left = [t for t in left if t not in free]
    return tuple(ordered)


def without_files(tables: Sequence[TableState]) -> tuple[TableState, ...]:
    """Tables but for those that files stand on: nobody makes or sees them, or takes them along."""
    return tuple(s for s in tables if s.definition.schema != files.HIDDEN_SCHEMA)


@contextmanager
def catalog_copy(
    session: Session,
    snapshot: Snapshot,
    schema: str,
    words: Collection[str] | None = (),
    *,
    tables: Collection[str] = (),
    foreign_keys: bool = True,
) -> Iterator[CatalogCopy]:
    """A copy that is gone at the end.

    Args:
        session: Whose settings hold in it.
        snapshot: What to copy.
        schema: The schema to enter.
        words: Folded words: tables and views that none of them names are left out, but for tables
            that foreign keys lead to. None for everything.
        tables: Ids of tables to copy whatever the words.
        foreign_keys: False leaves them out, and the tables to which only they lead.
    """
    about_files = bool(words) and not {files.FILES, files.OBJECTS, *files.MACROS}.isdisjoint(
        words_inside(snapshot, words or ())
    )
    if words and tracks_dependencies(session):
        words = None  # what depends on an object need not be named
    if words:
        words = words_inside(snapshot, words)
    wanted = snapshot.tables if words is None else {*tables, *_tables_named(snapshot, words)}
    kernel = session.database.kernel
    database = kernel.attach_memory("scratch")
    cursor = kernel.cursor()
    try:
        for sql in session.kernel_settings:
            cursor.execute(sql)
        copied = tuple(state for table, state in snapshot.tables.items() if table in wanted)
        if foreign_keys:
            copied = connected(snapshot, wanted)
        copied = without_files(copied)
        copy = CatalogCopy(cursor, database, snapshot, copied, foreign_keys)
        if about_files:
            copy.lend_files()
        copy.build(words)
        copy.enter(schema)
        yield copy
    finally:
        cursor.close()
        kernel.detach(database)


def moved_sequences(transaction: Transaction) -> dict[CatalogEntry, CatalogEntry]:
    """Sequences that a transaction has taken values of: as it found them, to as they are now."""
    now = {e.key: e for e in transaction.effects if isinstance(e, CatalogEntry)}
    before = transaction.base.entries
    return {
        before[key]: entry
        for key, entry in now.items()
        if entry.kind == "sequence"
        and key in before
        and entry == transaction.snapshot.entries.get(key) != before[key]
        and _NEXT.sub("", entry.sql) == _NEXT.sub("", before[key].sql)
    }


def tracks_dependencies(session: Session) -> bool:
    """Tell whether views or macros are to be refused what those that depend on them need."""
    return any("_dependencies" in sql for sql in session.kernel_settings)


def standing(entry: CatalogEntry, last: int | None, next_value: int) -> CatalogEntry:
    """A sequence as it stands.

    Args:
        entry: The sequence before.
        last: The value that it gave last; None where it has given none.
        next_value: The value that it gives next, if that does not follow the last one.
    """
    sql = _NEXT.sub("", entry.sql)
    start = sql.rpartition(" START ")[2].partition(" ")[0]
    if last is None and start == str(next_value):
        return replace(entry, sql=sql, value=None)
    return replace(entry, sql=f"{sql} /* next {next_value} */", value=last)


def moved_on(entry: CatalogEntry, last: int) -> CatalogEntry:
    """A sequence that gave a value and goes on behind it."""
    return replace(entry, sql=_NEXT.sub("", entry.sql), value=last)
