"""Large files: written and read through the content store, and as plain files beside it.

    python -m tests.bench.content [--mib 512] [--rounds 3] [--directory DIR]

Every figure is a ratio of two runs that alternate on one disk: a write with its sync and its commit
against a plain write with fsync, a read against a plain read of the same bytes, both from the
page cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pagelake.storage.devices.local_device import LocalDevice
from tests.unit.storage.content.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.content.content_reader import ContentReader

MIB = 1 << 20
STEP = 4 * MIB


@dataclass(frozen=True, slots=True)
class Ratios:
    """Speed against plain files, medians of rounds; and the plain files' bytes a second.

    Attributes:
        write: Of a write that is durable.
        first_read: Of the first read by a process that has not seen the file.
        read: Of a read by the process that wrote it, or has read it before.
        plain_write: Bytes a second of the plain write.
        plain_read: Bytes a second of the plain read.
    """

    write: float
    first_read: float
    read: float
    plain_write: float
    plain_read: float


def texts(size: int) -> bytes:
    """Text that compresses to about a third."""
    lines = (
        f"{n},{n * 2654435761 % 1_000_003},item {n % 977},{n % 365}/2026,{n * 7919 % 10_007}.50\n"
        for n in range(1 << 16)
    )
    block = "".join(lines).encode()
    # Repeated with another number in front of each line, so that no stretch is there twice.
    parts = []
    while sum(map(len, parts)) < size:
        salt = str(len(parts)).encode() + b";"
        parts.append(block.replace(b"\n", b"\n" + salt))
    return b"".join(parts)[:size]


def timed(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def plain_write(path: Path, content: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        for start in range(0, len(content), STEP):
            file.write(memoryview(content)[start : start + STEP])
        os.fsync(file.fileno())


def plain_read(path: Path, step: int) -> None:
    with open(path, "rb", buffering=0) as file:
        while file.read(step):
            pass


def store_write(shelf: Shelf, handle: int, content: bytes) -> None:
    with shelf.contents.write() as writer:
        for start in range(0, len(content), STEP):
            writer.write(memoryview(content)[start : start + STEP])
        made = writer.finish()
    shelf.put(handle, made)


def store_read(reader: ContentReader, step: int) -> None:
    for start in range(0, reader.size, step):
        reader.read_at(start, step)
    reader.close()


def run(make: Callable[[int], bytes], size: int, rounds: int, directory: Path) -> Ratios:
    """Measure files of some size, each with bytes of its own."""
    figures: dict[str, list[float]] = {name: [] for name in Ratios.__slots__}
    path, where = directory / "plain", directory / "store"
    for number in range(rounds):
        content = make(size)
        shelf = Shelf(LocalDevice(where, create=True), threads=True)
        plain = timed(lambda content=content: plain_write(path, content))
        mine = timed(lambda s=shelf, n=number, c=content: store_write(s, n, c))
        figures["write"].append(plain / mine)
        figures["plain_write"].append(size / plain)
        plain_read(path, STEP)
        compare(shelf, number, path, figures, "read")
        shelf.close()
        shelf = Shelf(LocalDevice(where, create=True), threads=True)
        compare(shelf, number, path, figures, "first_read", times=1)
        compare(shelf, number, path, figures, "read")
        shelf.close()
        path.unlink()
    shutil.rmtree(where)
    return Ratios(**{name: statistics.median(found) for name, found in figures.items()})


def compare(
    shelf: Shelf,
    handle: int,
    path: Path,
    figures: dict[str, list[float]],
    name: str,
    times: int = 3,
) -> None:
    """Read a file, plain and from the store, in turns."""
    snapshot, file = shelf.store.snapshot(), shelf.file(handle)
    for _ in range(times):
        plain = timed(lambda: plain_read(path, STEP))
        mine = timed(lambda: store_read(shelf.contents.read(snapshot, file), STEP))
        figures[name].append(plain / mine)
        figures["plain_read"].append(path.stat().st_size / plain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    kinds: dict[str, Callable[[int], bytes]] = {"random": os.urandom, "text": texts}
    for kind, make in kinds.items():
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            found = run(make, options.mib * MIB, options.rounds, Path(directory))
        print(
            f"{kind}, {options.mib} MiB: write {found.write:.2f}x of "
            f"{found.plain_write / 1e6:,.0f} MB/s (bar 0.30x); read {found.read:.2f}x, first read "
            f"{found.first_read:.2f}x of {found.plain_read / 1e6:,.0f} MB/s (bar 0.80x)",
            flush=True,
        )


if __name__ == "__main__":
    main()
