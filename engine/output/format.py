"""What a result format is, and which ones there are.

The format modules import pyarrow, so they are loaded when a format is asked for and not when
the command line starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS_DEFAULT = 1_000
"""Rows a table or markdown result shows unless told otherwise: what one still scrolls through."""


class ResultStream(Protocol):
    """The part of a query result that the formats use."""

    @property
    def columns(self) -> Sequence[str]:
        """Column names in order; duplicates are allowed."""

    @property
    def types(self) -> Sequence[str]:
        """SQL type text of each column."""

    def reader(self) -> pa.RecordBatchReader:
        """Return the rows as a stream of record batches; callable once."""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How results are written.

    Attributes:
        max_rows: Rows shown by `table`, `box` and `markdown`; 0 shows all of them.
        width_cells: Terminal width that a table must fit in, or None for no limit.
        null_text: What a NULL looks like in formats for people.
        colour: Whether escape sequences may be used.
        table_name: Table that `insert` names, quoted where it must be.
        poll: Called once per batch; raises to stop the output (cancellation).
    """

    max_rows: int = MAX_ROWS_DEFAULT
    width_cells: int | None = None
    null_text: str = "NULL"
    colour: bool = False
    table_name: str = "result"
    poll: Callable[[], None] | None = None

    def batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """Yield the reader's batches, polling for cancellation before each one."""
        if self.poll is not None:
            self.poll()
        for batch in reader:
            if self.poll is not None:
                self.poll()
            yield batch


@dataclass(frozen=True, slots=True)
class OutputSummary:
    """What was written.

    Attributes:
        rows: Rows in the result.
        rows_shown: Rows written; fewer than `rows` only for `table`, `box`, `markdown`.
        columns: Columns in the result.
        columns_shown: Columns written; fewer only where a table was cut to the window.
    """

    rows: int
    rows_shown: int
    columns: int
    columns_shown: int


Writer = Callable[[ResultStream, BinaryIO, OutputOptions], OutputSummary]

_MODULES = {
    "table": "text_table",
    "box": "text_box",
    "csv": "text_csv",
    "tsv": "text_tsv",
    "json": "text_json",
    "jsonl": "text_jsonl",
    "markdown": "text_markdown",
    "html": "text_html",
    "line": "text_line",
    "list": "text_list",
    "insert": "text_insert",
    "arrow": "binary_arrow",
    "parquet": "binary_parquet",
}
FORMAT_NAMES = tuple(_MODULES)
BINARY_FORMATS = frozenset({"arrow", "parquet"})
# Formats by the ending of the file that they are written to.
FILE_FORMATS = {
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".csv": "csv",
    ".feather": "arrow",
    ".html": "html",
    ".json": "json",
    ".jsonl": "jsonl",
    ".md": "markdown",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".sql": "insert",
    ".tsv": "tsv",
}
# Two JSON arrays or two Parquet files in a row are not a JSON text or a Parquet file.
LAST_RESULT_FORMATS = frozenset({"csv", "tsv", "json", "jsonl", "arrow", "parquet"})
# What goes with a terminal only after its control characters were spelled out: these formats
# keep values as they are, so that other programs read them back.
RAW_FORMATS = frozenset({"csv", "tsv", "insert"})
# What ends in a line that tells how many rows there are: the others are read by programs.
SUMMARISED_FORMATS = frozenset({"table", "box", "line", "list"})


def writer_for(format_name: str) -> Writer:
    """Return the writer of a format.

    Args:
        format_name: One of `FORMAT_NAMES`.

    Raises:
        KeyError: The format does not exist.
    """
    module = import_module(f".{_MODULES[format_name]}", __package__)
    return cast("Writer", module.write)


def unique_names(names: Sequence[str]) -> list[str]:
    """Make column names distinct, as JSON objects and Parquet schemas need them.

    The first holder of a name keeps it; later ones get `_1`, `_2` … appended.
    """
    taken = set(names)
    seen: set[str] = set()
    unique = []
    for name in names:
        candidate = name
        suffix = 0
        while candidate in seen or (suffix and candidate in taken):
            suffix += 1
            candidate = f"{name}_{suffix}"
        seen.add(candidate)
        unique.append(candidate)
    return unique
