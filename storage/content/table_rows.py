"""Rows of the tables of content, read whole, a row group at a time: for checking and sweeping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..row_group import read_columns
from .extent import EXTENT, holes
from .hashing import column_words
from .squeeze import Codec
from .tables import CHUNKS, ELEMENTS, EXTENTS, EXTENTS_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..effects import RowGroup
    from ..keys.key_run import Integers
    from ..page_store import PageStore
    from ..snapshot import Snapshot, TableState
    from .extent import Extents
    from .hashing import Words

WINDOW_ROWS: Final = 1 << 22
"""Chunks that are held at once: some 200 MiB. Of more, the tables are gone through again."""

Window = tuple[int, int]
"""Smallest and greatest code, both included."""


def windows(snapshot: Snapshot) -> Iterator[Window]:
    """Ranges of codes, which hashes fill evenly, that hold few enough chunks each."""
    state = snapshot.tables.get(CHUNKS)
    count = -(-max(1, 0 if state is None else state.rows) // WINDOW_ROWS)
    for at in range(count):
        low = -(1 << 63) + (1 << 64) * at // count
        yield low, -(1 << 63) + (1 << 64) * (at + 1) // count - 1


def live_columns(
    pages: PageStore, state: TableState, names: tuple[str, ...]
) -> Iterator[tuple[RowGroup, Integers, list[pa.Array]]]:
    """Columns of the rows of a table that are not deleted, with the rows' positions.

    Raises:
        Corrupt: A row group is damaged.
    """
    columns = [column for name in names if (column := state.definition.column(name)) is not None]
    for group in state.row_groups:
        read = read_columns(pages, state.definition, group, columns)
        positions = np.arange(group.rows, dtype=np.int64)
        vectors = state.deletes.get(group.id, ())
        if vectors:
            gone = np.concatenate([vector.positions(pages) for vector in vectors])
            positions = np.delete(positions, gone)
            read = [column.take(pa.array(positions)) for column in read]
        yield group, positions, read


@dataclass(frozen=True, slots=True)
class Referring:
    """Extents of some elements, holes left out.

    Attributes:
        handles: The element of each: int64.
        extents: The extents.
    """

    handles: Integers
    extents: Extents


def referring(pages: PageStore, snapshot: Snapshot) -> Iterator[Referring]:
    """All extents of a snapshot, in no order.

    Raises:
        Corrupt: A row group is damaged.
    """
    for table in (ELEMENTS, EXTENTS):
        state = snapshot.tables.get(table)
        if state is None:
            continue
        for _, _, (handles, packed) in live_columns(pages, state, ("handle", EXTENTS_COLUMN)):
            extents, counts = _unpacked(packed)
            owners = np.repeat(handles.to_numpy(zero_copy_only=False), counts)
            solid = ~holes(extents)
            if solid.any():
                yield Referring(owners[solid].astype(np.int64, copy=False), extents[solid])


def _unpacked(column: pa.Array) -> tuple[Extents, Integers]:
    """Extents of a column of packed ones, end to end, and how many each row has.

    Rows that are cut short are of no extents: reading them says so.
    """
    none = np.empty(0, dtype=EXTENT)
    if not len(column):
        return none, np.empty(0, dtype=np.int64)
    _, offsets, content = column.buffers()
    ends = np.frombuffer(offsets, dtype="<i4")[column.offset : column.offset + len(column) + 1]
    lengths = np.diff(ends).astype(np.int64)
    if content is None or not lengths.any():
        return none, np.zeros(len(column), dtype=np.int64)
    if (lengths % EXTENT.itemsize).any():
        sound = pa.array(lengths % EXTENT.itemsize == 0)
        return _unpacked(pc.if_else(sound, column, pa.scalar(b"", column.type)))
    packed = memoryview(content)[int(ends[0]) : int(ends[-1])]
    return np.frombuffer(packed, dtype=EXTENT), lengths // EXTENT.itemsize


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """Rows of ``chunks`` of one row group.

    Attributes:
        group: The row group.
        positions: Their positions in it: int64.
        words: Their hashes: words, shape (n, 4).
        packs: Their packs: int64.
        starts: Where they start in those.
        lengths: Bytes they have.
        stored: Bytes they take.
        codecs: How they are stored.
        bases: References of what deltas were made against: words, shape (m, 2).
    """

    group: RowGroup
    positions: Integers
    words: Words
    packs: Integers
    starts: Integers
    lengths: Integers
    stored: Integers
    codecs: Integers
    bases: Words

    def within(self, window: Window) -> npt.NDArray[np.bool_]:
        """Tell which have a code in a window."""
        low, high = window
        inside: npt.NDArray[np.bool_] = (self.words[:, 0] >= low) & (self.words[:, 0] <= high)
        return inside


def chunk_rows(pages: PageStore, snapshot: Snapshot) -> Iterator[ChunkRows]:
    """All rows of ``chunks``, a row group at a time.

    Raises:
        Corrupt: A row group is damaged.
    """
    state = snapshot.tables.get(CHUNKS)
    if state is None:
        return
    names = ("hash", "pack", "start", "length", "stored", "codec", "base")
    for group, positions, (hashes, *numbers, bases) in live_columns(pages, state, names):
        packs, starts, lengths, stored, codecs = (
            column.to_numpy(zero_copy_only=False).astype(np.int64) for column in numbers
        )
        packed = b"".join(bases.drop_null().to_pylist()) if bases.null_count < len(bases) else b""
        yield ChunkRows(
            group,
            positions,
            column_words(hashes),
            packs,
            starts,
            lengths,
            stored,
            codecs,
            np.frombuffer(packed[: len(packed) // 16 * 16], dtype="<i8").reshape(-1, 2),
        )


def is_delta(codecs: Integers) -> npt.NDArray[np.bool_]:
    """Tell which chunks are stored as deltas."""
    told: npt.NDArray[np.bool_] = codecs == Codec.DELTA
    return told
