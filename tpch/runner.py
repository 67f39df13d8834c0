"""Load the tables into Pagelake and into stock DuckDB, and run queries.

Both loads read the same Parquet files with the same number of threads. Pagelake gets the schema
with its primary keys and one COPY per table; DuckDB gets CREATE TABLE AS, its fastest way, without
keys to check.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .generate import Progress, parquet_file
from .schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa

    import pagelake

    from .query import Query

__all__ = [
    "Answer",
    "NotHot",
    "load_duckdb",
    "load_pagelake",
    "loaded_tables",
    "run_queries",
    "wait_until_hot",
]

_HOT_POLL_S = 0.02
_HOT_ROWS_MIN = 65_536
"""Fewer rows than this get no hot segment: they are copied into memory in no time."""


class NotHot(RuntimeError):
    """The hot tier did not cover the store in the time allowed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One query's answer and the wall time it took, in milliseconds."""

    query: Query
    rows: pa.Table
    elapsed_ms: float


def load_pagelake(
    connection: pagelake.Connection, folder: Path, progress: Progress | None = None
) -> None:
    """Create the eight tables and copy the Parquet files in; each table is durable on return.

    Args:
        connection: An open store that has none of the tables.
        folder: What `generate` returned.
        progress: Called before each table and once at the end.
    """
    for done, entry in enumerate(TABLES):
        if progress is not None:
            progress(entry.name, done, len(TABLES))
        connection.execute(entry.create_sql())
        connection.execute(f"COPY {entry.name} FROM {_quoted(parquet_file(folder, entry.name))}")
    if progress is not None:
        progress("done", len(TABLES), len(TABLES))


def load_duckdb(
    database: Path, folder: Path, threads: int, progress: Progress | None = None
) -> None:
    """Create a DuckDB database file with the eight tables, checkpointed and closed.

    Args:
        database: The file to create.
        folder: What `generate` returned.
        threads: DuckDB's `threads` setting.
        progress: Called before each table and once at the end.
    """
    import duckdb

    with duckdb.connect(str(database), config={"threads": threads}) as connection:
        for done, entry in enumerate(TABLES):
            if progress is not None:
                progress(entry.name, done, len(TABLES))
            source = _quoted(parquet_file(folder, entry.name))
            connection.execute(f"CREATE TABLE {entry.name} AS SELECT * FROM read_parquet({source})")
        connection.execute("CHECKPOINT")
    if progress is not None:
        progress("done", len(TABLES), len(TABLES))


def loaded_tables(connection: pagelake.Connection) -> frozenset[str]:
    """Return which of the eight tables a store already has."""
    names = {name.lower() for name in connection.table_names()}
    return frozenset(entry.name for entry in TABLES if entry.name in names)


def wait_until_hot(connection: pagelake.Connection, timeout_s: float = 600.0) -> None:
    """Wait until the hot tier covers every table that is large enough to have hot segments.

    Raises:
        NotHot: If it does not within the time allowed.
    """
    deadline = time.monotonic() + timeout_s
    while not _is_hot(connection):
        if time.monotonic() > deadline:
            raise NotHot(f"the hot tier did not cover the store within {timeout_s:.0f} s")
        time.sleep(_HOT_POLL_S)


def run_queries(
    run: Callable[[str], pa.Table], queries: Sequence[Query], progress: Progress | None = None
) -> list[Answer]:
    """Run queries one after another and return their answers with wall times.

    Args:
        run: Executes one SQL text and returns its whole answer, such as `Side.run`.
        queries: What to run, in order.
        progress: Called before each query and once at the end.
    """
    answers: list[Answer] = []
    for done, query in enumerate(queries):
        if progress is not None:
            progress(query.label, done, len(queries))
        started = time.perf_counter()
        rows = run(query.sql)
        answers.append(Answer(query, rows, (time.perf_counter() - started) * 1e3))
    if progress is not None:
        progress("done", len(queries), len(queries))
    return answers


def _is_hot(connection: pagelake.Connection) -> bool:
    cold = connection.sql(
        f"""
        SELECT table_name
        FROM (SELECT table_name, sum(rows) AS sealed FROM pagelake.row_groups GROUP BY ALL)
        LEFT JOIN (SELECT table_name, sum(rows) AS hot FROM pagelake.hot_segments GROUP BY ALL)
        USING (table_name)
        WHERE sealed - coalesce(hot, 0) >= {_HOT_ROWS_MIN}
        """
    )
    return cold.fetchone() is None


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
