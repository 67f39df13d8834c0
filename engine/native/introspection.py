"""What the kernel's functions about its catalog answer: the store's objects, not our internals.

Macros in a route hide the kernel's own functions, for the views of ``information_schema`` and
``pg_catalog`` too; they read a copy of the catalog and give it the store's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sql.tokens import literal, quote
from ...storage.schema_path import SEPARATOR
from ..kernel import OWN_NAMES
from ..statements.constraint_names import INDEX_KINDS
from .catalog_copy import CatalogCopy, connected, without_files

if TYPE_CHECKING:
    from ...storage.snapshot import Snapshot
    from ..leaves.route import Route

_FUNCTIONS = (
    "tables", "columns", "views", "constraints", "indexes", "sequences", "types", "functions",
    "schemas", "databases",
)  # fmt: skip

_WITH_TABLES = {"tables", "columns", "constraints", "indexes"}
"""Those that tell a table's number."""
_NTH = (
    "row_number() OVER (PARTITION BY database_oid, table_oid, constraint_type "
    "ORDER BY constraint_index)"
)
"""Tells a table's constraints of one kind apart: they are in the order of its definition."""
_NUMBERED_TYPES = """(
    SELECT types.* EXCLUDE (nth) REPLACE (coalesce(types.type_oid, built_in.type_oid) AS type_oid)
    FROM (
        SELECT *, row_number() OVER (PARTITION BY database_oid, type_name) AS nth
        FROM system.main.duckdb_types()
    ) AS types LEFT JOIN (
        SELECT type_name, type_oid FROM system.main.duckdb_types()
        WHERE internal AND type_oid IS NOT NULL QUALIFY database_oid = min(database_oid) OVER ()
    ) AS built_in ON types.type_name = built_in.type_name AND types.nth = 1
    AND types.database_name NOT IN ('system', 'temp')
)"""
"""Types: the kernel numbers those that are built in for the first of its databases only."""


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
        tables = without_files(connected(snapshot, snapshot.tables))
        copy = CatalogCopy(cursor, database, snapshot, tables)
        copy.build(None)
        named = f"CASE database_name WHEN {literal(database)} THEN {literal(store)} "
        named += "ELSE database_name END AS database_name"
        shown = (
            f"(database_name = {literal(database)} OR database_name <> 'memory' "
            f"AND NOT regexp_full_match(database_name, {literal(OWN_NAMES)}))"
        )
        rows = ", ".join(
            f"({literal(s.definition.schema)}, {literal(s.definition.name)}, {s.rows})"
            for s in snapshot.tables.values()
        )
        for function in _FUNCTIONS:
            columns, replaced, order = "*", named, ""
            source = f"system.main.duckdb_{function}()"
            if function == "tables" and rows:
                size = (
                    f"coalesce((SELECT n FROM (VALUES {rows}) AS counted(s, t, n) "
                    "WHERE s = schema_name AND t = table_name), estimated_size)"
                )
                replaced += f", {size} AS estimated_size"
            if function in _WITH_TABLES and rows:
                replaced += f", {_stable_number(snapshot, database)} AS table_oid"
            if function == "constraints" and (given := _given_names(snapshot)):
                given = f"CASE database_name WHEN {literal(database)} THEN {given} END"
                replaced += f", coalesce({given}, constraint_name) AS constraint_name"
                source = f"(SELECT *, {_NTH} AS nth FROM {source})"
                columns, order = "* EXCLUDE (nth)", " ORDER BY constraint_index"
            if function == "types":
                source = _NUMBERED_TYPES
            if any(SEPARATOR in schema for schema in snapshot.schemas):
                replaced += _paths_shown(function, database)
            cursor.execute(
                f"CREATE MACRO {route.database}.main.duckdb_{function}() AS TABLE "
                f"SELECT {columns} REPLACE ({replaced}) FROM {source} WHERE {shown}{order}"
            )
        for function in ("current_database", "current_catalog"):
            cursor.execute(f"CREATE MACRO {route.database}.main.{function}() AS {literal(store)}")
        cursor.execute(  # SHOW TABLES asks it
            f"CREATE MACRO {route.database}.main.in_search_path(named, inside) AS "
            f"named = {literal(store)} AND inside = current_schema() "
            "OR system.main.in_search_path(named, inside)"
        )
        for function in ("pragma_table_info", "pragma_storage_info"):
            cursor.execute(
                f"CREATE MACRO {route.database}.main.{function}(named) AS TABLE "
                f"SELECT * FROM system.main.{function}(concat({literal(quote(database))}, "
                "'.', named))"
            )
    except BaseException:
        kernel.detach(database)
        raise
    finally:
        cursor.close()
    return database


_TEXTS = {
    "columns": "column_default", "constraints": "constraint_text", "functions": "macro_definition",
    "indexes": "sql", "sequences": "sql", "tables": "sql", "views": "sql",
}  # fmt: skip
"""Columns that hold SQL, in which the names of schemas may stand."""


def _paths_shown(function: str, database: str) -> str:
    """What shows nested schemas, of which the copy has the paths only, as the kernel shows them."""
    if function == "databases":
        return ""
    separator = f"chr({ord(SEPARATOR)})"
    shown = f", list_last(string_split(schema_name, {separator})) AS schema_name"
    if function in _TEXTS:
        shown += f""", replace({_TEXTS[function]}, {separator}, '"."') AS {_TEXTS[function]}"""
    if function == "schemas":
        around = f"string_split(schema_name, {separator})[:-2]"
        shown += (
            f", coalesce(list_last({around}), parent_schema) AS parent_schema, "
            "coalesce((SELECT known.oid FROM "
            "(SELECT oid, database_name AS base, schema_name AS path "
            "FROM system.main.duckdb_schemas()) AS known "
            f"WHERE known.base = {literal(database)} "
            f"AND known.path = array_to_string({around}, {separator})), parent_schema_oid) "
            "AS parent_schema_oid"
        )
    return shown


def _stable_number(snapshot: Snapshot, database: str) -> str:
    """SQL that gives a table a number that stays its own; the copy's are new each time."""
    rows = (
        f"({literal(d.schema)}, {literal(d.name)}, {int(d.id[:12], 16)})"
        for d in (state.definition for state in without_files(list(snapshot.tables.values())))
    )
    return (
        f"coalesce((SELECT n FROM (VALUES {', '.join(rows)}) AS numbered(s, t, n) "
        f"WHERE s = schema_name AND t = table_name AND database_name = {literal(database)}), "
        "table_oid)"
    )


def _given_names(snapshot: Snapshot) -> str:
    """SQL that gives a constraint the name that its user gave it; empty where none did."""
    rows = [
        f"({literal(d.schema)}, {literal(d.name)}, {literal(c.kind)}, {nth}, {literal(c.name)})"
        for d in (state.definition for state in snapshot.tables.values())
        for kind in {c.kind for c in d.constraints} - INDEX_KINDS
        for nth, c in enumerate((c for c in d.constraints if c.kind == kind), 1)
        if c.name is not None
    ]
    if not rows:
        return ""
    return (
        f"(SELECT given FROM (VALUES {', '.join(rows)}) AS named(s, t, k, n, given) "
        "WHERE s = schema_name AND t = table_name AND n = nth "
        "AND k = lower(replace(constraint_type, ' ', '_')))"
    )
