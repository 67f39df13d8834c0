"""What the planner sees of the world: relations, their columns, and how to resolve a name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from .references import at_schema, changes_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from .predicate import Predicate


class RelationKind(Enum):
    """What is behind a name."""

    TABLE = "table"
    VIEW = "view"
    SYSTEM = "system relation"
    CHANGES = "changes of a table"
    TEMPORARY = "temporary"
    ENTRY = "macro or type"
    INTROSPECTION = "functions about the catalog"


class Pushdown(Enum):
    """What a provider does with a predicate that it is offered.

    EXACT: only matching rows come back. INEXACT: some others may come too, none is missing.
    UNSUPPORTED: the provider ignores it.
    """

    EXACT = "exact"
    INEXACT = "inexact"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column as the binder knows it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A named relation.

    Attributes:
        kind: What it is.
        schema: Its schema.
        name: Its name as it was created.
        columns: Its columns in order; empty where they are not known before execution.
        key: What the one who executes finds it by: a table's id; of a view the schema in which
            its text is read.
        sql: The text of a view.
        version: The version at which it is read; None for that of the statement.
        since: Of the changes of a table, the first version whose changes count; ``version`` is
            the last.
        reads: Of a view whose text is long, a short one that reads the same relations.
    """

    kind: RelationKind
    schema: str
    name: str
    columns: tuple[RelationColumn, ...]
    key: str = ""
    sql: str = ""
    version: int | None = None
    since: int = 0
    reads: str = ""

    @property
    def routed_schema(self) -> str:
        """The schema under which the kernel finds it."""
        if self.kind is RelationKind.ENTRY:
            return f"pagelake {self.key} {self.schema}"  # they share no name space with tables
        if self.version is None:
            return self.schema
        if self.kind is RelationKind.CHANGES:
            return changes_schema(self.since, self.version, self.key)
        return at_schema(self.version, self.schema)

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it apart from all others that a statement can read."""
        return (self.routed_schema.lower(), self.name.lower())


class Catalog(Protocol):
    """Resolves names at one snapshot for one session."""

    def resolve(self, parts: Sequence[str]) -> Relation | None:
        """Find a relation by its possibly qualified name, regardless of case."""
        ...

    def for_view(self, view: Relation) -> Catalog:
        """The catalog in which a view's own text is bound."""
        ...

    def names(self) -> Sequence[str]:
        """Names that could have been meant, for suggestions."""
        ...

    def entries(self) -> Mapping[str, Sequence[Relation]]:
        """Macros and types by folded name."""
        ...


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What is wanted of a relation.

    Attributes:
        columns: Names of the columns wanted, in the relation's order; None for all.
        predicates: For each place where the statement reads the relation, the predicates that
            hold there (all of them). A row is wanted when one place wants it; no places means all
            rows.
    """

    columns: tuple[str, ...] | None = None
    predicates: tuple[tuple[Predicate, ...], ...] = ()


class SystemRelation(Protocol):
    """A relation that the engine computes: the second kind of leaf beside stored tables."""

    @property
    def name(self) -> str:
        """Its name in the schema ``pagelake``."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        ...

    def pushdown(self, predicates: Sequence[Predicate]) -> list[Pushdown]:
        """Say for each predicate what ``scan`` does with it."""
        ...

    def estimated_rows(self) -> int:
        """About how many rows it has."""
        ...

    def scan(self, request: ScanRequest) -> pa.Table:
        """Return the rows wanted, with exactly the requested columns, in schema order."""
        ...
