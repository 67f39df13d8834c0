"""Every system call of a writing process fails once: ``python -m tests.torture.failing_syscalls``.

strace makes the n-th call of a name fail in each thread of a real process, for n = 1, 2, … until
none is left to fail. Whatever the process then says must be true: a fresh process finds all that
was acknowledged and nothing that is known to have failed, in a store without damage that takes
commits. A file whose sync failed must not be written or synced again by the process.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.storm import create
from tests.multiprocess.fleet import Fleet
from tests.torture.tracing import SystemCall, missing, read_log, traced
from tests.torture.victim import Witness, listen

if TYPE_CHECKING:
    from collections.abc import Iterable

SYNCS = ("fsync", "fdatasync")
ERRORS = {
    **dict.fromkeys(SYNCS, ("EIO", "ENOSPC", "EINTR")),
    "linkat": ("EIO", "ENOSPC", "EINTR"),
    "writev": ("EIO", "ENOSPC", "EINTR"),
    "pwrite64": ("EIO", "ENOSPC", "EINTR"),
    "openat": ("EIO", "ENOSPC", "EINTR", "EMFILE"),
    "unlink": ("EIO", "EINTR"),
    "read": ("EIO", "EINTR"),
}
"""Errors by system call."""
TRANSACTIONS = 10
_WRITING = {*SYNCS, "writev", "pwrite64", "write"}


@dataclass(slots=True)
class Toll:
    """What failing calls have led to.

    Attributes:
        trials: Processes of which something was made to fail.
        injected: Calls that failed, by name and error.
        acknowledged: Transactions that were acknowledged all the same.
        errors: Typed errors by class.
        elsewhere: Untyped errors of processes of which a call failed that was not on the store.
        died: Processes of which a library made an end; only calls not on the store may lead to it.
        wrong: What must not have happened.
    """

    trials: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0
    died: int = 0
    wrong: list[str] = field(default_factory=list)


def fail_each(
    folder: Path, call: str, error: str, seed: int, *, step: int = 1, toll: Toll, fleet: Fleet
) -> None:
    """Fail the first call of a name, then the second, and so on until none fails.

    Args:
        folder: An empty place.
        call: The system call.
        error: The error it gives.
        seed: Decides what the process does.
        step: Try only one in so many.
        toll: Where the outcome is noted.
        fleet: Where processes come from.
    """
    template = folder / "template"
    if not template.exists():
        create(template)
    for number in count(1, step):
        path, log = folder / "store", folder / "strace"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(template, path)
        member = fleet.start("torture.victim:write", str(path), seed, 0, TRANSACTIONS)
        assert member.receive() == "ready"
        witness = Witness(seed)
        # What follows syncs a file that failed is looked at as well.
        names = sorted({call, *_WRITING}) if call in SYNCS else [call]
        with traced(member.pid, log, names, f"{call}:error={error}:when={number}"):
            member.send("go")
            listen(member, witness)
        calls = read_log(log)
        injected = [c for c in calls if c.injected]
        if not injected:
            return
        _judge(toll, witness, path, injected, f"{call} {number} {error}")
        if call in SYNCS:
            toll.wrong += [f"{call} {number} {error}: {w}" for w in used_after_failed_sync(calls)]


def _judge(
    toll: Toll, witness: Witness, path: Path, injected: list[SystemCall], where: str
) -> None:
    toll.trials += 1
    toll.acknowledged += witness.acknowledged
    for failed in injected:
        toll.injected[f"{failed.name} {failed.result.split()[1]}"] += 1
    toll.errors.update(kind for _, kind, _ in witness.errors)
    on_store = [c for c in injected if c.touches(str(path))]
    toll.died += not witness.ended
    if len(on_store) == len(injected):
        if not witness.ended:
            toll.wrong.append(f"{where} of {on_store}: the process died")
        toll.wrong += [f"{where} of {on_store}: {untyped}" for untyped in witness.untyped]
    else:
        toll.elsewhere += len(witness.untyped)
    syncs = [c for c in on_store if c.name in SYNCS]
    if syncs and not witness.errors:
        # What nothing refers to may be lost; a record, a page or a name may not.
        toll.wrong += [f"{where}: nobody noticed" for c in syncs if not _is_probe(c)]
    toll.wrong += [f"{where}: {w}" for w in witness.judge(path)]


def _is_probe(call: SystemCall) -> bool:
    """Whether a sync may fail unsaid: that of a file that never gets a name that counts."""
    return any("/tmp/" in path for path in call.paths)


def used_after_failed_sync(calls: Iterable[SystemCall]) -> list[str]:
    """Named files and folders that were written or synced after a sync of theirs had failed."""
    given_up: set[str] = set()
    found = []
    for call in calls:
        named = [p for p in call.paths[:1] if "/tmp/" not in p]
        if call.name in _WRITING and given_up.intersection(named):
            found.append(f"{call.name} of {named[0]} after its sync had failed")
        if call.name in SYNCS and call.failed:
            given_up.update(named)
    return found


def main() -> None:
    """Fail calls, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.failing_syscalls")
    parser.add_argument("--call", choices=sorted(ERRORS), action="append", help="all by default")
    parser.add_argument("--step", type=int, default=1, help="fail one in so many calls")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if why := missing():
        print(f"skipped: {why}")
        return
    toll = Toll()
    for call in arguments.call or ERRORS:
        for error in ERRORS[call]:
            said = len(toll.wrong)
            with tempfile.TemporaryDirectory(prefix="pagelake-syscalls-") as name, Fleet() as fleet:
                fail_each(
                    Path(name), call, error, arguments.seed,
                    step=arguments.step, toll=toll, fleet=fleet,
                )  # fmt: skip
            print(f"{call} {error}: {toll.trials} trials so far", flush=True)
            print(*toll.wrong[said:], sep="\n", flush=True)
    print(
        f"{toll.trials} processes, {toll.injected.total()} calls failed: {dict(toll.injected)}\n"
        f"{toll.acknowledged:,} transactions acknowledged, typed errors {dict(toll.errors)}, "
        f"{toll.elsewhere} untyped errors and {toll.died} deaths for calls outside the store, "
        f"{len(toll.wrong)} wrong"
    )
    sys.exit(bool(toll.wrong))


if __name__ == "__main__":
    main()
