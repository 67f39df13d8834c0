"""Which rows of a catalog's entries a survey of the tree changes, and how.

listed directories     rows of both scans compared, by directory and name
directories gone       their rows are gone
directories carried    that moved, or have other labels: rows rewritten, nothing read
gone and fresh rows    paired by identity: an element that is elsewhere keeps its row id
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...extensions.catalog.block import ENTRY, Block
from ...extensions.catalog.columns import record_batches
from ...extensions.catalog.labels import OUTSIDE
from ...extensions.catalog.names import text_array
from ...extensions.catalog.rescan.differ import (
    PLAIN,
    Difference,
    difference,
    identities,
    numbers,
    paired,
    plain,
)
from ...extensions.catalog.rescan.extension_changes import Files
from ...extensions.catalog.rollups import outside_of
from .stored_rows import PLACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...extensions.catalog.rescan.known import Known
    from ...extensions.catalog.rescan.survey import Survey
    from ...extensions.catalog.rescan.tree import Tree
    from .stored_rows import StoredRows

Integers = Any
"""An array of int64."""

ROOT_SLOT: Final = -1
"""Stands for the directory in which the root lies."""

_NAMES: Final = PLAIN.names


@dataclass(frozen=True, slots=True, eq=False)
class RowChanges:
    """What is to be written.

    Attributes:
        dropped: Places of rows that are deleted, or written anew.
        updated: Rows that are written anew, with `row id`.
        inserted: New rows.
        gone_files: Files that left the sums of directories, by places of known directories.
        come_files: Files that came, by places in the tree.
        linked: Inode numbers of changed files that have several names.
        created: How many elements are new.
        deleted: How many are gone.
        modified: How many look otherwise.
        moved: How many are elsewhere.
    """

    dropped: Integers
    updated: pa.Table
    inserted: pa.Table
    gone_files: Files
    come_files: Files
    linked: Integers
    created: int
    deleted: int
    modified: int
    moved: int


@dataclass(slots=True, eq=False)
class RowComparison:
    """Compares the rows of a survey.

    Attributes:
        known: The directories of the last scan.
        survey: What has become of them.
        tree: The directories that there are now.
        rows: The entries of the last scan.
    """

    known: Known
    survey: Survey
    tree: Tree
    rows: StoredRows
    _place: Integers = field(init=False)
    _new: pa.Table = field(init=False)
    _new_slot: Integers = field(init=False)

    def __post_init__(self) -> None:
        # Where each known directory is in the tree; -1 for those gone.
        self._place = np.full(len(self.known), -1, dtype=np.int64)
        matched = np.flatnonzero(self.tree.known >= 0)
        self._place[self.tree.known[matched]] = matched

    def run(self) -> RowChanges:
        """Compare."""
        old, old_slot = self._old_rows()
        self._read_new()
        found = difference(old, old_slot, self._new, self._new_slot)
        gone, fresh = self._pools(old, found)
        pair_gone, pair_fresh = paired(identities(gone), identities(fresh))
        before, after = self._rewritten()
        lost = _others(len(gone), pair_gone)
        born = _others(len(fresh), pair_fresh)
        changed_old, changed_new = _at(old, found.old), _at(self._new, found.new)
        updated_old = [changed_old, _at(gone, pair_gone), before]
        updated_new = [changed_new, _at(fresh, pair_fresh), after]
        places = numbers(pa.concat_tables([rows.select([PLACE]) for rows in updated_old]), PLACE)
        updated = _joined([rows.select(_NAMES) for rows in updated_new])
        updated = updated.append_column("row id", self.rows.row_ids(places))
        moved, modified = self._counts(old_slot, found, changed_old, changed_new)
        fresh_slot = self._new_slot[found.fresh]
        known_of = self._known_of(gone)
        return RowChanges(
            np.concatenate([places, numbers(_at(gone, lost), PLACE)]),
            updated,
            _at(fresh, born).select(_NAMES),
            _files(
                [changed_old, gone, before],
                [self._known_of(changed_old), known_of, self._known_of(before)],
            ),
            _files(
                [changed_new, fresh, after],
                [self._new_slot[found.new], fresh_slot, self._place[self._known_of(before)]],
            ),
            _linked([changed_old, changed_new, gone, fresh]),
            len(born),
            len(lost),
            modified,
            moved + len(pair_gone) + self._carried_rows(before),
        )

    def files_in(self, at: Integers) -> Files:
        """Return all files of some directories of the tree."""
        is_listed = np.array([self.tree.block(i, self.survey) is not None for i in at.tolist()])
        read = np.zeros(len(self.tree.paths), dtype=np.bool_)
        read[at[is_listed]] = True
        new = np.flatnonzero((self._new_slot >= 0) & read[self._new_slot])
        rest = at[~is_listed]
        labels = np.sort(self.known.label[self.tree.known[rest]])
        stored = self.rows.where_in("directory", labels, ["directory", *_FILE])
        of_stored = self._place[self._known_of(stored)]
        return _files([_at(self._new, new), stored], [self._new_slot[new], of_stored])

    # Rows

    def _old_rows(self) -> tuple[pa.Table, Integers]:
        """Return the rows of the last scan that are compared, and their directories."""
        listed = [at for at in self.survey.blocks if self._place[at] >= 0]
        listed += [at for at, placed in self.survey.moved.items() if placed.block is not None]
        labels = np.sort(self.known.label[np.array(listed, dtype=np.int64)])
        whole = self.rows.where_in("directory", labels)
        single = self._refreshed()
        partly = self.rows.at(np.sort(self.known.entries[np.array(single, dtype=np.int64)]))
        slots = [self._place[self._known_of(rows)] for rows in (whole, partly)]
        slots[1][numbers(partly, "directory") == OUTSIDE] = ROOT_SLOT
        return _joined([whole, partly]), np.concatenate(slots)

    def _refreshed(self) -> list[int]:
        """Return kept directories that look otherwise, though what holds them was not listed."""
        parent = self.known.parent
        return [
            at
            for at in sorted(self.survey.own)
            if at == 0 or int(parent[at]) not in self.survey.blocks
        ]

    def _read_new(self) -> None:
        """Make rows of what was listed and looked at."""
        slots: list[int] = []
        blocks: list[Block] = []
        labels: dict[bytes, int] = {}

        def add(slot: int, block: Block) -> None:
            slots.extend([slot] * len(block.names))
            blocks.append(block)
            labels[block.path] = OUTSIDE if slot == ROOT_SLOT else int(self.tree.label[slot])

        for slot, block in self._blocks():
            add(slot, block)
        self._new_slot = np.array(slots, dtype=np.int64)
        batches = record_batches(blocks, labels.__getitem__, with_root=False)
        self._new = _joined([plain(batch) for batch in batches])

    def _blocks(self) -> list[tuple[int, Block]]:
        """Return what was seen, by place in the tree; of some directories a few names only."""
        survey, known = self.survey, self.known
        found: dict[int, list[int]] = {}
        parent = known.parent
        for at in self._refreshed():
            slot = ROOT_SLOT if at == 0 else int(self._place[parent[at]])
            found.setdefault(slot, []).append(at)
        blocks = []
        for slot, children in found.items():
            path = outside_of(known.paths[0]) if slot == ROOT_SLOT else self.tree.paths[slot]
            names = [known.paths[at].rpartition(b"/")[2] for at in children]
            entries = np.array([survey.own[at] for at in children], dtype=ENTRY)
            blocks.append((slot, Block(path, entries[0], names, entries)))
        for at, block in survey.blocks.items():
            if self._place[at] >= 0:
                blocks.append((int(self._place[at]), block))
        for slot in np.flatnonzero(self.tree.placed >= 0).tolist():
            seen = survey.placed[int(self.tree.placed[slot])].block
            if seen is not None:
                blocks.append((slot, seen))
        return sorted(blocks, key=lambda pair: pair[0])

    def _pools(self, old: pa.Table, found: Difference) -> tuple[pa.Table, pa.Table]:
        """Return rows whose element is not where it was, and rows of elements that were not."""
        lost = np.flatnonzero((self._place < 0) & self.known.listed)
        below = self.rows.where_in("directory", self.known.label[lost])
        return _joined([_at(old, found.gone), below]), _at(self._new, found.fresh)

    def _rewritten(self) -> tuple[pa.Table, pa.Table]:
        """Return rows of directories that were not listed, and have another path or label."""
        tree, known = self.tree, self.known
        slots = [at for at in self._elsewhere() if tree.block(at, self.survey) is None]
        slot = np.array(slots, dtype=np.int64)
        before = self.rows.where_in("directory", np.sort(known.label[tree.known[slot]]))
        place = self._place[self._known_of(before)]
        paths, of_row = np.unique(place, return_inverse=True)
        texts = text_array([tree.paths[at] for at in paths.tolist()])
        after = before
        for name, values in (
            ("directory", pa.array(tree.label[place])),
            ("parent_path", texts.take(pa.array(of_row))),
        ):
            after = after.set_column(after.schema.get_field_index(name), name, values)
        return before, after

    def _elsewhere(self) -> list[int]:
        tree, known = self.tree, self.known
        matched = np.flatnonzero((tree.known >= 0) & tree.listed)
        other = tree.label[matched] != known.label[tree.known[matched]]
        moved: list[int] = matched[other | (tree.placed[matched] >= 0)].tolist()
        return moved

    def _known_of(self, rows: pa.Table) -> Integers:
        """Return which known directory each row of the last scan lies in."""
        at = np.searchsorted(self.known.label, numbers(rows, "directory"))
        return np.minimum(at, len(self.known) - 1)

    # Counts

    def _counts(
        self, old_slot: Integers, found: Difference, old: pa.Table, new: pa.Table
    ) -> tuple[int, int]:
        """Return how many of the changed rows moved with their directory, and how many did not."""
        slot = old_slot[found.old]
        moved = (slot >= 0) & (self.tree.placed[np.maximum(slot, 0)] >= 0)
        # A new label of its directory changes nothing about a file.
        same = np.ones(len(old), dtype=np.bool_)
        relabelled = np.flatnonzero(numbers(old, "directory") != numbers(new, "directory"))
        if relabelled.size:
            names = [name for name in _NAMES if name not in {"directory", "atime"}]
            left, right = (_at(rows, relabelled).select(names).to_pylist() for rows in (old, new))
            same[relabelled] = [a != b for a, b in zip(left, right, strict=True)]
        return int(moved.sum()), int((~moved & same).sum())

    def _carried_rows(self, before: pa.Table) -> int:
        place = self._place[self._known_of(before)]
        return int((self.tree.placed[place] >= 0).sum())


_FILE: Final = ("element_type", "extension", "size")


def _files(tables: Sequence[pa.Table], directories: Sequence[Integers]) -> Files:
    rows = _joined([table.select(_FILE) for table in tables])
    directory = np.concatenate(directories)
    at = np.flatnonzero(np.asarray(pc.not_equal(rows["element_type"], "DIR")))
    return Files(directory[at], _at(rows, at))


def _linked(tables: Sequence[pa.Table]) -> Integers:
    """Return inode numbers of files that have several names."""
    found = []
    for rows in tables:
        several = (numbers(rows, "nlinks") > 1) & np.asarray(
            pc.not_equal(rows["element_type"], "DIR")
        )
        found.append(numbers(rows, "inode")[several])
    return np.unique(np.concatenate(found))


def _at(rows: pa.Table, at: Integers) -> pa.Table:
    return plain(rows.take(pa.array(at)))


def _others(count: int, at: Integers) -> Integers:
    left = np.ones(count, dtype=np.bool_)
    left[at] = False
    return np.flatnonzero(left)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    if not tables:
        return PLAIN.empty_table()
    return plain(pa.concat_tables(tables))
