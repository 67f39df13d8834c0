"""Sums by extension after a rescan: what rows that come and go add to those above them.

A row that is gone is taken from all directories that it lay below, one that has come is added to
all that it lies below now; what has not changed cancels out and is not looked at. Directories that
had no rows, because they were small or are new, are counted anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ..extension_totals import (
    CODE_BITS,
    CODES_MAX,
    ENTRIES_MIN,
    OTHERS,
    carried_up,
    summed,
)
from .survey import WalkNeeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..extension_totals import Sums
    from .known import Integers, Known
    from .tree import Tree

_MASK: Final = (1 << CODE_BITS) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """Files, for their directories' sums.

    Args:
        directory: The place of each one's directory, among the known ones or in the tree.
        rows: Their rows, at least `extension` and `size`; no directories.
    """

    directory: Integers
    rows: pa.Table


class ExtensionChanges:
    """Finds out which rows of the sums by extension differ.

    Args:
        known: The directories of the last scan.
        tree: Those that there are now.
        entries: How many entries each subtree of `tree` has.
        stored: The rows that there are: label, extension, files, bytes, in any order.
    """

    def __init__(self, known: Known, tree: Tree, entries: Integers, stored: pa.Table) -> None:
        self._known = known
        self._tree = tree
        self._codes: dict[str, int] = {OTHERS: 0}
        self._stored = stored
        self._of = np.searchsorted(known.label, np.asarray(stored["label"]))
        self._place = np.full(len(known) + 1, -1, dtype=np.int64)
        matched = np.flatnonzero(tree.known >= 0)
        self._place[tree.known[matched]] = matched
        self._has = tree.listed & ((entries >= ENTRIES_MIN) | (np.arange(len(entries)) == 0))
        had = known.listed & (known.numbers["entries"] >= ENTRIES_MIN)
        had[0] = True
        self._had = had

    def run(
        self, gone: Files, come: Files, files_in: Callable[[Integers], Files]
    ) -> tuple[Integers, pa.RecordBatch]:
        """Compute the differences.

        Args:
            gone: Files that are no longer there, or look otherwise, with directories of `known`.
            come: Those that are there now, with directories of `tree`.
            files_in: Gives all files of some directories of `tree`.

        Returns:
            Which of the stored rows to delete, and rows to add.

        Raises:
            WalkNeeded: There are too many extensions to tell apart.
        """
        tree, known = self._tree, self._known
        stored_code = self._encoded(self._stored["extension"])
        if (stored_code == 0).any():
            raise WalkNeeded("there are too many extensions to tell apart")
        delta = self._delta(gone, come)
        had = np.zeros(len(tree.known), dtype=np.bool_)
        matched = np.flatnonzero(tree.known >= 0)
        had[matched] = self._had[tree.known[matched]]
        base = self._has & had
        anew = np.flatnonzero(self._has & ~had)
        place = self._place[self._of]
        relabelled = base.copy()
        at = np.flatnonzero(base)
        relabelled[at] = tree.label[at] != known.label[tree.known[at]]
        # Rows of a node whose label stays are written where they change, others all.
        keys = place << CODE_BITS | stored_code
        on_base = (place >= 0) & base[np.maximum(place, 0)]
        touched = np.isin(keys, delta[0]) | relabelled[np.maximum(place, 0)]
        dropped = np.flatnonzero(~on_base | touched)
        kept = np.flatnonzero(on_base & touched)
        files, size = (np.asarray(self._stored[name])[kept] for name in ("files", "bytes"))
        here = base[delta[0] >> CODE_BITS]
        parts: list[Sums] = [(keys[kept], files, size)]
        parts.append((delta[0][here], delta[1][here], delta[2][here]))
        parts += self._counted(anew, files_in)
        written = _added(parts)
        return dropped, self._batch(written)

    def _delta(self, gone: Files, come: Files) -> Sums:
        """Return what changes for each directory of the tree, by extension."""
        tree, known = self._tree, self._known
        parts = list(carried_up(self._own(come), tree.parent, tree.depth))
        for keys, files, size in carried_up(self._own(gone), known.parent, known.depth):
            place = self._place[keys >> CODE_BITS]
            there = place >= 0
            moved = place[there] << CODE_BITS | (keys[there] & _MASK)
            parts.append((moved, -files[there], -size[there]))
        keys, files, size = _added(parts, keep_zero=True)
        differs = np.flatnonzero((files != 0) | (size != 0))
        return keys[differs], files[differs], size[differs]

    def _counted(self, anew: Integers, files_in: Callable[[Integers], Files]) -> list[Sums]:
        """Count the subtrees of some directories from their files."""
        if not len(anew):
            return []
        tree = self._tree
        edges = np.zeros(len(tree.label) + 1, dtype=np.int64)
        np.add.at(edges, anew, 1)
        np.add.at(edges, tree.last[anew] + 1, -1)
        below = np.flatnonzero((np.cumsum(edges)[:-1] > 0) & tree.listed)
        wanted = np.zeros(len(tree.label), dtype=np.bool_)
        wanted[anew] = True
        found = []
        for level in carried_up(self._own(files_in(below)), tree.parent, tree.depth):
            at = np.flatnonzero(wanted[level[0] >> CODE_BITS])
            found.append((level[0][at], level[1][at], level[2][at]))
        return found

    def _own(self, files: Files) -> Sums:
        keys = files.directory << CODE_BITS | self._encoded(files.rows["extension"])
        size = np.asarray(files.rows["size"]).astype(np.int64)
        if not len(keys):
            return keys, size, size
        return summed(keys, np.ones(len(keys), dtype=np.int64), size)

    def _encoded(self, extension: pa.ChunkedArray) -> Integers:
        encoded = pa.chunked_array(extension).combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        for text in encoded.dictionary.to_pylist():
            self._codes.setdefault(text, len(self._codes))
        if len(self._codes) > CODES_MAX:
            raise WalkNeeded("there are too many extensions to tell apart")
        codes = np.array([self._codes[text] for text in encoded.dictionary.to_pylist()], np.int64)
        return codes[np.asarray(encoded.indices)] if len(codes) else np.empty(0, dtype=np.int64)

    def _batch(self, sums: Sums) -> pa.RecordBatch:
        keys, files, size = sums
        names = pa.array(list(self._codes), pa.string())
        return pa.record_batch(
            {
                "label": pa.array(self._tree.label[keys >> CODE_BITS]),
                "extension": names.take(pa.array(keys & _MASK)),
                "files": pa.array(files),
                "bytes": pa.array(size),
            }
        )


def _added(parts: list[Sums], *, keep_zero: bool = False) -> Sums:
    """Add up what has the same key; without files a row is none."""
    none = np.empty(0, dtype=np.int64)
    keys, files, size = (
        (np.concatenate([none, *column]) for column in zip(*parts, strict=True))
        if parts
        else (none, none, none)
    )
    if not len(keys):
        return keys, files, size
    keys, files, size = summed(keys, files, size)
    there = np.flatnonzero(files > 0) if not keep_zero else np.arange(len(keys))
    return keys[there], files[there], size[there]
