"""Ten versions of a tree of files with a few edits each, against the bytes of one copy.

    python -m tests.bench.versions [--mib 200] [--versions 10] [--kinds 4k-in-place,…]

The tree has files of lognormal sizes and random bytes, which do not compress: the hardest case.
Each version changes 2 % of the bytes, in one of several ways, and writes every file anew, as a
program does that saves or copies. All versions stay readable, and are read back.

*Stored* is all that the store has allocated but what it derives (``hot/``): log, checkpoints,
tables and packs. Nine times 2 % of new bytes cannot be stored in less than 1.18 copies.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pagelake.storage.content.sweep import Sweeper
from pagelake.storage.content.tables import CHUNKS, ELEMENTS, EXTENTS, PACKS
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_sealing
from tests.unit.storage.content.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20
BAR = 1.5
EDITED = 0.02
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Edit:
    """A way to change files: so many bytes at a place, in place or between; 0 is a whole file."""

    bytes: int
    insert: bool = False


KINDS: Final[Mapping[str, Edit]] = {
    "whole-files": Edit(0),
    "64k-in-place": Edit(64 << 10),
    "4k-in-place": Edit(4 << 10),
    "4k-inserted": Edit(4 << 10, insert=True),
}


def tree(random: np.random.Generator, size: int) -> list[bytearray]:
    """Files of lognormal sizes."""
    files: list[bytearray] = []
    left = size
    while left > 0:
        length = int(min(left, random.lognormal(10.5, 1.6) + 100))
        files.append(bytearray(random.bytes(length)))
        left -= length
    return files


def change(random: np.random.Generator, files: list[bytearray], edit: Edit) -> None:
    """Change some of the bytes of a tree."""
    left = int(sum(map(len, files)) * EDITED)
    weights = np.array([len(file) for file in files], float)
    weights /= weights.sum()
    while left > 0:
        if not edit.bytes:
            file = files[int(random.integers(len(files)))]
            file[:] = random.bytes(len(file))
            left -= len(file)
            continue
        file = files[int(random.choice(len(files), p=weights))]
        length = min(edit.bytes, len(file))
        offset = int(random.integers(len(file) - length + 1))
        file[offset : offset + (0 if edit.insert else length)] = random.bytes(length)
        left -= length


def allocated(path: Path) -> int:
    """Bytes of the blocks of all files of a store that are not derived."""
    return sum(
        file.stat().st_blocks * _BLOCK_BYTES
        for file in path.rglob("*")
        if file.is_file() and "hot" not in file.relative_to(path).parts
    )


def save(shelf: Shelf, files: list[bytearray]) -> int:
    """Write every file, in transactions of some hundred; returns the last version."""
    version, before = 0, shelf.files()
    for start in range(0, len(files), 200):
        made = {}
        with shelf.contents.write(inline_bytes_max=0) as writer:
            last = min(start + 200, len(files)) - 1
            for handle in range(start, last + 1):
                writer.replaces(before.get(handle))
                writer.write(files[handle])
                made[handle] = writer.next() if handle < last else writer.finish()
        version = shelf.commit(made)
    return version


def upkeep(shelf: Shelf) -> None:
    """What the background does between two versions."""
    for table in (ELEMENTS, EXTENTS, CHUNKS, PACKS):
        steps = plan_sealing(shelf.store.snapshot().tables[table], groups_min=64)
        if steps:
            rewrite(shelf.store, table, steps)
    Sweeper(shelf.store).run(0.0, age_s=0.0)


def run(edit: Edit, size: int, versions: int, path: Path, seed: int = 5) -> float:
    """Bytes stored for some versions of a tree, a copy of which has ``size`` bytes, over that."""
    random = np.random.default_rng(seed)
    shelf = Shelf(LocalDevice(path, create=True), threads=True)
    files = tree(random, size)
    kept: dict[int, list[bytes]] = {}
    for number in range(versions):
        if number:
            change(random, files, edit)
        version = save(shelf, files)
        if number in (0, versions // 2, versions - 1):
            kept[version] = [bytes(file) for file in files]
        upkeep(shelf)
    shelf.store.checkpoint()
    for version, expected in kept.items():
        snapshot = shelf.store.snapshot_at(version)
        found = shelf.files(snapshot)
        for handle, content in enumerate(expected):
            reader = shelf.contents.read(snapshot, found[handle])
            assert reader.read_at(0, reader.size) == content, (version, handle)
            reader.close()
    shelf.close()
    return allocated(path) / size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    for kind in options.kinds.split(","):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            ratio = run(KINDS[kind], options.mib * MIB, options.versions, Path(directory) / "store")
        print(f"{options.versions} versions, {kind}: {ratio:.2f}x (bar {BAR:.2f}x)", flush=True)


if __name__ == "__main__":
    main()
