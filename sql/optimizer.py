"""The optimizer: an ordered list of rules over the bound plan.

A rule may not change what the plan reads or what it returns; the driver checks after each one
that the leaves are the same relations and the fragment is the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .logical import LogicalPlan
from .rules.path_range import path_range
from .rules.prune_columns import prune_columns
from .rules.push_predicates import push_predicates
from .rules.top_rows import top_rows

Rule = Callable[[LogicalPlan], LogicalPlan]

RULES: Final[tuple[Rule, ...]] = (prune_columns, push_predicates, path_range, top_rows)


def optimize(
    plan: LogicalPlan, *, observe: Callable[[str, LogicalPlan], None] | None = None
) -> LogicalPlan:
    """Apply every rule once, in order.

    Args:
        plan: A bound plan.
        observe: Called with a rule's name and its plan after each rule that changed it.
    """
    for rule in RULES:
        changed = rule(plan)
        before = [leaf.relation for leaf in plan.leaves]
        after = [leaf.relation for leaf in changed.leaves]
        if before != after or changed.sql != plan.sql:
            raise AssertionError(f"rule {rule.__name__} changed what the plan reads")
        if observe is not None and changed != plan:
            observe(rule.__name__, changed)
        plan = changed
    return plan
