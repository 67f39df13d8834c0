"""What a process really asks of the kernel: ``python -m tests.torture.bypass``.

A process works on a store under strace and notes every file call that it makes through
``FileCalls``. The two must agree call for call: whatever passed by ``FileCalls`` would escape the
crash tests, which fail and replay those. The SQL kernel's own files are the exception, and they
must lie where derived and temporary files do. Outside the store a process writes nothing, and
reads only programs, libraries and what the system says of itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
import tempfile
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pagelake
from pagelake.storage.devices.file_calls import SYSTEM_CALLS
from tests.crash.storm import create, perform, plan
from tests.multiprocess.fleet import ROOT, Fleet
from tests.torture.tracing import SystemCall, missing, read_log, traced
from tests.torture.victim import WRITER, use_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pagelake.storage.devices.file_calls import FileCalls
    from tests.multiprocess.fleet import Channel

TRACED = ("%file", "%desc", "fsync", "fdatasync", "flock", "mmap")
NAMES = {
    "open": "openat", "close": "close", "read": "read", "pread": "pread64", "writev": "writev",
    "pwrite": "pwrite64", "fsync": "fsync", "fdatasync": "fdatasync", "stat": "stat",
    "fstat": "fstat", "link": "link", "link_unnamed": "link", "unlink": "unlink",
    "mkdir": "mkdir", "utime": "utime", "map": "mmap", "flock": "flock", "listdir": "listdir",
}  # fmt: skip
"""System calls by field of ``FileCalls``."""
_ALIASES = {"linkat": "link", "utimensat": "utime", "unlinkat": "unlink", "mkdirat": "mkdir"}
_IGNORED = {"fcntl", "lseek", "ioctl", "readlink", "getcwd", "poll", "epoll_wait", "dup"}
_CHANGES = {"link", "unlink", "mkdir", "rename", "renameat", "renameat2", "rmdir", "truncate",
            "ftruncate", "symlink", "symlinkat", "chmod", "creat", "fallocate"}  # fmt: skip
KERNEL_PLACES = ("hot", "tmp")
"""Folders of a store in which the SQL kernel reads and writes files by itself."""
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/bin", "/run")


class NotedCalls:
    """File calls that are counted by name.

    Attributes:
        calls: What to give to a device.
        counted: How often each was made.
    """

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.calls: FileCalls = replace(
            SYSTEM_CALLS,
            **{f.name: self._noting(f.name, getattr(SYSTEM_CALLS, f.name))
               for f in fields(SYSTEM_CALLS)},
        )  # fmt: skip

    def _noting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            self.counted[NAMES[name]] += 1
            return call(*arguments)

        return noting


def write(channel: Channel, path: str, seed: int, count: int, hot: bool) -> None:
    """Work on a store, and tell how often each file call was made."""
    noted = NotedCalls()
    use_calls(noted.calls)
    channel.send("ready")
    channel.receive()
    settings = {"threads": 1} if hot else {"threads": 1, "hot_bytes_max": 0}
    db = pagelake.connect(path, settings=settings)
    for run in range(count):
        perform(db, WRITER, plan(seed, WRITER, run))
    db.execute("CALL pagelake.checkpoint()")
    db.execute("CALL pagelake.seal('kept')")
    if hot:
        db.execute("CREATE TABLE big AS SELECT range AS a FROM range(300000)")
        db.execute("CALL pagelake.build_hot_segments()")
        db.execute("SELECT count(*), sum(a) FROM big").fetchall()
    db.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)")
    db.close()
    channel.send(noted.counted)


@dataclass(slots=True)
class Audit:
    """What a trace says.

    Attributes:
        noted: Calls that went through ``FileCalls``, by name.
        seen: Calls on the store that the operating system saw, by name.
        kernel: Calls that did not go through ``FileCalls``.
        wrong: What must not have happened.
    """

    noted: Counter[str]
    seen: Counter[str] = field(default_factory=Counter)
    kernel: int = 0
    wrong: list[str] = field(default_factory=list)


def _simple_name(call: SystemCall) -> str:
    name = _ALIASES.get(call.name, call.name)
    if name == "newfstatat":
        return "fstat" if "AT_EMPTY_PATH" in call.arguments else "stat"
    if name == "getdents64":
        return "listdir"
    return name


def compare(calls: Iterable[SystemCall], noted: Counter[str], path: Path, *, hot: bool) -> Audit:
    """Hold what the kernel saw against what was noted.

    Args:
        calls: What strace saw.
        noted: What went through ``FileCalls``.
        path: The store.
        hot: Whether the SQL kernel had files of its own in it.
    """
    audit = Audit(Counter(noted))
    store, temporary = str(path), str(path.parent / "spill")
    places = [f"{store}/{place}" for place in KERNEL_PLACES]
    derived = Counter[str]()
    for call in calls:
        name = _simple_name(call)
        if name in _IGNORED or not call.paths:
            continue
        if call.touches(store):
            audit.seen[name] += 1
            derived += Counter({name: any(call.touches(place) for place in places)})
        elif not call.touches(temporary):
            audit.wrong += outside(call, name)
    # A listing is an open, an fstat, two or more getdents64 and a close to the kernel.
    listings = audit.noted.pop("listdir", 0)
    if audit.seen.pop("listdir", 0) < 2 * listings:
        audit.wrong.append("folders were listed less often than was noted")
    for name in ("openat", "fstat", "close"):
        audit.noted[name] += listings
    # A mapping looks at the size of its file first.
    audit.noted["fstat"] += audit.noted["mmap"]
    for name in sorted(audit.noted | audit.seen):
        surplus = audit.seen[name] - audit.noted[name]
        if surplus and (not hot or not 0 < surplus <= derived[name]):
            audit.wrong.append(f"{name}: seen {audit.seen[name]}, noted {audit.noted[name]}")
        audit.kernel += surplus
    return audit


def outside(call: SystemCall, name: str) -> list[str]:
    """What is wrong with a call on something that is not the store's."""
    if name in _CHANGES or (name == "openat" and _may_write(call)):
        where = call.paths[-1]
        if not where.startswith(("/dev/null", "/dev/shm", "/proc/self", "/proc/thread-self")):
            return [f"writes outside the store: {call.name}({call.arguments})"]
    if name == "openat" and not call.failed:
        allowed = (*_SYSTEM, str(ROOT), sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"))
        if not any(p.startswith(allowed) for p in call.paths if p.startswith("/")):
            return [f"reads outside the store: {call.name}({call.arguments})"]
    return []


def _may_write(call: SystemCall) -> bool:
    return any(flag in call.arguments for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))


