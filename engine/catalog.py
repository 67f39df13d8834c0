"""Names as one session sees them at one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import Denied, InvalidRequest
from ..extensions.files import relations as files
from ..sql import statement as st
from ..sql.classify import classify
from ..sql.provider import Relation, RelationColumn, RelationKind, SystemRelation
from ..sql.references import read_at_schema, read_changes_schema
from ..storage.schema_path import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..storage.effects import View
    from ..storage.snapshot import Snapshot, TableState
    from .kernel import Cursor

SYSTEM_SCHEMA = "pagelake"
DEFAULT_SCHEMA = "main"
"""Where a bare name is looked for that the current schema does not have."""
CATALOG_SCHEMAS = frozenset({"catalog", "catalog_data"})
"""Schemas that hold the catalogs of directory trees: scans change them, and IMPORT DATABASE."""
RESERVED_SCHEMAS = {
    SYSTEM_SCHEMA,
    *CATALOG_SCHEMAS,
    files.HIDDEN_SCHEMA,
    "information_schema",
    "pg_catalog",
}
"""Schemas in which only the system makes something."""

CHANGE_COLUMNS = (
    RelationColumn("change_type", "VARCHAR"),
    RelationColumn("version", "BIGINT"),
    RelationColumn("row_id", "BIGINT"),
)
"""Columns of a table's changes before its own."""


_OF_FILES: Mapping[str, Sequence[Relation]] = {
    name: (Relation(RelationKind.ENTRY, DEFAULT_SCHEMA, name, (), key="macro", sql=sql),)
    for name, sql in files.MACROS.items()
}
"""Macros that are always there, after the user's own."""


def require_changeable(schema: str, *, importing: bool = False) -> None:
    """Refuse to change what is in a schema that is the system's, or the past.

    Args:
        schema: Its name.
        importing: Whether IMPORT DATABASE does it, which may bring catalogs along.

    Raises:
        Denied: The schema is reserved.
        InvalidRequest: It stands for a version.
    """
    allowed = CATALOG_SCHEMAS if importing else frozenset()
    if schema.lower() in RESERVED_SCHEMAS - allowed:
        raise Denied(f'the schema "{schema}" is reserved for the system')
    if read_at_schema(schema) is not None:
        raise InvalidRequest(
            "the past cannot be changed", hint="leave AT out, or say RESTORE to go back to it"
        )


def table_relation(state: TableState, version: int | None = None) -> Relation:
    """A stored table as the planner sees it."""
    definition = state.definition
    columns = [RelationColumn(c.name, c.type) for c in definition.columns]
    for generated in definition.generated:
        columns.insert(generated.place, RelationColumn(generated.name, generated.type))
    return Relation(
        RelationKind.TABLE,
        definition.schema,
        definition.name,
        tuple(columns),
        key=definition.id,
        version=version,
    )


