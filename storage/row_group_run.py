"""Runs of row groups: neighbours read together.

A thousand one-row commits are a thousand row groups. Decoded one at a time they cost a
thousand calls. Messages that are alike are decoded by numpy (``record_batches.py``); others, laid
end to end, are one Arrow stream, which is decoded by one call.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .effects import ROW_ID_COLUMN, RowGroup
from .encoding.record_batches import decode_alike
from .row_group import ROW_ID_FIELD, read_row_group, stored_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from .effects import Column, TableDefinition
    from .store import Store

ALIKE_MIN = 64
"""Fewer inlined row groups than this are read sooner by Arrow, some 4 to 10 microseconds each."""
STREAM_GROUPS_MAX = 4096
"""Inlined row groups that are decoded at once: their bytes stay in the processor's cache."""
STREAM_BYTES_MAX = 16 << 20
"""Bytes of inlined row groups that are decoded at once; decoding takes some ten times as many."""


def read_run(
    store: Store,
    definition: TableDefinition,
    groups: Sequence[RowGroup],
    columns: Sequence[Column],
    *,
    row_ids: bool = False,
) -> Iterator[pa.Table]:
    """Decode columns of row groups, in order, deleted rows included.

    Args:
        store: The store they lie in.
        definition: The table.
        groups: The row groups.
        columns: The columns wanted, in the order wanted; at least one.
        row_ids: Add the rows' ids as a last column.

    Returns:
        Tables with fields named by column id: one for each paged row group, one for each stretch
        of inlined ones.

    Raises:
        Corrupt: A row group is damaged.
    """
    fields = list(stored_schema(columns))
    schema = pa.schema([*fields, ROW_ID_FIELD] if row_ids else fields)
    # Paged row groups have no inline columns. The key is a C function: there may be many groups.
    for inline_columns, alike in groupby(groups, key=attrgetter("inline_columns")):
        members = list(alike)
        if not inline_columns:
            yield from _one_by_one(store, definition, members, columns, schema, row_ids=row_ids)
            continue
        for stretch, messages in _stretches(members):
            table = _read_stretch(store, definition, stretch, messages, columns, row_ids=row_ids)
            if table is None:
                yield from _one_by_one(store, definition, stretch, columns, schema, row_ids=row_ids)
            else:
                yield table.cast(schema)


def _stretches(groups: Sequence[RowGroup]) -> Iterator[tuple[Sequence[RowGroup], list[bytes]]]:
    """Inlined row groups cut to what is decoded at once, each stretch with its messages."""
    messages = [group.inline or b"" for group in groups]
    ends = np.cumsum(np.fromiter(map(len, messages), np.int64, len(messages)))
    start = 0
    while start < len(groups):
        before = int(ends[start - 1]) if start else 0
        fit = int(np.searchsorted(ends, before + STREAM_BYTES_MAX, side="right"))
        end = max(start + 1, min(fit, start + STREAM_GROUPS_MAX))
        yield groups[start:end], messages[start:end]
        start = end


def _one_by_one(
    store: Store,
    definition: TableDefinition,
    groups: Sequence[RowGroup],
    columns: Sequence[Column],
    schema: pa.Schema,
    *,
    row_ids: bool,
) -> Iterator[pa.Table]:
    for group in groups:
        batch = read_row_group(store, definition, group, columns, row_ids=row_ids)
        yield pa.Table.from_batches([batch]).cast(schema)


def _read_stretch(
    store: Store,
    definition: TableDefinition,
    groups: Sequence[RowGroup],
    messages: Sequence[bytes],
    columns: Sequence[Column],
    *,
    row_ids: bool,
) -> pa.Table | None:
    """Inlined row groups with the same columns as one table; None when one of them is damaged."""
    stored = groups[0].inline_columns
    types = {c.id: c.arrow_type for c in (*definition.columns, *definition.dropped)}
    types[ROW_ID_COLUMN] = ROW_ID_FIELD.type
    schema = pa.schema([pa.field(str(column), types[column]) for column in stored])
    counts = np.fromiter(map(attrgetter("rows"), groups), np.int64, len(groups))
    decoded = _decode(messages, counts, schema)
    if decoded is None:
        return None
    total = int(counts.sum())
    arrays: list[pa.Array | pa.ChunkedArray] = []
    for column in columns:
        if column.id in stored:
            arrays.append(decoded[stored.index(column.id)])
        else:
            absent = RowGroup("", total)
            arrays.append(read_row_group(store, definition, absent, [column]).column(0))
    names = [str(column.id) for column in columns]
    if row_ids:
        ids = _implied_row_ids(groups, counts)
        if ROW_ID_COLUMN in stored:
            ids = pc.coalesce(decoded[stored.index(ROW_ID_COLUMN)], ids)
        arrays.append(ids)
        names.append(ROW_ID_FIELD.name)
    return pa.Table.from_arrays(arrays, names=names)


def _decode(
    messages: Sequence[bytes], counts: npt.NDArray[np.int64], schema: pa.Schema
) -> list[pa.Array | pa.ChunkedArray] | None:
    """The stored columns of inlined row groups, end to end; None when one of them is damaged."""
    if len(messages) >= ALIKE_MIN:
        arrays = decode_alike(messages, counts, schema.types)
        if arrays is not None:
            return arrays
    content = b"".join([bytes(schema.serialize()), *messages])
    try:
        table = pa.ipc.open_stream(pa.py_buffer(content)).read_all()
        table.validate()
    except (pa.ArrowException, OSError, MemoryError):
        return None
    if [len(chunk) for chunk in table.column(0).chunks] != counts.tolist():
        return None
    return [column.combine_chunks() for column in table.columns]


def _implied_row_ids(groups: Sequence[RowGroup], counts: npt.NDArray[np.int64]) -> pa.Array:
    """Row ids as the log gave them out: int64, one per row of the row groups laid end to end."""
    firsts = np.fromiter(map(attrgetter("first_row_id"), groups), np.int64, len(groups))
    starts = np.cumsum(counts) - counts
    return pa.array(np.repeat(firsts - starts, counts) + np.arange(counts.sum(), dtype=np.int64))
