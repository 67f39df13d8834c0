"""Read only the columns that some occurrence of a leaf names.

Example::

    SELECT sum(a) FROM t WHERE b > 1      t: all columns  →  t: a, b
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..logical import Leaf, LogicalPlan


def prune_columns(plan: LogicalPlan) -> LogicalPlan:
    """Set the columns of each leaf."""
    return replace(plan, leaves=tuple(_pruned(leaf) for leaf in plan.leaves))


def _pruned(leaf: Leaf) -> Leaf:
    wanted: set[str] = set()
    for occurrence in leaf.occurrences:
        if occurrence.columns is None:
            return replace(leaf, columns=None)
        wanted |= occurrence.columns
    if not leaf.occurrences:
        return replace(leaf, columns=None)
    kept = tuple(c.name for c in leaf.relation.columns if c.name.lower() in wanted)
    return replace(leaf, columns=kept)
