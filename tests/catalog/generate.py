"""Synthetic trees of any size: blocks as a walk would yield them, without a file on disk.

Names, sizes, owners and times are drawn so that they compress about as those of real trees do:
words and numbers, hashes, few owners, an hour of writing in a directory, and clocks that tick every
4 ms. Random nanoseconds would cost five bytes an entry more, and are not what kernels write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pagelake.extensions.catalog.block import ENTRY, Block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

ROOT: Final = "/srv/data"
ENTRIES_A_DIRECTORY: Final = 11
DEPTH_MAX: Final = 18
FILES_MAX: Final = 20_000
SECOND: Final = 1_000_000_000
TICK: Final = 4_000_000
"""Nanoseconds between two ticks of a coarse clock."""

WORDS: Final = (
    "src lib data test tests docs build cache tmp main include config images thumbs raw train val "
    "labels logs archive backup models results run output input scripts tools assets static dist "
    "node_modules packages site python utils core api server client common proto vendor project "
    "users share home work media video audio music photos 2022 2023 2024 2025 january batch shard "
    "part epoch checkpoint sample frames render scene shot comp final draft v1 v2 v3 release debug"
)
EXTENSIONS: Final = (
    ".py .txt .jpg .png .parquet .json .csv .log .h .cpp .js .mp4 .wav .tar.gz .pdf .exr .dcm .npy "
    ".xml .html .md .so .pyc .bin"
)

Numbers = Any
"""An array of int64."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticTree:
    """A tree in the order of a walk.

    Attributes:
        paths: Of directories, in pre-order.
        rows: The first row of each directory, and behind all.
        names: Of entries.
        entries: Array of `ENTRY`.
        own: The row of each directory's own entry; that of the root is of no meaning.
    """

    paths: pa.LargeStringArray
    rows: Numbers
    names: pa.LargeStringArray
    entries: NDArray[np.void]
    own: Numbers

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks."""
        step = 2048
        for first in range(0, len(self.paths), step):
            paths = self.paths.slice(first, step).cast(pa.large_binary()).to_pylist()
            rows = self.rows[first : first + step + 1].tolist()
            names = self.names.slice(rows[0], rows[-1] - rows[0]).cast(pa.large_binary())
            named: list[bytes] = names.to_pylist()
            for number, path in enumerate(paths):
                start, end = rows[number], rows[number + 1]
                own = self.entries[self.own[first + number]]
                listed = named[start - rows[0] : end - rows[0]]
                yield Block(path, own, listed, self.entries[start:end])


def generate(entries: int, seed: int = 7) -> SyntheticTree:
    """Make a tree.

    Args:
        entries: How many entries, about; the root is not counted.
        seed: Another one gives another tree.
    """
    random = np.random.default_rng(seed)
    count = max(entries // ENTRIES_A_DIRECTORY, DEPTH_MAX + 2)
    paths, parents, directory_names = _directories(random, count)
    files = _files_in(random, count, entries - (count - 1))
    owners = np.repeat(np.arange(count), files)
    names = pa.concat_arrays([_file_names(random, owners, files), directory_names.slice(1)])
    directory = np.concatenate([owners, parents[1:]])
    child = np.concatenate([np.full(len(owners), -1), np.arange(1, count)])
    table = pa.table({"d": directory, "name": names})
    order = pc.sort_indices(table, sort_keys=[("d", "ascending"), ("name", "ascending")])
    at = order.to_numpy()
    directory, child = directory[at], child[at]
    own = np.zeros(count, dtype=np.int64)
    own[child[child >= 0]] = np.flatnonzero(child >= 0)
    rows = np.searchsorted(directory, np.arange(count + 1))
    made = _entries(random, directory, child >= 0, rows)
    return SyntheticTree(paths, rows, names.take(order), made, own)


def _directories(
    random: Generator, count: int
) -> tuple[pa.LargeStringArray, Numbers, pa.LargeStringArray]:
    """Return paths, parents and names of directories in pre-order; the root's is the first."""
    depth = np.clip(random.normal(7.5, 2.5, count - DEPTH_MAX - 1), 1, DEPTH_MAX).astype(np.int64)
    depth = np.sort(np.concatenate([np.arange(DEPTH_MAX + 1), depth]))  # no level without a parent
    bounds = np.searchsorted(depth, np.arange(DEPTH_MAX + 2))
    names = _joined(_words(random, count), "_", _digits(np.arange(count) % 100_000, 5))
    parent = np.full(count, -1)
    levels = [pa.array([ROOT], pa.large_string())]
    for level in range(1, DEPTH_MAX + 1):
        start, end, above = bounds[level], bounds[level + 1], bounds[level - 1]
        # The power lets some directories have many subdirectories, and most none.
        drawn = random.random(end - start) ** 1.7 * (start - above)
        parent[start:end] = above + drawn.astype(np.int64)
        prefix = levels[-1].take(pa.array(parent[start:end] - above))
        levels.append(_joined(prefix, "/", names.slice(start, end - start)))
    paths = pa.concat_arrays(levels)
    order = pc.sort_indices(pc.replace_substring(paths, "/", "\x01")).to_numpy()
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    parents = np.where(parent[order] >= 0, rank[parent[order]], -1)
    return paths.take(pa.array(order)), parents, names.take(pa.array(order))


def _files_in(random: Generator, directories: int, files: int) -> Numbers:
    """Return how many files each directory has: most few, some thousands."""
    count = np.minimum((random.pareto(1.1, directories) * 4).astype(np.int64), FILES_MAX)
    count = (count * (files / count.sum())).astype(np.int64)
    count[: files - count.sum()] += 1
    return count


