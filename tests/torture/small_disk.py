"""A small disk that fills up, again and again: ``python -m tests.torture.small_disk``.

A process works on a file system of 64 MiB in a file. At each of many points somebody else takes
the room that is left, all but a little. From there on statements succeed or fail with a typed
error and reads go on; deleting rows and reclaiming gives the room back and writing goes on; a
fresh process finds what was promised and no damage.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pagelake
from pagelake.errors import Error, StorageFull
from tests.crash.storm import content, create
from tests.multiprocess.fleet import Fleet
from tests.torture.namespace import enter, loop_missing
from tests.torture.victim import SETTINGS, WRITER, Witness, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.multiprocess.fleet import Channel

DISK_BYTES = {"ext4": 64 << 20, "xfs": 320 << 20}
"""XFS is not made smaller than 300 MiB."""
LEFT_BYTES_MAX = 3 << 20
"""Room that is left at a point, at most: a small transaction takes kilobytes, a bulk load 2 MB."""
HELP_BYTES = 64 << 10
"""Room that is given to a store so full that not even a DELETE fits."""
LOAD_ROWS = 250_000
LOAD_BYTES = 8 * LOAD_ROWS
"""Rows that cannot be compressed, there to be deleted when the disk is full."""
FREED_WITHIN_S = 10
TRANSACTIONS = 12
ROW_COUNT = "SELECT count(*) FROM kept"


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_bsize


def _freed_bytes(folder: Path, before: int, expected: int) -> int:
    """Room gained since then; XFS gives the room of removed files back in the background."""
    end = time.monotonic() + FREED_WITHIN_S
    while (gained := _free_bytes(folder) - before) < expected and time.monotonic() < end:
        os.sync()
    return gained


@contextmanager
def disk(kind: str) -> Iterator[Path]:
    """A small file system, mounted; in a mount namespace of one's own."""
    with tempfile.TemporaryDirectory(prefix="pagelake-disk-") as name:
        image, mountpoint = Path(name) / "image", Path(name) / "disk"
        mountpoint.mkdir()
        with image.open("wb") as file:
            file.truncate(DISK_BYTES[kind])
        quiet = {"ext4": ["-q", "-m", "0"], "xfs": ["-q"]}[kind]
        subprocess.run([f"mkfs.{kind}", *quiet, str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mountpoint)], check=True)
        try:
            yield mountpoint
        finally:
            subprocess.run(["umount", str(mountpoint)], check=True)


