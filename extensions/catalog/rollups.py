"""Roll-ups: what every directory and all below it come to, computed while the blocks pass by.

Blocks come in pre-order, so a subtree is a range of blocks, and what it comes to is the difference
of two prefix sums. Only the newest time has to be carried upwards, level by level.

        blocks ──▶ DirectoryTotals.watch ──▶ blocks, each with a label
                        │ at the end
                        ▼
                   tables(): a row a directory
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from .block import ENTRY, TYPE_MASK, child_path, joined, order_key
from .labels import OUTSIDE, first_label, label_behind
from .names import text_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from .block import Block, EntryArray

CHUNK_ENTRIES: Final = 16_384
"""Entries of the blocks that are counted at once: numpy is not asked for each directory."""

CHUNK_BLOCKS: Final = 4_096

DIRECTORY: Final = 0o040000
NEVER: Final = -(2**63)
BYTES_MAX: Final = 2**63 - 1

Integers = Any
"""An array of int64, one number a directory."""


@dataclass(frozen=True, slots=True)
class _Unlisted:
    """A directory of which only its own entry is known: another file system begins there."""

    key: bytes
    path: bytes
    own: np.void
    depth: int


class DirectoryTotals:
    """Counts what is in every directory while its blocks pass.

    Args:
        one_file_system: Whether the walk enters no other device than the root's.
    """

    def __init__(self, *, one_file_system: bool = True) -> None:
        self._one_file_system = one_file_system
        self._device: int | None = None
        self._paths: list[pa.StringArray] = []
        self._counts: list[Integers] = []
        self._approximate: list[NDArray[np.float64]] = []
        self._parent: list[int] = []
        self._depth: list[int] = []
        self._last: list[int] = []
        self._open: list[tuple[bytes, int]] = []
        self._waiting: list[_Unlisted] = []
        self._unlisted: list[tuple[int, _Unlisted]] = []
        self._label = OUTSIDE
        self._asked: deque[tuple[bytes, int]] = deque()

    def watch(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Pass blocks on, in their order, once their directories have labels."""
        chunk: list[Block] = []
        entries = 0
        for block in blocks:
            chunk.append(block)
            entries += len(block.names)
            if entries >= CHUNK_ENTRIES or len(chunk) >= CHUNK_BLOCKS:
                self._take(chunk)
                yield from chunk
                chunk, entries = [], 0
        if chunk:
            self._take(chunk)
            yield from chunk

    def label(self, path: bytes) -> int:
        """Return the label of a directory that was passed on; asked for in their order."""
        while self._asked and self._asked[0][0] != path:
            self._asked.popleft()
        assert self._asked, path
        return self._asked[0][1]

    @property
    def listed(self) -> int:
        """How many directories have passed."""
        return len(self._parent)

    # While blocks pass

    def _take(self, blocks: list[Block]) -> None:
        first = self.listed
        if self._device is None:
            self._device = int(blocks[0].own["device"])
            # Where the root itself lies is asked for first.
            self._asked.append((outside_of(blocks[0].path), OUTSIDE))
        entries = joined([block.entries for block in blocks])
        counts = np.array([len(block.names) for block in blocks])
        # An array of a list of records would compare their types one by one.
        own = np.frombuffer(b"".join([block.own.tobytes() for block in blocks]), dtype=ENTRY)
        is_directory = (entries["mode"] & TYPE_MASK) == DIRECTORY
        found = self._unentered(entries, is_directory)
        # The times of directories that have blocks are those blocks' own.
        here = ~is_directory
        here[found] = True
        times = np.where(here, entries["mtime"], NEVER)
        sizes = entries["size"], entries["used"]
        self._counts.append(_counted(own, counts, (is_directory, *sizes), times))
        self._approximate.append(
            np.array([_sums(counts, values.astype(np.float64)) for values in sizes])
        )
        starts = np.cumsum(counts) - counts
        owners: list[int] = np.searchsorted(starts + counts, found, side="right").tolist()
        unlisted: dict[int, list[int]] = {}
        for owner, row in zip(owners, found.tolist(), strict=True):
            unlisted.setdefault(owner, []).append(row)
        for number, block in enumerate(blocks):
            self._enter(block.path, first + number)
            rows = unlisted.get(number)
            if rows is not None:
                self._wait(block, [row - int(starts[number]) for row in rows])
        self._paths.append(text_array([block.path for block in blocks]))

    def _unentered(self, entries: EntryArray, is_directory: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the rows of directories that no block will come for."""
        out = np.zeros(len(entries), dtype=np.bool_)
        if self._one_file_system:
            out |= is_directory & (entries["device"] != self._device)
        return np.flatnonzero(out).astype(np.int64)

    def _enter(self, path: bytes, ordinal: int) -> None:
        """Find a directory's parent and give it a label."""
        stack = self._open
        while stack and not path.startswith(stack[-1][0]):
            self._last[stack.pop()[1]] = ordinal - 1
        if self._waiting:
            self._release(order_key(path))
        self._parent.append(stack[-1][1] if stack else -1)
        self._depth.append(len(stack))
        self._last.append(ordinal)
        stack.append((child_path(path, b""), ordinal))
        self._label = first_label(ordinal)
        self._asked.append((path, self._label))

    def _wait(self, block: Block, rows: list[int]) -> None:
        depth = len(self._open)
        for row in rows:
            path = child_path(block.path, block.names[row])
            self._waiting.append(_Unlisted(order_key(path), path, block.entries[row], depth))
        self._waiting.sort(key=lambda unlisted: unlisted.key, reverse=True)

    def _release(self, key: bytes | None) -> None:
        """Give labels to directories without a block that come before `key`."""
        while self._waiting and (key is None or self._waiting[-1].key < key):
            unlisted = self._waiting.pop()
            self._label = label_behind(self._label)
            self._unlisted.append((self._label, unlisted))

    # At the end

    def tables(self) -> Iterator[pa.RecordBatch]:
        """Return a row a directory, in the order of labels but for those without a block."""
        assert self.listed, "a walk has a block at least, its root's"
        self._release(None)
        while self._open:
            self._last[self._open.pop()[1]] = self.listed - 1
        columns = self._columns()
        start = 0
        for paths in self._paths:
            part = {name: values[start : start + len(paths)] for name, values in columns.items()}
            start += len(paths)
            yield directory_batch(paths, part)
        if self._unlisted:
            yield self._unlisted_batch()

    def entries_below(self) -> Integers:
        """Return how many entries each listed directory's subtree has, itself among them."""
        counts = np.concatenate(self._counts, axis=1)
        return _ranges(counts[0], np.array(self._last)) + 1

    @property
    def parents(self) -> Integers:
        """The place of each listed directory's parent in their order, -1 for the root's."""
        return np.array(self._parent, dtype=np.int64)

    @property
    def depths(self) -> Integers:
        """How many directories each lies below the root."""
        return np.array(self._depth, dtype=np.int64)

    def _columns(self) -> dict[str, Integers]:
        rows, directories, size, used, newest, own_size, own_used, own_newest = np.concatenate(
            self._counts, axis=1
        )
        last, parent, depth = np.array(self._last), self.parents, self.depths
        totals = {
            "entries": _ranges(rows, last) + 1,
            "directories": _ranges(directories, last) + 1,
            "bytes": _ranges(size, last) + own_size,
            "used": _ranges(used, last) + own_used,
        }
        child = parent >= 0
        own = {}
        for name in ("entries", "bytes", "used"):
            below = np.zeros(len(parent), dtype=np.int64)
            np.add.at(below, parent[child], totals[name][child])
            own[f"own_{name}"] = totals[name] - below
        # Sizes of sparse files may come to more than a number holds: then it is the largest.
        for name, values in zip(
            ("bytes", "used"), np.concatenate(self._approximate, axis=1), strict=True
        ):
            beyond = _ranges(values, last) >= float(2**63)
            totals[name] = np.where(beyond, BYTES_MAX, totals[name])
        own_newest = np.maximum(newest, own_newest)
        label = first_label(0) * (np.arange(len(parent), dtype=np.int64) + 1)
        return {
            **totals,
            "newest_mtime": _carried_up(own_newest, parent, depth),
            **own,
            "own_newest_mtime": own_newest,
            "depth": depth.astype(np.int32),
            "label": label,
            "last_label": label[last],
        }

    def _unlisted_batch(self) -> pa.RecordBatch:
        own = np.array([unlisted.own for _, unlisted in self._unlisted], dtype=ENTRY)
        labels = np.array([label for label, _ in self._unlisted], dtype=np.int64)
        one = np.ones(len(own), dtype=np.int64)
        return directory_batch(
            text_array([unlisted.path for _, unlisted in self._unlisted]),
            {
                "entries": one,
                "directories": one,
                "bytes": own["size"],
                "used": own["used"],
                "newest_mtime": own["mtime"],
                "own_entries": one,
                "own_bytes": own["size"],
                "own_used": own["used"],
                "own_newest_mtime": own["mtime"],
                "depth": np.array([u.depth for _, u in self._unlisted], dtype=np.int32),
                "label": labels,
                "last_label": labels,
            },
        )


def directory_batch(paths: pa.StringArray, columns: dict[str, Integers]) -> pa.RecordBatch:
    """Return rows of the directories' table: paths, then columns in its order."""
    arrays = {"path": paths}
    for name, values in columns.items():
        array = pa.array(np.ascontiguousarray(values))
        arrays[name] = array.view(pa.timestamp("ns")) if name.endswith("mtime") else array
    return pa.record_batch(arrays)


def outside_of(root: bytes) -> bytes:
    """Return the path of the directory in which the root lies; `b''` for that of `/`."""
    parent, _, name = root.rpartition(b"/")
    return parent if parent or not name else b"/"


def _counted(
    own: EntryArray, counts: Integers, numbers: tuple[NDArray[Any], ...], times: Integers
) -> Integers:
    """Return eight rows of numbers, a column a directory: see `DirectoryTotals._columns`."""
    result = np.zeros((8, len(counts)), dtype=np.int64)
    result[0] = counts
    for row, values in enumerate(numbers, start=1):
        result[row] = _sums(counts, values.astype(np.int64))
    result[4] = NEVER
    filled = np.flatnonzero(counts)
    if len(filled):
        starts = (np.cumsum(counts) - counts)[filled]
        result[4, filled] = np.maximum.reduceat(times, starts)
    result[5], result[6], result[7] = own["size"], own["used"], own["mtime"]
    return result


def _sums(counts: Integers, values: NDArray[Any]) -> NDArray[Any]:
    """Return the sums of the first `counts[0]` values, of the next `counts[1]`, and so on."""
    result = np.zeros(len(counts), dtype=values.dtype)
    filled = np.flatnonzero(counts)
    if len(filled):
        result[filled] = np.add.reduceat(values, (np.cumsum(counts) - counts)[filled])
    return result


def _ranges(values: NDArray[Any], last: Integers) -> NDArray[Any]:
    """Return the sums of `values` from each place to `last` of it."""
    sums = np.concatenate([np.zeros(1, dtype=values.dtype), np.cumsum(values)])
    difference: NDArray[Any] = sums[last + 1] - sums[:-1]
    return difference


def _carried_up(values: Integers, parent: Integers, depth: Integers) -> Integers:
    """Return the greatest of each directory's subtree."""
    greatest: Integers = values.copy()
    for level in range(int(depth.max()), 0, -1):
        at = np.flatnonzero(depth == level)
        np.maximum.at(greatest, parent[at], greatest[at])
    return greatest
