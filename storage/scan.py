"""Pruning: which row groups can hold a row that a predicate wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .zone_map import Operator, may_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .effects import RowGroup

StoredPredicate = tuple[int, str, object]
"""(column id, operator, stored value or list of values)"""


def group_may_match(group: RowGroup, predicates: Sequence[StoredPredicate]) -> bool:
    """Tell whether a row group can hold a row that meets all predicates.

    Inlined row groups and columns without a zone map always can.
    """
    for column, op, value in predicates:
        chunk = group.chunks.get(column)
        if chunk is None or chunk.zone is None:
            continue
        if not may_match(chunk.zone, cast("Operator", op), value):
            return False
    return True
