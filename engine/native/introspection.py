"""What the kernel's functions about its catalog answer: the store's objects, not our internals.

Macros in a route hide the kernel's own functions, for the views of ``information_schema`` and
``pg_catalog`` too; they read a copy of the catalog and give it the store's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sql.tokens import literal, quote
from .catalog_copy import CatalogCopy, connected

if TYPE_CHECKING:
    from ..leaves.route import Route

_FUNCTIONS = (
    "tables", "columns", "views", "constraints", "indexes", "sequences", "types", "functions",
    "schemas", "databases",
)  # fmt: skip


def introspect(route: Route, store: str) -> str:
    """Make the functions about the catalog in a route.

    Args:
        route: Where the user's names resolve.
        store: Name that the store answers to.

    Returns:
        Name of the database that they read.
    """
    kernel, snapshot = route.routing.kernel, route.snapshot
    database = kernel.attach_memory("scratch")
    cursor = kernel.cursor()
    try:
        copy = CatalogCopy(cursor, database, snapshot, connected(snapshot, snapshot.tables))
        copy.build(None)
        named = f"CASE database_name WHEN {literal(database)} THEN {literal(store)} "
        named += "ELSE database_name END AS database_name"
        shown = f"database_name IN ({literal(database)}, 'system', 'temp')"
        rows = ", ".join(
            f"({literal(s.definition.schema)}, {literal(s.definition.name)}, {s.rows})"
            for s in snapshot.tables.values()
        )
        for function in _FUNCTIONS:
            replaced = named
            if function == "tables" and rows:
                size = (
                    f"coalesce((SELECT n FROM (VALUES {rows}) AS counted(s, t, n) "
                    "WHERE s = schema_name AND t = table_name), estimated_size)"
                )
                replaced += f", {size} AS estimated_size"
            cursor.execute(
                f"CREATE MACRO {route.database}.main.duckdb_{function}() AS TABLE "
                f"SELECT * REPLACE ({replaced}) FROM system.main.duckdb_{function}() "
                f"WHERE {shown}"
            )
        for function in ("current_database", "current_catalog"):
            cursor.execute(f"CREATE MACRO {route.database}.main.{function}() AS {literal(store)}")
        cursor.execute(
            f"CREATE MACRO {route.database}.main.pragma_table_info(named) AS TABLE "
            f"SELECT * FROM system.main.pragma_table_info(concat({literal(quote(database))}, "
            "'.', named))"
        )
    except BaseException:
        kernel.detach(database)
        raise
    finally:
        cursor.close()
    return database
