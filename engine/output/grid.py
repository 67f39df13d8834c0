"""The rows that a table or markdown result shows, as text, with the count of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .terminal import visible
from .value_text import display_text, is_numeric

if TYPE_CHECKING:
    from .format import OutputOptions, ResultStream

CELL_CHARACTERS_MAX = 10_000
"""Longest value kept for a cell; no window shows more, and a row may hold a whole document."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the rows shown.

    Attributes:
        name: Column name, safe to print.
        sql_type: SQL type text, safe to print.
        right: Whether its cells are right-aligned (numbers).
        cells: Text of each row shown, safe to print; None is NULL.
    """

    name: str
    sql_type: str
    right: bool
    cells: list[str | None]


@dataclass(frozen=True, slots=True)
class Grid:
    """The first rows of a result, and how many rows it has in all."""

    columns: list[Column]
    rows: int
    rows_shown: int


def collect(result: ResultStream, options: OutputOptions) -> Grid:
    """Read the whole result and keep the text of its first `options.max_rows` rows.

    Rows beyond those are counted a batch at a time and dropped.
    """
    reader = result.reader()
    columns = [
        Column(visible(name), visible(sql_type), is_numeric(field.type), [])
        for name, sql_type, field in zip(result.columns, result.types, reader.schema, strict=True)
    ]
    rows = shown = 0
    for batch in options.batches(reader):
        rows += batch.num_rows
        wanted = batch.num_rows
        if options.max_rows:
            wanted = min(wanted, options.max_rows - shown)
        if not wanted:
            continue
        shown += wanted
        for index, column in enumerate(columns):
            text = display_text(batch.column(index).slice(0, wanted), result.types[index])
            column.cells.extend(_cell(value) for value in text.to_pylist())
    return Grid(columns, rows, shown)


def _cell(text: str | None) -> str | None:
    return None if text is None else visible(text[:CELL_CHARACTERS_MAX])
