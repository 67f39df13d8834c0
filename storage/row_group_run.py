"""Runs of row groups: neighbours read together.

A thousand one-row commits are a thousand row groups. Decoded one at a time they cost a
thousand calls; their messages laid end to end are one Arrow stream, which is decoded by one.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .effects import ROW_ID_COLUMN, RowGroup
from .row_group import ROW_ID_FIELD, read_row_group, stored_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .effects import Column, TableDefinition
    from .store import Store

STREAM_GROUPS_MAX = 8192
"""Inlined row groups that are decoded at once: half a gigabyte where each is as large as it may
be, some megabytes in practice."""


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
    for inline_columns, alike in groupby(groups, key=_inline_columns):
        members = list(alike)
        if inline_columns is not None and len(members) > 1:
            for start in range(0, len(members), STREAM_GROUPS_MAX):
                stretch = members[start : start + STREAM_GROUPS_MAX]
                table = _read_stretch(store, definition, stretch, columns, row_ids=row_ids)
                if table is None:
                    yield from _one_by_one(
                        store, definition, stretch, columns, schema, row_ids=row_ids
                    )
                else:
                    yield table.cast(schema)
            continue
        yield from _one_by_one(store, definition, members, columns, schema, row_ids=row_ids)


def _inline_columns(group: RowGroup) -> tuple[int, ...] | None:
    return None if group.inline is None else group.inline_columns


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
    columns: Sequence[Column],
    *,
    row_ids: bool,
) -> pa.Table | None:
    """Inlined row groups with the same columns as one table; None when one of them is damaged."""
    stored = groups[0].inline_columns
    types = {c.id: c.arrow_type for c in (*definition.columns, *definition.dropped)}
    types[ROW_ID_COLUMN] = ROW_ID_FIELD.type
    schema = pa.schema([pa.field(str(column), types[column]) for column in stored])
    content = b"".join([bytes(schema.serialize()), *(group.inline or b"" for group in groups)])
    try:
        table = pa.ipc.open_stream(pa.py_buffer(content)).read_all()
        table.validate()
    except (pa.ArrowInvalid, OSError):
        return None
    counts = [group.rows for group in groups]
    if not stored or [len(chunk) for chunk in table.column(0).chunks] != counts:
        return None
    arrays: list[pa.Array | pa.ChunkedArray] = []
    for column in columns:
        if column.id in stored:
            arrays.append(table.column(stored.index(column.id)).combine_chunks())
        else:
            absent = RowGroup("", table.num_rows)
            arrays.append(read_row_group(store, definition, absent, [column]).column(0))
    names = [str(column.id) for column in columns]
    if row_ids:
        ids = _implied_row_ids(groups)
        if ROW_ID_COLUMN in stored:
            ids = pc.coalesce(table.column(stored.index(ROW_ID_COLUMN)).combine_chunks(), ids)
        arrays.append(ids)
        names.append(ROW_ID_FIELD.name)
    return pa.Table.from_arrays(arrays, names=names)


def _implied_row_ids(groups: Sequence[RowGroup]) -> pa.Array:
    """Row ids as the log gave them out: int64, one per row of the row groups laid end to end."""
    counts = np.array([group.rows for group in groups], dtype=np.int64)
    firsts = np.array([group.first_row_id for group in groups], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    return pa.array(np.repeat(firsts - starts, counts) + np.arange(counts.sum(), dtype=np.int64))
