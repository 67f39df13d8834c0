"""Which row groups of a leaf zone maps leave over for a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...sql.column_types import column_type
from ...storage.scan import group_may_match

if TYPE_CHECKING:
    from ...sql.logical import Leaf
    from ...storage.effects import RowGroup
    from .route import Route


def is_wanted(route: Route, leaf: Leaf, group: RowGroup, parameters: Any) -> bool:
    """Tell whether zone maps leave a row group over for some place of the statement.

    Args:
        route: Where the leaf lies.
        leaf: A table that the statement reads.
        group: One of its row groups.
        parameters: The statement's parameters by key.
    """
    if not leaf.predicates:
        return True
    snapshot = route.at(leaf.relation).snapshot
    definition = snapshot.tables[leaf.relation.key].definition
    for place in leaf.predicates:
        stored = []
        for predicate in place:
            column = definition.column(predicate.column)
            if column is None:
                continue
            if not column_type(column.type, collation=column.collation).ordered:
                continue
            values = predicate.values(parameters, column.type)
            if values is None:
                continue
            constant: object = list(values) if predicate.op == "in" else (
                values[0] if values else None
            )  # fmt: skip
            stored.append((column.id, predicate.op, constant))
        if group_may_match(group, stored):
            return True
    return False