def _file_names(random: Generator, owners: Numbers, files: Numbers) -> pa.LargeStringArray:
    """Return names of files, all different within a directory, which has one style of names."""
    total, directories = len(owners), len(files)
    sequence = np.arange(total) - np.repeat(np.cumsum(files) - files, files)
    style = random.integers(0, 100, directories)[owners]
    hashed, worded = style >= 88, (style >= 55) & (style < 88)
    plain = ~hashed & ~worded
    prefix = _words(random, directories)
    stems = [
        _hexadecimal(random, int(hashed.sum()), 24),
        _joined(
            _words(random, int(worded.sum())),
            "_",
            _words(random, int(worded.sum())),
            _digits(sequence[worded], 6),
        ),
        _joined(prefix.take(pa.array(owners[plain])), "_", _digits(sequence[plain], 6)),
    ]
    place = np.empty(total, dtype=np.int64)
    place[np.concatenate([np.flatnonzero(mask) for mask in (hashed, worded, plain)])] = np.arange(
        total
    )
    endings = pa.array(EXTENSIONS.split(), pa.large_string())
    kinds = len(endings)
    usual = random.integers(0, kinds, directories)[owners]
    extension = np.where(style < 60, usual, random.integers(0, kinds, total))
    stem = pa.concat_arrays(stems).take(pa.array(place))
    return _joined(stem, endings.take(pa.array(extension)))


def _entries(
    random: Generator, directory: Numbers, is_directory: NDArray[np.bool_], rows: Numbers
) -> NDArray[np.void]:
    """Return what a file system would say of the rows."""
    count, directories = len(directory), len(rows) - 1
    made = np.zeros(count, dtype=ENTRY)
    size = np.exp(random.normal(8.5, 2.6, count)).clip(0, 2e11).astype(np.int64)
    size[random.random(count) < 0.04] = 0
    made["size"] = np.where(is_directory, 4096, size)
    made["used"] = (made["size"] + 4095) // 4096 * 4096
    shared = random.random(directories)[directory] < 0.7
    mode = np.where(is_directory, 0o40755, np.where(shared, 0o100644, 0o100664))
    made["mode"] = np.where(~is_directory & (random.random(count) < 0.05), 0o100755, mode)
    made["nlink"] = np.where(is_directory, 2, 1)
    owner = (random.zipf(1.5, directories) % 300)[directory]
    made["uid"] = np.where(random.random(count) < 0.01, 0, 1000 + owner)
    made["gid"] = 1000 + owner // 10
    jump = np.where(random.random(directories) < 0.1, random.integers(0, 1 << 26, directories), 0)
    made["inode"] = np.arange(count) + 12 + np.arange(count) // 8000 * 192 + jump[directory]
    made["device"] = 2049
    _times(random, made, directory, rows)
    return made


def _times(random: Generator, made: NDArray[np.void], directory: Numbers, rows: Numbers) -> None:
    count, directories = len(directory), len(rows) - 1
    # When a directory was written, on a clock with an offset that a boot gave it.
    begun = (1_500_000_000 + random.integers(0, 270_000_000, directories)) * SECOND
    begun += random.integers(0, 250, directories) * TICK + random.integers(0, 200, directories)
    ran = np.cumsum(random.exponential(6, count).astype(np.int64) * TICK)
    changed = begun[directory] + ran - ran[rows[:-1].clip(0, count - 1)][directory]
    late = random.random(count) < 0.05
    changed += np.where(late, random.integers(0, 10**7, count) * SECOND, 0)
    made["ctime"] = changed
    # Unpacked files keep the whole seconds of their archive.
    unpacked = (random.random(directories) < 0.4)[directory]
    packed = begun[directory] // SECOND - random.integers(0, 10**8, directories)[directory]
    packed = (packed + random.integers(0, 3, count) * 3600) * SECOND
    lag = random.integers(0, 2, count) * random.integers(0, 3, count) * TICK
    made["mtime"] = np.where(unpacked, packed, changed - lag)
    slow = random.integers(0, 4, count) // 3 * random.integers(0, 20, count) * TICK
    older = random.integers(0, 10**6, count) * SECOND
    made["birth"] = changed - np.where(random.random(count) < 0.85, slow, older)
    read = begun + random.integers(0, 10**6, directories) * SECOND
    read = read[directory] + random.integers(0, SECOND // TICK, count) * TICK
    made["atime"] = np.where(random.random(count) < 0.6, made["birth"], read)


# Text, without a row of Python


def _words(random: Generator, count: int) -> pa.LargeStringArray:
    words = pa.array(WORDS.split(), pa.large_string())
    return words.take(pa.array(random.zipf(1.3, count) % len(words)))


def _joined(*parts: pa.LargeStringArray | str) -> pa.LargeStringArray:
    texts = [pa.scalar(p, pa.large_string()) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*texts, pa.scalar("", pa.large_string()))


def _fixed(characters: NDArray[np.uint8]) -> pa.LargeStringArray:
    """Return texts of the same length from an array of shape (texts, length)."""
    count, width = characters.shape
    offsets = np.arange(count + 1, dtype=np.int64) * width
    data = pa.py_buffer(np.ascontiguousarray(characters).ravel())
    return pa.Array.from_buffers(pa.large_string(), count, [None, pa.py_buffer(offsets), data])


def _digits(numbers: Numbers, width: int) -> pa.LargeStringArray:
    powers = 10 ** np.arange(width - 1, -1, -1)
    return _fixed((48 + numbers[:, None] // powers % 10).astype(np.uint8))


def _hexadecimal(random: Generator, count: int, width: int) -> pa.LargeStringArray:
    alphabet = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    return _fixed(alphabet[random.integers(0, 16, (count, width))])
