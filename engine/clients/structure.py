"""What is in a store, as tools that draw or reflect it ask: schemas, relations, columns, keys.

Answers come from the snapshot that the cursor's next statement would read, its own uncommitted
changes included; only what is temporary is the kernel's to tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...sql.tokens import TokenStream, literal, quote
from ...sql.type_tree import printed
from ..statements.constraint_names import default_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...storage.effects import TableDefinition
    from ...storage.snapshot import Snapshot
    from ..connection import Cursor

SYSTEM_SCHEMA = "pagelake"
TEMPORARY_SCHEMA = "temp"
INFORMATION_SCHEMA = "information_schema"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation that a statement can name.

    Attributes:
        schema: Its schema, `temp` for what is temporary.
        name: Its name.
        kind: `table`, `view` or `system`.
    """

    schema: str
    name: str
    kind: str

    @property
    def is_temporary(self) -> bool:
        """True for a relation of the session's own."""
        return self.schema == TEMPORARY_SCHEMA

    @property
    def qualified(self) -> str:
        """Its name with its schema, quoted."""
        return f"{quote(self.schema)}.{quote(self.name)}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation.

    Attributes:
        name: Its name.
        type: SQL type text.
        nullable: False when NULL is refused.
        default: SQL text of its default value, None where there is none.
        generated: SQL text that it is computed by, None where it is stored.
        comment: What COMMENT ON says about it, or None.
    """

    name: str
    type: str
    nullable: bool
    default: str | None
    generated: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint of a table, or an index.

    Attributes:
        kind: `primary_key`, `unique`, `check`, `foreign_key`, `index` or `unique_index`.
        name: Its name: the user's, or the kernel's where they gave none.
        columns: Names of its columns, in its order; of a check those that its text names.
        expression: Text of a check.
        referred: Schema, table and columns that a foreign key refers to.
        parts: Of an index on expressions all that it is on, in its order: a column's name, or the
            text of an expression.
    """

    kind: str
    name: str
    columns: tuple[str, ...]
    expression: str | None = None
    referred: tuple[str, str, tuple[str, ...]] | None = None
    parts: tuple[str, ...] = ()


def schemas(cursor: Cursor) -> list[str]:
    """Names of the schemas that hold the user's relations."""
    return sorted(cursor._session.snapshot().schemas)


def relations(cursor: Cursor) -> list[Relation]:
    """Stored and temporary tables and views, by schema and name."""
    snapshot = cursor._session.snapshot()
    found = [Relation(s.definition.schema, s.definition.name, "table")
             for s in snapshot.tables.values()]  # fmt: skip
    found += [Relation(v.schema, v.name, "view") for v in snapshot.views.values()]
    found += _temporary(cursor)
    return sorted(found, key=lambda relation: (relation.schema, relation.name))


def system_relations(cursor: Cursor) -> list[Relation]:
    """The relations about the store itself."""
    return [Relation(SYSTEM_SCHEMA, name, "system")
            for name in sorted(cursor._session.database.system)]  # fmt: skip


def find(cursor: Cursor, name: str, schema: str | None) -> Relation | None:
    """Find a relation by name, regardless of case.

    Args:
        cursor: Whose names they are.
        name: The relation's name.
        schema: Its schema; None for a temporary relation, or the current schema.
    """
    wanted = schema or cursor._session.schema
    folded = (wanted.lower(), name.lower())
    known = [*relations(cursor), *system_relations(cursor)]
    by_name = {(r.schema.lower(), r.name.lower()): r for r in known}
    temporary = None if schema else by_name.get((TEMPORARY_SCHEMA, name.lower()))
    return temporary or by_name.get(folded)


def columns(cursor: Cursor, relation: Relation) -> list[Column]:
    """The columns of a relation, in their order."""
    definition = _definition(cursor, relation)
    if definition is None:
        rows = cursor.sql(f"DESCRIBE {relation.qualified}").fetchall()
        return [Column(name, type_, null == "YES", default)
                for name, type_, null, _, default, _ in rows]  # fmt: skip
    comments = _comments(cursor, relation)
    found = [
        Column(
            c.name,
            printed(c.type),
            c.nullable,
            c.default,
            None,
            comments.get(c.name.lower()),
        )
        for c in definition.columns
    ]
    for column in definition.generated:
        comment = comments.get(column.name.lower())
        found.insert(
            column.place,
            Column(column.name, column.type, True, None, column.expression, comment),
        )
    return found


def constraints(cursor: Cursor, relation: Relation) -> list[Constraint]:
    """The constraints of a table other than NOT NULL, and its indexes."""
    if relation.kind != "table":
        return []
    definition = _definition(cursor, relation)
    if definition is not None:
        return list(_stored_constraints(definition, cursor._session.snapshot()))
    return list(_temporary_constraints(cursor, relation))


def comment(cursor: Cursor, relation: Relation) -> str | None:
    """What COMMENT ON says about a relation."""
    return _comments(cursor, relation).get("")


