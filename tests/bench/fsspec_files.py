"""Files of a store through fsspec, and trees by `pagelake cp`, beside plain files on the same disk.

    python -m tests.bench.fsspec_files [--mebibytes 1024 256] [--files 10000] [--rounds 5]

Large files: written in blocks of 4 MiB and closed, which makes them durable in the store; the plain
file is written through fsspec's local file system and synced. Then both are read back, warm. Trees:
`cp -r` and `sync` of the tree it has made, beside `pagelake cp -r` into a new store, start of the
process included. Store and plain file take turns; medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import numpy as np

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BLOCK_BYTES = 4 << 20
WRITE_BAR, READ_BAR = 0.3, 0.8


def run(*command: str) -> float:
    """Run a program; returns how many seconds it took."""
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def write(fs: AbstractFileSystem, path: str, mebibytes: int, salt: int, *, sync: bool) -> float:
    """Write a file of bytes that were never written before; returns the seconds of the writing."""
    generator = np.random.default_rng(salt)
    noise = generator.integers(0, 1 << 63, BLOCK_BYTES // 8, dtype=np.uint64)
    spent = -time.perf_counter()
    file = fs.open(path, "wb")
    spent += time.perf_counter()
    for _ in range((mebibytes << 20) // BLOCK_BYTES):
        block = memoryview(noise ^ generator.integers(0, 1 << 63, dtype=np.uint64)).cast("B")
        spent -= time.perf_counter()
        file.write(block)
        spent += time.perf_counter()
    spent -= time.perf_counter()
    if sync:
        file.flush()
        os.fsync(file.fileno())
    file.close()
    return spent + time.perf_counter()


def read(fs: AbstractFileSystem, path: str, block_bytes: int) -> float:
    """Read a file in blocks; returns the seconds that took."""
    started = time.perf_counter()
    with fs.open(path, "rb") as file:
        while file.read(block_bytes):
            pass
    return time.perf_counter() - started


def large_file(folder: Path, mebibytes: int, rounds: int, block_bytes: int) -> list[float]:
    """Print the rates of one size; returns the ratios of write and read."""
    store = fsspec.filesystem("pagelake", store=str(folder / f"{mebibytes}.lake"))
    plain = fsspec.filesystem("file")
    path = str(folder / "plain")
    times: dict[str, list[float]] = {name: [] for name in ("w", "W", "r", "R")}
    for turn in range(rounds):
        sides = [("w", store, "/large", False), ("W", plain, path, True)]
        for name, fs, where, sync in sides if turn % 2 else reversed(sides):
            times[name].append(write(fs, where, mebibytes, turn, sync=sync))
        for _ in range(3):
            times["r"].append(read(store, "/large", block_bytes))
            times["R"].append(read(plain, path, block_bytes))
        os.unlink(path)
    rates = {name: mebibytes / statistics.median(found) for name, found in times.items()}
    ratios = [rates["w"] / rates["W"], rates["r"] / rates["R"]]
    print(
        f"{mebibytes} MiB: write {rates['w']:,.0f} MiB/s, plain with fsync {rates['W']:,.0f}: "
        f"{ratios[0]:.2f}x (bar {WRITE_BAR}x); read {rates['r']:,.0f} MiB/s, plain "
        f"{rates['R']:,.0f}: {ratios[1]:.2f}x (bar {READ_BAR}x)",
        flush=True,
    )
    return ratios


def make_tree(root: Path, files: int) -> int:
    """Make a tree of small files, a hundred a directory; returns its bytes."""
    generator = np.random.default_rng(7)
    sizes = np.clip(generator.lognormal(8.3, 1.2, files), 0, 1 << 20).astype(int)
    for number, size in enumerate(sizes.tolist()):
        folder = root / f"{number // 100 % 10}" / f"{number // 100}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"file-{number}.bin").write_bytes(generator.bytes(size))
    return int(sizes.sum())


def tree(folder: Path, files: int, rounds: int) -> float:
    """Print how long trees take; returns how many times as long the store takes."""
    source = folder / "tree"
    size = make_tree(source, files)
    os.sync()
    times: dict[str, list[float]] = {"store": [], "plain": [], "out": []}

    program = (sys.executable, "-m", "pagelake", "cp", "-r", "-q")
    target, copy = folder / "tree.lake", folder / "copy"
    for _ in range(rounds):
        times["store"].append(run(*program, str(source), f"{target}:/tree"))
        times["plain"].append(run("sh", "-c", f"cp -r {source} {copy} && sync -f {folder}"))
        shutil.rmtree(copy)
        times["out"].append(run(*program, f"{target}:/tree", str(copy)))
        shutil.rmtree(copy)
        shutil.rmtree(target)
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(
        f"tree of {files:,} files, {size / 1e6:.0f} MB: pagelake cp -r {medians['store']:.2f} s, "
        f"cp -r and sync {medians['plain']:.2f} s; pagelake cp -r out {medians['out']:.2f} s",
        flush=True,
    )
    return medians["store"] / medians["plain"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, nargs="*", default=[1024, 256])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--block", type=int, default=BLOCK_BYTES, help="bytes of a read")
    parser.add_argument("--folder", help="where to measure; a temporary directory by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for size in options.mebibytes:
            large_file(Path(folder), size, options.rounds, options.block)
        if options.files:
            tree(Path(folder), options.files, options.rounds)


if __name__ == "__main__":
    main()
