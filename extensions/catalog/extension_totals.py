"""Roll-ups by extension: files and bytes below a directory, for each ending of their names.

Rows are kept for subtrees of `ENTRIES_MIN` entries and more, and for the root: smaller ones are
summed from their few rows faster than they are found here, and would be most of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .labels import GAP, OUTSIDE, first_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .rollups import DirectoryTotals

ENTRIES_MIN: Final = 64

CODE_BITS: Final = 28
"""A key is a directory's place, and in its lower bits the number of an extension."""

CODES_MAX: Final = 1 << 20
"""Different extensions that are told apart; a tree that has more has names that only look so."""

OTHERS: Final = "…"
"""Stands for all extensions beyond that."""

BATCH_ROWS: Final = 122_880

Numbers = Any
"""An array of int64."""


class ExtensionTotals:
    """Counts files by directory and extension while batches of entries pass."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {OTHERS: 0}
        self._found: list[tuple[Numbers, Numbers, Numbers]] = []

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass batches of the stored columns on."""
        for batch in batches:
            self._take(batch)
            yield batch

    def _take(self, batch: pa.RecordBatch) -> None:
        counted = np.asarray(pc.not_equal(batch["element_type"].cast(pa.string()), "DIR"))
        label = batch["directory"].to_numpy()
        counted &= label != OUTSIDE
        extension = batch["extension"].dictionary_encode()
        codes = np.array([self._code(text) for text in extension.dictionary.to_pylist()], np.int64)
        if not counted.any():
            return
        keys = (label // GAP - 1) << CODE_BITS | codes[extension.indices.to_numpy()]
        size = batch["size"].to_numpy()[counted]
        self._found.append(summed(keys[counted], np.ones(len(size), np.int64), size))

    def _code(self, extension: str) -> int:
        known = self._codes.get(extension)
        if known is None:
            known = len(self._codes) if len(self._codes) < CODES_MAX else 0
            if known:
                self._codes[extension] = known
        return known

    def tables(self, totals: DirectoryTotals) -> Iterator[pa.RecordBatch]:
        """Return the rows, by label and extension, once all entries have passed.

        Args:
            totals: The directories that the entries lie in.
        """
        if not self._found:
            return
        keys, files, size = (np.concatenate(part) for part in zip(*self._found, strict=True))
        entries = totals.entries_below()
        kept = [
            tuple(part[at] for part in level)
            for level in carried_up(summed(keys, files, size), totals.parents, totals.depths)
            if len(at := np.flatnonzero(_is_kept(level[0], entries)))
        ]
        if not kept:
            return
        keys, files, size = (np.concatenate(part) for part in zip(*kept, strict=True))
        names = pa.array(list(self._codes), pa.string())
        order = np.argsort(keys)
        for start in range(0, len(order), BATCH_ROWS):
            at = order[start : start + BATCH_ROWS]
            yield pa.record_batch(
                {
                    "label": pa.array(((keys[at] >> CODE_BITS) + 1) * first_label(0)),
                    "extension": names.take(pa.array(keys[at] & ((1 << CODE_BITS) - 1))),
                    "files": pa.array(files[at]),
                    "bytes": pa.array(size[at]),
                }
            )


Sums = tuple[Numbers, Numbers, Numbers]
"""Different keys, ascending, with their files and bytes."""


def summed(keys: Numbers, files: Numbers, size: Numbers) -> Sums:
    """Add up what has the same key."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return (
        keys[starts],
        np.add.reduceat(files[order], starts),
        np.add.reduceat(size[order], starts),
    )


def _is_kept(keys: Numbers, entries: Numbers) -> Numbers:
    place = keys >> CODE_BITS
    return (entries[place] >= ENTRIES_MIN) | (place == 0)


def carried_up(own: Sums, parents: Numbers, depths: Numbers) -> Iterator[Sums]:
    """Yield the sums of subtrees, level by level from the deepest.

    Args:
        own: Sums of directories alone, by keys.
        parents: The place of each directory's parent.
        depths: How many directories each lies below the root.
    """
    level_of = depths[own[0] >> CODE_BITS]
    order = np.argsort(level_of, kind="stable")
    bounds = np.searchsorted(level_of[order], np.arange(int(depths.max()) + 2))
    below: Sums | None = None
    for level in range(int(depths.max()), -1, -1):
        at = order[bounds[level] : bounds[level + 1]]
        parts = [tuple(part[at] for part in own)] + ([below] if below is not None else [])
        keys, files, size = (np.concatenate(part) for part in zip(*parts, strict=True))
        below = None
        if len(keys):
            sums = summed(keys, files, size)
            yield sums
            if level:
                above = parents[sums[0] >> CODE_BITS] << CODE_BITS
                mask = (1 << CODE_BITS) - 1
                below = (above | (sums[0] & mask), sums[1], sums[2])
