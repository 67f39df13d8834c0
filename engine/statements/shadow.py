"""Shadow tables: the kernel's own reading of a table definition.

CREATE TABLE and ALTER TABLE are run, in the user's words, on an empty copy of the catalog
(``engine.native``); what came of it is read back from the kernel's catalog. So types, defaults
and constraints mean what they mean in DuckDB, and what it refuses is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...sql.column_types import column_type, typed_null
from ...sql.tokens import TokenStream, literal, quote
from ...sql.type_tree import physical, printed
from ...storage.effects import (
    Column,
    Constraint,
    GeneratedColumn,
    TableDefinition,
    serialize_type,
)
from ..native.state_types import told_columns
from .constraint_names import INDEX_KINDS, Written, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...storage.snapshot import Snapshot
    from ..kernel import Cursor


_COLLATED = re.compile(r"VARCHAR COLLATE ((?:\w+\.)*\w+)\)")
_MORE = re.compile(
    r"\b(AS|CHECK|COLLATE|FOREIGN|GENERATED|PRIMARY|REFERENCES|UNIQUE)\b", re.IGNORECASE
)
"""Words of definitions that are more than names, types and defaults."""


@dataclass(frozen=True, slots=True)
class ShadowColumn:
    """A column as the kernel understood it."""

    name: str
    type: str
    nullable: bool
    default: str | None
    collation: str | None
    generated: str | None = None


@dataclass(frozen=True, slots=True)
class ShadowConstraint:
    """A constraint as the kernel understood it."""

    kind: str
    columns: tuple[str, ...]
    expression: str | None
    table: str | None = None
    referred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShadowTable:
    """A table as the kernel understood it."""

    columns: tuple[ShadowColumn, ...]
    constraints: tuple[ShadowConstraint, ...]


def is_plain(sql: str) -> bool:
    """Tell whether the text of a definition is a list of names, types and defaults."""
    return _MORE.search(sql) is None


def read_table(
    cursor: Cursor, database: str, schema: str, name: str, *, plain: bool = False
) -> ShadowTable:
    """Read a native table's definition back.

    Args:
        cursor: A kernel cursor.
        database: The database that the table is in.
        schema: Its schema.
        name: Its name.
        plain: Whether it has columns only, none of them generated or with a collation; NOT NULL
            aside, there are no constraints. The kernel's lists of tables need not be asked then:
            the first look at them has an instance make all its built-in views, which takes as
            long as making the instance did.
    """
    where = (
        f"WHERE database_name = {literal(database)} AND schema_name = {literal(schema)} "
        f"AND table_name = {literal(name)}"
    )
    table = f"{quote(database)}.{quote(schema)}.{quote(name)}"
    collations: dict[str, str] = {}
    constraints: Sequence[tuple[Any, ...]] = ()
    if plain:
        columns = cursor.execute(
            'SELECT name, type, NOT "notnull", dflt_value, false '
            f"FROM pragma_table_info({literal(table)}) ORDER BY cid"
        ).fetchall()
    else:
        columns = cursor.execute(
            "SELECT column_name, data_type, is_nullable, column_default, is_generated "
            f"FROM duckdb_columns() {where} ORDER BY column_index"
        ).fetchall()
        listed = cursor.execute(f"SELECT sql FROM duckdb_tables() {where}").fetchall()
        collations = _collations(listed[0][0])
        constraints = cursor.execute(
            "SELECT constraint_type, constraint_column_names, expression, "
            "referenced_table, referenced_column_names "
            f"FROM duckdb_constraints() {where} ORDER BY constraint_index"
        ).fetchall()
    types = told_columns(cursor, table, [row[1] for row in columns])
    return ShadowTable(
        tuple(
            ShadowColumn(
                column,
                told,
                nullable,
                None if generated else default,
                collations.get(column.lower()),
                _uncast(default, type_) if generated else None,
            )
            for told, (column, type_, nullable, default, generated) in zip(
                types, columns, strict=True
            )
        ),
        tuple(_constraint(*row) for row in constraints if row[0] != "NOT NULL"),
    )


def _uncast(expression: str, type_: str) -> str:
    """The expression of a generated column without the cast to its type that the kernel adds."""
    # It writes the collation inside the type, where it cannot read it.
    expression = _COLLATED.sub(r"VARCHAR) COLLATE \1", expression)
    head, tail = "CAST(", f" AS {type_})"
    if expression.startswith(head) and expression.endswith(tail):
        return expression[len(head) : -len(tail)]
    return expression


def _constraint(
    kind: str,
    columns: Sequence[str],
    expression: str | None,
    table: str | None,
    referred: Sequence[str] | None,
) -> ShadowConstraint:
    named = kind.lower().replace(" ", "_")
    if named == "foreign_key":
        return ShadowConstraint(named, tuple(columns), None, table, tuple(referred or ()))
    # The columns of a check are what its text names; only keys need them.
    return ShadowConstraint(named, () if named == "check" else tuple(columns), expression)


def _collations(sql: str) -> dict[str, str]:
    """Collations by folded column name, from a table's canonical text."""
    stream = TokenStream(sql)
    while not stream.at_end() and stream.word() != "(":
        stream.at += 1
    stream.accept("(")
    found: dict[str, str] = {}
    while not stream.at_end() and stream.word() != ")":
        name = stream.identifier().lower()
        while not stream.at_end() and stream.word() not in {",", ")"}:
            if stream.accept("COLLATE"):
                found[name] = stream.name().dotted
            else:
                stream.skip_balanced()
        stream.accept(",")
    return found


