"""Hand simple predicates down to the leaves, for zone maps and system relations.

The predicates stay in the fragment as well: a leaf may return rows that do not meet them.
A leaf read in several places keeps a row that any place wants, so one place without
predicates means all rows.

Example::

    SELECT * FROM t WHERE a = 1 AND f(b)      t  →  t [a = 1]
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..logical import Leaf, LogicalPlan


def push_predicates(plan: LogicalPlan) -> LogicalPlan:
    """Set the predicates of each leaf."""
    return replace(plan, leaves=tuple(_pushed(leaf) for leaf in plan.leaves))


def _pushed(leaf: Leaf) -> Leaf:
    alternatives = tuple(dict.fromkeys(o.predicates for o in leaf.occurrences))
    if not alternatives or not all(alternatives):
        return replace(leaf, predicates=())
    return replace(leaf, predicates=alternatives)
