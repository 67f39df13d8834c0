"""The text of a result's rows, a few at a time: what the formats for people are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .terminal import visible
from .value_text import display_text, is_numeric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .format import OutputOptions, ResultStream

CELL_CHARACTERS_MAX = 10_000
"""Longest value kept for a cell; no window shows more, and a row may hold a whole document."""

SLICE_ROWS = 1_000
"""Rows spelled at once: bounds the memory of their Python strings."""

Cells = list[list["str | None"]]
"""Text of some rows, column by column, safe to print; None is NULL."""


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


class TextRows:
    """The rows of a result as text; iteration gives those to show, in slices.

    Args:
        result: The result; it is read once.
        options: How many rows to show: 0 for all.
        shorten: Whether cells are cut to what a window could show at most.

    Attributes:
        columns: The columns, without cells.
        rows: Rows read so far; all of them after `count_rest`.
        rows_shown: Rows given out.
    """

    def __init__(
        self, result: ResultStream, options: OutputOptions, *, shorten: bool = True
    ) -> None:
        reader = result.reader()
        self._types = list(result.types)
        self._limit = options.max_rows
        self._batches = options.batches(reader)
        self._cut = CELL_CHARACTERS_MAX if shorten else None
        self.rows = self.rows_shown = 0
        self.columns = [
            Column(visible(name), visible(sql_type), is_numeric(field.type), [])
            for name, sql_type, field in zip(
                result.columns, result.types, reader.schema, strict=True
            )
        ]

    def __iter__(self) -> Iterator[Cells]:
        if self._full():
            return
        for batch in self._batches:
            self.rows += batch.num_rows
            for start in range(0, batch.num_rows, SLICE_ROWS):
                wanted = min(SLICE_ROWS, batch.num_rows - start)
                if self._limit:
                    wanted = min(wanted, self._limit - self.rows_shown)
                if not wanted:
                    return
                self.rows_shown += wanted
                yield [
                    self._texts(batch.column(index).slice(start, wanted), index)
                    for index in range(batch.num_columns)
                ]
            if self._full():
                return

    def count_rest(self) -> None:
        """Read what iteration left, and count it a batch at a time."""
        for batch in self._batches:
            self.rows += batch.num_rows

    def _full(self) -> bool:
        return bool(self._limit) and self.rows_shown >= self._limit

    def _texts(self, array: object, index: int) -> list[str | None]:
        texts = display_text(array, self._types[index]).to_pylist()
        return [None if text is None else visible(text[: self._cut]) for text in texts]


def collect(result: ResultStream, options: OutputOptions) -> Grid:
    """Read the whole result and keep the text of its first `options.max_rows` rows.

    Rows beyond those are counted a batch at a time and dropped.
    """
    source = TextRows(result, options)
    for cells in source:
        for column, texts in zip(source.columns, cells, strict=True):
            column.cells.extend(texts)
    source.count_rest()
    return Grid(source.columns, source.rows, source.rows_shown)
