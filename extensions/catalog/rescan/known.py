"""The directories of the last scan, as arrays: what a rescan compares the tree with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from ..block import EntryArray

Integers = Any
"""An array of int64, one number a directory."""

TOTALS: Final = ("entries", "directories", "bytes", "used", "newest_mtime")
OWN: Final = ("own_entries", "own_bytes", "own_used", "own_newest_mtime")


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Directories in the order of their labels, which is that of their paths.

    Args:
        paths: Absolute paths; the first is the root.
        label: Their labels.
        last_label: The last label of what is below.
        depth: How many directories each lies below the root.
        listed: False where the walk did not enter: another file system begins there.
        identity: `device`, `inode`, `birth`, and `mtime`, `ctime` when last seen: int64 each.
        numbers: The sums of the directories' table, by column: `TOTALS` and `OWN`.
        rows: For each directory its row in the directories' table.
        entries: For each its own row among the entries.
        texts: The paths as text.
    """

    paths: list[bytes]
    label: Integers
    last_label: Integers
    depth: Integers
    listed: NDArray[np.bool_]
    identity: Mapping[str, Integers]
    numbers: Mapping[str, Integers]
    rows: Integers
    entries: Integers
    texts: pa.Array

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def parent(self) -> Integers:
        """The place of each one's parent, -1 for the root's."""
        return parents(self.depth)

    def is_same(self, entries: EntryArray, at: Integers | None = None) -> NDArray[np.bool_]:
        """Tell which entries are the directories that were known.

        Args:
            entries: One for each directory, or for each of `at`.
            at: Places of directories.
        """
        same: NDArray[np.bool_] = (entries["mode"] & 0o170000) == 0o040000
        for ours, theirs in (("device", "device"), ("inode", "inode"), ("birth", "birth")):
            same &= self._known(ours, at) == entries[theirs].astype(np.int64)
        return same

    def is_unchanged(self, entries: EntryArray, at: Integers | None = None) -> NDArray[np.bool_]:
        """Tell which entries have the times that were seen; equal, not older: clocks go back."""
        same: NDArray[np.bool_] = self._known("mtime", at) == entries["mtime"]
        same &= self._known("ctime", at) == entries["ctime"]
        return same

    def _known(self, name: str, at: Integers | None) -> Integers:
        return self.identity[name] if at is None else self.identity[name][at]


def parents(depth: Integers) -> Integers:
    """Return each directory's parent by their depths in pre-order; -1 for the first."""
    parent = np.full(len(depth), -1, dtype=np.int64)
    above = np.flatnonzero(depth == 0)
    for level in range(1, int(depth.max(initial=0)) + 1):
        here = np.flatnonzero(depth == level)
        parent[here] = above[np.searchsorted(above, here) - 1]
        above = here
    return parent
