"""What a statement that changes the store runs in, and what INSERT, UPDATE and DELETE share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ...errors import InvalidRequest, UnknownName
from ...sql.column_types import column_type, converted
from ...sql.names import close_matches
from ...sql.tokens import TokenStream, quote
from ..native.state_types import told_types
from ..query import OpenRoute, bind_text, from_table, open_route
from ..result import BATCH_ROWS
from .key_check import NEW_KEYS
from .returning_names import kernel_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType

    from ...sql.tokens import Name
    from ...storage.effects import Column, TableDefinition
    from ...storage.snapshot import Snapshot, TableState
    from ...storage.transaction import Transaction
    from ..kernel import Parameters
    from ..result import Result
    from ..session import Session
    from .key_check import KeyCheck


KEPT = "rows_kept_5f1c0e7a9b3d4c21"
"""Name of the stored rows that RETURNING answers from: one that no user has."""


@dataclass(frozen=True, slots=True)
class Change:
    """The surroundings of one statement that changes the store.

    Attributes:
        session: Whose statement it is.
        transaction: Where its effects go.
        parameters: Its parameters.
        frame: The caller's frame, to find objects that it names.
    """

    session: Session
    transaction: Transaction
    parameters: Parameters = None
    frame: FrameType | None = None

    def open(self, sql: str, snapshot: Snapshot | None = None) -> OpenRoute:
        """A kernel cursor on which the names of a text resolve.

        Args:
            sql: The text that names relations.
            snapshot: What to read; the transaction's present snapshot by default.
        """
        seen = snapshot or self.transaction.snapshot
        logical = bind_text(self.session, sql, seen)
        return open_route(self.session, logical, self.frame, seen)

    def describe(self, opened: OpenRoute, sql: str) -> tuple[list[str], list[str]]:
        """Names and types of a query's columns, without running it."""
        relation = self._bound(opened, sql)
        names, types = list(relation.columns), [str(t) for t in relation.types]
        return names, told_types(opened.cursor, sql, types, self.parameters)

    def read(self, opened: OpenRoute, sql: str) -> pa.RecordBatchReader:
        """Run a query and stream its rows."""
        return opened.hold(self._bound(opened, sql).to_arrow_reader(BATCH_ROWS))

    def _bound(self, opened: OpenRoute, sql: str):  # type: ignore[no-untyped-def]
        if self.parameters is None:
            return opened.cursor.sql(sql)
        return opened.cursor.sql(sql, params=self.parameters)


def target_table(session: Session, name: Name, verb: str) -> TableState:
    """The table that a statement changes.

    Raises:
        UnknownName: There is none.
        Denied: It is a system relation.
        InvalidRequest: It is a view.
    """
    schema, table = session.qualify(name, existing=True)
    snapshot = session.snapshot()
    state = snapshot.table(schema, table)
    if state is None:
        if snapshot.view(schema, table) is not None:
            raise InvalidRequest(f'cannot {verb} "{table}": it is a view')
        raise UnknownName(
            f'there is no table "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(table, [s.definition.name for s in snapshot.tables.values()]),
        )
    return state


def find_column(definition: TableDefinition, name: str) -> Column:
    """A column by name.

    Raises:
        UnknownName: The table has no such column.
    """
    column = definition.column(name)
    if column is None:
        raise UnknownName(
            f'table "{definition.name}" has no column "{name}"',
            name=name,
            suggestions=close_matches(name, [c.name for c in definition.columns]),
        )
    return column


def cast_to(expression: str, column: Column) -> str:
    """An expression converted to a column's type."""
    return converted(expression, column.type)


def default_of(column: Column) -> str:
    """SQL for the value of a column that a statement does not mention."""
    return converted(f"({column.default or 'NULL'})", column.type)


def checks_of(definition: TableDefinition) -> list[str]:
    """Texts of a table's CHECK constraints."""
    return [c.expression for c in definition.constraints if c.kind == "check" and c.expression]


def storage_select(definition: TableDefinition, *, checks: bool = True) -> str:
    """The select list that stores a table's columns, then one boolean for each check."""
    listed = [
        f"{column_type(c.type, collation=c.collation).to_storage(quote(c.name))} "
        f"AS {quote(str(c.id))}"
        for c in definition.columns
    ]
    listed += [
        f"({check}) IS NOT FALSE AS {quote(f'check {index}')}"
        for index, check in enumerate(checks_of(definition) if checks else ())
    ]
    return ", ".join(listed)


def restore_select(definition: TableDefinition) -> str:
    """The select list that turns stored columns back into a table's own."""
    return ", ".join(
        f"{column_type(c.type, collation=c.collation).from_storage(quote(str(c.id)))} "
        f"AS {quote(c.name)}"
        for c in definition.columns
    )


