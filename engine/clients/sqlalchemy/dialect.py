"""The dialect: URLs, connections, transactions and what SQLAlchemy may expect."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc, pool
from sqlalchemy.engine import default

from ....sql.tokens import literal
from ..point_in_time import point_in_time
from .compiler import (
    PagelakeCompiler,
    PagelakeDDLCompiler,
    PagelakeIdentifierPreparer,
    PagelakeTypeCompiler,
    key_sequence,
)
from .driver import DriverConnection
from .reflection import Reflection
from .types import COLSPECS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sqlalchemy.engine.interfaces import ConnectArgsType
    from sqlalchemy.engine.url import URL

    from ...connection import Connection

_MEMORY = ":memory:"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class PagelakeExecution(default.DefaultExecutionContext):
    """What happens around a statement."""

    def get_insert_default(self, column: Any) -> Any:
        """The default of a column that must be known before an INSERT without RETURNING."""
        if column is column.table._autoincrement_column:
            sequence = key_sequence(self.identifier_preparer, column.table)
            if sequence is not None:
                return self._execute_scalar(f"SELECT nextval({literal(sequence)})", column.type)
        return super().get_insert_default(column)  # type: ignore[no-untyped-call]

    def fire_sequence(self, seq: Any, type_: Any) -> Any:
        """The next value of a sequence, for a key whose default it is."""
        name = self.identifier_preparer.format_sequence(seq)
        return self._execute_scalar(f"SELECT nextval({literal(name)})", type_)


class PagelakeDialect(Reflection, default.DefaultDialect):
    """SQLAlchemy's way to a store.

    All connections of an engine share one open store, each with a transaction of its own. The
    store is closed with the last connection, one in memory with the engine.
    """

    name = "pagelake"
    driver = "pagelake"
    default_paramstyle = "qmark"
    execution_ctx_cls = PagelakeExecution
    statement_compiler = PagelakeCompiler
    ddl_compiler = PagelakeDDLCompiler
    type_compiler_cls = PagelakeTypeCompiler
    preparer = PagelakeIdentifierPreparer
    colspecs = COLSPECS

    supports_statement_cache = True
    supports_alter = False
    supports_comments = True
    supports_default_metavalue = True
    supports_default_values = True
    supports_empty_insert = False
    supports_is_distinct_from = True
    supports_multivalues_insert = True
    supports_native_boolean = True
    supports_native_decimal = True
    supports_native_enum = False
    supports_native_uuid = True
    supports_sane_multi_rowcount = True
    supports_sane_rowcount = True
    supports_sane_rowcount_returning = False
    supports_schemas = True
    supports_sequences = True
    sequences_optional = False
    div_is_floordiv = False
    supports_views = True
    insert_returning = True
    update_returning = True
    delete_returning = True
    postfetch_lastrowid = False
    preexecute_autoincrement_sequences = True
    requires_name_normalize = False
    cte_follows_insert = True
    tuple_in_values = True
    use_insertmanyvalues = True
    # Without RETURNING, executemany is one bulk load.
    use_insertmanyvalues_wo_returning = False
    max_identifier_length = 1024
    default_schema_name = "main"
    _backslash_escapes = False
    _supports_jsonb_subscripting = False
    _json_serializer: Callable[[object], str] | None = None
    _json_deserializer: Callable[[str], Any] | None = None

    def __init__(
        self,
        json_serializer: Callable[[object], str] | None = None,
        json_deserializer: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._json_serializer = json_serializer
        self._json_deserializer = json_deserializer
        self._opening = threading.Lock()
        self._stores: weakref.WeakValueDictionary[str, Connection] = weakref.WeakValueDictionary()
        self._in_memory: list[Connection] = []

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The module whose errors are raised."""
        return sys.modules[__name__.partition(".")[0]]

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """A pool of connections, for stores in memory too: they are all of one open store."""
        return pool.QueuePool

    # URLs and connections

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        """What a URL says, as arguments of `pagelake.connect`.

        Its path is the store's; of its query `read_only`, `at` and `parity` are arguments, and
        everything else is a setting.

        Raises:
            ArgumentError: The URL has a host, a user or a port, or a value that is not one.
        """
        if url.host or url.username or url.port:
            raise exc.ArgumentError(
                "a store has no host, user or port: write pagelake:///path, "
                "and pagelake:////path for a path from the root"
            )
        arguments: dict[str, Any] = {}
        settings: dict[str, object] = {}
        for key, value in url.query.items():
            if not isinstance(value, str):
                raise exc.ArgumentError(f"{key} is given more than once")
            if key == "read_only":
                arguments[key] = _switch(key, value)
            elif key == "parity":
                arguments[key] = int(value)
            elif key == "at":
                arguments[key] = point_in_time(value)
            else:
                settings[key] = value
        if settings:
            arguments["settings"] = settings
        return (url.database or _MEMORY,), arguments

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection to the engine's open store, which the first one opens."""
        key = repr((arguments, sorted(options.items())))
        with self._opening:
            store = self._stores.get(key)
            if store is None or store._session._closed:
                store = self.loaded_dbapi.connect(*arguments, **options)
                self._stores[key] = store
                if arguments[:1] in {(), (_MEMORY,)} and not options.get("devices"):
                    self._in_memory.append(store)
            return DriverConnection(store.cursor())

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        version: str = self.loaded_dbapi.__version__
        return tuple(int(part) for part in version.split(".")[:3])

    def _get_default_schema_name(self, connection: Any) -> str:
        return str(connection.connection.driver_connection.session._session.schema)

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        """Run a statement with many sets of parameters; each returns rows where it is to."""
        compiled = None if context is None else context.compiled
        if compiled is not None and compiled.effective_returning:
            cursor.execute_returning(statement, parameters)
        else:
            cursor.executemany(statement, parameters)

    def is_disconnect(self, e: BaseException, connection: Any, cursor: Any) -> bool:
        """Whether a connection must be made anew: it was closed, or the process has forked."""
        dbapi: Any = self.loaded_dbapi
        if isinstance(e, dbapi.ForkedConnection):
            return True
        return isinstance(e, dbapi.Closed) and "connection" in str(e)

    # Transactions

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction."""
        driver_connection(dbapi_connection).begin()

    def get_isolation_level_values(self, dbapi_conn: Any) -> tuple[Any, ...]:
        """The isolation levels; AUTOCOMMIT makes each statement a transaction."""
        return ("SNAPSHOT", "SERIALIZABLE", "AUTOCOMMIT")

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        """Snapshot isolation, or what the engine was made with."""
        return driver_connection(dbapi_conn).isolation_level

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """The isolation level of the next transaction."""
        connection = driver_connection(dbapi_connection)
        return "AUTOCOMMIT" if connection.autocommit else connection.isolation_level

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """Set the isolation level of the next transaction."""
        connection = driver_connection(dbapi_connection)
        connection.autocommit = level == "AUTOCOMMIT"
        if not connection.autocommit:
            connection.session.sql(f"SET default_transaction_isolation = '{level.lower()}'").close()
            connection.isolation_level = level

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether each statement is a transaction."""
        return bool(driver_connection(dbapi_conn).autocommit)


def driver_connection(connection: Any) -> DriverConnection:
    """The driver's connection, which the pool may have wrapped."""
    found = getattr(connection, "driver_connection", connection)
    assert isinstance(found, DriverConnection)
    return found


def _switch(key: str, value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise exc.ArgumentError(f"{key} is true or false, not {value!r}")
    return value.lower() in _TRUE
