"""Searching a table by key, at any snapshot.

    keys -> codes -> runs of the snapshot      -> row groups, positions -> not deleted, equal
                  -> tail: rows without a run

The *tail* holds the codes of row groups that no run covers: rows that small commits brought, or
that were there before the key. It grows as such row groups are met and serves every snapshot,
because what it finds counts only where the snapshot has the row group.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..row_group_run import read_run
from .chunk_cache import ChunkCache
from .codes import Codes, KeyCodes, equal_keys, is_codable, is_exact, key_codes, signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ..effects import Column, RowGroup, TableDefinition
    from ..snapshot import TableState
    from ..store import Store
    from .key_run import Integers, KeyRun

_INDEXES_MAX = 256
"""Keys whose tails are kept."""
_LISTS_MAX = 4
"""Lists of row groups whose order is kept: the newest snapshot's and some pending ones'."""
_FEW_CODES = 4096
"""Codes up to which searching them is no dearer than finding out which of them may be there."""
_POSITION_BITS = 20
_TAIL_SLACK = 4096
"""Row groups that the tail holds in vain before it is built anew."""


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Rows that have one of some keys.

    Attributes:
        keys: For each row the index of its key: int64.
        groups: The index of its row group in ``TableState.row_groups``: int64.
        positions: Its position in the row group: int64.
    """

    keys: Integers
    groups: Integers
    positions: Integers

    def chosen(self, mask: npt.NDArray[np.bool_]) -> FoundRows:
        """Some of the rows."""
        return FoundRows(self.keys[mask], self.groups[mask], self.positions[mask])


@dataclass(slots=True)
class _Order:
    """Where row groups stand in one list of them, which may still grow."""

    shared: list[RowGroup]
    seen: int = 0
    index: dict[str, int] = field(default_factory=dict)
    tailed: int = 0
    tailed_runs: tuple[KeyRun, ...] = ()
    of_runs: dict[int, tuple[KeyRun, Integers]] = field(default_factory=dict)

    def upto(self, length: int) -> None:
        for at in range(self.seen, length):
            self.index[self.shared[at].id] = at
        self.seen = max(self.seen, length)

    def of_run(self, run: KeyRun) -> Integers:
        """Index in the list of each row group of a run, -1 where it is gone."""
        known = self.of_runs.get(id(run))
        if known is None:
            places = np.array([self.index.get(g, -1) for g in run.groups], dtype=np.int64)
            known = self.of_runs[id(run)] = (run, places)
        return known[1]


