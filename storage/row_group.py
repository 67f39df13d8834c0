"""Row groups: from record batches to column chunks on pages, and back.

Writing is a pipeline of bounded depth: batches are cut to row groups, the columns of a row
group are encoded in parallel, and pages are appended in order while the next row group is
being encoded. Reading decodes the columns asked for, verified.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import Corrupt
from .delete_vector import ROW_GROUP_ROWS_MAX, Positions
from .effects import ROW_ID_COLUMN, Column, ColumnChunk, RowGroup, TableDefinition
from .encoding import EncodedChunk, EncodingChoice, decode, encode_column
from .page import PageKind
from .sketch import Sketch
from .zone_map import ZoneMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from .page_store import PageStore
    from .store import Store
    from .transaction import Transaction

INLINE_BYTES_MAX = 64 << 10
"""Batches up to this size travel inside the commit record: no segment, no second sync."""
INLINE_ROWS_MAX = 8192
"""Inlined rows have no zone maps, so a batch must also be quick to scan."""
_ROW_GROUPS_IN_FLIGHT = 2
"""Row groups being encoded while one is appended: enough to keep the cores busy."""

ROW_ID_FIELD = pa.field(str(ROW_ID_COLUMN), pa.int64())

_Encoded = tuple[EncodedChunk, ZoneMap | None, Sketch | None]


def stored_schema(columns: Sequence[Column]) -> pa.Schema:
    """Arrow schema of stored columns; fields are named by column id."""
    return pa.schema([pa.field(str(c.id), c.arrow_type) for c in columns])


def rechunk(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Regroup batches into tables of exactly ``rows`` rows, the last one possibly shorter."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        offset = 0
        while count + batch.num_rows - offset >= rows:
            taken = rows - count
            held.append(batch.slice(offset, taken))
            yield pa.Table.from_batches(held)
            held, count, offset = [], 0, offset + taken
        if offset < batch.num_rows:
            held.append(batch.slice(offset))
            count += batch.num_rows - offset
    if held:
        yield pa.Table.from_batches(held)


def flat(column: pa.ChunkedArray) -> pa.Array:
    """A chunked column as one array, copied only when there are several chunks."""
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.array([], type=column.type)
    combined = column.combine_chunks()
    # combine_chunks answers a chunked array where one array's offsets would overflow.
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


@dataclass(slots=True)
class RowGroupWriter:
    """Writes a stream of batches as row groups of one transaction.

    Attributes:
        transaction: Whose segment is written to.
        columns: Column ids of the batches' columns, in order; ``ROW_ID_COLUMN`` marks
            explicit row ids.
        rows: Rows written so far.
        inlines: Put a small result into the commit record.
        executor: Where columns are encoded; None is the store's own.
    """

    store: Store
    transaction: Transaction
    columns: Sequence[int]
    rows: int = 0
    inlines: bool = True
    executor: Executor | None = None
    _choices: dict[int, EncodingChoice] = field(default_factory=dict)

    def write(self, batches: Iterable[pa.RecordBatch]) -> tuple[RowGroup, ...]:
        """Write everything and return the row groups, inlined when small.

        Memory: a few row groups, whatever the length of the stream.

        Raises:
            StorageFull: The device has no room.
        """
        written: list[RowGroup] = []
        flying: deque[tuple[int, list[Future[_Encoded]]]] = deque()
        tables = rechunk(batches, ROW_GROUP_ROWS_MAX)
        first = next(tables, None)
        if first is None:
            return ()
        second = next(tables, None)
        if second is None and self.inlines:
            inlined = self._inline(first)
            if inlined is not None:
                return (inlined,)
        for table in _chain(first, second, tables):
            flying.append((table.num_rows, self._encode(table)))
            del table
            if len(flying) >= _ROW_GROUPS_IN_FLIGHT:
                written.append(self._append(*flying.popleft()))
        while flying:
            written.append(self._append(*flying.popleft()))
        return tuple(written)

    def _inline(self, table: pa.Table) -> RowGroup | None:
        if table.num_rows > INLINE_ROWS_MAX or table.nbytes > INLINE_BYTES_MAX:
            return None
        arrays = [flat(column) for column in table.columns]
        batch = pa.RecordBatch.from_arrays(arrays, schema=table.schema)
        group = inline_row_group(self.transaction, batch, self.columns)
        if group is not None:
            self.rows += group.rows
        return group

    def _encode(self, table: pa.Table) -> list[Future[_Encoded]]:
        submit = (self.executor or self.store.executor).submit
        return [
            submit(partial(encode_column, flat(array), hint=self._choices.get(column)))
            for column, array in zip(self.columns, table.columns, strict=True)
        ]

    def _append(self, rows: int, encoded: list[Future[_Encoded]]) -> RowGroup:
        # A long load gets a segment of its own, whose space returns at once if it fails.
        writer = self.transaction.writer(exclusive=rows == ROW_GROUP_ROWS_MAX)
        chunks: dict[int, ColumnChunk] = {}
        for column, future in zip(self.columns, encoded, strict=True):
            chunk, zone, sketch = future.result()
            self._choices[column] = chunk.choice
            kind = PageKind.ROW_IDS if column == ROW_ID_COLUMN else PageKind.COLUMN_CHUNK
            page = writer.append(chunk.payload, kind)
            packed = None if sketch is None else sketch.to_bytes()
            chunks[column] = ColumnChunk(page, chunk.codec, zone, packed)
        self.rows += rows
        return RowGroup(self.transaction.next_row_group_id(), rows, chunks)


def inline_row_group(
    transaction: Transaction, batch: pa.RecordBatch, columns: Sequence[int]
) -> RowGroup | None:
    """A small batch as a row group inside the commit record, None when it is too large."""
    message = batch.serialize()
    if message.size > INLINE_BYTES_MAX or batch.num_rows > INLINE_ROWS_MAX:
        return None
    return RowGroup(
        transaction.next_row_group_id(),
        batch.num_rows,
        inline=message.to_pybytes(),
        inline_columns=tuple(columns),
    )


def _chain(
    first: pa.Table, second: pa.Table | None, rest: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    yield first
    if second is not None:
        yield second
    yield from rest


def read_row_group(
    store: Store,
    definition: TableDefinition,
    group: RowGroup,
    columns: Sequence[Column],
    *,
    row_ids: bool = False,
    dictionary: bool = False,
) -> pa.RecordBatch:
    """Decode columns of a row group, deleted rows included.

    Args:
        store: The store it lies in.
        definition: The table, for error messages.
        group: The row group.
        columns: The columns wanted, in the order wanted.
        row_ids: Add the rows' ids as a last column.
        dictionary: Allow dictionary arrays for dictionary-coded strings.

    Returns:
        A batch with fields named by column id.

    Raises:
        Corrupt: A page is damaged or holds something else than the manifest says.
    """
    arrays = read_columns(store.pages, definition, group, columns, dictionary=dictionary)
    names = [str(column.id) for column in columns]
    if row_ids:
        arrays.append(read_row_ids(store, definition, group))
        names.append(ROW_ID_FIELD.name)
    if not arrays:
        # A batch without columns has no length, so the caller gets one that counts.
        return pa.record_batch([pa.nulls(group.rows)], names=[""])
    return pa.RecordBatch.from_arrays(arrays, names=names)


def read_columns(
    pages: PageStore,
    definition: TableDefinition,
    group: RowGroup,
    columns: Sequence[Column],
    *,
    dictionary: bool = False,
) -> list[pa.Array]:
    """Decode columns of a row group, deleted rows included; see ``read_row_group``."""
    inlined = None if group.inline is None else _inlined(group, definition)
    arrays = []
    for column in columns:
        chunk = group.chunks.get(column.id)
        if inlined is not None and column.id in inlined:
            array = inlined[column.id]
        elif chunk is not None:
            payload = pages.get(chunk.page, PageKind.COLUMN_CHUNK)
            array = decode(payload, column.arrow_type, dictionary=dictionary)
        else:
            array = _initial(column, group.rows)
        _expect_rows(array, group, definition)
        arrays.append(array)
    return arrays


def read_row_ids(store: Store, definition: TableDefinition, group: RowGroup) -> pa.Array:
    """Row ids of a row group's rows: int64, one per position."""
    implied = np.arange(group.first_row_id, group.first_row_id + group.rows, dtype=np.int64)
    return pc.coalesce(read_kept_row_ids(store, definition, group), pa.array(implied))