def column_of(shadow: ShadowColumn, column_id: int) -> Column:
    """A shadow column as a stored one.

    Raises:
        Unsupported: The type cannot be stored; the message names it.
    """
    stored = column_type(shadow.type, collation=shadow.collation)
    return Column(
        column_id,
        shadow.name,
        stored.sql,
        serialize_type(stored.arrow),
        shadow.nullable,
        shadow.default,
        None,
        shadow.collation,
    )


def plain_column(column_id: int, name: str, sql_type: str) -> Column:
    """A nullable column without default, as a query's columns are."""
    return column_of(ShadowColumn(name, sql_type, True, None, None), column_id)


def define(
    shadow: ShadowTable,
    identity: tuple[str, str, str],
    snapshot: Snapshot,
    written: Sequence[Written] = (),
) -> TableDefinition:
    """A shadow table as a new table's definition.

    Args:
        shadow: What the kernel made of it.
        identity: Id, schema and name of the table.
        snapshot: Where the tables are that it refers to.
        written: The constraints with the names that the user gave them.
    """
    stored = [c for c in shadow.columns if c.generated is None]
    columns = tuple(column_of(c, number) for number, c in enumerate(stored, 1))
    generated = generated_of(shadow)
    plain = TableDefinition(*identity, columns, len(columns) + 1, generated=generated)
    return replace(plain, constraints=constraints_of(shadow, plain, snapshot, written))


def generated_of(shadow: ShadowTable) -> tuple[GeneratedColumn, ...]:
    """The columns of a shadow table that are computed when they are read."""
    return tuple(
        GeneratedColumn(c.name, c.type, c.generated, place)
        for place, c in enumerate(shadow.columns)
        if c.generated is not None
    )


def constraints_of(
    shadow: ShadowTable,
    definition: TableDefinition,
    snapshot: Snapshot,
    written: Sequence[Written] = (),
) -> tuple[Constraint, ...]:
    """Shadow constraints by column id, with the names that the user gave them."""
    ids = {c.name.lower(): c.id for c in definition.columns}
    names = names_of(((c.kind, c.columns) for c in shadow.constraints), written)
    found = []
    for c, name in zip(shadow.constraints, names, strict=True):
        columns = tuple(ids[name.lower()] for name in c.columns)
        if c.table is None:
            found.append(Constraint(c.kind, columns, c.expression, name))
            continue
        referred, there = definition.id, definition
        if c.table.lower() != definition.name.lower():
            state = snapshot.table(definition.schema, c.table)
            assert state is not None, "the kernel found the table that a foreign key refers to"
            referred, there = state.definition.id, state.definition
        by_name = {column.name.lower(): column.id for column in there.columns}
        referred_ids = tuple(by_name[name.lower()] for name in c.referred)
        found.append(Constraint(c.kind, columns, None, name, referred, referred_ids))
    return tuple(found)


