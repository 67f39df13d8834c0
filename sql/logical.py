"""The bound logical plan: one kernel fragment over leaves of ours.

The fragment is the user's own SQL; a leaf is a relation that it reads, with what the rules
found out about the reading. A plan that exists is valid: leaves are distinct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .predicate import Predicate
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
class LogicalPlan:
    """A kernel fragment and its leaves.

    Attributes:
        sql: The text for the kernel.
        leaves: The relations it reads, views expanded to what they read.
        views: Views that it goes through, in an order in which they can be created.
        foreign: Names that no relation has: files, or objects of the caller.
    """

    sql: str
    leaves: tuple[Leaf, ...]
    views: tuple[Relation, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Everything that it goes through, in an order in which it can be created."""
        return (*(leaf.relation for leaf in self.leaves), *self.views)

    def __post_init__(self) -> None:
        keys = [leaf.relation.identity for leaf in self.leaves]
        if len(keys) != len(set(keys)):
            raise AssertionError("a plan names a leaf twice")
