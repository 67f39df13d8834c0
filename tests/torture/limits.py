"""Processes that run out of memory, descriptors or file size: ``python -m tests.torture.limits``.

A process works under a limit of the operating system's, for many values of the limit. What it
asks for succeeds or fails with a typed error, and a process without limits finds what was promised
and no damage. Without memory or a single descriptor a library below may also end the process, or a
thread of it, and so hang it: nothing is lost by that.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.storm import create
from tests.multiprocess.fleet import Fleet
from tests.torture import victim
from tests.torture.victim import Witness

if TYPE_CHECKING:
    from tests.multiprocess.fleet import Channel

TRANSACTIONS = 10
HANG_S = 60
"""A process that says nothing for so long hangs."""
_MIB = 1 << 20
SIZES = {
    "memory": [number * 4 * _MIB for number in range(50)],
    "descriptors": list(range(48)),
    "file size": [0, 64, 512, *(4096 * number for number in range(1, 30)), _MIB],
}
"""Values tried; memory and descriptors are counted from what the process has already."""


def write(channel: Channel, path: str, seed: int, limit: str, room: int) -> None:
    """Work under a limit."""
    match limit:
        case "memory":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            kind, most = resource.RLIMIT_AS, pages * resource.getpagesize() + room
        case "descriptors":
            kind, most = resource.RLIMIT_NOFILE, _first_free_descriptor() + room
        case _:
            kind, most = resource.RLIMIT_FSIZE, room
    # Armed before the limit: what is told of a process that hangs must not need what it lacks.
    faulthandler.dump_traceback_later(HANG_S // 2)
    resource.setrlimit(kind, (most, most))
    victim.work(channel, path, seed, 0, TRANSACTIONS)
    channel.send(["ended"])


def _first_free_descriptor() -> int:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    return descriptor


@dataclass(slots=True)
class Toll:
    """What limits have led to.

    Attributes:
        lives: Processes.
        died: Those that did not come to their end by themselves.
        hung: Those of them that hung.
        acknowledged: Transactions that were acknowledged.
        errors: Typed errors by class.
        wrong: What must not have happened.
    """

    lives: int = 0
    died: int = 0
    hung: int = 0
    acknowledged: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def live(folder: Path, fleet: Fleet, limit: str, room: int, seed: int, toll: Toll) -> None:
    """One process under a limit.

    Args:
        folder: An empty place, or the one of the last life.
        fleet: Where the process comes from.
        limit: ``memory``, ``descriptors`` or ``file size``.
        room: How much it may have.
        seed: Decides what it does.
        toll: Where the outcome is noted.
    """
    template, path = folder / "template", folder / "store"
    if not template.exists():
        create(template)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(template, path)
    where = f"{limit} {room}, seed {seed}"
    witness = Witness(seed)
    member = fleet.start("torture.limits:write", str(path), seed, limit, room)
    member.channel.end.settimeout(HANG_S)
    try:
        for said in member.channel.rest():
            if isinstance(said, dict):
                witness.untyped.append(("process", "", said["failed"]))
            else:
                witness.hear(said)
    except TimeoutError:
        toll.hung += 1
        member.kill()
    witness.died()
    toll.lives += 1
    toll.acknowledged += witness.acknowledged
    toll.errors.update(kind for _, kind, _ in witness.errors)
    toll.died += not witness.ended
    if not witness.ended and limit == "file size":
        toll.wrong.append(f"{where}: the process died")
    toll.wrong += [f"{where}: {what} {text}" for what, _, text in witness.untyped]
    toll.wrong += [f"{where}: {w}" for w in witness.judge(path)]


def sweep(limit: str, seed: int, *, step: int = 1) -> Toll:
    """Try the values of a limit, or one in so many of them."""
    toll = Toll()
    with tempfile.TemporaryDirectory(prefix="pagelake-limits-") as folder, Fleet() as fleet:
        for room in SIZES[limit][::step]:
            live(Path(folder), fleet, limit, room, seed, toll)
    return toll


def main() -> None:
    """Sweep limits, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.limits")
    parser.add_argument("--limit", choices=sorted(SIZES), action="append", help="all by default")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = random.randrange(1 << 30) if arguments.seed is None else arguments.seed
    failed = False
    for limit in arguments.limit or SIZES:
        begun = time.monotonic()
        toll = sweep(limit, seed)
        print(
            f"{limit}, seed {seed}: {toll.lives} processes in {time.monotonic() - begun:.0f} s, "
            f"{toll.died} ended by a library ({toll.hung} hung); {toll.acknowledged:,} "
            f"transactions acknowledged, typed errors {dict(toll.errors)}, {len(toll.wrong)} wrong",
            flush=True,
        )
        print(*toll.wrong[:10], sep="\n")
        failed = failed or bool(toll.wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
