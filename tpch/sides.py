"""The engines of a comparison, behind one small interface.

Each side opens what it measures at its best settings, with the same number of threads, and
returns answers as Arrow tables, so that fetching costs the same everywhere. DuckDB's answers come
through `sql`, which it recommends over `execute` because that makes an extra copy of the rows.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import pagelake

from .extras import import_extra
from .generate import parquet_file
from .schema import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

__all__ = [
    "DataFusion",
    "DuckDB",
    "DuckDBParquet",
    "Pagelake",
    "Polars",
    "Side",
    "default_threads",
    "was_cancelled",
]


class Side(Protocol):
    """One engine over one copy of the tables."""

    @property
    def name(self) -> str:
        """The name shown in tables and plots."""

    def setup(self) -> None:
        """Open the tables; not part of any measured time."""

    def run(self, sql: str) -> pa.Table:
        """Execute one query and return its whole answer."""

    def close(self) -> None:
        """Let go of everything opened."""


def default_threads() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def was_cancelled(error: BaseException) -> bool:
    """Tell whether an engine stopped because of Ctrl-C, which each reports in its own way."""
    # DuckDB's client raises a bare RuntimeError with this text, and KeyboardInterrupt elsewhere.
    return isinstance(error, (pagelake.Interrupted, KeyboardInterrupt)) or (
        isinstance(error, RuntimeError) and str(error) == "Query interrupted"
    )


class Pagelake:
    """A Pagelake store, with its hot tier or without."""

    def __init__(self, store: Path, threads: int, *, hot: bool = True) -> None:
        self.name = "Pagelake" if hot else "Pagelake without hot tier"
        self._store = store
        self._settings: dict[str, object] = {"threads": threads}
        if not hot:
            self._settings["hot_bytes_max"] = 0
        self._connection: pagelake.Connection | None = None

    def setup(self) -> None:
        """Open the store."""
        self._connection = pagelake.connect(self._store, settings=self._settings)

    @property
    def connection(self) -> pagelake.Connection:
        """The open connection."""
        assert self._connection is not None, "setup() comes first"
        return self._connection

    def run(self, sql: str) -> pa.Table:
        """Execute one query."""
        answer: pa.Table = self.connection.sql(sql).arrow()
        return answer

    def close(self) -> None:
        """Close the store."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _DuckDBSide:
    """What the two DuckDB sides share: a connection and the way answers are fetched."""

    def __init__(self) -> None:
        self._connection: Any = None

    def run(self, sql: str) -> pa.Table:
        """Execute one query."""
        answer: pa.Table = self._connection.sql(sql).to_arrow_table()
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class DuckDB(_DuckDBSide):
    """Stock DuckDB over its own database file, opened read-only."""

    name = "DuckDB"

    def __init__(self, database: Path, threads: int) -> None:
        super().__init__()
        self._database = database
        self._threads = threads

    def setup(self) -> None:
        """Open the file."""
        import duckdb

        self._connection = duckdb.connect(
            str(self._database), read_only=True, config={"threads": self._threads}
        )


class DuckDBParquet(_DuckDBSide):
    """Stock DuckDB over views of the Parquet files."""

    name = "DuckDB on Parquet"

    def __init__(self, folder: Path, threads: int) -> None:
        super().__init__()
        self._folder = folder
        self._threads = threads

    def setup(self) -> None:
        """Create the views; file metadata is cached between queries, as its manual advises."""
        import duckdb

        self._connection = duckdb.connect(config={"threads": self._threads})
        for entry in TABLES:
            path = str(parquet_file(self._folder, entry.name)).replace("'", "''")
            self._connection.execute(
                f"CREATE VIEW {entry.name} AS SELECT * FROM read_parquet('{path}')"
            )
        # Known only once the first view has loaded the Parquet extension.
        self._connection.execute("SET parquet_metadata_cache = true")


class Polars:
    """Polars' SQL over lazily scanned Parquet files.

    Polars fixes its number of threads when it is first imported; `setup` sets it if it is the
    first.
    """

    name = "Polars"

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._threads = threads
        self._context: Any = None

    def setup(self) -> None:
        """Register one lazy scan per table."""
        os.environ.setdefault("POLARS_MAX_THREADS", str(self._threads))
        polars = import_extra("polars", "peers")
        frames = {
            entry.name: polars.scan_parquet(parquet_file(self._folder, entry.name))
            for entry in TABLES
        }
        self._context = polars.SQLContext(frames)

    def run(self, sql: str) -> pa.Table:
        """Execute one query."""
        answer: pa.Table = self._context.execute(sql).collect().to_arrow()
        return answer

    def close(self) -> None:
        """Drop the scans."""
        self._context = None


class DataFusion:
    """DataFusion over registered Parquet files."""

    name = "DataFusion"

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._threads = threads
        self._context: Any = None

    def setup(self) -> None:
        """Register the files, with one partition per thread."""
        datafusion = import_extra("datafusion", "peers")
        config = datafusion.SessionConfig().with_target_partitions(self._threads)
        self._context = datafusion.SessionContext(config)
        for entry in TABLES:
            path = str(parquet_file(self._folder, entry.name))
            self._context.register_parquet(entry.name, path)

    def run(self, sql: str) -> pa.Table:
        """Execute one query."""
        answer: pa.Table = self._context.sql(sql).to_arrow_table()
        return answer

    def close(self) -> None:
        """Drop the context."""
        self._context = None
