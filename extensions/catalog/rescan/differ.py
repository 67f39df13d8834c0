"""Rows of the last scan against rows of this one: what is changed, gone, new, or elsewhere.

Rows are the same element where they have the same identity: file system, inode number and time of
creation, because numbers are used again at once. Where the file system does not tell when a file
was made, type and mtime stand for it. The names of a file that has several (hard links) share an
identity, and are paired one to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..columns import STORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PLAIN: Final = pa.schema(
    [
        (field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in STORED
    ]
)
"""The stored columns, without dictionaries."""

_IDENTITY: Final = np.dtype([("device", "i8"), ("inode", "i8"), ("born", "i8"), ("more", "i8")])
_TYPE: Final = "element_type"
_READ_BY_SCANS: Final = ("DIR", "SYMLINK")

Integers = Any
"""An array of int64."""


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """How two sets of rows differ; all by their places in those.

    Args:
        old: Rows whose element is still there and looks otherwise.
        new: How it looks, row for row.
        gone: Rows whose element is not where it was.
        fresh: Rows whose element was not there.
    """

    old: Integers
    new: Integers
    gone: Integers
    fresh: Integers


def plain(batch: pa.RecordBatch | pa.Table) -> pa.Table:
    """Return rows of `STORED` as a table of `PLAIN`, one chunk a column; others are kept."""
    arrays = {}
    for name in batch.schema.names:
        column = batch[name]
        if isinstance(column, pa.ChunkedArray):
            column = _flat(column)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        wanted = PLAIN.field(name).type if name in PLAIN.names else column.type
        arrays[name] = column if column.type.equals(wanted) else column.cast(wanted)
    return pa.table(arrays)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


def difference(
    old: pa.Table,
    old_slot: Integers,
    new: pa.Table,
    new_slot: Integers,
    device: tuple[int, int] | None = None,
) -> Difference:
    """Compare the rows of some directories.

    Args:
        old: Rows of the last scan: columns of `PLAIN`, those of the identity among them.
        old_slot: A number for the directory of each.
        new: Rows of this one, with the same columns.
        new_slot: The same number for the same directory.
        device: A device's number then and now, where it has another one.
    """
    before, after = _same_names(old, old_slot, new, new_slot)
    same = np.ones(len(before), dtype=np.bool_)
    same &= devices_of(old, device)[before] == numbers(new, "device")[after]
    for name in ("inode", "creation_time"):
        same &= numbers(old, name)[before] == numbers(new, name)[after]
    types = pc.equal(old[_TYPE].take(pa.array(before)), new[_TYPE].take(pa.array(after)))
    same &= np.asarray(types)
    before, after = before[same], after[same]
    changed = is_changed(old.take(pa.array(before)), new.take(pa.array(after)))
    return Difference(
        before[changed],
        after[changed],
        _others(len(old), before),
        _others(len(new), after),
    )


def _others(count: int, at: Integers) -> Integers:
    left = np.ones(count, dtype=np.bool_)
    left[at] = False
    return np.flatnonzero(left)


def _same_names(
    old: pa.Table, old_slot: Integers, new: pa.Table, new_slot: Integers
) -> tuple[Integers, Integers]:
    """Return pairs of rows with the same directory and name."""
    if len(old) == len(new) and (old_slot == new_slot).all() and old["name"].equals(new["name"]):
        return np.arange(len(old)), np.arange(len(new))
    found = pc.index_in(_keys(new, new_slot), value_set=_keys(old, old_slot))
    after = np.flatnonzero(np.asarray(found.is_valid()))
    return np.asarray(found.drop_null()).astype(np.int64), after


def _keys(rows: pa.Table, slot: Integers) -> pa.Array:
    keys = pc.binary_join_element_wise(pa.array(slot).cast(pa.string()), rows["name"], "/")
    return _flat(keys) if isinstance(keys, pa.ChunkedArray) else keys


def is_changed(old: pa.Table, new: pa.Table) -> NDArray[np.bool_]:
    """Tell which rows differ from those in the same place, in columns that both have.

    When a directory or link was accessed last does not count: a scan accesses it.
    """
    changed = np.zeros(len(old), dtype=np.bool_)
    shared = set(old.schema.names) & set(new.schema.names)
    for name in PLAIN.names:
        if name not in shared:
            continue
        differs = _differs(_flat(old[name]), _flat(new[name]))
        if differs is None:
            continue
        if name == "atime":
            read = pc.is_in(new[_TYPE], value_set=pa.array(_READ_BY_SCANS))
            differs = differs & ~np.asarray(read)
        changed |= differs
    return changed


def _differs(old: pa.Array, new: pa.Array) -> NDArray[np.bool_] | None:
    """Tell which values differ; None: none of them."""
    if old.equals(new):
        return None
    if pa.types.is_nested(old.type):
        pairs = zip(old.to_pylist(), new.to_pylist(), strict=True)
        return np.array([a != b for a, b in pairs], dtype=np.bool_)
    valid = pc.equal(old.is_valid(), new.is_valid())
    same = pc.and_(valid, pc.coalesce(pc.equal(old, new), pa.scalar(value=True)))
    return ~np.asarray(same)


def numbers(rows: pa.Table, name: str) -> Integers:
    """Return a column of numbers or times, NULL as the lowest number."""
    array = _flat(rows[name]) if isinstance(rows[name], pa.ChunkedArray) else rows[name]
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    return np.asarray(pc.coalesce(array.cast(pa.int64()), pa.scalar(-(2**63), pa.int64())))


def devices_of(rows: pa.Table, device: tuple[int, int] | None) -> Integers:
    """Return the devices of rows; one that has another number now, by that number."""
    found = numbers(rows, "device")
    if device is not None and device[0] != device[1]:
        found = np.where(found == device[0], device[1], found)
    return found


def identities(rows: pa.Table, device: tuple[int, int] | None = None) -> NDArray[np.void]:
    """Return what tells each element from all others, as a structured array."""
    result = np.zeros(len(rows), dtype=_IDENTITY)
    result["device"], result["inode"] = devices_of(rows, device), numbers(rows, "inode")
    result["born"] = numbers(rows, "creation_time")
    unknown = np.flatnonzero(result["born"] == -(2**63))
    if unknown.size:
        types = rows[_TYPE].take(pa.array(unknown)).to_pylist()
        kinds = np.array([hash(kind) & 0xFFFF for kind in types], dtype=np.int64)
        result["more"][unknown] = numbers(rows, "mtime")[unknown] ^ kinds
    return result


def paired(gone: NDArray[np.void], fresh: NDArray[np.void]) -> tuple[Integers, Integers]:
    """Pair elements that are gone with fresh ones of the same identity, one to one.

    Args:
        gone: Identities, shape (n,).
        fresh: Identities, shape (m,).

    Returns:
        Places in both, pair by pair. Of several with one identity the first are paired.
    """
    both = np.concatenate([gone, fresh])
    if not len(gone) or not len(fresh):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    is_fresh = np.arange(len(both)) >= len(gone)
    order = np.lexsort([is_fresh, *(both[name] for name in reversed(_IDENTITY.names or ()))])
    # Numbers of equal identities among their own kind: hard links.
    rank = _ranks(both[order], is_fresh[order])
    again = np.lexsort([is_fresh[order], rank, _groups(both[order])])
    order = order[again]
    rank, group, side = rank[again], _groups(both[order]), is_fresh[order]
    match = np.flatnonzero(
        (group[1:] == group[:-1]) & (rank[1:] == rank[:-1]) & side[1:] & ~side[:-1]
    )
    return order[match], order[match + 1] - len(gone)


def _groups(ordered: NDArray[np.void]) -> Integers:
    """Number the runs of equal identities."""
    if not len(ordered):
        return np.empty(0, dtype=np.int64)
    starts = np.zeros(len(ordered), dtype=np.bool_)
    for name in _IDENTITY.names or ():
        starts[1:] |= ordered[name][1:] != ordered[name][:-1]
    return np.cumsum(starts)


def _ranks(ordered: NDArray[np.void], side: NDArray[np.bool_]) -> Integers:
    """Count equal identities of the same side: 0 for the first, 1 for the next."""
    runs = _groups(ordered) * 2 + side
    at = np.arange(len(runs))
    first = np.concatenate([[True], runs[1:] != runs[:-1]])
    ranks: Integers = at - np.maximum.accumulate(np.where(first, at, 0))
    return ranks


def concatenated(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Return tables as one; of none, an empty one."""
    return pa.concat_tables(tables) if tables else schema.empty_table()
