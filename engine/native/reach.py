"""Which rows of a table an upsert or a MERGE can meet: those that have a key which it brings.

The new rows are made first, by the statement's own source, and kept in a table of the kernel's.
Their keys are looked up (``storage/keys``), so that only the rows found need be copied for the
kernel to run the statement on: the rest of the table makes no difference to it. What cannot be
told apart like that (conditions without a key, subqueries, NOT MATCHED BY SOURCE) copies the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from ...errors import ParseError
from ...sql.column_types import column_type
from ...sql.parameters import markers
from ...sql.tokens import TokenStream, literal, quote, tokenize
from ...sql.upsert import Merge, Upsert, has_subquery, numbered, read_merge, read_upsert
from ..keys.indexed import is_indexed
from ..keys.keyed_rows import PART, POSITION, Places
from ..result import BATCH_ROWS
from ..statements.bulk_write import as_stored
from ..statements.change import restore_select
from ..statements.fast_insert import parameters_by_key
from .catalog_copy import words_inside
from .row_gaps import BEFORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...sql import statement as st
    from ...storage.effects import Column, Constraint, TableDefinition
    from ...storage.snapshot import TableState
    from ..query import OpenRoute
    from ..statements.change import Change
    from .catalog_copy import CatalogCopy

INCOMING = "incoming_5f1c0e7a9b3d4c21"
"""Table of the rows that a statement brings: one that no user has."""
_SEQUENCE_OF_SCHEMA = re.compile(r"\b(nextval|currval|setval)\s*\(\s*'[^']*\.", re.IGNORECASE)
_ROWS_AT_ONCE = 100_000
_PLACE_BITS = 32
_INTEGERS = frozenset(
    {
        "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
        "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reach:
    """The rows that a statement can meet, and the statement over the rows that it brings.

    Attributes:
        sql: What to run on the copies.
        parameters: The parameters that it has.
        places: Where the rows lie, in order.
    """

    sql: str
    parameters: dict[str, object] | None
    places: Places

    def fill(self, change: Change, copy: CatalogCopy, table: str) -> None:
        """Make a table of the rows.

        Args:
            change: The statement's surroundings.
            copy: Where to make it.
            table: Its qualified name; its first columns tell part and position.
        """
        chunks, rows = change.session.database.keys.chunks, self.places.groups.size
        restored = restore_select(self.places.state.definition)
        for start in range(0, max(1, rows), _ROWS_AT_ONCE):
            found = self.places.read(chunks, start, start + _ROWS_AT_ONCE)
            copy.cursor.register("found", found)
            make = f"INSERT INTO {table}" if start else f"CREATE TABLE {table} AS"
            copy.cursor.execute(f"{make} SELECT {PART}, {POSITION}, {restored} FROM found")
        copy.cursor.unregister("found")


def find_reach(
    change: Change, statement: st.Native, state: TableState, copy: CatalogCopy, opened: OpenRoute
) -> Reach | None:
    """Find the rows that a statement can meet; None where those may be any.

    Args:
        change: The statement's surroundings.
        statement: An upsert or a MERGE.
        state: Its table.
        copy: The native copies, where the rows that it brings are kept.
        opened: The route on which its source is found.
    """
    if len(statement.targets) != 1 or statement.all_tables or statement.only_adds:
        return None
    definition = state.definition
    if not definition.keys or not all(
        is_indexed(_columns(definition, key)) for key in definition.keys
    ):
        return None
    texts = (statement.sql, *(c.default or "" for c in definition.columns))
    if any(_SEQUENCE_OF_SCHEMA.search(text) for text in texts):
        return None  # the schema would be found on the route, where no sequences are
    sql = numbered(statement.sql)
    source = _Source(change, state, copy, opened)
    if statement.verb == "INSERT":
        upsert = read_upsert(sql)
        return None if upsert is None else source.of_upsert(upsert)
    merge = read_merge(sql) if statement.verb == "MERGE" else None
    return None if merge is None else source.of_merge(merge)


class _Source:
    """Makes the rows that a statement brings, and looks up what they meet."""

    def __init__(
        self, change: Change, state: TableState, copy: CatalogCopy, opened: OpenRoute
    ) -> None:
        self._change, self._state, self._copy, self._opened = change, state, copy, opened
        self._definition = state.definition
        self._table = f"{copy.database}.{BEFORE}.{INCOMING}"

    def of_upsert(self, upsert: Upsert) -> Reach | None:
        definition = self._definition
        listed = upsert.columns or tuple(c.name for c in definition.columns)
        kept = definition.columns
        if upsert.either == "OR REPLACE" and (upsert.columns or upsert.by_name):
            # What is not listed keeps its value where a row is replaced.
            if upsert.by_name:
                return None
            named = {name.lower() for name in listed}
            kept = tuple(c for c in definition.columns if c.name.lower() in named)
            if not {i for key in definition.keys for i in key.columns} <= {c.id for c in kept}:
                return None
        if self._may_read_relations(upsert.rest):
            return None
        clauses = [
            f"{quote(c.name)} {c.type}"
            + (f" COLLATE {c.collation}" if c.collation else "")
            + (f" DEFAULT ({c.default})" if c.default is not None else "")
            for c in kept
        ]
        columns = f" ({', '.join(map(quote, upsert.columns))})" if upsert.columns else ""
        by_name = " BY NAME" if upsert.by_name else ""
        self._make(
            f"CREATE TABLE {self._table} ({', '.join(clauses)})",
            f"{upsert.ctes}INSERT INTO {self._table}{columns}{by_name} {upsert.source}",
        )
        names = ", ".join(quote(c.name) for c in kept)
        alias = f" AS {quote(upsert.alias)}" if upsert.alias else ""
        rest = (
            f"INSERT {upsert.either} INTO {self._target}{alias} ({names}) "
            f"SELECT {names} FROM {self._table} ORDER BY rowid {upsert.rest}"
        )
        queries = [
            (key, [quote(c.name) for c in _columns(definition, key)]) for key in definition.keys
        ]
        return self._reach(rest, queries, "")

    def of_merge(self, merge: Merge) -> Reach | None:
        if self._may_read_relations(merge.condition + merge.rest):
            return None
        if "BY SOURCE" in merge.rest.upper():
            return None
        queries = self._looked_up(merge)
        if queries is None:
            return None
        name = f" AS {quote(merge.source_name)}" if merge.source_name else ""
        self._make(f"CREATE TABLE {self._table} AS {merge.ctes}SELECT * FROM {merge.source}")
        try:
            types = self._types(queries[0][1], name)
        except duckdb.Error:
            return None  # more than the source's columns
        if not all(_comparable(c, t) for c, t in zip(
            _columns(self._definition, queries[0][0]), types, strict=True)):  # fmt: skip
            return None
        alias = f" AS {quote(merge.alias)}" if merge.alias else ""
        rest = (
            f"MERGE INTO {self._target}{alias} USING {self._table}{name} "
            f"{merge.condition} {merge.rest}"
        )
        return self._reach(rest, queries, name)

    def _may_read_relations(self, text: str) -> bool:
        """Tell whether a piece of the statement has a subquery, or a macro that has one."""
        if has_subquery(text) or self._change.session.has_kernel_state:  # macros of its own
            return True
        words = {str(token.text).lower() for token in tokenize(text)} - {"from"}
        return not words_inside(self._copy.snapshot, words).isdisjoint({"select", "from"})

    @property
    def _target(self) -> str:
        return self._copy.table(self._state)

    def _looked_up(self, merge: Merge) -> list[tuple[Constraint, list[str]]] | None:
        """A key that the condition gives a value for each column of, with those values."""
        mine = {(merge.alias or self._definition.name).lower()}
        given: dict[int, str] = {}
        for left, right in merge.equal:
            for side, other in ((left, right), (right, left)):
                column = self._column(side, mine, bare=left == right)
                if column is not None:
                    given.setdefault(column.id, other)
                    break
        for key in self._definition.indexes:
            if set(key.columns) <= given.keys() and is_indexed(_columns(self._definition, key)):
                return [(key, [given[c] for c in key.columns])]
        return None

    def _column(self, text: str, qualifiers: set[str], *, bare: bool) -> Column | None:
        stream = TokenStream(text)
        try:
            name = stream.name()
        except ParseError:
            return None
        qualified = len(name.parts) == 2 and name.parts[0].lower() in qualifiers
        if not stream.at_end() or not (qualified or (bare and len(name.parts) == 1)):
            return None
        return self._definition.column(name.last)

    def _make(self, *statements: str) -> None:
        """Run what makes the rows: relations are the store's, sequences the copy's."""
        change, route, cursor = self._change, self._opened.route, self._opened.cursor
        schema = change.session.schema
        path = [f"{route.database}.{quote(schema)}", f"{route.database}.main"]
        path += [self._copy.path(schema), self._copy.path("main")]
        cursor.execute(f"SET search_path = {literal(','.join(dict.fromkeys(path)))}")
        try:
            with change.session.guard.watch(cursor):
                for sql in statements:
                    cursor.execute(sql, self._parameters(sql))
        finally:
            route.aim(cursor, schema)

    def _parameters(self, sql: str) -> dict[str, object] | None:
        given = parameters_by_key(self._change.parameters)
        named = {marker.key for marker in markers(sql)}
        return {key: value for key, value in given.items() if key in named} or None

    def _types(self, expressions: Sequence[str], name: str) -> list[str]:
        sql = f"SELECT {', '.join(expressions)} FROM {self._table}{name}"
        return [str(t) for t in self._copy.cursor.sql(sql).types]

    def _reach(
        self, sql: str, queries: Sequence[tuple[Constraint, Sequence[str]]], name: str
    ) -> Reach:
        indexes = self._change.session.database.keys
        places = [np.empty(0, dtype=np.int64)]
        for key, expressions in queries:
            index = indexes.of(self._state, key.columns)
            assert index is not None, "the key is indexed"
            columns = _columns(self._definition, key)
            listed = ", ".join(
                column_type(c.type, collation=c.collation).to_storage(f"CAST({e} AS {c.type})")
                + f" AS k{i}"
                for i, (e, c) in enumerate(zip(expressions, columns, strict=True))
            )
            rows = self._copy.cursor.sql(f"SELECT DISTINCT {listed} FROM {self._table}{name}")
            for batch in rows.to_arrow_reader(BATCH_ROWS):
                keys = [
                    as_stored(a, c.arrow_type) for a, c in zip(batch.columns, columns, strict=True)
                ]
                found = index.find(self._state, keys)
                places.append(found.groups << _PLACE_BITS | found.positions)
        place = np.unique(np.concatenate(places))
        groups, positions = place >> _PLACE_BITS, place & ((1 << _PLACE_BITS) - 1)
        return Reach(sql, self._parameters(sql), Places(self._state, groups, positions))


def _columns(definition: TableDefinition, key: Constraint) -> list[Column]:
    by_id = {c.id: c for c in definition.columns}
    return [by_id[i] for i in key.columns]


def _comparable(column: Column, type_: str) -> bool:
    """Tell whether a value equals a column's exactly where it is equal once converted to it."""
    return type_ == column.type or (type_ in _INTEGERS and column.type in _INTEGERS)
