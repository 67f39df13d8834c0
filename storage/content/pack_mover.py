"""Moving packs out of segments that are mostly dead, where nothing of a file can be given back.

Row groups are moved by writing them anew, and so are those of ``packs``; the pages that their rows
name go along. Chunks and contents do not know on which page a pack lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ..page import PageKind
from ..row_group import flat
from .content_pages import places_of, references
from .tables import PACKS_TABLE

if TYPE_CHECKING:
    from ..store import Store
    from ..transaction import Transaction

_COLUMNS = PACKS_TABLE.columns[1:5]


def move_packs(store: Store, transaction: Transaction, rows: pa.Table) -> pa.Table:
    """Copy the pages of packs that lie in sparse segments.

    Args:
        store: The store; it knows its sparse segments.
        transaction: Whose segment they are copied to.
        rows: Rows of ``packs``; columns are named by their ids.

    Returns:
        The rows, with the places where the packs are now.

    Raises:
        Corrupt: One of the pages is damaged.
        StorageFull: No room for them.
    """
    places = places_of([flat(rows.column(str(c.id))) for c in PACKS_TABLE.columns[:5]])
    sparse = np.array(sorted(store.pages.sparse), dtype=np.uint64)
    moving = np.flatnonzero(np.isin(places["segment"], sparse))
    if not moving.size:
        return rows
    for at, page in zip(moving.tolist(), references(places[moving]), strict=True):
        payload = store.pages.get(page, PageKind.CONTENT)
        there = transaction.writer().append(payload, PageKind.CONTENT)
        moved = (places["pack"][at], there.segment, there.offset, there.length, there.checksum)
        places[at] = moved
    for column in _COLUMNS:
        at = rows.schema.get_field_index(str(column.id))
        field = rows.schema.field(at)
        rows = rows.set_column(at, field, pa.array(places[column.name], field.type))
    return rows
