"""Single bit flips over every kind of file: the right answer or a typed error, never another one.

    python -m tests.crash.flips --count 100000 --seed 7

Without the SQL kernel, on copies in memory: the store is opened, and everything in it is read.
Hot segments (``--hot``) are read through SQL, from disk.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pagelake
from pagelake.engine.leaves import hot_tier
from pagelake.errors import Error
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import RecordingDevice
from pagelake.storage.environment import Environment
from pagelake.storage.store import Store
from tests.crash.oracle import Reader, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS = ("store.json", "log/bundles", "log/checkpoints", "log", "segments")
_QUERIES = (
    "SELECT count(*), sum(a), sum(b), sum(hash(s)), min(s), max(s) FROM t",
    "SELECT a, b, s FROM t WHERE a % 500 = 3 ORDER BY a",
)


@dataclass(slots=True)
class Outcome:
    """What flips did.

    Attributes:
        right: Flips after which everything was read as it was written.
        errors: Typed errors by name of the class.
        silent: Flips that nobody noticed, or that ended in an untyped error: what is wrong.
        kinds: Flips by kind of file.
    """

    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Flips made."""
        return self.right + self.errors.total() + len(self.silent)

    def __str__(self) -> str:
        return (
            f"{self.count} flips: {self.right} right, {self.errors.total()} typed errors, "
            f"{len(self.silent)} silent"
        )

    def observe(self, where: str, read: Callable[[], object], expected: object) -> None:
        """Note what reading gives after a flip."""
        try:
            found = read()
        except Error as error:
            self.errors[type(error).__name__] += 1
        except Exception as error:
            self.silent.append(f"{where}: {type(error).__name__}: {error}")
        else:
            if found == expected:
                self.right += 1
            else:
                self.silent.append(f"{where}: read as something else")


def kind_of(name: str) -> str:
    """The kind of a file: its folder, or its name where it has none."""
    return name.rpartition("/")[0] or name


def flipped(content: bytes, bit: int) -> bytes:
    """A copy of bytes with one bit the other way round."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def files_of_every_kind(seed: int) -> dict[str, bytes]:
    """The files of a store that has lived."""
    memory = MemoryDevice()
    run = Run(f"flips {seed}")
    run.device = RecordingDevice(memory)
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 5).commit()
    run.begin(store).append("t", 40, pages=True).commit()
    run.begin(store).update("t", run.pick("t", 6), pages=True).commit()
    store.checkpoint()
    run.begin(store).delete("t", run.pick("t", 8), pages=True).commit()
    store.checkpoint()
    assert store.fold() > 0
    run.begin(store).create("u", "k", "k2").append("u", 3).commit()
    run.begin(store).append("u", 20, pages=True).delete("t", run.pick("t", 2)).commit()
    run.close()
    return {name: memory.read(name) for name in memory._files}


def read_store(files: Mapping[str, bytes], reader: Reader) -> object:
    """Everything that a store says."""
    device = MemoryDevice(files)
    store = Store(device, environment=Environment(now_us=lambda: 0, threads=False))
    newest = store.snapshot()
    answer = (
        store.id,
        json.loads(device.read("store.json"))["created_us"],
        newest.version,
        newest.time_us,
        list(store.history()),
        list(store.changes(0, newest.version)),
        reader.content(store, newest),
        reader.content(store, store.snapshot_at(newest.version // 2)),
    )
    store.close()
    return answer


def flip_files(count: int, seed: int) -> Outcome:
    """Flip bits of a store in memory, one at a time, evenly over the kinds of files.

    Args:
        count: How many.
        seed: Decides the store and the bits.
    """
    chosen, reader, outcome = random.Random(seed), Reader(), Outcome()
    files = files_of_every_kind(seed)
    kinds = {kind: sorted(n for n in files if kind_of(n) == kind and files[n]) for kind in KINDS}
    assert all(kinds.values()), "a kind of file is missing"
    expected = read_store(files, reader)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        name = chosen.choice(kinds[kind])
        bit = chosen.randrange(8 * len(files[name]))
        damaged = files | {name: flipped(files[name], bit)}
        outcome.kinds[kind] += 1
        outcome.observe(
            f"bit {bit} of {name}", lambda damaged=damaged: read_store(damaged, reader), expected
        )
    return outcome


def read_tables(path: Path) -> object:
    """Answers to queries that read the whole table, from hot segments where there are any."""
    with pagelake.connect(path, read_only=True) as connection:
        return [connection.execute(query).fetchall() for query in _QUERIES]


def flip_hot_segments(count: int, seed: int, folder: Path) -> Outcome:
    """Flip bits of a hot segment on disk, one at a time.

    Args:
        count: How many.
        seed: Decides the bits.
        folder: An empty place for the store.
    """
    chosen, outcome = random.Random(seed), Outcome()
    path = folder / "store"
    rows = hot_tier.HOT_ROWS_MIN
    with pagelake.connect(path) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT i AS a, hash(i) AS b, 'text ' || i % 977 AS s "
            f"FROM range({rows}) r(i)"
        )
        connection.execute("CALL pagelake.build_hot_segments()")
    (hot,) = (path / "hot").glob("*.duckdb")
    content = hot.read_bytes()
    with pagelake.connect(path, read_only=True) as connection:
        used = connection.execute("SELECT used FROM pagelake.hot_segments").fetchall()
    assert used == [(True,)], "the queries must read the hot segment"
    expected = read_tables(path)
    for _ in range(count):
        bit = chosen.randrange(8 * len(content))
        # Another file under the same name: what still has the old one open must not matter.
        hot.unlink(missing_ok=True)
        hot.write_bytes(flipped(content, bit))
        outcome.kinds["hot"] += 1
        outcome.observe(f"bit {bit} of {hot.name}", lambda: read_tables(path), expected)
    return outcome


def main() -> None:
    """Flip, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="flips in memory")
    parser.add_argument("--hot", type=int, default=200, help="flips of hot segments on disk")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcomes = [flip_files(arguments.count, arguments.seed)]
    folder = Path(tempfile.mkdtemp(prefix="pagelake-flips-"))
    try:
        outcomes.append(flip_hot_segments(arguments.hot, arguments.seed, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for outcome in outcomes:
        print(f"{outcome}; by kind: {dict(outcome.kinds)}; errors: {dict(outcome.errors)}")
        print(*outcome.silent[:20], sep="\n")
    raise SystemExit(any(outcome.silent for outcome in outcomes))


if __name__ == "__main__":
    main()
