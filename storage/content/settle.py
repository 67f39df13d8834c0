"""Settling: contents that stand in the rows of their elements move to packs when rows are sealed.

A small content is committed inside its element's row, with one sync. There it must not stay: it
lies in the log, in every checkpoint and in memory, and a sealed column of 4 KiB contents would be
480 MB. So whoever writes rows of ``elements`` anew, to seal or to merge them, stores their contents
as chunks in the same transaction. The rows are the same in another form, with the ids they had:
no user's transaction conflicts with that, and no difference between two versions shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..row_group import flat
from .chunk_bytes import PackPages
from .chunk_index import ChunkIndex
from .content_writer import Workshop
from .extent import EXTENT
from .staged import Staged
from .tables import CHUNKS, EXTENTS_COLUMN, INLINE_COLUMN

if TYPE_CHECKING:
    from ..snapshot import TableState
    from ..store import Store
    from ..transaction import Transaction

_TOGETHER: Final = 2048
"""Contents that are looked up at once."""


class Settler:
    """Settles the contents of rows that one transaction of maintenance writes anew.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index = ChunkIndex(store)
        self._pages = PackPages(store.pages)
        self._workshops: list[Workshop] = []

    def settle(self, transaction: Transaction, state: TableState, rows: pa.Table) -> pa.Table:
        """Store the contents that stand in rows of ``elements``.

        Args:
            transaction: Gets the rows of chunks and packs.
            state: The table.
            rows: Its rows; columns are named by their ids.

        Returns:
            The rows, with extents in the place of contents.

        Raises:
            StorageFull: No room for the packs.
        """
        inline = state.definition.column(INLINE_COLUMN)
        extents = state.definition.column(EXTENTS_COLUMN)
        if inline is None or extents is None or CHUNKS not in transaction.snapshot.tables:
            return rows
        held = flat(rows.column(str(inline.id)))
        if held.null_count == len(held):
            return rows
        packed = self._packed(transaction, held)
        at = rows.schema.get_field_index(str(inline.id))
        rows = rows.set_column(at, rows.schema.field(at), pa.nulls(len(held), held.type))
        at = rows.schema.get_field_index(str(extents.id))
        merged = pc.coalesce(packed, flat(rows.column(at)))
        return rows.set_column(at, rows.schema.field(at), merged)

    def _packed(self, transaction: Transaction, held: pa.Array) -> pa.Array:
        """Store contents, one chunk each; returns their extents, NULL where there is none."""
        workshop = Workshop(self._store, self._index, self._pages)
        self._workshops.append(workshop)
        rows = workshop.rows()
        stream = workshop.stream(rows)
        contents = held.drop_null()
        _, offsets, content = contents.buffers()
        ends = np.frombuffer(offsets, "<i4")[contents.offset : contents.offset + len(contents) + 1]
        solid = np.flatnonzero(np.diff(ends)).tolist()
        for start in range(0, len(solid), _TOGETHER):
            pieces = [(int(ends[at]), int(ends[at + 1])) for at in solid[start : start + _TOGETHER]]
            stream.write_whole(memoryview(content), pieces)
        made, relied = stream.finish()
        effects = [*rows.finish(), *workshop.finish()]
        staged = Staged(workshop.segments, effects, relied)
        none = np.empty(0, dtype=np.int64)
        outcome = staged.outcome(self._index, self._store, transaction.snapshot, none)
        transaction.add_blind("SETTLE", *outcome)
        lengths = np.zeros(len(held), dtype=np.int32)
        valid = held.is_valid().to_numpy(zero_copy_only=False)
        lengths[np.flatnonzero(valid)[solid]] = EXTENT.itemsize
        return pa.Array.from_buffers(
            pa.binary(),
            len(held),
            [
                pa.array(valid).buffers()[1],
                pa.py_buffer(np.concatenate([[0], np.cumsum(lengths)]).astype("<i4")),
                pa.py_buffer(made.tobytes()),
            ],
        )

    def release(self, *, committed: bool | None) -> None:
        """Let go of the packs, once the transaction has ended; more than once is allowed.

        Args:
            committed: Whether it was committed; None where that is unknown.
        """
        while self._workshops:
            self._workshops.pop().segments.release(committed=committed)
