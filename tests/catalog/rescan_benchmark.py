"""How much faster a rescan is than the scan of all, over one and the same tree.

    python -m tests.catalog.rescan_benchmark [--tree DIR] [--work DIR] [--rounds N] [--share F]
    python -m tests.catalog.rescan_benchmark --make 500000 [--work DIR] [--rounds N] [--share F]

The second makes a tree of its own, which nobody else changes meanwhile, and removes it. A directory
of files is made below DIR first, in which a thousandth of the tree's entries is then created,
deleted or moved before each round: nothing else of the tree is touched. Each round times a first
scan into a catalog of its own, a rescan by directories, and a full rescan, one after the other;
they are compared by their medians. Processes and imports of the program are not part of it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import pagelake
from pagelake.engine.catalog_scan.account import ScanRequest
from pagelake.engine.catalog_scan.scan import drop, scan
from pagelake.extensions.catalog.block import WalkOptions

if TYPE_CHECKING:
    from pagelake import Connection
    from pagelake.engine.catalog_scan.account import ScanSummary

FASTER_MIN: Final = 10.0
FULL_MIN: Final = 1.0
SETTLE_SECONDS: Final = 3.0
FILES: Final = 10
"""Files of each directory that is made."""

ROWS_CHANGED: Final = 1 + 2 + 1 + 1 + FILES
"""Entries that are created, deleted or moved with four directories: see `Playground.change`."""


@dataclass(slots=True)
class Playground:
    """Directories of our own in the tree, each of which a round may change once.

    Args:
        root: Where they are.
        count: How many there are.
    """

    root: Path
    count: int
    made: int = 0
    renamed: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(self.count):
            directory = self._directory(number)
            directory.mkdir(parents=True)
            for file in range(FILES):
                (directory / f"file{file}.dat").write_bytes(b"x" * file)

    def change(self) -> int:
        """Create, delete, move files and rename directories; return how many of all."""
        self.made += 1
        for number in range(self.count):
            directory = self._directory(number)
            match number % 4:
                case 0:
                    (directory / f"new{self.made}.dat").write_bytes(b"new")
                case 1:
                    os.unlink(sorted(directory.iterdir())[0])
                    (directory / f"again{self.made}").touch()
                case 2:
                    first = sorted(directory.iterdir())[0]
                    first.rename(directory / f"moved{self.made}.dat")
                case _:
                    self.renamed[number] = f"-{self.made}"
                    directory.rename(self._directory(number))
        return self.count

    def _directory(self, number: int) -> Path:
        name = f"d{number}{self.renamed.get(number, '')}"
        return self.root / f"part{number % 40}" / name


def make(root: Path, entries: int) -> None:
    """Make a tree: directories of eight files, ten in each other; nine entries a directory."""
    directories = [root]
    for number in range(entries // 9):
        if number:
            parent = directories[(number - 1) // 10]
            directories.append(parent / f"directory{number % 10}")
        directories[number].mkdir(parents=True)
        for file in range(8):
            path = directories[number] / f"name{file}.part"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


def timed(con: Connection, tree: bytes, name: str, *, full: bool) -> tuple[float, ScanSummary]:
    """Scan, and return seconds and summary."""
    began = time.perf_counter()
    summary = scan(con._session, ScanRequest(tree, name, WalkOptions(), full))
    return time.perf_counter() - began, summary


def run(
    tree: Path, work: Path, rounds: int, share: float, settle_seconds: float = SETTLE_SECONDS
) -> bool:
    """Measure and print; returns whether both bars are met."""
    root = os.fsencode(tree.resolve())
    times: dict[str, list[float]] = {"first": [], "rescan": [], "full": []}
    with tempfile.TemporaryDirectory(dir=work, prefix="rescan-") as folder:
        with pagelake.connect(Path(folder) / "store") as con:
            _, summary = timed(con, root, "kept", full=False)
            count = int(summary.entries * share / ROWS_CHANGED * 4)
            ground = Playground(Path(folder) / "ground", max(4, count))
            _, summary = timed(con, root, "kept", full=True)
            print(f"{tree}: {summary.entries:,} entries in {summary.directories:,} directories")
            # What was made this moment is racy, and would be listed once more.
            time.sleep(settle_seconds)
            timed(con, root, "kept", full=False)
            for number in range(rounds):
                changes = ground.change()
                rescan, seen = timed(con, root, "kept", full=False)
                first, _ = timed(con, root, f"first{number}", full=False)
                drop(con._session, f"first{number}")
                full, _ = timed(con, root, "kept", full=True)
                for what, seconds in (("first", first), ("rescan", rescan), ("full", full)):
                    times[what].append(seconds)
                print(
                    f"round {number + 1}: {changes} changes; first scan {first:.2f} s, rescan "
                    f"{rescan:.3f} s ({first / rescan:.1f}x; {seen.kind}: {seen.created} created, "
                    f"{seen.deleted} deleted, {seen.moved} moved), full rescan {full:.2f} s "
                    f"({first / full:.2f}x)",
                    flush=True,
                )
        shutil.rmtree(Path(folder) / "ground", ignore_errors=True)
    faster = median(times["first"]) / median(times["rescan"])
    whole = median(times["first"]) / median(times["full"])
    print(f"rescan by directories: {faster:.1f}x (bar {FASTER_MIN:g}x)")
    print(f"full rescan: {whole:.2f}x (bar {FULL_MIN:g}x)")
    return faster >= FASTER_MIN and whole >= FULL_MIN


def main() -> int:
    """Run by the command line."""
    parser = argparse.ArgumentParser(description="Times rescans against scans.")
    parser.add_argument("--tree", type=Path, default=Path("/"))
    parser.add_argument("--make", type=int, metavar="ENTRIES")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.001)
    given = parser.parse_args()
    if given.make is None:
        return 0 if run(given.tree, given.work, given.rounds, given.share) else 1
    with tempfile.TemporaryDirectory(dir=given.work, prefix="rescan-tree-") as folder:
        tree = Path(folder) / "tree"
        make(tree, given.make)
        return 0 if run(tree, tree, given.rounds, given.share) else 1


if __name__ == "__main__":
    raise SystemExit(main())
