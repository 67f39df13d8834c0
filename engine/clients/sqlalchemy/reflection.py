"""Reflection: the structure of a store in the form that SQLAlchemy's inspector returns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.engine import default, reflection

from ...statements.constraint_names import names_of
from .. import structure
from .types import type_of

if TYPE_CHECKING:
    from ...connection import Cursor
    from ..structure import Constraint, Relation


def _session(connection: Any) -> Cursor:
    session: Cursor = connection.connection.driver_connection.session
    return session


class Reflection(default.DefaultDialect):
    """The part of the dialect that looks things up."""

    @reflection.cache
    def has_table(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        """Whether there is a table or view of that name."""
        return structure.find(_session(connection), table_name, schema) is not None

    @reflection.cache
    def has_schema(self, connection: Any, schema_name: str, **kw: Any) -> bool:
        """Whether there is a schema of that name."""
        return _session(connection)._session.snapshot().has_schema(schema_name)

    @reflection.cache
    def has_sequence(
        self, connection: Any, sequence_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        """Whether there is a sequence of that name."""
        names = self.get_sequence_names(connection, schema, **kw)
        return sequence_name.lower() in {name.lower() for name in names}

    @reflection.cache
    def get_schema_names(self, connection: Any, **kw: Any) -> list[str]:
        """The schemas."""
        return structure.schemas(_session(connection))

    @reflection.cache
    def get_table_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """Stored tables of a schema."""
        return self._names(connection, "table", schema or self._present(connection))

    @reflection.cache
    def get_view_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """Stored views of a schema; the relations about the store are views too."""
        if schema == structure.SYSTEM_SCHEMA:
            return [r.name for r in structure.system_relations(_session(connection))]
        return self._names(connection, "view", schema or self._present(connection))

    @reflection.cache
    def get_temp_table_names(
        self, connection: Any, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """The connection's temporary tables."""
        return self._names(connection, "table", structure.TEMPORARY_SCHEMA)

    @reflection.cache
    def get_temp_view_names(
        self, connection: Any, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """The connection's temporary views."""
        return self._names(connection, "view", structure.TEMPORARY_SCHEMA)

    def get_materialized_view_names(
        self, connection: Any, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """None: there are no materialised views."""
        return []

    @reflection.cache
    def get_sequence_names(
        self, connection: Any, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """The sequences of a schema."""
        session = _session(connection)
        return structure.sequences(session, schema or self._present(connection))

    @reflection.cache
    def get_view_definition(
        self, connection: Any, view_name: str, schema: str | None = None, **kw: Any
    ) -> str:
        """The statement that makes a view."""
        relation = self._relation(connection, view_name, schema)
        if relation.kind != "view":
            raise exc.NoSuchTableError(view_name)
        return structure.view_text(_session(connection), relation)

    @reflection.cache
    def get_columns(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The columns of a table or view."""
        relation = self._relation(connection, table_name, schema)
        found: list[dict[str, Any]] = []
        for column in structure.columns(_session(connection), relation):
            described: dict[str, Any] = {
                "name": column.name,
                "type": type_of(column.type),
                "nullable": column.nullable,
                "default": column.default,
                "autoincrement": (column.default or "").startswith("nextval("),
                "comment": column.comment,
            }
            if column.generated is not None:
                described["computed"] = {"sqltext": column.generated, "persisted": False}
            found.append(described)
        return found

    @reflection.cache
    def get_pk_constraint(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The primary key."""
        for key in self._constraints(connection, table_name, schema, "primary_key"):
            return {"constrained_columns": list(key.columns), "name": key.name}
        return {"constrained_columns": [], "name": None}

    @reflection.cache
    def get_unique_constraints(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The unique constraints."""
        return [
            {"name": key.name, "column_names": list(key.columns)}
            for key in self._constraints(connection, table_name, schema, "unique")
        ]

    @reflection.cache
    def get_check_constraints(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The checks."""
        return [
            {"name": check.name, "sqltext": check.expression}
            for check in self._constraints(connection, table_name, schema, "check")
        ]

    @reflection.cache
    def get_foreign_keys(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The foreign keys."""
        found: list[dict[str, Any]] = []
        for key in self._constraints(connection, table_name, schema, "foreign_key"):
            assert key.referred is not None, "a foreign key refers to something"
            there, table, columns = key.referred
            unsaid = there == structure.TEMPORARY_SCHEMA or (not schema and there == "main")
            found.append({
                "name": key.name,
                "constrained_columns": list(key.columns),
                "referred_schema": None if unsaid else there,
                "referred_table": table,
                "referred_columns": list(columns),
                "options": {},
            })  # fmt: skip
        return found

    @reflection.cache
    def get_indexes(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The indexes."""
        found: list[dict[str, Any]] = []
        for index in self._constraints(connection, table_name, schema, "index", "unique_index"):
            described: dict[str, Any] = {"name": index.name, "column_names": list(index.columns)}
            described["unique"] = index.kind == "unique_index"
            described["dialect_options"] = {}
            if index.parts:
                described["column_names"] = [p if p in index.columns else None for p in index.parts]
                described["expressions"] = list(index.parts)
            found.append(described)
        return found

    @reflection.cache
    def get_table_comment(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The comment on a table or view."""
        relation = self._relation(connection, table_name, schema)
        return {"text": structure.comment(_session(connection), relation)}

    def _relation(self, connection: Any, name: str, schema: str | None) -> Relation:
        found = structure.find(_session(connection), name, schema)
        if found is None:
            raise exc.NoSuchTableError(f"{schema}.{name}" if schema else name)
        return found

    def _constraints(
        self, connection: Any, name: str, schema: str | None, *kinds: str
    ) -> list[Constraint]:
        relation = self._relation(connection, name, schema)
        found = structure.constraints(_session(connection), relation)
        if relation.is_temporary:
            written = connection.connection.driver_connection.temporary.get(name.lower(), [])
            keys = ((c.kind, () if c.kind == "check" else c.columns) for c in found)
            names = names_of(keys, written)
            found = [replace(c, name=n or c.name) for c, n in zip(found, names, strict=True)]
        # The order is no one's choice: names make it one that can be relied on.
        return sorted((c for c in found if c.kind in kinds), key=lambda c: c.name)

    def _names(self, connection: Any, kind: str, schema: str) -> list[str]:
        return [
            relation.name
            for relation in structure.relations(_session(connection))
            if relation.kind == kind and relation.schema.lower() == schema.lower()
        ]

    def _present(self, connection: Any) -> str:
        return str(_session(connection)._session.schema)