class Ballast:
    """A file that takes the room that a store would like to have.

    Args:
        folder: Somewhere on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "ballast"

    def fill(self, left_bytes: int) -> None:
        """Take all room but so much."""
        wanted = _free_bytes(self._folder) - left_bytes
        with self._path.open("ab") as file, suppress(OSError):
            size = file.tell()
            while wanted > 0:
                os.posix_fallocate(file.fileno(), size, min(wanted, 1 << 20))
                size += min(wanted, 1 << 20)
                wanted -= 1 << 20

    def give(self, room_bytes: int) -> None:
        """Give some of it back."""
        if self._path.exists():
            os.truncate(self._path, max(0, self._path.stat().st_size - room_bytes))

    def drop(self) -> None:
        """Give all of it back."""
        self._path.unlink(missing_ok=True)


def write(channel: Channel, path: str, seed: int, first: int, filled_at: int) -> None:
    """Work on a disk that gets full before one of the transactions, then make room and go on."""
    from tests.torture import victim

    assert channel.receive() == "go"
    victim.work(channel, path, seed, first, filled_at)
    channel.send(["full?"])
    channel.receive()
    victim.work(channel, path, seed, first + filled_at, TRANSACTIONS - filled_at)


@dataclass(slots=True)
class Toll:
    """What full disks have led to.

    Attributes:
        points: Times that the disk was filled.
        met: Times that somebody was told so.
        helped: Times that not even a DELETE or reclaim fitted.
        acknowledged: Transactions that were acknowledged.
        freed_bytes: What deleting and reclaiming gave back.
        errors: Typed errors by class.
        wrong: What must not have happened.
    """

    points: int = 0
    met: int = 0
    helped: int = 0
    acknowledged: int = 0
    freed_bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def fill_once(
    path: Path, fleet: Fleet, ballast: Ballast, chance: random.Random, toll: Toll
) -> None:
    """One life of a process in which the disk gets full, and the recovery from it.

    Args:
        path: The store, empty of rows.
        fleet: Where the process comes from.
        ballast: What fills the disk.
        chance: Decides when, and how much is left.
        toll: Where the outcome is noted.
    """
    where = f"point {toll.points}"
    with pagelake.connect(path, settings=SETTINGS) as db:
        db.execute(f"INSERT INTO load SELECT hash(i, ?) FROM range({LOAD_ROWS}) r(i)", [where])
    witness = Witness(chance.getrandbits(30))
    filled_at = chance.randrange(TRANSACTIONS)
    left_bytes = chance.choice((0, chance.randrange(1 << 16), chance.randrange(LEFT_BYTES_MAX)))
    member = fleet.start("torture.small_disk:write", str(path), witness.seed, 0, filled_at)
    member.send("go")
    while (said := member.receive()) != ["full?"]:
        witness.hear(said)
    ballast.fill(left_bytes)
    member.send("go")
    listen(member, witness)
    toll.points += 1
    toll.acknowledged += witness.acknowledged
    toll.met += any(kind == "StorageFull" for _, kind, _ in witness.errors)
    toll.errors.update(kind for _, kind, _ in witness.errors)
    toll.wrong += [f"{where}: {what} {text}" for what, _, text in witness.untyped]
    # A fresh process reads, full as the disk is; that it takes commits is seen afterwards.
    toll.wrong += [f"{where}: {w}" for w in witness.judge(path, writable=False)]
    toll.wrong += [f"{where}: {w}" for w in recover(path, ballast, toll)]


def recover(path: Path, ballast: Ballast, toll: Toll) -> list[str]:
    """Delete what there is and reclaim, on a full disk; then write again."""
    ballast.fill(0)
    wrong = []
    with pagelake.connect(path, settings=SETTINGS) as db:
        content(db, WRITER)
        before = _free_bytes(path)
        for statement in (
            "DELETE FROM kept",
            "DELETE FROM ledger",
            "DELETE FROM load",
            "CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)",
        ):
            try:
                db.execute(statement)
            except StorageFull:
                toll.helped += 1
                ballast.give(HELP_BYTES)
                before += HELP_BYTES
                db.execute(statement)
        freed_bytes = _freed_bytes(path, before, LOAD_BYTES)
        toll.freed_bytes += max(0, freed_bytes)
        if freed_bytes < LOAD_BYTES * 0.9:
            wrong.append(f"deleting {LOAD_BYTES} bytes and reclaiming gave back {freed_bytes}")
        # What else fills the disk stays, but for room that a bulk load needs.
        ballast.give(LEFT_BYTES_MAX)
        try:
            db.execute("INSERT INTO kept SELECT -1, 0, r, 1000, 0 FROM range(1000) t(r)")
        except Error as error:
            wrong.append(f"writing does not go on: {error}")
        if db.execute(ROW_COUNT).fetchall() != [(1000,)]:
            wrong.append("the store is not what it was made")
        ballast.drop()
        db.execute("DELETE FROM kept")
        db.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)")
    return wrong


def fill(kind: str, points: int, seed: int) -> Toll:
    """Fill a disk that many times."""
    chance, toll = random.Random(seed), Toll()
    with disk(kind) as mountpoint, Fleet() as fleet:
        path, ballast = mountpoint / "store", Ballast(mountpoint)
        create(path)
        with pagelake.connect(path) as db:
            db.execute("CREATE TABLE load (h UBIGINT)")
        while toll.points < points and not toll.wrong:
            fill_once(path, fleet, ballast, chance, toll)
    return toll


def main() -> None:
    """Fill disks, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.small_disk")
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--kind", choices=sorted(DISK_BYTES), action="append")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    kinds = [kind for kind in arguments.kind or DISK_BYTES if not loop_missing(kind)]
    for kind in {*(arguments.kind or DISK_BYTES)} - {*kinds}:
        print(f"{kind} skipped: {loop_missing(kind)}")
    if not kinds:
        return
    enter("tests.torture.small_disk")
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    failed = False
    for kind in kinds:
        begun = time.monotonic()
        toll = fill(kind, arguments.points, seed)
        print(
            f"{kind}, seed {seed}: filled {toll.points} times in {time.monotonic() - begun:.0f} s; "
            f"{toll.met} lives met it, {toll.acknowledged:,} transactions acknowledged, typed "
            f"errors {dict(toll.errors)}; {toll.helped} statements needed help, "
            f"{toll.freed_bytes >> 20} MiB freed by DELETE and reclaim, {len(toll.wrong)} wrong",
            flush=True,
        )
        print(*toll.wrong[:10], sep="\n")
        failed = failed or bool(toll.wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