def sequences(cursor: Cursor, schema: str) -> list[str]:
    """Names of the sequences in a schema."""
    rows = cursor.sql(
        f"SELECT sequence_name FROM duckdb_sequences() WHERE lower(schema_name) = "
        f"lower({literal(schema)}) ORDER BY ALL"
    ).fetchall()
    return [str(row[0]) for row in rows]


def view_text(cursor: Cursor, relation: Relation) -> str:
    """The statement that makes a view."""
    if relation.is_temporary:
        rows = cursor.sql(
            "SELECT sql FROM duckdb_views() WHERE temporary AND NOT internal "
            f"AND lower(view_name) = lower({literal(relation.name)})"
        ).fetchall()
        return str(rows[0][0])
    from ..statements.describe import schema_sql

    return schema_sql(cursor._session, relation.qualified)


def _comments(cursor: Cursor, relation: Relation) -> dict[str, str]:
    """Comments by folded column name; that of the relation itself by the empty name."""
    function = "duckdb_views" if relation.kind == "view" else "duckdb_tables"
    named = relation.kind if relation.kind == "view" else "table"
    where = (
        f"WHERE comment IS NOT NULL AND lower(schema_name) = lower({literal(relation.schema)}) "
        f"AND lower({{}}_name) = lower({literal(relation.name)})"
    )
    entries = cursor._session.snapshot().entries
    if not any(kind == "comment" for kind, _, _ in entries):
        return {}  # looking at what the kernel is told of the store costs more than a glance
    rows = cursor.sql(
        f"SELECT '', comment FROM {function}() {where.format(named)} UNION ALL "
        f"SELECT lower(column_name), comment FROM duckdb_columns() {where.format('table')}"
    ).fetchall()
    return dict(rows)


def _temporary(cursor: Cursor) -> list[Relation]:
    """Temporary relations as they were spelled; the session knows them by their folded names."""
    if not cursor._session.temporary:
        return []
    rows = cursor.sql(
        "SELECT table_name, 'table' FROM duckdb_tables() WHERE temporary UNION ALL "
        "SELECT view_name, 'view' FROM duckdb_views() WHERE temporary AND NOT internal"
    ).fetchall()
    return [Relation(TEMPORARY_SCHEMA, name, kind) for name, kind in rows]


def _definition(cursor: Cursor, relation: Relation) -> TableDefinition | None:
    state = cursor._session.snapshot().table(relation.schema, relation.name)
    return None if state is None else state.definition


def _stored_constraints(definition: TableDefinition, snapshot: Snapshot) -> Iterator[Constraint]:
    names = {column.id: column.name for column in definition.columns}
    for constraint in definition.constraints:
        referred = None
        if constraint.table is not None:
            there = snapshot.tables[constraint.table].definition
            spelled = {column.id: column.name for column in there.columns}
            columns = tuple(spelled[column] for column in constraint.referred)
            referred = (there.schema, there.name, columns)
        name = constraint.name or default_name(constraint, definition, snapshot)
        known = tuple(names[column] for column in constraint.columns if column in names)
        parts: tuple[str, ...] = ()
        if constraint.kind == "index" and not known:
            folded = {name.lower(): name for name in names.values()}
            parts = tuple(_parts(constraint.expression or "", folded))
            known = tuple(part for part in parts if part in names.values())
        yield Constraint(constraint.kind, name, known, constraint.expression, referred, parts)


def _temporary_constraints(cursor: Cursor, relation: Relation) -> Iterator[Constraint]:
    here = f"database_name = 'temp' AND table_name = {literal(relation.name)}"
    rows = cursor.sql(
        "SELECT constraint_type, constraint_name, constraint_column_names, expression, "
        "referenced_table, referenced_column_names FROM duckdb_constraints() "
        f"WHERE {here} AND constraint_type <> 'NOT NULL' ORDER BY constraint_index"
    ).fetchall()
    for kind, name, names, expression, table, theirs in rows:
        referred = (TEMPORARY_SCHEMA, table, tuple(theirs)) if table else None
        folded = kind.lower().replace(" ", "_")
        yield Constraint(folded, name, tuple(names), expression, referred)
    spelled = {column.name.lower(): column.name for column in columns(cursor, relation)}
    rows = cursor.sql(
        f"SELECT index_name, is_unique, sql FROM duckdb_indexes() WHERE {here}"
    ).fetchall()
    for name, unique, sql in rows:
        stream = TokenStream(sql)
        stream.text_until("ON")
        stream.expect("ON")
        stream.name()
        inside = stream.text_until(";").strip()[1:-1]
        parts = tuple(_parts(inside, spelled))
        known = tuple(part for part in parts if part in spelled.values())
        kind = "unique_index" if unique else "index"
        yield Constraint(kind, name, known, parts=parts if parts != known else ())


def _parts(keys: str, spelled: Mapping[str, str]) -> Iterator[str]:
    """What an index is on: columns by name, and the texts of expressions."""
    stream = TokenStream(keys)
    while not stream.at_end():
        text = stream.text_until(",")
        stream.accept(",")
        tokens = TokenStream(text).tokens
        column = spelled.get(str(tokens[0].text).lower()) if len(tokens) == 1 else None
        yield text if column is None else column
