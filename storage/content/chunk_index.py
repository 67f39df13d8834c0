"""Finding chunks: from references to the rows of ``chunks``, at any snapshot.

Chunks that were written together stand together in the table, so whoever has found one looks at
the rows that follow before asking the index again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..keys.key_index import KeyIndexes, read_rows
from ..page import PageRef
from .hashing import column_words
from .squeeze import Codec
from .tables import CHUNKS, EXTENTS, KEY, PACKS

if TYPE_CHECKING:
    from ..effects import Column
    from ..keys.key_run import Integers
    from ..snapshot import Snapshot, TableState
    from ..store import Store

_CODE, _HASH, _PACK, _START, _LENGTH, _STORED, _CODEC, _WITHIN, _BASE = range(9)
_FOLLOW_MIN: Final = 16
"""Rows that must follow one that was found for the next one to be looked for alone."""
_TOGETHER: Final = 4096
"""References that are looked up at once."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of ``chunks`` for some references.

    Attributes:
        groups: Index of each one's row group, -1 where there is no such chunk: int64.
        positions: Its position in the row group: int64.
    """

    groups: Integers
    positions: Integers

    @property
    def there(self) -> npt.NDArray[np.bool_]:
        """Tell which were found."""
        return self.groups >= 0


@dataclass(frozen=True, slots=True)
class Places:
    """Where chunks lie, column by column; arrays of one length.

    Attributes:
        packs: Ids of their packs: int64.
        starts: Where they start in those: int64.
        lengths: Bytes they have: int64.
        stored: Bytes they take: int64.
        codecs: How they are stored: int64.
        within: Where in their frame they begin: int64; 0 for others.
        bases: References of the chunks that deltas were made against, end to end; None where there
            are no deltas.
    """

    packs: Integers
    starts: Integers
    lengths: Integers
    stored: Integers
    codecs: Integers
    within: Integers
    bases: pa.Array | None


def _numbers(column: pa.Array) -> Integers:
    numbers: Integers = column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return numbers


class ChunkIndex:
    """The tables of content, searched.

    Args:
        store: The store.
        keys: Its key indexes.
    """

    def __init__(self, store: Store, keys: KeyIndexes | None = None) -> None:
        self._pages = store.pages
        self.keys = keys or KeyIndexes(store)

    def find(self, snapshot: Snapshot, first: Integers, second: Integers) -> Found:
        """Find chunks by their references; one that is stored by itself before one that is a delta.

        Args:
            snapshot: Where to look.
            first: First words of the references: int64.
            second: Second words.
        """
        groups = np.full(first.size, -1, dtype=np.int64)
        positions = np.zeros(first.size, dtype=np.int64)
        state = snapshot.tables.get(CHUNKS)
        if state is None or not first.size or not state.rows:
            return Found(groups, positions)
        index = self.keys.of(state, KEY)
        assert index is not None, "whole numbers have codes"
        rows = index.find(state, [pa.array(first)])
        if rows.keys.size:
            columns = state.definition.columns
            read = read_rows(
                self.keys.chunks, state, rows.groups, rows.positions,
                [columns[_HASH], columns[_CODEC]],
            )  # fmt: skip
            same = column_words(read[0])[:, 1] == second[rows.keys]
            if not same.all():
                rows = rows.chosen(same)
            codecs = _numbers(read[1])[same]
            # Of several rows for one chunk the one written last here counts.
            order = np.argsort(codecs == Codec.DELTA, kind="stable")[::-1]
            keys = rows.keys[order]
            groups[keys] = rows.groups[order]
            positions[keys] = rows.positions[order]
        return Found(groups, positions)

    def find_in_order(self, snapshot: Snapshot, first: Integers, second: Integers) -> Found:
        """Find chunks that are likely to stand in the table in the order of the references."""
        groups = np.full(first.size, -1, dtype=np.int64)
        positions = np.zeros(first.size, dtype=np.int64)
        state = snapshot.tables.get(CHUNKS)
        at, alone = 0, True
        while at < first.size:
            count = 1 if alone else min(_TOGETHER, first.size - at)
            found = self.find(snapshot, first[at : at + count], second[at : at + count])
            groups[at : at + count] = found.groups
            positions[at : at + count] = found.positions
            at += count
            if state is None or at >= first.size or groups[at - 1] < 0:
                alone = False
                continue
            group, position = int(groups[at - 1]), int(positions[at - 1]) + 1
            length = self._follows(state, group, position, first[at:], second[at:])
            groups[at : at + length] = group
            positions[at : at + length] = np.arange(position, position + length)
            at += length
            alone = length >= _FOLLOW_MIN
        return Found(groups, positions)

    def _follows(
        self, state: TableState, group: int, position: int, first: Integers, second: Integers
    ) -> int:
        """How many of some references the rows from a position on are."""
        row_group, columns = state.row_groups[group], state.definition.columns
        count: int = min(first.size, row_group.rows - position)
        if count <= 0:
            return 0
        hashes = self.keys.chunks.column(state.definition, row_group, columns[_HASH])
        words = column_words(hashes.slice(position, count))
        differs = (words[:, 0] != first[:count]) | (words[:, 1] != second[:count])
        if differs.any():
            count = int(np.argmax(differs))
        deleted = self._deleted(state, group)
        at = int(deleted.searchsorted(position))
        if at < deleted.size:
            count = min(count, int(deleted[at]) - position)
        return count

    def _deleted(self, state: TableState, group: int) -> Integers:
        """Sorted positions of a row group that are deleted."""
        vectors = state.deletes.get(state.row_groups[group].id, ())
        none = np.empty(0, dtype=np.int64)
        several = [vector.positions(self._pages).astype(np.int64) for vector in vectors]
        return np.sort(np.concatenate(several)) if several else none

    def following(self, snapshot: Snapshot, group: int, position: int, count: int) -> Integers:
        """Positions of the rows that are there among those from one on in a row group."""
        state = snapshot.tables[CHUNKS]
        rows = state.row_groups[group].rows
        wanted = np.arange(max(position, 0), max(min(position + count, rows), 0), dtype=np.int64)
        return wanted[~np.isin(wanted, self._deleted(state, group))]

    def places(self, snapshot: Snapshot, groups: Integers, positions: Integers) -> Places:
        """Where the chunks of some rows lie."""
        columns = self.columns(snapshot, groups, positions, range(_PACK, _BASE))
        packs, starts, lengths, stored, codecs, within = map(_numbers, columns)
        bases = None
        if (codecs == Codec.DELTA).any():
            bases = self.columns(snapshot, groups, positions, [_BASE])[0]
        return Places(packs, starts, lengths, stored, codecs, within, bases)

    def hashes(self, snapshot: Snapshot, groups: Integers, positions: Integers) -> pa.Array:
        """The hashes of some rows."""
        return self.columns(snapshot, groups, positions, [_HASH])[0]

    def columns(
        self, snapshot: Snapshot, groups: Integers, positions: Integers, which: range | list[int]
    ) -> list[pa.Array]:
        """Columns of some rows of ``chunks``."""
        state = snapshot.tables[CHUNKS]
        columns: list[Column] = [state.definition.columns[number] for number in which]
        return read_rows(self.keys.chunks, state, groups, positions, columns)

    def pages(self, snapshot: Snapshot, packs: Integers) -> dict[int, PageRef]:
        """The pages of packs, as far as there are such packs."""
        rows = self._rows(snapshot, PACKS, packs)
        if rows is None:
            return {}
        return {
            pack: PageRef(segment, offset, length, checksum)
            for pack, segment, offset, length, checksum in zip(
                *(column.to_pylist() for column in rows[:5]), strict=True
            )
        }

    def pack_rows(self, snapshot: Snapshot, packs: Integers) -> list[pa.Array]:
        """All columns of the rows of packs."""
        return self._rows(snapshot, PACKS, packs) or []

    def far_rows(
        self, snapshot: Snapshot, handles: Integers
    ) -> tuple[TableState, Integers, Integers, list[pa.Array]] | None:
        """The rows of ``extents`` of elements: where they stand, their starts and extents."""
        state = snapshot.tables.get(EXTENTS)
        if state is None or not state.rows:
            return None
        index = self.keys.of(state, KEY)
        assert index is not None, "whole numbers have codes"
        rows = index.find(state, [pa.array(handles)])
        columns = state.definition.columns[1:]
        read = read_rows(self.keys.chunks, state, rows.groups, rows.positions, columns)
        return state, rows.groups, rows.positions, read

    def _rows(self, snapshot: Snapshot, table: str, keys: Integers) -> list[pa.Array] | None:
        state = snapshot.tables.get(table)
        if state is None or not keys.size:
            return None
        index = self.keys.of(state, KEY)
        assert index is not None, "whole numbers have codes"
        rows = index.find(state, [pa.array(keys)])
        return read_rows(
            self.keys.chunks, state, rows.groups, rows.positions, state.definition.columns
        )