def keep(batches: Iterable[pa.RecordBatch], kept: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass batches on and keep them, for RETURNING."""
    for batch in batches:
        kept.append(batch)
        yield batch


def returned(
    change: Change,
    definition: TableDefinition,
    kept: list[pa.RecordBatch],
    returning: str,
    alias: str | None = None,
) -> Result:
    """Answer RETURNING from stored rows; the statement may have given the table another name."""
    check_returning(returning)
    width = len(definition.columns)
    if kept:
        table = pa.Table.from_batches(kept).select(range(width))
    else:
        fields = [pa.field(str(c.id), c.arrow_type) for c in definition.columns]
        table = pa.schema(fields).empty_table()
    source = (
        f"(SELECT {restore_select(definition)} FROM {KEPT}) AS {quote(alias or definition.name)}"
    )
    plain = Change(change.session, change.transaction, None, change.frame)
    names = kernel_names(change, definition, returning, alias)
    # Run before the statement ends: what cannot be answered must not have happened.
    return collected(plain, f"SELECT {returning} FROM {source}", table, names)


def check_returning(returning: str) -> None:
    """Refuse what RETURNING cannot have: it answers row by row, from that row alone.

    Raises:
        InvalidRequest: There is an aggregate or a subquery.
    """
    stream = TokenStream(returning)
    tokens = stream.tokens
    if any(
        token.text == "?" or (token.text == "$" and after.text.isdigit())
        for token, after in pairwise([*tokens, *tokens[-1:]])
    ):
        raise InvalidRequest("parameters are not supported in RETURNING")
    words = [stream.word(ahead).lower() for ahead in range(len(stream.tokens))]
    if "select" in words or ("(", "from") in pairwise(words):
        raise InvalidRequest("SUBQUERY is not supported in RETURNING")
    called = {name for name, bracket in pairwise(words) if bracket == "("}
    refused = called and called & _aggregates()
    if refused:
        raise InvalidRequest(
            "Aggregate functions are not supported in RETURNING",
            hint=f"leave out {min(refused)}()",
        )


@lru_cache(maxsize=1)
def _aggregates() -> frozenset[str]:
    """Names that only aggregate functions have."""
    with duckdb.connect() as kernel:
        found = kernel.execute(
            "SELECT function_name FROM duckdb_functions() "
            "GROUP BY ALL HAVING bool_and(function_type = 'aggregate')"
        ).fetchall()
    return frozenset(row[0] for row in found)


def collected(change: Change, sql: str, kept: pa.Table, given: list[str] | None) -> Result:
    """Run a query now and keep its rows.

    Rows cross Arrow in the form in which columns are stored: ENUM, BIT and others would lose
    their type or their values.

    Args:
        change: The statement's surroundings.
        sql: The query.
        kept: Stored rows that it names.
        given: Names of its columns, if not its own.
    """
    opened = change.open(sql.replace(KEPT, "(SELECT 1)"))
    drained = False
    try:
        opened.register(KEPT, kept)
        names, types = change.describe(opened, sql)
        answer = f"SELECT {storing(types)} FROM ({sql}\n) AS answer"
        with change.session.guard.watch(opened.cursor):
            table = change.read(opened, answer).read_all()
        drained = True
    finally:
        opened.close(drained=drained)
    return restored(change.session, table, given or names, types)


def storing(types: Sequence[str]) -> str:
    """The select list that stores the columns of an answer."""
    return ", ".join(
        f"{column_type(text).to_storage(f'#{index}')} AS c{index}"
        for index, text in enumerate(types, start=1)
    )


def restored(
    session: Session, table: pa.Table, names: Sequence[str], types: Sequence[str]
) -> Result:
    """A result over rows that ``storing`` has stored."""
    listed = ", ".join(
        f"{column_type(text).from_storage(f'c{index}')} AS {quote(name)}"
        for index, (name, text) in enumerate(zip(names, types, strict=True), start=1)
    )
    return from_table(session, table, f"SELECT {listed} FROM rows").start()


def verify_keys(change: Change, definition: TableDefinition, keys: KeyCheck) -> None:
    """Check the keys of rows that were appended.

    Raises:
        ConstraintViolation: A key is there twice.
    """
    if not keys.needed:
        return
    named = f"{quote(definition.schema)}.{quote(definition.name)}"
    plain = Change(change.session, change.transaction)

    def probe(condition: str, new_keys: pa.Table | None) -> list[tuple[object, ...]]:
        opened = plain.open(f"SELECT * FROM {named}")
        drained = False
        try:
            if new_keys is not None:
                opened.register(NEW_KEYS, new_keys)
            with change.session.guard.watch(opened.cursor):
                found = opened.cursor.execute(f"SELECT 1 FROM {named} {condition}").fetchall()
            drained = True
            return found
        finally:
            opened.close(drained=drained)

    keys.verify(change.transaction, change.session.database.keys, probe)
