"""Rows that an UPDATE or DELETE names by a key, found without reading the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ...sql.parameters import markers
from ...storage.keys.key_index import read_rows
from ..leaves.table_leaf import Part
from ..statements.fast_insert import parameters_by_key
from .point_query import compile_condition

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...sql import statement as st
    from ...storage.delete_vector import Positions
    from ...storage.keys.chunk_cache import ChunkCache
    from ...storage.snapshot import TableState
    from ..statements.change import Change

PART = "part_5f1c0e7a9b3d4c21"
"""Column that tells in which part a row lies: one that no user has."""
POSITION = "position_5f1c0e7a9b3d4c21"
"""Column that tells, with ``PART``, where."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where some rows of a table lie.

    Attributes:
        state: The table.
        groups: For each row the index of its row group in the table: int64.
        positions: Its position in the row group: int64.
    """

    state: TableState
    groups: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]

    def parts(self) -> tuple[Part, ...]:
        """The table's row groups, as parts by which rows are located."""
        nothing = np.empty(0, dtype=np.int64)
        return tuple(
            Part("stream", "", (group,), {group.id: 0}, (), nothing, group.rows)
            for group in self.state.row_groups
        )

    def by_row_group(self) -> dict[str, Positions]:
        """Positions by row group id, sorted and distinct."""
        return {
            self.state.row_groups[int(group)].id: np.unique(
                self.positions[self.groups == group]
            ).astype(np.uint32)
            for group in np.unique(self.groups)
        }

    def read(self, chunks: ChunkCache, start: int = 0, stop: int | None = None) -> pa.Table:
        """Rows, from one to another: ``PART``, ``POSITION`` and the stored columns by id.

        Raises:
            Corrupt: A row group is damaged.
        """
        groups, positions = self.groups[start:stop], self.positions[start:stop]
        columns = self.state.definition.columns
        stored = read_rows(chunks, self.state, groups, positions, columns)
        names = [PART, POSITION, *(str(c.id) for c in columns)]
        return pa.table([pa.array(groups), pa.array(positions), *stored], names=names)


def named_by_key(
    change: Change, statement: st.Update | st.Delete, state: TableState
) -> Places | None:
    """The rows that a statement's condition names by a key; None where it names others.

    Args:
        change: The statement's surroundings.
        statement: The statement.
        state: Its table.
    """
    session, definition = change.session, state.definition
    if (
        statement.condition is None
        or statement.sources is not None
        or statement.ctes
        or not definition.indexes
        # Settings of the kernel may change how constants compare.
        or session.has_kernel_state
        or session.kernel_settings
    ):
        return None
    texts = [text for _, text in getattr(statement, "assignments", ())]
    before = sum(marker.positional for text in texts for marker in markers(text))
    query = compile_condition(
        statement.condition, statement.alias or definition.name, definition, before
    )
    if query is None:
        return None
    given = parameters_by_key(change.parameters)
    if not query.parameters <= given.keys():
        return None
    used = {key: given[key] for key in query.parameters}
    found = query.find(state, session.database.keys, used)
    if found is None:
        return None
    change.transaction.note_read(definition.id)
    return Places(state, found.groups, found.positions)
