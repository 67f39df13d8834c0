"""Rows of elements as Arrow columns, and back."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from itertools import repeat, starmap
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..effects import ROW_ID_COLUMN
from ..keys.key_index import FoundRows, read_rows
from ..row_group import read_row_ids
from ..row_group_run import read_run
from .definition import ELEMENT_COLUMNS
from .element import Element
from .row_message import message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..effects import Column
    from ..snapshot import TableState
    from .stored import ElementReader

Integers = npt.NDArray[np.int64]

ROW_ID: Final = "row_id"
"""Name of the column of row ids."""
CONTENT: Final = frozenset({"inline", "extents"})
"""Columns that listings leave out."""
_MAPS: Final = frozenset({"user_tags", "user_metadata"})
_NAMES: Final = tuple(column.name for column in ELEMENT_COLUMNS)
_IDS: Final = tuple(column.id for column in ELEMENT_COLUMNS)
_TYPES: Final = tuple(column.arrow_type for column in ELEMENT_COLUMNS)
_FIELDS: Final = tuple(field.name for field in fields(Element))[: len(_NAMES)]
_ALL: Final = attrgetter(*_NAMES)
_SCHEMA: Final = pa.schema([(str(c.id), c.arrow_type) for c in ELEMENT_COLUMNS])
assert _NAMES == _FIELDS, "elements are made from rows by place"


def elements_of(arrays: Sequence[pa.Array], *, whole: bool = True) -> list[Element]:
    """Make elements of the columns of their rows.

    Args:
        arrays: All columns of `elements`, in order; NULLs for those that were left out.
        whole: False when those of the content were left out.
    """
    lists = [_values(name, array) for name, array in zip(_NAMES, arrays, strict=True)]
    made = starmap(Element, zip(*lists, repeat(None), repeat(whole), strict=False))
    return list(made)


def _values(name: str, array: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    values: list[Any] = array.to_pylist()
    if name in _MAPS:
        return [None if value is None else dict(value) for value in values]
    return values


def batch_of(rows: Sequence[Element]) -> pa.RecordBatch:
    """Elements' rows as a batch, fields named by column id."""
    arrays = [_array(column, values) for column, values in enumerate(_columns_of(rows))]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _columns_of(rows: Sequence[Element]) -> list[Sequence[Any]]:
    return list(zip(*map(_ALL, rows), strict=True))


def short_message_of(
    rows: Sequence[Element], row_ids: Sequence[int | None] | None = None
) -> tuple[tuple[int, ...], bytes]:
    """Elements' rows as an Arrow message without the columns that are NULL in all of them.

    Args:
        rows: The rows.
        row_ids: Row ids that they bring along, if any does.

    Returns:
        Ids of the columns, and the message.
    """
    every = _columns_of(rows)
    columns = tuple(at for at, values in enumerate(every) if values.count(None) < len(rows))
    ids, types = _of_columns(columns)
    told: list[Sequence[Any]] = [every[column] for column in columns]
    if row_ids is not None:
        ids, types, told = (*ids, ROW_ID_COLUMN), (*types, pa.int64()), [*told, row_ids]
    message = message_of(types, told)
    if message is None:
        arrays = [_array(column, every[column]) for column in columns]
        if row_ids is not None:
            arrays.append(pa.array(row_ids, pa.int64()))
        batch = pa.RecordBatch.from_arrays(arrays, names=[str(number) for number in ids])
        message = batch.serialize().to_pybytes()
    return ids, message


@lru_cache(maxsize=256)
def _of_columns(columns: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[pa.DataType, ...]]:
    """Ids and types of columns."""
    return tuple(_IDS[column] for column in columns), tuple(_TYPES[column] for column in columns)


def _array(column: int, values: Sequence[Any]) -> pa.Array:
    if _NAMES[column] in _MAPS:
        return pa.array(list(map(_items, values)), _TYPES[column])
    return pa.array(values, _TYPES[column])


def _items(tags: Any) -> list[tuple[str, str]] | None:
    return None if tags is None else sorted(tags.items())


@lru_cache(maxsize=64)
def _columns(definition_columns: tuple[Column, ...], names: tuple[str, ...]) -> list[Column]:
    by_name = {column.name: column for column in definition_columns}
    return [by_name[name] for name in names]


def read_places(
    reader: ElementReader,
    state: TableState,
    found: FoundRows,
    columns: Sequence[str],
    *,
    row_ids: bool = False,
) -> pa.Table:
    """Columns of rows of a table, in the order of their places.

    Inlined row groups are decoded many at a time: there may be thousands of them.

    Args:
        reader: Whose caches are used.
        state: The table.
        found: Where the rows lie.
        columns: Names of the columns.
        row_ids: Add the rows' ids as a last column.

    Raises:
        Corrupt: A row group is damaged.
    """
    wanted = _columns(state.definition.columns, tuple(columns))
    order = np.argsort(found.groups, kind="stable")
    several, first = np.unique(found.groups[order], return_index=True)
    bounds = [*first.tolist(), order.size]
    inlined: list[int] = []
    parts: list[tuple[Integers, pa.Table]] = []
    for number, index in enumerate(several.tolist()):
        group = state.row_groups[index]
        if group.inline is not None:
            inlined.append(number)
            continue
        rows = order[bounds[number] : bounds[number + 1]]
        positions = found.positions[rows]
        arrays = read_rows(reader.keys.chunks, state, found.groups[rows], positions, wanted)
        if row_ids:
            ids = read_row_ids(reader.store, state.definition, group)
            arrays.append(ids.take(pa.array(positions)))
        parts.append((rows, _table(arrays, columns, row_ids=row_ids)))
    if inlined:
        groups = [state.row_groups[int(several[number])] for number in inlined]
        counts = np.array([group.rows for group in groups], dtype=np.int64)
        starts = np.cumsum(counts) - counts
        rows = np.concatenate([order[bounds[n] : bounds[n + 1]] for n in inlined])
        sizes = [bounds[n + 1] - bounds[n] for n in inlined]
        places = np.repeat(starts, sizes) + found.positions[rows]
        run = pa.concat_tables(
            read_run(reader.store, state.definition, groups, wanted, row_ids=row_ids)
        )
        taken = run.take(pa.array(places))
        parts.append((rows, taken.rename_columns([*columns, *((ROW_ID,) if row_ids else ())])))
    if not parts:
        arrays = [pa.array([], c.arrow_type) for c in wanted]
        if row_ids:
            arrays.append(pa.array([], pa.int64()))
        return _table(arrays, columns, row_ids=row_ids)
    if len(parts) == 1 and bool((parts[0][0][1:] > parts[0][0][:-1]).all()):
        return parts[0][1]
    back = np.empty(order.size, dtype=np.int64)
    back[np.concatenate([rows for rows, _ in parts])] = np.arange(order.size)
    return pa.concat_tables([table for _, table in parts]).take(pa.array(back))


def _table(arrays: Iterable[pa.Array], columns: Sequence[str], *, row_ids: bool) -> pa.Table:
    return pa.Table.from_arrays(list(arrays), names=[*columns, *((ROW_ID,) if row_ids else ())])
