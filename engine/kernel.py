"""The relational kernel: the one module that holds the DuckDB client.

One in-memory instance a database, with everything that it needs to know attached by name:
routes (the names of a snapshot), deltas (fresh rows), hot segments (read-only files). Its
doors to the outside are shut: no extensions are fetched, no variables of ours are scanned.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb.func import ARROW, SPECIAL

from ..sql.tokens import literal, quote

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from ..storage.environment import Environment
    from .settings import Settings

Cursor = duckdb.DuckDBPyConnection
Parameters = Sequence[object] | dict[str, object] | None

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}

OWN_NAMES = "[a-z]+_[0-9a-f]{16}"
"""Pattern of the names that ``Kernel.name`` makes up."""


_LATE_ROWS_MAX = 1000
"""Rows up to which LIMIT behind ORDER BY first finds the rows by the columns it orders by, and then
reads the others: the largest hundred of ten million cost 40 ms instead of 200."""


@lru_cache(maxsize=1)
def kernel_version() -> str:
    """Version of the kernel, as it names the files that it writes."""
    return str(duckdb.__version__)


class Kernel:
    """A DuckDB instance.

    Args:
        settings: For ``memory_limit``, ``threads`` and ``temp_directory``.
        environment: Source of unguessable names.
    """

    def __init__(self, settings: Settings, environment: Environment) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._own: set[str] = set()
        self._root = duckdb.connect(":memory:", config=_CONFIG)
        self._functions: list[str] = []
        self.execute(f"SET GLOBAL late_materialization_max_rows = {_LATE_ROWS_MAX}")
        # The client complains about functions that are left at the end of the process.
        weakref.finalize(self, _remove, self._root, self._functions, os.getpid())
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Take over limits from the settings."""
        with self._lock:
            self._root.execute(f"SET memory_limit = '{settings.integer('memory_limit')}B'")
            self._root.execute(f"SET threads = {settings.integer('threads')}")
            directory = literal(str(settings.get("temp_directory")))
            self._root.execute(f"SET temp_directory = {directory}")

    def name(self, prefix: str) -> str:
        """An unguessable name: one that no user's alias or schema can collide with."""
        return f"{prefix}_{self._environment.random_bytes(8).hex()}"

    def cursor(self) -> Cursor:
        """A further connection to the instance."""
        return self._root.cursor()

    def execute(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """Run an internal statement and return its rows."""
        with self._lock:
            if parameters is None:
                return self._root.execute(sql).fetchall()
            return self._root.execute(sql, parameters).fetchall()

    def scalar_function(
        self,
        prefix: str,
        function: Callable[..., pa.Array],
        parameters: Sequence[str],
        result: str,
    ) -> str:
        """Make a function for internal use, which lives as long as the instance.

        Args:
            prefix: Of its name.
            function: Called with Arrow arrays, NULL included, in any of the kernel's threads.
            parameters: SQL types of its parameters.
            result: SQL type of its values.

        Returns:
            Its name.
        """
        name = self.name(prefix)
        with self._lock:
            self._root.create_function(
                name, function, list(parameters), result, type=ARROW, null_handling=SPECIAL
            )
            self._functions.append(name)
        return name

    def attach_memory(self, prefix: str) -> str:
        """Attach a new database in memory; returns its name."""
        name = self.name(prefix)
        self._own.add(name)
        self.execute(f"ATTACH ':memory:' AS {name}")
        return name

    def attach_file(self, path: str, prefix: str) -> str:
        """Attach a native file read-only; returns its name."""
        name = self.name(prefix)
        self._own.add(name)
        self.execute(f"ATTACH {literal(path)} AS {name} (READ_ONLY)")
        return name

    def databases(self) -> list[str]:
        """Folded names of the databases that were attached, our own left out."""
        rows = self.execute(
            "SELECT lower(database_name) FROM duckdb_databases() WHERE NOT internal"
        )
        return [name for (name,) in rows if name not in self._own and name != "memory"]

    def detach(self, name: str) -> None:
        """Detach a database that nobody uses."""
        self.execute(f"DETACH {quote(name)}")
        self._own.discard(name)

    def register_files(self, files: Any) -> None:
        """Let the kernel's readers and writers open what a file system of fsspec's has."""
        with self._lock:
            self._root.register_filesystem(files)

    def parse(self, sql: str) -> None:
        """Let the kernel's parser judge a text.

        Raises:
            duckdb.ParserException: The text is not SQL.
        """
        with self._lock:
            self._root.extract_statements(sql)

    def close(self) -> None:
        """Close the instance and all its cursors."""
        with self._lock:
            self._root.close()


def _remove(root: Cursor, functions: Sequence[str], process: int) -> None:
    # A process that was forked has none of the kernel's threads.
    for name in functions if os.getpid() == process else ():
        with suppress(duckdb.Error):  # closed with all that was in it
            root.remove_function(name)