def audit(folder: Path, fleet: Fleet, *, seed: int, count: int, hot: bool) -> Audit:
    """Trace a process at work.

    Args:
        folder: An empty place.
        fleet: Where the process comes from.
        seed: Decides what it does.
        count: How many transactions.
        hot: Whether it builds hot segments, too.
    """
    path, log = folder / f"store-{hot}", folder / "strace"
    create(path)
    member = fleet.start("torture.bypass:write", str(path), seed, count, hot)
    assert member.receive() == "ready"
    with traced(member.pid, log, TRACED):
        member.send("go")
        (noted,) = member.rest()
    return compare(read_log(log), Counter(noted), path, hot=hot)


def main() -> None:
    """Trace processes, and say what they did."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.bypass")
    parser.add_argument("--count", type=int, default=200, help="transactions")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if why := missing():
        print(f"skipped: {why}")
        return
    failed = False
    for hot in (False, True):
        with (
            tempfile.TemporaryDirectory(prefix="pagelake-bypass-") as name,
            Fleet({"TMPDIR": os.path.join(name, "spill")}) as fleet,
        ):
            (Path(name) / "spill").mkdir()
            found = audit(Path(name), fleet, seed=arguments.seed, count=arguments.count, hot=hot)
        print(
            f"hot tier {'on' if hot else 'off'}: {found.seen.total():,} calls on the store, "
            f"{found.noted.total():,} noted, {found.kernel:,} by the SQL kernel, "
            f"{len(found.wrong)} wrong: {dict(found.seen)}"
        )
        print(*found.wrong[:20], sep="\n")
        failed = failed or bool(found.wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