def render(definition: TableDefinition, target: str, snapshot: Snapshot | None = None) -> str:
    """CREATE TABLE text of a definition, and what must follow it.

    Args:
        definition: The table.
        target: Qualified name to create it under.
        snapshot: Where the tables are that it refers to; foreign keys are left out without.
    """
    plain, texts = definition, []
    for column in definition.columns:
        if column.type != printed(column.type):  # the kernel has no name for the type
            without = replace(column, type=physical(column.type), default=None)
            plain = _with_column(plain, without)
            altered = f"ALTER TABLE {target} ALTER {quote(column.name)}"
            texts.append(f"{altered} SET DATA TYPE USING {typed_null(column.type)}")
            if column.default is not None:
                texts.append(f"{altered} SET DEFAULT {column.default}")
    keyed = {c for k in definition.constraints if k.kind == "primary_key" for c in k.columns}
    for column in plain.columns:
        if column.id in keyed:  # the key implies NOT NULL, which then comes behind it
            plain = _with_column(plain, replace(column, nullable=True))
    clauses = column_clauses(plain, quote, snapshot)
    return "; ".join([f"CREATE TABLE {target} ({', '.join(clauses)})", *texts])


def _with_column(definition: TableDefinition, column: Column) -> TableDefinition:
    columns = tuple(column if c.id == column.id else c for c in definition.columns)
    return replace(definition, columns=columns)


def column_clauses(
    definition: TableDefinition, spell: Callable[[str], str], snapshot: Snapshot | None = None
) -> list[str]:
    """What stands in the parentheses of a table's CREATE TABLE: columns, then constraints.

    Args:
        definition: The table.
        spell: Writes a name as an identifier.
        snapshot: Where the tables are that it refers to; foreign keys are left out without.
    """
    names = {c.id: spell(c.name) for c in definition.columns}
    clauses = []
    for column in definition.columns:
        clause = f"{names[column.id]} {printed(column.type)}"
        if column.collation:
            clause += f" COLLATE {column.collation}"
        if column.default is not None:
            clause += f" DEFAULT ({column.default})"
        if not column.nullable:
            clause += " NOT NULL"
        clauses.append(clause)
    for generated in definition.generated:
        clause = f"{spell(generated.name)} {generated.type} GENERATED ALWAYS AS "
        clauses.insert(generated.place, f"{clause}({generated.expression})")
    for constraint in definition.constraints:
        called = "" if constraint.name is None else f"CONSTRAINT {spell(constraint.name)} "
        if constraint.kind == "check":
            clauses.append(f"{called}CHECK ({constraint.expression})")
        elif constraint.kind == "foreign_key":
            if snapshot is not None:
                foreign = _foreign_key(constraint, definition, names, spell, snapshot)
                clauses.append(called + foreign)
        elif constraint.kind not in INDEX_KINDS:  # those are made by their CREATE INDEX
            kind = constraint.kind.replace("_", " ").upper()
            clauses.append(f"{called}{kind} ({', '.join(names[c] for c in constraint.columns)})")
    return clauses


def render_index(index: Constraint, definition: TableDefinition) -> str:
    """CREATE INDEX text of an index, to be run where its table's schema is the current one."""
    names = {c.id: quote(c.name) for c in definition.columns}
    unique = "UNIQUE " if index.kind == "unique_index" else ""
    keys = ", ".join(names[c] for c in index.columns) or index.expression
    return f"CREATE {unique}INDEX {quote(str(index.name))} ON {quote(definition.name)} ({keys})"


def _foreign_key(
    constraint: Constraint,
    definition: TableDefinition,
    names: Mapping[int, str],
    spell: Callable[[str], str],
    snapshot: Snapshot,
) -> str:
    there = definition
    if constraint.table != definition.id:
        there = snapshot.tables[str(constraint.table)].definition
    referred = {c.id: spell(c.name) for c in there.columns}
    mine = ", ".join(names[c] for c in constraint.columns)
    theirs = ", ".join(referred[c] for c in constraint.referred)
    return f"FOREIGN KEY ({mine}) REFERENCES {spell(there.name)} ({theirs})"