def read_kept_row_ids(store: Store, definition: TableDefinition, group: RowGroup) -> pa.Array:
    """Row ids that rows brought along from an earlier home: int64, NULL where they have none."""
    if not group.explicit_row_ids:
        return pa.nulls(group.rows, pa.int64())
    if group.inline is not None:
        return _inlined(group, definition)[ROW_ID_COLUMN]
    payload = store.pages.get(group.chunks[ROW_ID_COLUMN].page, PageKind.ROW_IDS)
    return decode(payload, pa.int64())


def _inlined(group: RowGroup, definition: TableDefinition) -> dict[int, pa.Array]:
    """Columns of an inlined row group by column id."""
    types = {c.id: c.arrow_type for c in (*definition.columns, *definition.dropped)}
    types[ROW_ID_COLUMN] = ROW_ID_FIELD.type
    schema = pa.schema([pa.field(str(column), types[column]) for column in group.inline_columns])
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(group.inline), schema)
        batch.validate()
    # Bytes that say that a stream ends here are an EOFError.
    except (pa.ArrowException, OSError, EOFError, MemoryError) as error:
        raise Corrupt(f"inlined row group {group.id} cannot be read: {error}") from error
    return dict(zip(group.inline_columns, batch.columns, strict=True))


def _initial(column: Column, rows: int) -> pa.Array:
    """The value that rows have which were written before the column existed."""
    if column.initial is None:
        return pa.nulls(rows, column.arrow_type)
    reader = pa.ipc.open_stream(pa.py_buffer(column.initial))
    value = reader.read_next_batch().column(0)
    return value.take(pa.array(np.zeros(rows, dtype=np.int64)))


def _expect_rows(array: pa.Array, group: RowGroup, definition: TableDefinition) -> None:
    if len(array) != group.rows:
        raise Corrupt(
            f"row group {group.id} of {definition.schema}.{definition.name} has a column of "
            f"{len(array)} rows instead of {group.rows}"
        )


def without(batch: pa.RecordBatch, positions: Positions) -> pa.RecordBatch:
    """A batch without the rows at some positions."""
    if not positions.size:
        return batch
    keep = np.ones(batch.num_rows, dtype=bool)
    keep[positions] = False
    return batch.filter(pa.array(keep))
