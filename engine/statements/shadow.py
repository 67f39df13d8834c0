"""Shadow tables: the kernel's own reading of a table definition.

CREATE TABLE and ALTER TABLE are run, in the user's words, on an empty native table in a
scratch database; what came of it is read back from the kernel's catalog. So types, defaults
and constraints mean what they mean in DuckDB, and what it refuses is refused.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Unsupported
from ...sql.column_types import column_type
from ...sql.tokens import TokenStream, literal, quote
from ...storage.effects import Column, Constraint, TableDefinition, serialize_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..kernel import Cursor, Kernel


@dataclass(frozen=True, slots=True)
class ShadowColumn:
    """A column as the kernel understood it."""

    name: str
    type: str
    nullable: bool
    default: str | None
    collation: str | None


@dataclass(frozen=True, slots=True)
class ShadowConstraint:
    """A constraint as the kernel understood it."""

    kind: str
    columns: tuple[str, ...]
    expression: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class ShadowTable:
    """A table as the kernel understood it."""

    columns: tuple[ShadowColumn, ...]
    constraints: tuple[ShadowConstraint, ...]


class Scratch:
    """A scratch database for one shadow table.

    Attributes:
        cursor: A kernel cursor.
        database: Name of the scratch database.
    """

    def __init__(self, cursor: Cursor, database: str) -> None:
        self.cursor = cursor
        self.database = database

    def table(self, name: str) -> str:
        """Qualified name of the shadow table."""
        return f"{self.database}.main.{quote(name)}"

    def read(self) -> ShadowTable:
        """Read the one table of the scratch database back.

        Raises:
            Unsupported: It has something that Pagelake cannot keep.
        """
        where = f"WHERE database_name = {literal(self.database)}"
        columns = self.cursor.execute(
            "SELECT column_name, data_type, is_nullable, column_default, is_generated "
            f"FROM duckdb_columns() {where} ORDER BY column_index"
        ).fetchall()
        collations = _collations(
            self.cursor.execute(f"SELECT sql FROM duckdb_tables() {where}").fetchall()[0][0]
        )
        for name, _, _, _, generated in columns:
            if generated:
                raise Unsupported(f'column "{name}" is generated', construct="GENERATED ALWAYS AS")
        constraints = self.cursor.execute(
            "SELECT constraint_type, constraint_column_names, expression, constraint_name "
            f"FROM duckdb_constraints() {where} ORDER BY constraint_index"
        ).fetchall()
        return ShadowTable(
            tuple(
                ShadowColumn(name, type_, nullable, default, collations.get(name.lower()))
                for name, type_, nullable, default, _ in columns
            ),
            tuple(_constraint(*row) for row in constraints if row[0] != "NOT NULL"),
        )


def _constraint(
    kind: str, columns: Sequence[str], expression: str | None, name: str | None
) -> ShadowConstraint:
    if kind == "FOREIGN KEY":
        raise Unsupported(
            "FOREIGN KEY constraints are not supported",
            construct="FOREIGN KEY",
            hint="leave the constraint out, or check it with a query",
        )
    named = {"PRIMARY KEY": "primary_key", "UNIQUE": "unique", "CHECK": "check"}[kind]
    # The columns of a check are what its text names; only keys need them.
    return ShadowConstraint(named, () if named == "check" else tuple(columns), expression, name)


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


@contextmanager
def scratch(kernel: Kernel) -> Iterator[Scratch]:
    """A scratch database, detached at the end."""
    database = kernel.attach_memory("scratch")
    cursor = kernel.cursor()
    try:
        yield Scratch(cursor, database)
    finally:
        cursor.close()
        kernel.detach(database)


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


def define(shadow: ShadowTable, table_id: str, schema: str, name: str) -> TableDefinition:
    """A shadow table as a new table's definition."""
    columns = tuple(column_of(c, number) for number, c in enumerate(shadow.columns, 1))
    return TableDefinition(
        table_id,
        schema,
        name,
        columns,
        len(columns) + 1,
        constraints_of(shadow, columns),
    )


def constraints_of(shadow: ShadowTable, columns: Sequence[Column]) -> tuple[Constraint, ...]:
    """Shadow constraints by column id."""
    ids = {c.name.lower(): c.id for c in columns}
    return tuple(
        Constraint(c.kind, tuple(ids[n.lower()] for n in c.columns), c.expression, c.name)
        for c in shadow.constraints
    )


def render(definition: TableDefinition, target: str) -> str:
    """CREATE TABLE text of a definition.

    Args:
        definition: The table.
        target: Qualified name to create it under.
    """
    return f"CREATE TABLE {target} ({', '.join(column_clauses(definition, quote))})"


def column_clauses(definition: TableDefinition, spell: Callable[[str], str]) -> list[str]:
    """What stands in the parentheses of a table's CREATE TABLE: columns, then constraints.

    Args:
        definition: The table.
        spell: Writes a name as an identifier.
    """
    names = {c.id: spell(c.name) for c in definition.columns}
    clauses = []
    for column in definition.columns:
        clause = f"{names[column.id]} {column.type}"
        if column.collation:
            clause += f" COLLATE {column.collation}"
        if column.default is not None:
            clause += f" DEFAULT ({column.default})"
        if not column.nullable:
            clause += " NOT NULL"
        clauses.append(clause)
    for constraint in definition.constraints:
        if constraint.kind == "check":
            clauses.append(f"CHECK ({constraint.expression})")
        else:
            kind = constraint.kind.replace("_", " ").upper()
            clauses.append(f"{kind} ({', '.join(names[c] for c in constraint.columns)})")
    return clauses
