"""Lose directories of a store in every way: ``python -m tests.crash.lost_devices``.

``[--data N] [--parity K] [--samples N] [--rot] [--rows N] [--seed N]``

Takes every choice of ``parity`` directories away in turn, or so many random ones, and prints after
how many of them every byte of every file was equal. With ``--rot`` one directory fewer is taken
away, and of every stripe and of every small file one of those that are left is spoilt as well.
Also prints how fast the code of the stripes runs.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext
from math import comb
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

import pagelake
from pagelake.storage.devices.scrub import file_names
from pagelake.storage.devices.striped_device import open_striped
from pagelake.storage.devices.striping.erasure import ErasureCode
from pagelake.storage.devices.striping.stripes import HEADER_BYTES, UNIT_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHILDREN = 10
PARITY = 2
ROWS = 1_000_000


def create(roots: list[Path], rows: int, parity: int = PARITY) -> None:
    """A store with a segment of some size, small commits and a checkpoint."""
    with pagelake.connect(devices=roots, parity=parity) as connection:
        connection.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
        connection.execute(f"INSERT INTO t SELECT range, md5(range::VARCHAR) FROM range({rows})")
        for number in range(5):
            connection.execute("INSERT INTO t VALUES (?, 'single')", [number])
        connection.execute("UPDATE t SET b = 'changed' WHERE a = 3")
        connection.execute("CALL pagelake.checkpoint()")


def pairs() -> list[tuple[int, ...]]:
    return list(itertools.combinations(range(CHILDREN), PARITY))


@contextmanager
def without(roots: list[Path], lost: tuple[int, ...]) -> Iterator[None]:
    """Take directories away for a while."""
    away = [(roots[number], roots[number].with_suffix(".away")) for number in lost]
    for root, hidden in away:
        root.rename(hidden)
    try:
        yield
    finally:
        for root, hidden in away:
            hidden.rename(root)


def contents(roots: list[Path]) -> dict[str, str]:
    """Digest of every file of a store as its device gives it."""
    device = open_striped(roots, None, create=False)
    try:
        return {
            name: hashlib.sha256(device.map(name, 0, device.size(name))).hexdigest()
            for name in file_names(device)
        }
    finally:
        device.close()


def rate(run: Callable[[], object], content_bytes: int) -> float:
    """Megabytes of content a second, the best of some rounds."""
    times = []
    for _ in range(200):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return content_bytes / min(times) / 1e6


def choices(children: int, lost: int, samples: int, random: Random) -> Iterator[tuple[int, ...]]:
    """Every choice of children, or so many random ones where there are more."""
    if not samples or comb(children, lost) <= samples:
        yield from itertools.combinations(range(children), lost)
        return
    for _ in range(samples):
        yield tuple(sorted(random.sample(range(children), lost)))


def _flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 0x08]))


@contextmanager
def one_rotten_survivor(roots: list[Path], lost: tuple[int, ...], random: Random) -> Iterator[int]:
    """Spoil one unit of every stripe and one copy of every small file; gives how many."""
    left = [index for index in range(len(roots)) if index not in lost]
    device = open_striped(roots, None, create=False)
    places: list[tuple[Path, int]] = []
    for name in file_names(device):
        if not name.startswith("segments/"):
            path = roots[random.choice(left)] / name
            places.append((path, random.randrange(path.stat().st_size)))
            continue
        for stripe in device.segments.stripes(name):
            # A rotten header counts as a rotten unit too.
            size = HEADER_BYTES + stripe.unit_bytes
            place = stripe.strip_offset + random.randrange(size)
            places.append((roots[random.choice(left)] / name, place))
    device.close()
    with ExitStack() as stack:
        for path, place in places:
            _flip(path, place)
            stack.callback(_flip, path, place)
        yield len(places)


def survive(
    roots: list[Path], parity: int, *, samples: int, rot: bool, seed: int
) -> tuple[int, int, int]:
    """How many choices left every byte equal, of how many, with how many rotten places."""
    random = Random(seed)
    expected = contents(roots)
    equal = tried = rotten = 0
    for lost in choices(len(roots), parity - rot, samples, random):
        left = [root for index, root in enumerate(roots) if index not in lost]
        tried += 1
        with one_rotten_survivor(roots, lost, random) if rot else nullcontext(0) as places:
            equal += contents(left) == expected
            rotten += places
    return equal, tried, rotten


def print_rates(code: ErasureCode) -> None:
    words = (code.data, UNIT_BYTES_MAX // 8)
    units = list(np.random.default_rng(1).integers(0, 2**63, words, np.uint64))
    present = dict(enumerate([*units, *code.encode(units)]))
    wanted = tuple(range(min(2, code.parity)))
    for number in wanted:
        del present[number]
    size = code.data * UNIT_BYTES_MAX
    print(f"encode {code.data}+{code.parity}: {rate(lambda: code.encode(units), size):,.0f} MB/s")
    decode = rate(lambda: code.rebuild(present, wanted), size)
    print(f"decode, {len(wanted)} data units lost: {decode:,.0f} MB/s")


def main() -> int:
    parser = argparse.ArgumentParser(description="Lose directories of a store in every way.")
    parser.add_argument("--data", type=int, default=CHILDREN - PARITY)
    parser.add_argument("--parity", type=int, default=PARITY)
    parser.add_argument("--samples", type=int, default=0, help="random choices; 0 for all")
    parser.add_argument("--rot", action="store_true", help="one rotten survivor per stripe")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    children = options.data + options.parity
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder) / f"d{number}" for number in range(children)]
        create(roots, options.rows, options.parity)
        equal, tried, rotten = survive(
            roots, options.parity, samples=options.samples, rot=options.rot, seed=options.seed
        )
    lost = options.parity - options.rot
    also = f", {rotten:,} rotten units and copies" if options.rot else ""
    print(
        f"{equal:,} of {tried:,} choices of {lost} out of {children}{also}: every byte equal "
        f"({time.perf_counter() - began:.0f} s)"
    )
    print_rates(ErasureCode(options.data, options.parity))
    return 0 if equal == tried else 1


if __name__ == "__main__":
    sys.exit(main())
