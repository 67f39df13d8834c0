"""Where a table's rows stand, and the columns that are computed from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ...sql.tokens import quote, tokenize
from ...storage.row_group import read_kept_row_ids, read_row_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.effects import TableDefinition
    from ...storage.snapshot import TableState
    from ...storage.store import Store
    from .table_leaf import Part

SORTED_ROWS_MAX = 5_000
"""Rows up to which a table that was updated is still read in the order of its row ids: users
expect what they have updated where it was, and for so few it costs less than a millisecond."""
LAST = 1 << 62
"""Stands for the row ids of rows that have none yet: they come last."""


def row_places(
    store: Store,
    state: TableState,
    parts: Sequence[Part],
    pending: str,
) -> pa.Table:
    """The row ids of a leaf's rows, by part number and position.

    Args:
        store: Where explicit row ids are read from.
        state: The table.
        parts: The leaf's parts.
        pending: Id of the open transaction, whose new rows have no ids yet; empty without one.

    Returns:
        Columns ``part``, ``position`` and ``id``, deleted rows included.
    """
    numbers, positions, ids = [], [], []
    for number, part in enumerate(parts):
        for group in part.groups:
            offset = part.offsets[group.id]
            numbers.append(np.full(group.rows, number, dtype=np.int64))
            positions.append(np.arange(offset, offset + group.rows, dtype=np.int64))
            if pending and group.id.startswith(pending):
                known = read_kept_row_ids(store, state.definition, group).fill_null(LAST)
            else:
                known = read_row_ids(store, state.definition, group)
            ids.append(known.to_numpy(zero_copy_only=False))
    arrays = (np.concatenate(column) for column in (numbers, positions, ids))
    return pa.table(dict(zip(("part", "position", "id"), arrays, strict=True)))


def with_generated(definition: TableDefinition, rows: str, *others: str) -> str:
    """A query over a table's rows, with the columns that are computed from the others.

    Args:
        definition: The table.
        rows: A query that gives the stored columns.
        others: Further columns that it gives before them.
    """
    left = list(definition.generated)
    if not left:
        return rows
    names = {g.name.lower() for g in left}
    while left:
        # Those first that no other generated column is needed for.
        used = {g.name: _words(g.expression) & (names - {g.name.lower()}) for g in left}
        ready = [g for g in left if not used[g.name]] or left
        listed = ", ".join(f"CAST({g.expression} AS {g.type}) AS {quote(g.name)}" for g in ready)
        rows = f"SELECT *, {listed} FROM ({rows}) AS {quote(definition.name)}"
        names -= {g.name.lower() for g in ready}
        left = [g for g in left if g not in ready]
    columns = [f"rows.{quote(c.name)}" for c in definition.columns]
    for generated in definition.generated:
        columns.insert(generated.place, f"rows.{quote(generated.name)}")
    return f"SELECT {', '.join([*others, *columns])} FROM ({rows}) AS rows"


def _words(expression: str) -> set[str]:
    return {str(token.text).lower() for token in tokenize(expression)}
