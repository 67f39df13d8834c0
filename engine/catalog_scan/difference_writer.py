"""Writes the rows of directories and errors that differ from those of the last scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...extensions.catalog.names import text_of
from ...extensions.catalog.rescan.known import OWN, TOTALS
from ...extensions.catalog.rollups import directory_batch
from .account import error_batches
from .stored_rows import PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from ...extensions.catalog.block import WalkError
    from ...extensions.catalog.rescan.known import Known
    from .stored import StoredCatalog
    from .stored_rows import StoredRows

BATCH_ROWS: Final = 122_880

Integers = Any
"""An array of int64."""


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryRows:
    """The directories that there are now, in the order of their labels.

    Attributes:
        paths: Their paths.
        known: Which of the known directories each is, -1 for new ones.
        numbers: Their sums, by column.
        depth: Directories above each.
        label: Their labels.
        last_label: The last labels below them.
    """

    paths: pa.Array
    known: Integers
    numbers: Mapping[str, Integers]
    depth: Integers
    label: Integers
    last_label: Integers


def write_directories(
    catalog: StoredCatalog, known: Known, now: DirectoryRows, rows: StoredRows
) -> None:
    """Write the rows that differ: of directories that changed, and of all above them.

    Args:
        catalog: Where to.
        known: The last scan's directories.
        now: Those that there are.
        rows: The table as it is.
    """
    place = np.maximum(now.known, 0)
    differs = now.known < 0
    differs |= (now.label != known.label[place]) | (now.last_label != known.last_label[place])
    for name in (*TOTALS, *OWN):
        differs |= now.numbers[name] != known.numbers[name][place]
    differs |= now.depth != known.depth[place]
    old_paths = known.texts.take(pa.array(place))
    differs |= ~np.asarray(pc.equal(now.paths, old_paths))
    there = np.zeros(len(known), dtype=np.bool_)
    there[now.known[now.known >= 0]] = True
    at = np.flatnonzero(differs)
    was = now.known[at] >= 0
    old = known.rows[now.known[at][was]]
    ids = np.zeros(len(at), dtype=np.int64)
    missing = ~was
    known_ids = rows.row_ids(old)
    ids[was] = np.asarray(known_ids.fill_null(0))
    missing[was] = np.asarray(known_ids.is_null())
    columns = {name: now.numbers[name][at] for name in (*TOTALS, *OWN)}
    columns["depth"] = now.depth[at].astype(np.int32)
    columns["label"], columns["last_label"] = now.label[at], now.last_label[at]
    batch = directory_batch(now.paths.take(pa.array(at)), columns)
    table = pa.Table.from_batches([batch]).append_column("row id", pa.array(ids, mask=missing))
    dropped = np.concatenate([old, known.rows[~there]])
    catalog.replace(catalog.relations.directories, lambda: dropped, batches_of(table))


def write_errors(
    catalog: StoredCatalog,
    told: pa.Table,
    again: Integers,
    found: Sequence[WalkError],
    time: datetime,
) -> int:
    """Write the errors that differ, and return how many there are.

    Args:
        catalog: Where to.
        told: The rows that there are: path, operation, errno and their places.
        again: Which of these were looked for again.
        found: What was found.
        time: When.
    """
    new = {(text_of(e.path), e.operation, e.errno): e for e in found}
    dropped = []
    for at in again.tolist():
        row = told.slice(at, 1).to_pylist()[0]
        if new.pop((row["path"], row["operation"], row["errno"]), None) is None:
            dropped.append(at)
    places = np.asarray(told[PLACE])[np.array(dropped, dtype=np.int64)]
    written = (
        pa.RecordBatch.from_arrays(
            [*batch.columns, pa.nulls(len(batch), pa.int64())],
            names=[*batch.schema.names, "row id"],
        )
        for batch in error_batches(list(new.values()), time)
    )
    catalog.replace(catalog.relations.errors, lambda: places, written)
    return len(told) - len(dropped) + len(new)


def batches_of(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Return a table in batches of at most a row group."""
    yield from table.to_batches(max_chunksize=BATCH_ROWS)
