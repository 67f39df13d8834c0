"""Power cuts under a real process: ``python -m tests.torture.lossy_mounts --mounts 500``.

A process with the SQL kernel commits on ``lossy_fs``, which crashes at a random call, often after
a sync that failed. It is mounted again with what has survived; what was acknowledged must be
there, what was under way may be, whole, and ``pagelake check`` must find nothing. The next process
goes on from there, so recovery crashes too.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.crash.storm import create
from tests.multiprocess.fleet import ROOT, Fleet
from tests.torture.namespace import enter, fuse_missing
from tests.torture.victim import Witness, listen

if TYPE_CHECKING:
    from types import TracebackType

CALLS_MAX = 4_000
"""A crash comes within so many calls: most lives end in the midst of their transactions."""
SYNCS_MAX = 100
LIVES_MAX = 25
"""Lives of one store, before the next one begins on an empty file system."""
TRANSACTIONS = 30


class LossyMount:
    """A mounted ``lossy_fs``.

    Args:
        folder: Where to mount; an empty folder.
        seed: Decides what crashes lose.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._file_system = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.lossy_fs", str(folder), str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self._expect("mounted")

    def _expect(self, word: str) -> None:
        assert self._file_system.stdout is not None
        while (said := self._file_system.stdout.readline().strip()) != word:
            assert said == "crashed", f"the file system said {said!r} instead of {word!r}"

    def _tell(self, command: str, answer: str) -> None:
        assert self._file_system.stdin is not None
        self._file_system.stdin.write(f"{command}\n")
        self._file_system.stdin.flush()
        self._expect(answer)

    def crash_after(self, calls: int) -> None:
        """Crash at one of the next calls."""
        self._tell(f"crash {calls}", "armed")

    def fail_sync_after(self, syncs: int) -> None:
        """Let one of the next syncs fail and lose what it should have kept."""
        self._tell(f"fail {syncs}", "armed")

    def remount(self) -> None:
        """Crash, where that has not happened, and mount what has survived."""
        self._tell("remount", "mounted")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file_system.stdin is not None
        self._file_system.stdin.close()
        self._file_system.wait(60)


@dataclass(slots=True)
class Toll:
    """What crashes have led to.

    Attributes:
        crashes: Crashes, each with a mount after it.
        acknowledged: Transactions that were acknowledged.
        undecided: Crashes after which the store might have held more than one content.
        errors: Typed errors by class.
        wrong: What must not have happened.
    """

    crashes: int = 0
    acknowledged: int = 0
    undecided: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def live(
    mount: LossyMount,
    fleet: Fleet,
    path: Path,
    witness: Witness,
    chance: random.Random,
    toll: Toll,
    *,
    careless: bool,
) -> None:
    """One life of a process, the crash that ends it, and what has survived.

    Args:
        mount: The file system.
        fleet: Where processes come from.
        path: The store on it.
        witness: What was said of the store so far.
        chance: Decides when what fails.
        toll: Where the outcome is noted.
        careless: Let the process sync nothing, to see whether that is found out.
    """
    where = f"crash {toll.crashes}"
    untyped, acknowledged, errors = (
        len(witness.untyped), witness.acknowledged, len(witness.errors)
    )  # fmt: skip
    role = "torture.victim:write_carelessly" if careless else "torture.victim:write"
    member = fleet.start(role, str(path), witness.seed, witness.next_run, TRANSACTIONS)
    assert member.receive() == "ready"
    if chance.random() < 0.4:
        mount.fail_sync_after(chance.randint(1, SYNCS_MAX))
    mount.crash_after(chance.randint(1, CALLS_MAX))
    member.send("go")
    # It ends by itself: after the crash every call fails, and it gives up.
    listen(member, witness)
    mount.remount()
    toll.crashes += 1
    toll.acknowledged += witness.acknowledged - acknowledged
    toll.errors.update(kind for _, kind, _ in witness.errors[errors:])
    toll.undecided += len(witness.possible) > 1
    toll.wrong += [f"{where}: {what} {text}" for what, _, text in witness.untyped[untyped:]]
    toll.wrong += [f"{where}: {w}" for w in witness.judge(path)]


def cut_power(mounts: int, seed: int, *, careless: bool = False) -> Toll:
    """Crash that many times, or until something is wrong."""
    chance, toll = random.Random(seed), Toll()
    while toll.crashes < mounts and not toll.wrong:
        with (
            tempfile.TemporaryDirectory(prefix="pagelake-lossy-") as folder,
            LossyMount(Path(folder), chance.getrandbits(32)) as mount,
            Fleet() as fleet,
        ):
            path = Path(folder) / "store"
            create(path)
            witness = Witness(chance.getrandbits(16))
            for _ in range(min(LIVES_MAX, mounts - toll.crashes)):
                live(mount, fleet, path, witness, chance, toll, careless=careless)
                if toll.wrong:
                    break
        if toll.crashes % 100 == 0:
            print(f"{toll.crashes} crashes, {toll.acknowledged} acknowledged", flush=True)
    return toll


def main() -> None:
    """Cut the power, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.lossy_mounts")
    parser.add_argument("--mounts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--careless", action="store_true", help="sync nothing, and be found out")
    arguments = parser.parse_args()
    if why := fuse_missing():
        print(f"skipped: {why}")
        return
    enter("tests.torture.lossy_mounts")
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    begun = time.monotonic()
    toll = cut_power(arguments.mounts, seed, careless=arguments.careless)
    print(
        f"{toll.crashes} mounts in {time.monotonic() - begun:.0f} s: {toll.acknowledged:,} "
        f"transactions acknowledged, {toll.undecided} crashes with several legal outcomes, typed "
        f"errors {dict(toll.errors)}, {len(toll.wrong)} wrong"
    )
    print(*toll.wrong[:10], sep="\n")
    sys.exit(bool(toll.wrong))


if __name__ == "__main__":
    main()
