"""Rate of a walk against find over the same warm tree.

    python -m tests.catalog.walk_rate TREE [--rounds N] [--processes N]

Each round runs all contestants once, one after the other, so that what else the machine does falls
on all of them; medians are reported. `%u` is the question that is compared with: find looks the
owner's name up for every entry. `%U`, numbers only, is what find can do at its best. The walk
includes the start of its processes; the last row also makes record batches of a catalog's columns.
What find prints is counted in lines, so that a name with line breaks counts several times.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from pagelake.extensions.catalog.block import WalkOptions
from pagelake.extensions.catalog.columns import record_batches
from pagelake.extensions.catalog.coordinator import walk

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS: Final = {"find %u": r"%p\t%s\t%T@\t%u\n", "find %U": r"%p\t%s\t%T@\t%U\n"}


def find(tree: Path, form: str) -> int:
    """Run find and return how many entries it printed."""
    # A pipe as a user would have; its end is read in large pieces.
    with subprocess.Popen(
        ["find", tree, "-xdev", "-printf", form], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        entries = 0
        while piece := program.stdout.read(1 << 20):
            entries += piece.count(b"\n")
    return entries


def walked(tree: Path, options: WalkOptions) -> int:
    """Walk and return how many entries there are."""
    return 1 + sum(len(block.names) for block in walk(os.fsencode(tree), options))


def scanned(tree: Path, options: WalkOptions) -> int:
    """Walk, make the columns of a catalog, and return how many rows there are."""
    labels = iter(range(1 << 20, 1 << 62, 1 << 20))
    blocks = walk(os.fsencode(tree), options)
    return sum(batch.num_rows for batch in record_batches(blocks, lambda _: next(labels)))


def measure(tree: Path, rounds: int, processes: int | None) -> dict[str, tuple[float, int]]:
    """Return median seconds and entries of each contestant; the first round is not counted."""
    options = WalkOptions(processes=processes)
    contestants: dict[str, Callable[[], int]] = {
        "find %u": lambda: find(tree, FORMATS["find %u"]),
        "walk": lambda: walked(tree, options),
        "find %U": lambda: find(tree, FORMATS["find %U"]),
        "walk and columns": lambda: scanned(tree, options),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    entries = {}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            began = time.perf_counter()
            entries[name] = run()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return {name: (median(seconds[name]), entries[name]) for name in contestants}


def main() -> None:
    """Measure one tree and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("tree", type=Path)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--processes", type=int)
    given = arguments.parse_args()
    found = measure(given.tree, given.rounds, given.processes)
    named, numbered = found["find %u"][0], found["find %U"][0]
    print(f"{'':18} {'seconds':>8} {'entries':>9} {'k/s':>6} {'× find %u':>10} {'× find %U':>10}")
    for name, (seconds, entries) in found.items():
        rate = entries / seconds / 1000
        ratios = f"{named / seconds:10.2f} {numbered / seconds:10.2f}"
        print(f"{name:18} {seconds:8.2f} {entries:9} {rate:6.0f} {ratios}")


if __name__ == "__main__":
    main()
