"""The adapter: options, a connection, and cursors over its results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harlequin import HarlequinAdapter, HarlequinConnection, HarlequinCursor
from harlequin.exception import (
    HarlequinConfigError,
    HarlequinConnectionError,
    HarlequinQueryError,
)
from harlequin.options import FlagOption, TextOption

from ....errors import Error, Interrupted
from .browse import build_catalog, type_label
from .completions import completions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harlequin.autocomplete.completion import HarlequinCompletion
    from harlequin.catalog import Catalog

    from ...connection import Connection
    from ...result import Result

_MEMORY = ":memory:"


class PagelakeCursor(HarlequinCursor):
    """The rows of one statement; they run when they are fetched, so that a limit saves work.

    Args:
        result: The result.
    """

    def __init__(self, result: Result) -> None:
        self._result = result
        self._limit: int | None = None

    def columns(self) -> list[tuple[str, str]]:
        """Names of the columns, and what stands for their types."""
        labels = map(type_label, self._result.types)
        return list(zip(self._result.columns, labels, strict=True))

    def set_limit(self, limit: int) -> PagelakeCursor:
        """Fetch no more than this number of rows."""
        self._limit = limit
        return self

    def fetchall(self) -> Any:
        """The rows as an Arrow table; None where there are none, or the query was cancelled.

        Raises:
            HarlequinQueryError: The query failed.
        """
        try:
            table = self._rows()
        except Interrupted:
            return None
        except Error as error:
            raise HarlequinQueryError(str(error), title="Pagelake could not finish it") from error
        return table if table.num_rows else None

    def _rows(self) -> Any:
        if self._limit is None:
            return self._result.arrow()
        import pyarrow as pa

        reader = self._result.reader(min(self._limit, 122_880) or 1)
        batches, missing = [], self._limit
        for batch in reader:
            batches.append(batch.slice(0, missing))
            missing -= batches[-1].num_rows
            if missing <= 0:
                break
        table = pa.Table.from_batches(batches, schema=reader.schema)
        self._result.close()
        return table


class PagelakeConnection(HarlequinConnection):
    """An open store; statements commit themselves outside of BEGIN and COMMIT.

    Args:
        connection: Pagelake's connection.
        init_message: What Harlequin shows when it has connected.
    """

    def __init__(self, connection: Connection, init_message: str = "") -> None:
        self.connection = connection
        # Harlequin looks at the catalog while a query runs.
        self.browsing = connection.cursor()
        self.init_message = init_message

    def execute(self, query: str) -> PagelakeCursor | None:
        """Run a statement; None where it returns no rows, or was cancelled.

        Raises:
            HarlequinQueryError: The statement is wrong, or failed.
        """
        try:
            result = self.connection.sql(query)
            if not result.returns_rows or not result.columns:
                return None
        except Interrupted:
            return None
        except Error as error:
            raise HarlequinQueryError(str(error), title="Pagelake could not run it") from error
        return PagelakeCursor(result)

    def cancel(self) -> None:
        """Cancel what runs at the moment."""
        self.connection.interrupt()

    def get_catalog(self) -> Catalog:
        """Schemas, their tables and views with columns, and the relations about the store."""
        try:
            # What is temporary or not yet committed is the connection's own to see.
            return build_catalog(self.connection)
        except Error as error:
            raise HarlequinQueryError(str(error), title="Pagelake could not look") from error

    def get_completions(self) -> list[HarlequinCompletion]:
        """Functions, settings and keywords beyond SQL's own."""
        return completions(self.browsing)

    def validate_sql(self, text: str) -> str:
        """The text where it is one or more whole statements, else nothing."""
        try:
            self.browsing.statements(text)
        except Error:
            return ""
        return text

    def close(self) -> None:
        """Close the store."""
        self.connection.close()


class PagelakeAdapter(HarlequinAdapter):
    """Opens a store for Harlequin.

    Args:
        conn_str: The store's directory; several are the devices of one store, none is a store
            in memory.
        read_only: Refuse every statement that would write.
        at: Read as of this version, time or tag.
        memory_limit: What queries may use, such as `4GB`.
    """

    ADAPTER_OPTIONS = [  # noqa: RUF012 - Harlequin declares it as it does
        TextOption("at", description="Read everything as of a version, a time or a tag."),
        TextOption("memory-limit", description="Memory that queries may use, such as 4GB."),
        FlagOption("read-only", description="Refuse every statement that would write."),
    ]
    IMPLEMENTS_CANCEL = True
    IMPLEMENTS_READ_ONLY = True
    IMPLEMENTS_VALIDATE_SQL = True
    ADAPTER_DETAILS = "Opens Pagelake stores: `harlequin -a pagelake path/to/store`."

    def __init__(
        self,
        conn_str: Sequence[str] = (),
        read_only: bool = False,
        at: str | None = None,
        memory_limit: str | None = None,
        **_: Any,
    ) -> None:
        for name, value in {"at": at, "memory_limit": memory_limit}.items():
            if value is not None and not isinstance(value, str | int):
                raise HarlequinConfigError(f"{name} is a text, not {value!r}")
        self._paths = tuple(conn_str)
        self._read_only = str(read_only).lower() == "true"
        self._at = at
        self._settings = {} if memory_limit is None else {"memory_limit": str(memory_limit)}

    @property
    def connection_id(self) -> str | None:
        """What Harlequin remembers catalogs by; nothing for what is gone when it ends."""
        where = "|".join(self._paths)
        return "" if where in {"", _MEMORY} else f"pagelake:{where}@{self._at or ''}"

    def connect(self) -> PagelakeConnection:
        """Open the store.

        Raises:
            HarlequinConnectionError: It cannot be opened.
        """
        from ...connection import connect
        from ..point_in_time import point_in_time

        at = None if self._at is None else point_in_time(str(self._at))
        single = self._paths[0] if self._paths else _MEMORY
        several = self._paths if len(self._paths) > 1 else ()
        try:
            opened = connect(
                _MEMORY if several else single,
                devices=several,
                read_only=self._read_only,
                at=at,
                settings=self._settings,
            )
        except Error as error:
            raise HarlequinConnectionError(
                str(error), title="Pagelake could not open the store"
            ) from error
        return PagelakeConnection(opened, f"Connected to {opened.path}.")
