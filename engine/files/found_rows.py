"""The rows of files that an UPDATE or DELETE is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ...extensions.files.relations import FILES, SCHEMA
from ...sql.tokens import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...sql import statement as st
    from ..statements.change import Change

OWN: Final = ("handle", "parent_handle", "path", "name", "element_type")
"""Columns of rows that were found, before those that were asked for."""


def found_query(
    statement: st.Update | st.Delete, expressions: Sequence[str], own: Sequence[str] = OWN
) -> str:
    """A query for the rows that a statement is about, each once.

    Args:
        statement: The statement.
        expressions: What is asked for of each row, in the order in which the statement says it.
        own: Columns that come before.
    """
    alias = quote(statement.alias or FILES)
    listed = ", ".join(
        [f"{alias}.{quote(column)} AS {quote(column)}" for column in own]
        + [f"{text} AS x{number}" for number, text in enumerate(expressions)]
    )
    sql = f"{statement.ctes}SELECT {listed} FROM {SCHEMA}.{FILES} AS {alias}"
    if statement.sources:
        sql += f", {statement.sources}\n"
    if statement.condition:
        sql += f" WHERE ({statement.condition}\n)"
    if statement.sources:  # a row that several rows of these go with counts once
        sql += f" QUALIFY row_number() OVER (PARTITION BY {alias}.handle) = 1"
    return sql


def found_rows(change: Change, sql: str) -> Iterator[pa.RecordBatch]:
    """Run a query about files in the surroundings of a statement that changes them."""
    opened = change.open(sql)
    drained = False
    try:
        with change.session.guard.watch(opened.cursor):
            yield from change.read(opened, sql)
        drained = True
    finally:
        opened.close(drained=drained)


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows by column, as operations take their values: times in nanoseconds, maps as such."""
    columns = [_values(array) for array in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(array: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    values: list[Any] = array.to_pylist()
    if pa.types.is_map(array.type):
        return [None if value is None else dict(value) for value in values]
    return values
