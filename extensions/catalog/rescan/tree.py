"""The directories that there are now, in order, with their labels and sums."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ..block import ENTRY, TYPE_MASK, joined, order_key
from ..labels import filled
from .known import OWN, TOTALS, Known, parents
from .survey import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..block import Block
    from .known import Integers
    from .survey import Placed, Survey

LARGE: Final = 1 << 61
"""Sums beyond which a number might not hold them: they are then added up by a walk."""


class SumsTooLarge(Exception):
    """Sizes come to more than can be added up from what is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Directories in pre-order.

    Args:
        paths: Absolute paths.
        known: Which of the known directories each is; -1 for new ones.
        placed: For those that are not where they were: which of the survey's `placed`; else -1.
        depth: Directories above it, up to the root.
        parent: The place of its parent.
        listed: False where another file system begins.
        label: Its label.
        last: The place of the last listed directory of its subtree.
    """

    paths: list[bytes]
    known: Integers
    placed: Integers
    depth: Integers
    parent: Integers
    listed: NDArray[np.bool_]
    label: Integers
    last: Integers

    @property
    def parents(self) -> Integers:
        """What the sums by extension call it."""
        return self.parent

    @property
    def depths(self) -> Integers:
        """What the sums by extension call it."""
        return self.depth

    def block(self, at: int, survey: Survey) -> Block | None:
        """Return what lies in a directory, if it was listed."""
        if self.placed[at] >= 0:
            return survey.placed[int(self.placed[at])].block
        return survey.blocks.get(int(self.known[at]))


def tree_of(known: Known, survey: Survey) -> Tree:
    """Put kept directories and others in order, and give labels to those others."""
    kept = np.flatnonzero(survey.kept)
    kept_paths = [known.paths[at] for at in kept.tolist()]
    order = sorted(range(len(survey.placed)), key=lambda i: order_key(survey.placed[i].path))
    where = [_place(kept_paths, survey.placed[i].path) for i in order]
    ordinal = np.array(order, dtype=np.int64)
    at = np.array(where, dtype=np.int64)
    others = np.array([survey.placed[i].known for i in order], dtype=np.int64)
    of_known = np.insert(kept, at, others)
    placed = np.insert(np.full(len(kept), -1, dtype=np.int64), at, ordinal)
    paths = _merged(kept_paths, [survey.placed[i].path for i in order], where)
    depth = np.insert(known.depth[kept], at, _depths(paths[0], survey.placed, order))
    listed = np.insert(known.listed[kept], at, [survey.placed[i].listed for i in order])
    label = filled(np.insert(known.label[kept], at, np.full(len(order), -1, dtype=np.int64)))
    parent = parents(depth)
    return Tree(paths, of_known, placed, depth, parent, listed, label, _last(depth, parent, listed))


def _place(paths: Sequence[bytes], path: bytes) -> int:
    return bisect_left(paths, order_key(path), key=order_key)


def _merged(paths: list[bytes], others: list[bytes], where: Sequence[int]) -> list[bytes]:
    merged: list[bytes] = []
    start = 0
    for at, path in zip(where, others, strict=True):
        merged += paths[start:at]
        merged.append(path)
        start = at
    return merged + paths[start:] if merged else paths


def _depths(root: bytes, placed: Sequence[Placed], order: Sequence[int]) -> list[int]:
    above = root.rstrip(b"/").count(b"/")
    return [placed[i].path.count(b"/") - above for i in order]


def _last(depth: Integers, parent: Integers, listed: NDArray[np.bool_]) -> Integers:
    last = np.arange(len(depth), dtype=np.int64)
    for level in range(int(depth.max()), 0, -1):
        at = np.flatnonzero((depth == level) & listed)
        np.maximum.at(last, parent[at], last[at])
    return last


def numbers_of(tree: Tree, known: Known, survey: Survey) -> dict[str, Integers]:
    """Return the sums of every directory, by column of the directories' table.

    Sums of subtrees are added up from what lies in each directory alone, which is known of those
    that were not listed.

    Raises:
        SumsTooLarge: They might not fit.
    """
    own = {name: known.numbers[name][tree.known] for name in OWN}
    changed, blocks = [], []
    for at in _changed(tree, survey):
        block = tree.block(at, survey)
        if block is not None:
            changed.append(at)
            blocks.append(block)
    if blocks:
        where = np.array(changed)
        for name, values in _own_numbers(tree, where, survey, blocks).items():
            own[name][where] = values
    outside = np.flatnonzero(~tree.listed)
    for at in outside.tolist():
        entry = _own_entry(tree, at, survey)
        if entry is not None:
            numbers = (1, entry["size"], entry["used"], entry["mtime"])
            for name, value in zip(OWN, numbers, strict=True):
                own[name][at] = value
    return {**_totals(tree, own), **own}


def _changed(tree: Tree, survey: Survey) -> list[int]:
    listed = np.zeros(int(tree.known.max()) + 2, dtype=np.bool_)
    listed[list(survey.blocks)] = True
    found: list[int] = np.flatnonzero((tree.placed >= 0) | listed[tree.known]).tolist()
    return found


def _own_entry(
    tree: Tree, at: int, survey: Survey, default: np.void | None = None
) -> np.void | None:
    if tree.placed[at] >= 0:
        return survey.placed[int(tree.placed[at])].own
    return survey.own.get(int(tree.known[at]), default)


def _own_numbers(
    tree: Tree, where: Integers, survey: Survey, blocks: Sequence[Block]
) -> dict[str, Integers]:
    """Add up the directories themselves and what lies in them and has no block of its own."""
    entries = joined([block.entries for block in blocks])
    counts = np.array([len(block.names) for block in blocks])
    of = np.repeat(np.arange(len(blocks)), counts)
    alone = (entries["mode"] & TYPE_MASK) != DIRECTORY
    # What the row of a directory says: the listing of its parent may have seen it last.
    shown = zip(where.tolist(), blocks, strict=True)
    seen = np.array([_own_entry(tree, at, survey, block.own) for at, block in shown], dtype=ENTRY)
    result = {
        "own_entries": np.ones(len(blocks), dtype=np.int64),
        "own_bytes": seen["size"].copy(),
        "own_used": seen["used"].copy(),
        "own_newest_mtime": seen["mtime"].copy(),
    }
    # Directories that are not entered have no block: they are in the tree, and marked there.
    outside = np.flatnonzero(~tree.listed)
    within = np.searchsorted(where, tree.parent[outside])
    within = np.minimum(within, len(where) - 1)
    is_here = where[within] == tree.parent[outside]
    np.add.at(result["own_entries"], of[alone], 1)
    np.add.at(result["own_entries"], within[is_here], 1)
    for name, field in (("own_bytes", "size"), ("own_used", "used")):
        np.add.at(result[name], of[alone], entries[field][alone])
    np.maximum.at(result["own_newest_mtime"], of[alone], entries["mtime"][alone])
    for at, owner in zip(outside[is_here].tolist(), within[is_here].tolist(), strict=True):
        entry = _own_entry(tree, at, survey)
        assert entry is not None, "the listing of its parent shows it"
        result["own_bytes"][owner] += int(entry["size"])
        result["own_used"][owner] += int(entry["used"])
        newest = max(int(result["own_newest_mtime"][owner]), int(entry["mtime"]))
        result["own_newest_mtime"][owner] = newest
    return result


def _totals(tree: Tree, own: dict[str, Integers]) -> dict[str, Integers]:
    for name in ("own_bytes", "own_used"):
        if (own[name] < 0).any() or float(own[name].astype(np.float64).sum()) > LARGE:
            raise SumsTooLarge
    totals = {}
    weights = {
        "entries": own["own_entries"],
        "bytes": own["own_bytes"],
        "used": own["own_used"],
    }
    for name, values in weights.items():
        # What is not entered counts in its parent, and for itself.
        sums = np.concatenate([[0], np.cumsum(np.where(tree.listed, values, 0))])
        totals[name] = np.where(tree.listed, sums[tree.last + 1] - sums[:-1], values)
    end = _end(tree)
    totals["directories"] = end - np.arange(len(end)) + 1
    newest = own["own_newest_mtime"].copy()
    for level in range(int(tree.depth.max()), 0, -1):
        at = np.flatnonzero(tree.depth == level)
        np.maximum.at(newest, tree.parent[at], newest[at])
    totals["newest_mtime"] = newest
    return {name: totals[name] for name in TOTALS}


def _end(tree: Tree) -> Integers:
    """Return the place of the last directory of each subtree, listed or not."""
    return _last(tree.depth, tree.parent, np.ones(len(tree.depth), dtype=np.bool_))
