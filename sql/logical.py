"""The bound logical plan: one kernel fragment over leaves of ours.

The fragment is the user's own SQL; a leaf is a relation that it reads, with what the rules
found out about the reading. A plan that exists is valid: leaves are distinct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .path_views import StoredFiles
    from .predicate import Constant, Predicate
    from .provider import Relation


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One place where the statement reads a relation.

    Attributes:
        columns: Columns named there; None when all may be (a star).
        predicates: Predicates that every row read there must meet to matter.
    """

    columns: frozenset[str] | None = None
    predicates: tuple[Predicate, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A relation that a plan reads.

    Attributes:
        relation: What is read.
        occurrences: The places where it is read; empty when unknown.
        columns: Columns to read, in relation order; None for all. Set by ``prune_columns``.
        predicates: For each occurrence, its predicates; empty when some occurrence wants all
            rows. Set by ``push_predicates``.
    """

    relation: Relation
    occurrences: tuple[Occurrence, ...] = ()
    columns: tuple[str, ...] | None = None
    predicates: tuple[tuple[Predicate, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class PathTerm:
    """What a condition asks of a path.

    Attributes:
        column: ``path``, ``parent_path`` or ``search_path``.
        op: ``=``, ``in``, ``like`` or ``starts with``.
        constants: One constant, or any number for ``in``.
    """

    column: str
    op: str
    constants: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class PathRange:
    """A WHERE that asks a view of files for paths, and where to say what follows from that.

    Attributes:
        relation: The view.
        stored: What it reads.
        alias: What the statement calls the view there.
        name: Where the view's name begins and ends in the fragment's text.
        named_anew: True where the statement gives it an alias.
        offset: In the fragment's text, right behind the WHERE.
        terms: What every row must meet.
        columns: The view's columns that can be named there, and other names; None for all.
        lookup: Where the statement is nothing but a list of columns from the view, and its WHERE,
            with which it ends, nothing but ``path = constant``: those columns. Otherwise empty.
    """

    relation: Relation
    stored: StoredFiles
    alias: str
    name: tuple[int, int]
    named_anew: bool
    offset: int
    terms: tuple[PathTerm, ...]
    columns: frozenset[str] | None
    lookup: frozenset[str]


@dataclass(frozen=True, slots=True)
class TopRows:
    """A statement for the first rows of a view of files, by one of its columns.

    Attributes:
        relation: The view.
        alias: What the statement calls it.
        column: The column that the rows are ordered by first, folded; NULL comes last.
        descending: True where the greatest come first.
        rows: How many are wanted, those that are skipped included.
        begin: In the fragment's text, where FROM begins.
        behind_where: What follows WHERE, None where there is none.
        order: Where ORDER BY begins.
    """

    relation: Relation
    alias: str
    column: str
    descending: bool
    rows: int
    begin: int
    behind_where: int | None
    order: int


@dataclass(frozen=True, slots=True)
class LogicalPlan:
    """A kernel fragment and its leaves.

    Attributes:
        sql: The text for the kernel.
        leaves: The relations it reads, views expanded to what they read.
        views: Views that it goes through, in an order in which they can be created.
        foreign: Names that no relation has: files, or objects of the caller.
        named: Views that the fragment itself names, by the folded parts of their names there.
        ranges: Where ranges of rows follow from paths. Set by ``path_range``.
        top: The first rows of a view of files, where just these are wanted. Set by ``top_rows``.
    """

    sql: str
    leaves: tuple[Leaf, ...]
    views: tuple[Relation, ...] = ()
    foreign: tuple[str, ...] = ()
    named: tuple[tuple[tuple[str, ...], Relation], ...] = ()
    ranges: tuple[PathRange, ...] = ()
    top: TopRows | None = None

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Everything that it goes through, in an order in which it can be created."""
        return (*(leaf.relation for leaf in self.leaves), *self.views)

    def __post_init__(self) -> None:
        keys = [leaf.relation.identity for leaf in self.leaves]
        if len(keys) != len(set(keys)):
            raise AssertionError("a plan names a leaf twice")
