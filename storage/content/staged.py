"""Rows that must be committed with a content: chunks, packs, and what others must not take away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import pyarrow as pa

from ...errors import Conflict
from ..delete_vector import ROW_GROUP_ROWS_MAX
from ..effects import Append, AppendedKeys, AttachKeyRuns, Rely
from ..keys.codes import key_codes
from ..keys.run_builder import RunBuilder
from ..row_group import INLINE_ROWS_MAX, RowGroupWriter, stored_schema
from .hashing import HASH_BYTES, words_of
from .tables import CHUNKS, CHUNKS_TABLE, EXTENTS_TABLE, KEY, PACKS, PACKS_TABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..effects import Effect, RowGroup, TableDefinition
    from ..keys.key_run import Integers, KeyRun
    from ..page import PageRef
    from ..snapshot import Snapshot
    from ..store import Store
    from ..transaction import Transaction
    from .chunk_index import ChunkIndex
    from .segments import Segments

CHUNK_SCHEMA: Final = stored_schema(CHUNKS_TABLE.columns)
PACK_SCHEMA: Final = stored_schema(PACKS_TABLE.columns)
EXTENT_SCHEMA: Final = stored_schema(EXTENTS_TABLE.columns)

RELIED_MAX: Final = 1 << 16
"""Chunks that a record names as relied on; of more it says that all must stay, which only ever
disturbs a sweep at the same moment."""
_TOGETHER: Final = 1024
"""Rows of chunks that become one batch."""
CHUNK_COLUMNS: Final = len(CHUNKS_TABLE.columns)

ChunkRow = tuple[bytes, int, int, int, int, int, int, bytes | None]
"""Hash, pack, start, length, stored bytes, codec, place in its frame and base of a chunk."""


def codes(column: Integers) -> AppendedKeys:
    """Whole numbers as the codes of a key."""
    found = key_codes([pa.array(np.unique(column))])
    return AppendedKeys(KEY, found.codes.astype("<u8").tobytes())


def chunk_rows(rows: Sequence[ChunkRow]) -> pa.RecordBatch:
    """Rows of ``chunks``."""
    hashes, packs, starts, lengths, stored, codecs, within, bases = zip(*rows, strict=True)
    packed = b"".join(hashes)
    ends = np.arange(0, len(packed) + 1, HASH_BYTES, dtype=np.int32)
    columns = [
        pa.array(np.ascontiguousarray(words_of(packed)[:, 0])),
        pa.Array.from_buffers(
            pa.binary(), len(rows), [None, pa.py_buffer(ends), pa.py_buffer(packed)]
        ),
        pa.array(packs, pa.int64()),
        pa.array(starts, pa.int32()),
        pa.array(lengths, pa.int32()),
        pa.array(stored, pa.int32()),
        pa.array(codecs, pa.int8()),
        pa.array(within, pa.int32()),
        pa.array(bases, pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CHUNK_SCHEMA)


def pack_rows(written: Sequence[tuple[int, PageRef]], domain: int) -> pa.RecordBatch:
    """Rows of ``packs``."""
    pages = [page for _, page in written]
    columns = [
        pa.array([pack for pack, _ in written], pa.int64()),
        pa.array([page.segment for page in pages], pa.uint64()),
        pa.array([page.offset for page in pages], pa.int64()),
        pa.array([page.length for page in pages], pa.int64()),
        pa.array([page.checksum for page in pages], pa.uint64()),
        pa.array([domain] * len(pages), pa.int32()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PACK_SCHEMA)


@dataclass(slots=True)
class RowStage:
    """Rows of one table, written to pages as soon as there is a row group of them.

    Attributes:
        store: The store.
        segments: Where pages go.
        table: The table.
    """

    store: Store
    segments: Segments
    table: TableDefinition
    _held: list[pa.RecordBatch] = field(default_factory=list)
    _rows: int = 0
    _groups: list[RowGroup] = field(default_factory=list)
    _keys: RunBuilder | None = None
    _chunks: list[ChunkRow] = field(default_factory=list)

    def add_chunks(self, rows: Sequence[ChunkRow]) -> None:
        """Take up rows of ``chunks``; few at a time cost no more than many."""
        self._chunks.extend(rows)
        if len(self._chunks) >= _TOGETHER:
            self._add_chunks()

    def _add_chunks(self) -> None:
        if self._chunks:
            rows, self._chunks = self._chunks, []
            self.add(chunk_rows(rows))

    def add(self, batch: pa.RecordBatch) -> None:
        """Take up some rows."""
        if self._keys is None:
            self._keys = RunBuilder(KEY, [batch.column(0).type])
        self._keys.observe([batch.column(0)])
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= ROW_GROUP_ROWS_MAX:
            table = pa.Table.from_batches(self._held)
            full = self._rows // ROW_GROUP_ROWS_MAX * ROW_GROUP_ROWS_MAX
            self._write(table.slice(0, full).to_batches())
            self._held = table.slice(full).to_batches()
            self._rows -= full

    def _write(self, batches: Sequence[pa.RecordBatch]) -> None:
        writer = RowGroupWriter(
            self.store,
            # Of a transaction it takes its segments and the ids of its row groups.
            cast("Transaction", self.segments),
            [column.id for column in self.table.columns],
        )
        self._groups.extend(writer.write(batches))

    def finish(self) -> list[Effect]:
        """The rows as effects."""
        self._add_chunks()
        if self._rows:
            self._write(self._held)
        if not self._groups:
            return []
        effects: list[Effect] = [Append(self.table.id, tuple(self._groups))]
        rows = sum(group.rows for group in self._groups)
        if rows > INLINE_ROWS_MAX and self._keys is not None:
            runs: list[KeyRun] = [
                built.write(self.segments.writer()) for built in self._keys.runs(self._groups)
            ]
            effects.append(AttachKeyRuns(self.table.id, tuple(runs)))
        self._held, self._groups, self._rows, self._keys = [], [], 0, None
        return effects


@dataclass(slots=True)
class Staged:
    """What must be committed with a content.

    Attributes:
        segments: The segments that its pages lie in.
        effects: Appends of the rows of chunks and packs that are new.
        relied: References of chunks that were there before: words, shape (n, 2).
    """

    segments: Segments
    effects: list[Effect]
    relied: Integers
    _extents: tuple[pa.RecordBatch, list[Effect]] | None = None

    def extents(self, store: Store, batch: pa.RecordBatch) -> list[Effect]:
        """The effects that append rows of ``extents``; the same ones when asked for again.

        Args:
            store: The store.
            batch: The rows, their handle included.
        """
        if self._extents is None or not self._extents[0].equals(batch):
            rows = RowStage(store, self.segments, EXTENTS_TABLE)
            rows.add(batch)
            self._extents = (batch, rows.finish())
            self.segments.sync()
        return self._extents[1]

    def outcome(
        self, index: ChunkIndex, store: Store, snapshot: Snapshot, kept: Integers
    ) -> list[Effect]:
        """The effects for a transaction that builds on a snapshot.

        Args:
            index: Where chunks are found.
            store: The store.
            snapshot: What the transaction builds on.
            kept: First words of chunks that the element's own rows refer to already.
        """
        relied = self.relied
        if kept.size and len(relied):
            relied = relied[~np.isin(relied[:, 0], kept)]
        if not len(relied):
            return list(self.effects)
        there = index.find(snapshot, *_columns(relied)).there
        effects = [*self.effects]
        if len(relied) > RELIED_MAX:
            effects.append(Rely(CHUNKS, ()))
        elif there.any():
            effects.append(Rely(CHUNKS, (codes(relied[there, 0]),)))
        if not there.all():
            effects.extend(self._restored(index, store, snapshot, relied[~there]))
        return effects

    def _restored(
        self, index: ChunkIndex, store: Store, snapshot: Snapshot, lost: Integers
    ) -> list[Effect]:
        """Bring back rows of chunks that were swept since they were found.

        Their pages are there still: the version in which they were found is held.

        Args:
            index: Where chunks are found.
            store: The store.
            snapshot: What the transaction builds on, without these chunks.
            lost: Their references: words, shape (n, 2).

        Raises:
            Conflict: They were not there when this began either.
        """
        effects: list[Effect] = []
        chunks = RowStage(store, self.segments, CHUNKS_TABLE)
        packs = RowStage(store, self.segments, PACKS_TABLE)
        while len(lost):
            for then in self.segments.origins:
                found = index.find(then, *_columns(lost))
                if found.there.any():
                    break
            there = found.there
            if not there.any():
                raise Conflict("the content was removed meanwhile", hint="write it again")
            places = found.groups[there], found.positions[there]
            rows = index.columns(then, *places, range(CHUNK_COLUMNS))
            chunks.add(pa.RecordBatch.from_arrays(rows, schema=CHUNK_SCHEMA))
            effects.extend(self._packs(index, snapshot, then, np.unique(rows[2].to_numpy()), packs))
            # What a delta was made against may have gone with it.
            bases = _references(rows[-1])
            known = index.find(snapshot, *_columns(bases)).there
            if known.any():
                effects.append(Rely(CHUNKS, (codes(bases[known, 0]),)))
            lost = np.unique(np.concatenate([lost[~there], bases[~known]]), axis=0)
        effects = [*packs.finish(), *chunks.finish(), *effects]
        self.segments.sync()
        return effects

    @staticmethod
    def _packs(
        index: ChunkIndex, snapshot: Snapshot, then: Snapshot, wanted: Integers, rows: RowStage
    ) -> list[Effect]:
        """See that packs stay, or come back."""
        kept = np.array(sorted(index.pages(snapshot, wanted)), dtype=np.int64)
        gone = wanted[~np.isin(wanted, kept)]
        if gone.size:
            batch = pa.RecordBatch.from_arrays(index.pack_rows(then, gone), schema=PACK_SCHEMA)
            rows.add(batch)
        return [Rely(PACKS, (codes(kept),))] if kept.size else []


def _columns(references: Integers) -> tuple[Integers, Integers]:
    return np.ascontiguousarray(references[:, 0]), np.ascontiguousarray(references[:, 1])


def _references(bases: pa.Array) -> Integers:
    """References in the bases of some chunks: words, shape (n, 2)."""
    packed = b"".join(base for base in bases.drop_null().to_pylist())
    return np.frombuffer(packed, dtype="<i8").reshape(-1, 2)