class _Tail:
    """Codes of rows without a run, in sorted arrays that are merged as they grow."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.known: set[str] = set()
        self.levels: list[tuple[Codes, Integers]] = []

    def add(self, groups: Sequence[str], codes: Codes, places: Integers) -> None:
        """Take up row groups: their codes, and places as ordinal and position in one number."""
        self.groups.extend(groups)
        self.known.update(groups)
        if not codes.size:
            return
        order = np.argsort(codes, kind="stable")
        level = (codes[order], places[order])
        # Sizes at least halve from one level to the next, so that there are few of them.
        while self.levels and self.levels[-1][0].size < 2 * level[0].size:
            below = self.levels.pop()
            merged = np.concatenate([below[0], level[0]])
            order = np.argsort(merged, kind="stable")
            level = (merged[order], np.concatenate([below[1], level[1]])[order])
        self.levels.append(level)

    def search(self, codes: Codes) -> tuple[Integers, Integers]:
        """Indices of codes and the places found for them."""
        indices, places = [], []
        for sorted_codes, sorted_places in self.levels:
            first = sorted_codes.searchsorted(codes, side="left")
            counts = sorted_codes.searchsorted(codes, side="right") - first
            if not counts.any():
                continue
            index = np.repeat(np.arange(codes.size, dtype=np.int64), counts)
            ends = np.cumsum(counts)
            entry = np.arange(int(ends[-1]), dtype=np.int64) + np.repeat(
                first - ends + counts, counts
            )
            indices.append(index)
            places.append(sorted_places[entry])
        if not indices:
            none = np.empty(0, dtype=np.int64)
            return none, none
        return np.concatenate(indices), np.concatenate(places)


class KeyIndex:
    """One key of one table, searched at any snapshot.

    Args:
        store: Where the table lies.
        columns: The key's columns.
        chunks: Where rows are read for comparison.
    """

    def __init__(self, store: Store, columns: tuple[Column, ...], chunks: ChunkCache) -> None:
        self._store = store
        self._columns = columns
        self._ids = tuple(c.id for c in columns)
        types = [c.arrow_type for c in columns]
        self._types = signature(types)
        self.exact = is_exact(types)
        self._chunks = chunks
        self._lock = threading.Lock()
        self._tail = _Tail()
        self._orders: OrderedDict[int, _Order] = OrderedDict()
        self._runs: tuple[tuple[KeyRun, ...], tuple[KeyRun, ...], frozenset[str]] = (
            (),
            (),
            frozenset(),
        )

    def find(self, state: TableState, keys: Sequence[pa.Array]) -> FoundRows:
        """Find the live rows that have one of some keys.

        Args:
            state: The table.
            keys: The key's columns in their stored types; a key with a NULL is never found.

        Raises:
            Corrupt: A key run or a row group is damaged.
        """
        found = key_codes(keys)
        rows, proven = self.candidates(state, found.codes)
        if found.valid is not None:
            keep = found.valid[rows.keys]
            rows, proven = rows.chosen(keep), proven[keep]
        if self.exact or not rows.keys.size:
            doubtful = np.flatnonzero(~proven)
        else:
            doubtful = np.arange(rows.keys.size)
        if not doubtful.size:
            return rows
        taken = pa.array(rows.keys[doubtful])
        wanted = [column.take(taken) for column in keys]
        there = self.values(state, rows.groups[doubtful], rows.positions[doubtful])
        keep = np.ones(rows.keys.size, dtype=bool)
        keep[doubtful] = equal_keys(wanted, there)
        return rows.chosen(keep)

    def find_code(self, state: TableState, code: int) -> FoundRows | None:
        """Find the live rows with one code; None where only ``find`` can tell.

        The same as ``find`` for a key of one whole number, without a detour through arrays.
        """
        runs, _, order, tail = self._at(state)
        with self._lock:
            if tail.levels or not self.exact:
                return None
        length = len(state.row_groups)
        groups, positions = [], []
        for run in runs:
            if not run.low <= code <= run.high:
                continue
            if not run.exact:
                return None
            for row in run.rows_of(code, self._store.pages):
                ordinal = int(run.starts.searchsorted(row, side="right")) - 1
                group = int(order.of_run(run)[ordinal])
                position = row - int(run.starts[ordinal])
                if 0 <= group < length and not self._is_deleted(state, group, position):
                    groups.append(group)
                    positions.append(position)
        found = np.array([groups, positions], dtype=np.int64)
        return FoundRows(np.zeros(len(groups), dtype=np.int64), found[0], found[1])

    def _is_deleted(self, state: TableState, group: int, position: int) -> bool:
        if not state.deletes:
            return False
        for vector in state.deletes.get(state.row_groups[group].id, ()):
            positions = vector.positions(self._store.pages)
            at = int(positions.searchsorted(position))
            if at < positions.size and positions[at] == position:
                return True
        return False

    def candidates(
        self, state: TableState, codes: Codes
    ) -> tuple[FoundRows, npt.NDArray[np.bool_]]:
        """Find the live rows that have one of some codes, or may have it.

        Returns:
            The rows, and for each whether its code is the one that was searched.
        """
        runs, covered, order, tail = self._at(state)
        length = len(state.row_groups)
        low, high = (int(codes.min()), int(codes.max())) if codes.size else (1, 0)
        keys, groups, positions, proven = [], [], [], []

        def note(index: Integers, place: Integers, position: Integers, *, exact: bool) -> None:
            here = (place >= 0) & (place < length)
            if not here.all():
                index, place, position = index[here], place[here], position[here]
            keys.append(index)
            groups.append(place)
            positions.append(position)
            proven.append(np.full(index.size, exact))

        for run in runs:
            if not run.may_hold(low, high):
                continue
            index, row = run.search(codes, self._store.pages)
            if index.size:
                ordinal, position = run.place(row)
                note(index, order.of_run(run)[ordinal], position, exact=run.exact)
        with self._lock:
            index, place = tail.search(codes)
            if index.size:
                names = [tail.groups[o] for o in (place >> _POSITION_BITS).tolist()]
                where = [-1 if n in covered else order.index.get(n, -1) for n in names]
                position = place & ((1 << _POSITION_BITS) - 1)
                note(index, np.array(where, dtype=np.int64), position, exact=True)
        none = np.empty(0, dtype=np.int64)
        if not keys:
            return FoundRows(none, none, none), none.astype(bool)
        rows = FoundRows(np.concatenate(keys), np.concatenate(groups), np.concatenate(positions))
        live = self._live(state, rows)
        return rows.chosen(live), np.concatenate(proven)[live]

    def suspects(self, state: TableState, codes: Codes) -> Integers:
        """Indices of codes that the table may have; cheap for very many codes."""
        if codes.size <= _FEW_CODES:
            return np.arange(codes.size, dtype=np.int64)
        runs, _, _, tail = self._at(state)
        low, high = int(codes.min()), int(codes.max())
        maybe = np.zeros(codes.size, dtype=bool)
        for run in runs:
            if run.may_hold(low, high):
                maybe |= run.matches(codes, self._store.pages)
        with self._lock:
            for known, _ in tail.levels:
                at = np.minimum(known.searchsorted(codes), known.size - 1)
                maybe |= known[at] == codes
        return np.flatnonzero(maybe)

    def values(self, state: TableState, groups: Integers, positions: Integers) -> list[pa.Array]:
        """The key's columns of rows of a table, in the rows' order."""
        return read_rows(self._chunks, state, groups, positions, self._columns)

    def _live(self, state: TableState, rows: FoundRows) -> npt.NDArray[np.bool_]:
        live = np.ones(rows.keys.size, dtype=bool)
        if not state.deletes:
            return live
        for group in np.unique(rows.groups).tolist():
            for vector in state.deletes.get(state.row_groups[group].id, ()):
                mine = np.flatnonzero(rows.groups == group)
                gone = np.isin(rows.positions[mine], vector.positions(self._store.pages))
                live[mine[gone]] = False
        return live

    def expected(self, state: TableState, keys: Sequence[pa.Array]) -> int:
        """About how many rows ``find`` would find: deleted ones and false ones count as well."""
        codes = key_codes(keys).codes
        runs, _, _, tail = self._at(state)
        total = sum(run.count(codes, self._store.pages) for run in runs)
        with self._lock:
            return total + tail.search(codes)[0].size

    def _at(self, state: TableState) -> tuple[tuple[KeyRun, ...], frozenset[str], _Order, _Tail]:
        """What searches a snapshot.

        Returns:
            Its runs, the row groups that they cover, the order of its row groups, and a tail that
            has the others; only under the lock, as it grows.
        """
        with self._lock:
            known, runs, covered = self._runs
            if known is not state.key_runs:
                runs = tuple(
                    r for r in state.key_runs if r.columns == self._ids and r.types == self._types
                )
                covered = frozenset(g for run in runs for g in run.groups)
                self._runs = (state.key_runs, runs, covered)
            shared, length = state.row_groups.shared, len(state.row_groups)
            order = self._orders.get(id(shared))
            if order is None:
                order = self._orders[id(shared)] = _Order(shared)
                if len(self._orders) > _LISTS_MAX:
                    self._orders.popitem(last=False)
            self._orders.move_to_end(id(shared))
            order.upto(length)
            if order.tailed_runs is not state.key_runs:
                # Another set of runs covers other row groups.
                order.tailed, order.tailed_runs = 0, state.key_runs
                order.of_runs.clear()
            if order.tailed < length:
                self._extend(state, order, covered)
            return runs, covered, order, self._tail

    def _extend(self, state: TableState, order: _Order, covered: frozenset[str]) -> None:
        """Take up row groups that neither a run nor the tail has."""
        groups = order.shared[order.tailed : len(state.row_groups)]
        known = self._tail.known
        new = [g for g in groups if g.id not in covered and g.id not in known]
        if len(known) - (len(groups) if order.tailed == 0 else 0) > _TAIL_SLACK + 2 * order.seen:
            # Others that search keep the old one; what it had is taken up anew where it is needed.
            self._tail = _Tail()
            for other in self._orders.values():
                other.tailed = 0
            new = [g for g in order.shared[: order.seen] if g.id not in covered]
        told, untold, codes = self._told(new)
        if told:
            self._take_up(told, KeyCodes(np.frombuffer(b"".join(codes), "<u8"), None, self.exact))
        if untold:
            tables = read_run(self._store, state.definition, untold, self._columns)
            columns = pa.concat_tables(tables).combine_chunks().columns
            self._take_up(untold, key_codes([_one(column) for column in columns]))
        order.tailed = len(state.row_groups)

    def _told(
        self, groups: Sequence[RowGroup]
    ) -> tuple[list[RowGroup], list[RowGroup], list[bytes]]:
        """Row groups of which the codes are told, the others, and those codes.

        A column whose type changes gets another id, so codes told for these are of these types.
        """
        told, untold, codes = [], [], []
        for group in groups:
            for key in group.told:
                if key.columns == self._ids:
                    told.append(group)
                    codes.append(key.codes)
                    break
            else:
                untold.append(group)
        return told, untold, codes

    def _take_up(self, groups: Sequence[RowGroup], found: KeyCodes) -> None:
        """Add row groups to the tail, with the codes of their rows."""
        counts = np.fromiter((g.rows for g in groups), np.int64, len(groups))
        ordinals = np.arange(len(groups), dtype=np.int64) + len(self._tail.groups)
        starts = np.cumsum(counts) - counts
        position = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(starts, counts)
        places = (np.repeat(ordinals, counts) << _POSITION_BITS) | position
        codes = found.codes
        if found.valid is not None:
            codes, places = codes[found.valid], places[found.valid]
        self._tail.add([g.id for g in groups], codes, places)


def _one(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks)


def read_rows(
    chunks: ChunkCache,
    state: TableState,
    groups: Integers,
    positions: Integers,
    columns: Sequence[Column],
) -> list[pa.Array]:
    """Columns of single rows of a table, in the rows' order and their stored types.

    Args:
        chunks: Decoded column chunks.
        state: The table.
        groups: Index of each row's row group: int64.
        positions: Each row's position in it: int64.
        columns: The columns wanted.

    Raises:
        Corrupt: A row group is damaged.
    """
    if not groups.size:
        return [pa.array([], type=c.arrow_type) for c in columns]
    definition, row_groups = state.definition, state.row_groups
    if groups.size == 1:
        group, position = row_groups[int(groups[0])], int(positions[0])
        return [chunks.column(definition, group, c).slice(position, 1) for c in columns]
    order = np.argsort(groups, kind="stable")
    several, first = np.unique(groups[order], return_index=True)
    bounds = [*first.tolist(), groups.size]
    back = np.empty(order.size, dtype=np.int64)
    back[order] = np.arange(order.size)
    pieces: list[list[Any]] = [[] for _ in columns]
    for number, group_index in enumerate(several.tolist()):
        group = row_groups[group_index]
        taken = positions[order[bounds[number] : bounds[number + 1]]]
        for piece, column in zip(pieces, columns, strict=True):
            piece.append(chunks.taken(definition, group, column, taken))
    sorted_already = bool((order[1:] > order[:-1]).all())
    joined = [_joined(piece, c.arrow_type) for piece, c in zip(pieces, columns, strict=True)]
    return joined if sorted_already else [array.take(pa.array(back)) for array in joined]


def _joined(pieces: Sequence[Any], type_: pa.DataType) -> pa.Array:
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return pa.array(np.concatenate(pieces), type_)
    arrays = [pa.array(p, type_) if isinstance(p, np.ndarray) else p for p in pieces]
    return pa.concat_arrays(arrays)


class KeyIndexes:
    """The key indexes of a store's tables, made as they are asked for.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pages = store.pages
        self.chunks = ChunkCache(store.pages)
        self._indexes: OrderedDict[tuple[str, tuple[int, ...], str], KeyIndex] = OrderedDict()
        self._recent: dict[tuple[str, tuple[int, ...]], tuple[TableDefinition, KeyIndex]] = {}
        self._lock = threading.Lock()

    def of(self, state: TableState, columns: Sequence[int]) -> KeyIndex | None:
        """The index of a key of a table.

        Args:
            state: The table.
            columns: Column ids of the key, in its order.

        Returns:
            The index, or None where keys of such columns have no codes.
        """
        with self._lock:
            # Definitions are values that stay the same object from one snapshot to the next.
            known, index = self._recent.get((state.definition.id, tuple(columns)), (None, None))
            if known is state.definition:
                return index
        by_id = {c.id: c for c in state.definition.columns}
        key = tuple(by_id[column] for column in columns)
        if not has_codes(key):
            return None
        name = (state.definition.id, tuple(columns), signature([c.arrow_type for c in key]))
        with self._lock:
            index = self._indexes.get(name)
            if index is None:
                index = self._indexes[name] = KeyIndex(self._store, key, self.chunks)
                if len(self._indexes) > _INDEXES_MAX:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end(name)
            if len(self._recent) > _INDEXES_MAX:
                self._recent.clear()
            self._recent[name[:2]] = (state.definition, index)
            return index

    def release(self) -> None:
        """Let go of everything mapped: room beside it is given back only where nobody looks."""
        self.chunks.clear()
        for state in self._store.head.snapshot.tables.values():
            for run in state.key_runs:
                run.release()


def has_codes(columns: Sequence[Column]) -> bool:
    """Tell whether keys of these columns have codes that are equal where the keys are."""
    return all(c.collation is None and is_codable(c.arrow_type) for c in columns)
