"""SHOW and DESCRIBE: answered from the snapshot, since the kernel only knows our internals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from ..errors import UnknownName
from ..sql import statement as st
from ..sql.names import close_matches
from ..sql.provider import RelationKind
from ..sql.tokens import quote
from .query import from_table
from .result import Result

if TYPE_CHECKING:
    from ..storage.effects import TableDefinition
    from .session import Session


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
        here = [d.name for d in tables if d.schema == session.schema]
        here += [v.name for v in snapshot.views.values() if v.schema == session.schema]
        return _names(session, "name", sorted({*here, *session.temporary}))
    table = pa.table({
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
    })
    return from_table(session, table)


def _names(session: Session, column: str, names: list[str]) -> Result:
    return from_table(session, pa.table({column: pa.array(names, pa.string())}))


def _describe(session: Session, name: st.Name) -> Result:
    relation = session.catalog().resolve(name.parts)
    if relation is None:
        if name.parts[0].lower() in {"information_schema", "pg_catalog"} or name.last.startswith(
            "duckdb_"
        ):
            return session.execute(f"DESCRIBE SELECT * FROM {name.dotted}")
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


def _columns(definition: TableDefinition) -> pa.Table:
    keys: dict[int, str] = {}
    for constraint in definition.keys:
        for column in constraint.columns:
            keys.setdefault(column, "PRI" if constraint.kind == "primary_key" else "UNI")
    columns = definition.columns
    return pa.table({
        "column_name": pa.array([c.name for c in columns], pa.string()),
        "column_type": pa.array([c.type for c in columns], pa.string()),
        "null": pa.array(["YES" if c.nullable else "NO" for c in columns], pa.string()),
        "key": pa.array([keys.get(c.id) for c in columns], pa.string()),
        "default": pa.array([c.default for c in columns], pa.string()),
        "extra": pa.array([None for _ in columns], pa.string()),
    })
