"""A mounted store against the plain disk that it lies on: ``python -m tests.bench.mount``.

A create in the mount is durable when the file is closed, so the plain one is synced, too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.posix.mounts import cannot_mount, mounted

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_BYTES = 4096
WRITERS = 8
PIECE_BYTES = 1 << 20


def per_second(work: Callable[[], object], count: float) -> float:
    """How many a second some work does."""
    begun = time.perf_counter()
    work()
    return count / (time.perf_counter() - begun)


def measure(directory: Path, files: int, megabytes: int, pause_s: float = 1.1) -> dict[str, float]:
    """Measure what programs do in a directory.

    Args:
        directory: An empty one.
        files: Small files to make, half of them by one writer.
        megabytes: Size of the large file.
        pause_s: After this long the kernel may not answer for attributes by itself.
    """
    content = os.urandom(SMALL_BYTES)

    def create(number: int) -> None:
        descriptor = os.open(directory / f"{number:06}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(descriptor, content)
        os.fsync(descriptor)
        os.close(descriptor)

    half = files // 2
    found = {
        "creates, 1 writer (/s)": per_second(lambda: [create(n) for n in range(half)], half),
    }
    with ThreadPoolExecutor(WRITERS) as pool:
        found[f"creates, {WRITERS} writers (/s)"] = per_second(
            lambda: list(pool.map(create, range(half, 2 * half))), half
        )
    names = [directory / f"{number:06}" for number in range(2 * half)]
    found["listing (entries/s)"] = per_second(lambda: os.listdir(directory), 2 * half)
    time.sleep(pause_s)
    found["stats (/s)"] = per_second(lambda: [os.stat(name) for name in names], len(names))
    found["stats, known (/s)"] = per_second(lambda: [os.stat(name) for name in names], len(names))
    found["small reads (/s)"] = per_second(lambda: [name.read_bytes() for name in names], 2 * half)
    piece, large = os.urandom(PIECE_BYTES), directory / "large"

    def write() -> None:
        with open(large, "wb", buffering=0) as file:
            for number in range(megabytes):
                file.write(number.to_bytes(8, "big") + piece[8:])
            os.fsync(file.fileno())

    def read() -> None:
        with open(large, "rb", buffering=0) as file:
            while file.read(PIECE_BYTES):
                """Nothing is done with it."""

    found["write + fsync (MB/s)"] = per_second(write, megabytes)
    descriptor = os.open(large, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    found["read (MB/s)"] = per_second(read, megabytes)
    found["read, cached (MB/s)"] = per_second(read, megabytes)
    return found


def main() -> None:
    """Measure both and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--directory", type=Path, help="where the store and the plain files lie")
    parser.add_argument("--writeback", action="store_true", help="mount with --writeback")
    given = parser.parse_args()
    if (why := cannot_mount()) is not None:
        raise SystemExit(f"nothing can be mounted: {why}")
    with tempfile.TemporaryDirectory(dir=given.directory) as name:
        root = Path(name)
        (root / "plain").mkdir()
        options = ["--writeback"] if given.writeback else []
        with mounted(root / "my.lake", root / "mount", *options) as directory:
            mine = measure(directory, given.files, given.megabytes)
        plain = measure(root / "plain", given.files, given.megabytes)
    print(f"{'':26}{'mount':>12}{'plain':>12}{'ratio':>8}")
    for label, value in mine.items():
        print(f"{label:26}{value:12,.0f}{plain[label]:12,.0f}{value / plain[label]:8.2f}")


if __name__ == "__main__":
    main()
