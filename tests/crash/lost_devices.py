"""Lose every pair of ten directories in turn: ``python -m tests.crash.lost_devices``.

Prints how many of the 45 pairs left every byte of every file of the store equal, and how fast the
code of the stripes runs.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import pagelake
from pagelake.storage.devices.erasure import ErasureCode
from pagelake.storage.devices.scrub import file_names
from pagelake.storage.devices.striped_device import open_striped
from pagelake.storage.devices.stripes import UNIT_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHILDREN = 10
PARITY = 2
ROWS = 1_000_000


def create(roots: list[Path], rows: int) -> None:
    """A store with a segment of some size, small commits and a checkpoint."""
    with pagelake.connect(devices=roots, parity=PARITY) as connection:
        connection.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
        connection.execute(f"INSERT INTO t SELECT range, md5(range::VARCHAR) FROM range({rows})")
        for number in range(5):
            connection.execute("INSERT INTO t VALUES (?, 'single')", [number])
        connection.execute("UPDATE t SET b = 'changed' WHERE a = 3")


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


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder) / f"d{number}" for number in range(CHILDREN)]
        create(roots, ROWS)
        expected = contents(roots)
        equal = 0
        for pair in pairs():
            with without(roots, pair):
                equal += contents(roots) == expected
    print(f"{equal} of {len(pairs())} pairs: every byte equal")
    code = ErasureCode(CHILDREN - PARITY, PARITY)
    words = (code.data, UNIT_BYTES_MAX // 8)
    units = list(np.random.default_rng(1).integers(0, 2**63, words, np.uint64))
    present = dict(enumerate([*units, *code.encode(units)]))
    del present[0], present[1]
    size = code.data * UNIT_BYTES_MAX
    print(f"encode {code.data}+{PARITY}: {rate(lambda: code.encode(units), size):,.0f} MB/s")
    decode = rate(lambda: code.rebuild(present, (0, 1)), size)
    print(f"decode, two data units lost: {decode:,.0f} MB/s")
    return 0 if equal == len(pairs()) else 1


if __name__ == "__main__":
    sys.exit(main())