@dataclass(frozen=True, slots=True)
class SessionCatalog:
    """Resolves names for the planner.

    Attributes:
        snapshot: The snapshot to look in.
        schema: The session's current schema.
        database: Name that the store answers to in three-part names.
        system: System relations by name.
        temporary: The session's temporary relations: the query of a view, nothing for a table,
            by folded name.
        past: Finds the snapshot of an earlier version.
        spliced: Replaces references of Pagelake's own in the text of a view.
        version: The version that relations are read at; None for that of the statement.
    """

    snapshot: Snapshot
    schema: str
    database: str
    system: Mapping[str, SystemRelation]
    temporary: Mapping[str, str] = field(default_factory=dict)
    past: Callable[[int], Snapshot] | None = None
    spliced: Callable[[str, SessionCatalog], str] | None = None
    version: int | None = None

    def at(self, version: int) -> SessionCatalog:
        """The names of an earlier version.

        Raises:
            SnapshotGone: It can no longer be read.
        """
        assert self.past is not None, "this catalog knows the present only"
        return replace(self, snapshot=self.past(version), temporary={}, version=version)

    def resolve(self, parts: Sequence[str]) -> Relation | None:
        """Find a relation by its possibly qualified name, regardless of case."""
        if len(parts) == 3 and parts[0].lower() == self.database.lower():
            return self._find(parts[1], parts[2])
        if len(parts) > 2:
            return self._find(joined(*parts[:-1]), parts[-1])
        if len(parts) == 2:
            if parts[0].lower() == "temp":
                return self._temporary(parts[1])
            found = self._find(parts[0], parts[1])
            if found is None and parts[0].lower() == self.database.lower():
                found = self._find(self.schema, parts[1])
            if parts[0].lower() == DEFAULT_SCHEMA:  # theirs is called main too, and comes first
                return self._temporary(parts[1]) or found
            return found
        if len(parts) == 1:
            return (
                self._temporary(parts[0])
                or self._find(self.schema, parts[0])
                or self._find(DEFAULT_SCHEMA, parts[0])
                or self._of_files(DEFAULT_SCHEMA, parts[0])
            )
        return None

    def _temporary(self, name: str) -> Relation | None:
        sql = self.temporary.get(name.lower())
        if sql is None:
            return None
        return Relation(RelationKind.TEMPORARY, "temp", name, (), sql=sql)

    def _find(self, schema: str, name: str) -> Relation | None:
        if schema.lower() == SYSTEM_SCHEMA:
            relation = self.system.get(name.lower())
            if relation is None:
                return self._of_files(SYSTEM_SCHEMA, name)
            columns = tuple(RelationColumn(f.name, str(f.type)) for f in relation.schema)
            return Relation(
                RelationKind.SYSTEM,
                SYSTEM_SCHEMA,
                relation.name,
                columns,
                key=relation.name,
                version=self.version,
            )
        state = self.snapshot.table(schema, name)
        if state is not None:
            return table_relation(state, self.version)
        view = self.snapshot.view(schema, name)
        if view is None:
            return self._elsewhere(schema, name)
        sql = view.sql if self.spliced is None else self.spliced(view.sql, self._of_view(view))
        return Relation(
            RelationKind.VIEW,
            view.schema,
            view.name,
            (),
            key=view.search_schema,
            sql=sql,
            version=self.version,
        )

    def _of_files(self, schema: str, name: str) -> Relation | None:
        """One of the views of files, under a schema in which it can be named."""
        if name.lower() not in files.VIEWS:
            return None
        stored = self.snapshot.table(files.HIDDEN_SCHEMA, files.ELEMENTS) is not None
        sql = files.view_sql(name.lower(), stored=stored)
        return Relation(
            RelationKind.VIEW,
            schema,
            name.lower(),
            (),
            key=DEFAULT_SCHEMA,
            sql=sql,
            version=self.version,
            reads=files.READS if stored else "SELECT NULL",
        )

    def is_built_in(self, relation: Relation) -> bool:
        """Tell whether a relation is one of the views that are always there."""
        if relation.kind is not RelationKind.VIEW or relation.name not in files.VIEWS:
            return False
        there = self if relation.version == self.version else self.for_view(relation)
        return there.snapshot.view(relation.schema, relation.name) is None

    def _elsewhere(self, schema: str, name: str) -> Relation | None:
        """A relation of another version, by the name that its reference was replaced by."""
        past = read_at_schema(schema)
        if past is not None and self.past is not None:
            there = self.at(past[0])
            found = there._find(past[1], name)
            if found is None and past[1] == DEFAULT_SCHEMA:
                return there._of_files(past[1], name)
            return found
        changes = read_changes_schema(schema)
        if changes is None or self.past is None:
            return None
        since, version, table = changes
        state = self.past(version).tables.get(table)
        if state is None:
            return None
        columns = (*CHANGE_COLUMNS, *table_relation(state).columns)
        return Relation(
            RelationKind.CHANGES,
            state.definition.schema,
            name,
            columns,
            key=table,
            version=version,
            since=since,
        )

    def entries(self) -> Mapping[str, Sequence[Relation]]:
        """Macros and types by folded name."""
        if not self.snapshot.entries:
            return _OF_FILES
        found: dict[str, list[Relation]] = {}
        for entry in self.snapshot.entries.values():
            if entry.kind in {"macro", "table_macro", "type"}:
                relation = Relation(
                    RelationKind.ENTRY, entry.schema, entry.name, (), key=entry.kind, sql=entry.sql
                )
                found.setdefault(entry.name.lower(), []).append(relation)
        return {**_OF_FILES, **found}

    def names(self) -> Sequence[str]:
        """Names that could have been meant, for suggestions."""
        return [*self._stored_names(), *self.temporary, *self.system, files.FILES, files.OBJECTS]

    def _stored_names(self) -> Iterable[str]:
        for state in self.snapshot.tables.values():
            yield state.definition.name
        for view in self.snapshot.views.values():
            yield view.name

    def for_view(self, view: Relation) -> SessionCatalog:
        """The catalog in which a view's own text is bound."""
        there = self
        if view.version is not None and view.version != self.version:
            there = self.at(view.version)
        return replace(there, schema=view.key or self.schema, temporary={})

    def _of_view(self, view: View) -> SessionCatalog:
        return replace(self, schema=view.search_schema or self.schema, temporary={})


def temporary_relations(cursor: Cursor) -> dict[str, str]:
    """The temporary relations of a kernel cursor, as `SessionCatalog.temporary` has them."""
    rows = cursor.execute(
        "SELECT table_name, NULL FROM duckdb_tables() WHERE temporary UNION ALL "
        "SELECT view_name, sql FROM duckdb_views() WHERE temporary AND NOT internal"
    ).fetchall()
    found: dict[str, str] = {}
    for name, sql in rows:
        view = classify(sql) if sql else None
        found[name.lower()] = view.query if isinstance(view, st.CreateView) else ""
    return found
