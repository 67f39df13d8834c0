"""SHOW and DESCRIBE: answered from the snapshot, since the kernel only knows our internals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from ...errors import UnknownName
from ...sql import statement as st
from ...sql.names import close_matches
from ...sql.provider import RelationKind
from ...sql.tokens import Name, TokenStream, literal, quote
from ..catalog import DEFAULT_SCHEMA
from ..query import from_table
from .shadow import column_clauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...storage.effects import TableDefinition
    from ..result import Result
    from ..session import Session


def describe(session: Session, statement: st.Show | st.Describe) -> Result:
    """Run SHOW or DESCRIBE."""
    if isinstance(statement, st.Describe):
        return _describe(session, statement.name)
    snapshot = session.snapshot()
    database = session.database.name
    if statement.what == "DATABASES":
        return _names(session, "database_name", [database])
    if statement.what == "SCHEMAS":
        schemas = sorted([*snapshot.schemas, "pagelake"])
        return _names(session, "schema_name", schemas)
    tables = sorted(
        (s.definition for s in snapshot.tables.values()), key=lambda d: (d.schema, d.name)
    )
    if statement.what == "TABLES":
        seen = {session.schema, DEFAULT_SCHEMA}
        here = [d.name for d in tables if d.schema in seen]
        here += [v.name for v in snapshot.views.values() if v.schema in seen]
        return _names(session, "name", sorted({*here, *session.temporary}))
    table = pa.table(
        {
            "database": pa.array([database] * len(tables), pa.string()),
            "schema": pa.array([d.schema for d in tables], pa.string()),
            "name": pa.array([d.name for d in tables], pa.string()),
            "column_names": pa.array(
                [[c.name for c in d.columns] for d in tables], pa.list_(pa.string())
            ),
            "column_types": pa.array(
                [[c.type for c in d.columns] for d in tables], pa.list_(pa.string())
            ),
            "temporary": pa.array([False] * len(tables), pa.bool_()),
        }
    )
    return from_table(session, table)


def _names(session: Session, column: str, names: list[str]) -> Result:
    return from_table(session, pa.table({column: pa.array(names, pa.string())}))


def _describe(session: Session, name: Name) -> Result:
    relation = session.catalog().resolve(name.parts)
    if relation is None:
        if name.parts[0].lower() in {"information_schema", "pg_catalog"} or name.last.startswith(
            "duckdb_"
        ):
            return session.execute(f"DESCRIBE SELECT * FROM {name.dotted}")
        if len(name.parts) == 1 and _is_setting(session, name.last):
            shown = quote(name.last.lower())
            return session.execute(f"SELECT current_setting({literal(name.last)}) AS {shown}")
        raise UnknownName(
            f'there is no table or view "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(name.last, session.catalog().names()),
        )
    if relation.kind is not RelationKind.TABLE:
        dotted = ".".join(map(quote, name.parts))
        return session.execute(f"DESCRIBE SELECT * FROM {dotted}")
    definition = session.snapshot().tables[relation.key].definition
    return from_table(session, _columns(definition))


def _is_setting(session: Session, name: str) -> bool:
    known = session.database.kernel.execute("SELECT lower(name) FROM duckdb_settings()")
    return (name.lower(),) in known


def schema_sql(session: Session, table: str) -> str:
    """CREATE statement of a stored table or view, for people to read and to run again.

    Raises:
        UnknownName: There is no such table or view.
    """
    snapshot, name = session.snapshot(), TokenStream(table).name()
    relation = session.catalog(snapshot).resolve(name.parts)
    if relation is None or relation.kind not in {RelationKind.TABLE, RelationKind.VIEW}:
        raise UnknownName(
            f'there is no stored table or view "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(name.last, session.catalog(snapshot).names()),
        )
    spell = _speller(session)
    target = spell(relation.name)
    if relation.schema != "main":
        target = f"{spell(relation.schema)}.{target}"
    if relation.kind is RelationKind.VIEW:
        view = snapshot.view(relation.schema, relation.name)
        assert view is not None, "the catalog resolves views from the same snapshot"
        columns = f" ({', '.join(map(spell, view.columns))})" if view.columns else ""
        return f"CREATE VIEW {target}{columns} AS {view.sql.strip().rstrip(';')};"
    definition = snapshot.tables[relation.key].definition
    body = ",\n    ".join(column_clauses(definition, spell))
    names = {column.id: spell(column.name) for column in definition.columns}
    order = ", ".join(names[column] for column in definition.cluster_by if column in names)
    return f"CREATE TABLE {target} (\n    {body}\n){f' CLUSTER BY ({order})' if order else ''};"


def _speller(session: Session) -> Callable[[str], str]:
    """A function that quotes a name only where SQL needs it: people read what it writes."""
    rows = session.database.kernel.execute(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    )
    reserved = {row[0] for row in rows}
    return lambda name: (
        name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in reserved else quote(name)
    )


def _columns(definition: TableDefinition) -> pa.Table:
    keys: dict[int, str] = {}
    for constraint in definition.keys:
        for column in constraint.columns:
            keys.setdefault(column, "PRI" if constraint.kind == "primary_key" else "UNI")
    columns = definition.columns
    return pa.table(
        {
            "column_name": pa.array([c.name for c in columns], pa.string()),
            "column_type": pa.array([c.type for c in columns], pa.string()),
            "null": pa.array(["YES" if c.nullable else "NO" for c in columns], pa.string()),
            "key": pa.array([keys.get(c.id) for c in columns], pa.string()),
            "default": pa.array([c.default for c in columns], pa.string()),
            "extra": pa.array([None for _ in columns], pa.string()),
        }
    )
