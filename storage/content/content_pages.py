"""Pages that are named in rows: those of packs. The one place that tells which.

Whatever goes through the pages of a store (reclaim, check, backup, compaction) finds those of row
groups in the manifest; those of packs stand in rows of ``packs`` and are found here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ..page import HEADER_BYTES, PAGE_ALIGNMENT, PageRef
from ..row_group import read_columns
from .tables import PACKS, PACKS_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    import pyarrow as pa

    from ..effects import DeleteVector, RowGroup
    from ..page_store import PageStore
    from ..snapshot import TableState

PLACE: Final = np.dtype(
    [
        ("pack", "<i8"),
        ("segment", "<u8"),
        ("offset", "<u8"),
        ("length", "<u8"),
        ("checksum", "<u8"),
    ]
)
Places = npt.NDArray[np.void]
"""Packs and their pages as numbers: a store of a terabyte has a million."""


def content_pages(
    pages: PageStore,
    table: str,
    groups: Iterable[RowGroup],
    deletes: Mapping[str, Iterable[DeleteVector]] | None = None,
) -> Iterator[tuple[RowGroup, Places]]:
    """Pages that rows of a table name.

    Args:
        pages: Where the rows lie.
        table: Id of the table; of any but ``packs`` there are none.
        groups: The row groups.
        deletes: Deleted rows by row group, which name nothing; by default none are deleted.

    Returns:
        For each row group its pages.

    Raises:
        Corrupt: A row group is damaged.
    """
    if table != PACKS:
        return
    for group in groups:
        places = places_of(read_columns(pages, PACKS_TABLE, group, PACKS_TABLE.columns[:5]))
        vectors = tuple((deletes or {}).get(group.id, ()))
        if vectors:
            gone = np.concatenate([vector.positions(pages) for vector in vectors])
            places = np.delete(places, gone)
        yield group, places


def places_of(columns: Sequence[pa.Array]) -> Places:
    """The first five columns of ``packs`` as numbers."""
    places = np.empty(len(columns[0]), dtype=PLACE)
    for name, column in zip(PLACE.names or (), columns, strict=True):
        places[name] = column.to_numpy(zero_copy_only=False)
    return places


def pages_of_state(pages: PageStore, state: TableState) -> Iterator[tuple[RowGroup, Places]]:
    """Pages that the rows of a table at a version name; see ``content_pages``."""
    return content_pages(pages, state.definition.id, state.row_groups, state.deletes)


def groups_naming(
    pages: PageStore, state: TableState, segments: AbstractSet[int]
) -> frozenset[str]:
    """Row groups of which a row names a page in some segments.

    Raises:
        Corrupt: A row group is damaged.
    """
    wanted = np.array(sorted(segments), dtype=np.uint64)
    return frozenset(
        group.id
        for group, places in pages_of_state(pages, state)
        if np.isin(places["segment"], wanted).any()
    )


def references(places: Places) -> list[PageRef]:
    """Pages as values."""
    return [PageRef(*numbers) for _, *numbers in places.tolist()]


def stored_bytes(places: Places) -> npt.NDArray[np.uint64]:
    """Bytes that pages take in their segments; see ``PageRef.stored_bytes``."""
    alignment = np.uint64(PAGE_ALIGNMENT)
    used = places["length"] + np.uint64(HEADER_BYTES)
    taken: npt.NDArray[np.uint64] = (used + alignment - np.uint64(1)) // alignment * alignment
    return taken
