"""Walks with real processes, and with processes that hang, die or fail."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from pagelake.errors import InternalError, Interrupted, InvalidRequest, Unavailable
from pagelake.extensions.catalog import coordinator, worker
from pagelake.extensions.catalog.block import (
    Block,
    EntryArray,
    WalkError,
    WalkOptions,
    WalkProgress,
    order_key,
)
from pagelake.extensions.catalog.coordinator import walk
from pagelake.extensions.catalog.frontier import Frontier
from pagelake.extensions.catalog.walker import Answer
from pagelake.extensions.catalog.worker_process import WorkerProcess
from tests.unit.extensions.catalog.trees import ODD_NAMES, Tree, make, same

SABOTAGE = """
import sys; sys.path[:] = sys.argv[1:]
import os, signal, time
from {module} import main
from pagelake.extensions.catalog.walker import Walker

real = Walker._read_directory

def read(self, path, *rest):
    place = os.path.basename(path)
    if place == b"hang":
        time.sleep(1000)
    if place == b"busy":
        while True:
            self._beat()
            time.sleep(0.05)
    if place.startswith(b"die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if place == b"crash":
        raise RuntimeError("broken on purpose")
    return real(self, path, *rest)

Walker._read_directory = read
main()
"""


@pytest.fixture
def sabotaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers fail in directories named for what then happens."""
    monkeypatch.setattr(worker, "START", SABOTAGE)


class Recorded(WorkerProcess):
    """A worker that notes what it is asked to do."""

    started: ClassVar[list["Recorded"]] = []

    def __init__(self, root: bytes, device: int, options: WalkOptions) -> None:
        super().__init__(root, device, options)
        self.budgets: list[int] = []
        Recorded.started.append(self)

    def run(self, paths: list[bytes], own: EntryArray, budget: int) -> Answer:
        self.budgets.append(budget)
        return super().run(paths, own, budget)


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recorded]]:
    """All workers that a test starts; none may be there after it."""
    monkeypatch.setattr(coordinator, "WorkerProcess", Recorded)
    Recorded.started.clear()
    yield Recorded.started
    assert all(one._process.poll() is not None for one in Recorded.started)


def wide() -> Tree:
    """Return a tree with more directories than one task takes."""
    odd: Tree = {name: {b"x": b"", b"l": "x"} for name in ODD_NAMES}
    return {b"d%d" % i: {**odd, b"e%d" % i: b"."} for i in range(30)}


@pytest.mark.parametrize("count", [1, 3])
def test_several_processes_find_what_a_plain_recursion_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, processes: list[Recorded]
) -> None:
    monkeypatch.setattr(coordinator, "SEED_BUDGET", 5)
    monkeypatch.setattr(coordinator, "BUDGET", 20)
    root = make(bytes(tmp_path) + b"/r\xff", wide())
    seen: list[WalkProgress] = []
    same(list(walk(root + b"/", WalkOptions(processes=count), seen.append)), root)
    assert len(processes) <= count
    total = sum(len(names) for _, names, _ in _listed(root))
    assert (seen[-1].entries, seen[-1].errors) == (total + 1, 0)
    assert seen[-1].directories == 1 + 30 * (1 + len(ODD_NAMES))
    assert seen[-1].total_bytes == sum(os.lstat(path).st_size for path in [root, *_paths(root)])


def _listed(root: bytes) -> Iterator[tuple[bytes, list[bytes], list[bytes]]]:
    for path, directories, files in os.walk(root):
        yield path, directories + files, files


def _paths(root: bytes) -> list[bytes]:
    return [path + b"/" + name for path, names, _ in _listed(root) for name in names]


def test_what_waits_is_bounded_when_nobody_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, value in [
        *(("SEED_BUDGET", 0), ("BUDGET", 0), ("TASK_DIRECTORIES", 1)),
        *(("HELD_ENTRIES_MAX", 50), ("LEAVE_ENTRIES", 1)),
    ]:
        monkeypatch.setattr(coordinator, limit, value)
    held = []
    frontiers = set()
    real = Frontier.finish

    def finish(self: Frontier, number: int, blocks: list[Block]) -> None:
        real(self, number, blocks)
        held.append(self.held)
        frontiers.add(self)

    monkeypatch.setattr(Frontier, "finish", finish)
    files: Tree = {b"%d" % i: b"" for i in range(10)}
    root = make(bytes(tmp_path) + b"/r", {b"%d" % i: dict(files) for i in range(60)})
    with closing(walk(root, WalkOptions(processes=2))) as blocks:
        first = next(blocks)
        assert (first.path, len(first.names)) == (root, 60)
        held.clear()
        (frontier,) = frontiers
        until = time.monotonic() + 60
        while frontier.running or frontier.held < 50:  # then all workers rest
            assert time.monotonic() < until
            time.sleep(0.01)
        assert max(held) <= 50 + 2 * (10 + 4)
        rest = [block.path for block in blocks]
    assert rest == sorted((root + b"/%d" % i for i in range(60)), key=order_key)


def test_a_full_house_does_not_stop_the_one_directory_that_all_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "BUDGET", 3)
    monkeypatch.setattr(coordinator, "HELD_ENTRIES_MAX", 1)
    # The first task reads the root, a and z; z must wait for a/b, which is left over.
    root = make(bytes(tmp_path) + b"/r", {b"a": {b"b": {b"x": b""}}, b"z": {b"y": b""}})
    until = time.monotonic() + 60
    same(
        list(walk(root, WalkOptions(processes=1), cancelled=lambda: time.monotonic() > until)), root
    )


def test_a_root_that_is_none_is_refused(tmp_path: Path) -> None:
    root = bytes(tmp_path)
    make(root + b"/d", {b"f": b"", b"l": ".", b"sub": {}})
    for path, reason in [
        (root + b"/d/f", "is a file"),
        (root + b"/none", "No such file"),
        (root + b"/d/f/x", "Not a directory"),
        (root + b"/d/l", "symbolic link"),
        (b"", "no directory"),
        (b"/a\0b", "no directory"),
        (root + b"/" + b"x" * 300, "too long"),
    ]:
        with pytest.raises(InvalidRequest, match=reason):
            walk(path)
    identity = os.lstat(root + b"/d")
    with pytest.raises(InvalidRequest, match="skip"):
        walk(root + b"/d", WalkOptions(skip=frozenset({(identity.st_dev, identity.st_ino)})))


@pytest.mark.parametrize(
    "options",
    [
        WalkOptions(processes=0),
        WalkOptions(timeout_seconds=0),
        WalkOptions(exclude=("../x",)),
    ],
)
def test_options_without_meaning_are_refused(tmp_path: Path, options: WalkOptions) -> None:
    with pytest.raises(InvalidRequest):
        walk(bytes(tmp_path), options)


def test_a_root_by_two_dots_goes_where_the_file_system_says(tmp_path: Path) -> None:
    root = make(
        bytes(os.path.realpath(tmp_path), "utf-8") + b"/r",
        {b"a": {b"b": {}}, b"x": {}, b"l": "a/b"},
    )
    assert [block.path for block in walk(root + b"/l/..")] == [root + b"/a", root + b"/a/b"]


def test_cancel_ends_the_walk_and_its_processes(tmp_path: Path) -> None:
    root = make(bytes(tmp_path) + b"/r", wide())
    with pytest.raises(Interrupted):
        list(walk(root, cancelled=lambda: True))


def test_a_tree_that_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "BUDGET", 10)
    root = make(bytes(tmp_path) + b"/r", {**wide(), b"still": {b"x": {b"y": b""}}})
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            here, there = (b"/d%d" % (number % 30), b"/moved%d" % (number % 7))
            os.rename(root + here, root + there)
            make(root + here, {b"new": {b"x%d" % number: b""}, b"l": "/"})
            shutil.rmtree(root + there)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(3):
            blocks = list(walk(root, WalkOptions(processes=2)))
            paths = [block.path for block in blocks]
            assert paths == sorted(set(paths), key=order_key)
            assert {root, root + b"/still", root + b"/still/x"} <= set(paths)
            numbers = {error.errno for block in blocks for error in block.errors}
            assert numbers <= {errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP}
    finally:
        stop.set()
        changer.join()


@pytest.mark.usefixtures("sabotaged")
@pytest.mark.parametrize("place", [b"busy", b"hang"])
def test_leaving_early_ends_the_processes_whatever_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: bytes, processes: list[Recorded]
) -> None:
    monkeypatch.setattr(coordinator, "SEED_BUDGET", 0)
    root = make(bytes(tmp_path) + b"/r", {b"a": {b"x": b""}, place: {b"y": b""}, b"z": {}})
    with closing(walk(root, WalkOptions(processes=2))) as blocks:
        assert [next(blocks).path, next(blocks).path] == [root, root + b"/a"]
        assert any(one._process.poll() is None for one in processes)
    assert all(one._process.poll() is not None for one in processes)
    with pytest.raises(Interrupted):
        list(walk(root, cancelled=lambda: len(processes) > 2))


def test_a_mount_that_leads_round_is_refused(tmp_path: Path) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"a": {b"b": {}}})
    path, own = coordinator.root_of(root, WalkOptions())
    under_way = coordinator._Walk(path, own, WalkOptions(), None, None)
    answer = Answer(left=[root + b"/a", root + b"/b"], left_own=np.array([own, own]))
    answer.left_own["inode"][1] += 1
    (refused,) = under_way._enter_mounts(answer, np.array([0, 1]))
    assert refused.path == root + b"/a"
    assert refused.errors == (WalkError(root + b"/a", "open", errno.ELOOP),)
    answer.left = [root + b"/b/c/d", root + b"/bb"]
    answer.left_own["inode"][0] = answer.left_own["inode"][1]
    (refused,) = under_way._enter_mounts(answer, np.array([0, 1]))
    assert refused.path == root + b"/b/c/d"


@pytest.mark.usefixtures("sabotaged")
@pytest.mark.parametrize(
    ("place", "number"), [(b"hang", errno.ETIMEDOUT), (b"die", errno.EIO)], ids=["hangs", "dies"]
)
def test_a_process_that_is_lost_costs_one_directory(
    tmp_path: Path, place: bytes, number: int, processes: list[Recorded]
) -> None:
    root = make(
        bytes(tmp_path) + b"/r", {b"a": {place: {b"x": b""}, b"z": {b"y": b""}}, b"b": {b"c": {}}}
    )
    blocks = list(walk(root, WalkOptions(processes=1, timeout_seconds=2)))
    lost = root + b"/a/" + place
    errors = [error for block in blocks for error in block.errors]
    assert errors == [WalkError(lost, "scan", number)]
    assert [block.path[len(root) :] for block in blocks] == [
        *(b"", b"/a", b"/a/" + place, b"/a/z", b"/b", b"/b/c"),
    ]
    assert [len(block.names) for block in blocks] == [2, 2, 0, 1, 1, 0]
    # Once it is found, the rest is not read one by one any more.
    assert 0 in {budget for one in processes for budget in one.budgets}
    assert processes[-1].budgets[-1] > 0


@pytest.mark.usefixtures("sabotaged")
def test_processes_that_keep_dying_end_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "DEATHS_MAX", 3)
    root = make(bytes(tmp_path) + b"/r", {b"die%d" % i: {} for i in range(6)})
    with pytest.raises(Unavailable, match="keep dying"):
        list(walk(root))


@pytest.mark.usefixtures("sabotaged")
def test_a_defect_of_a_process_is_told(tmp_path: Path) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"crash": {}})
    with pytest.raises(InternalError, match="broken on purpose"):
        list(walk(root))


def test_a_process_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "START", "{module}; raise SystemExit('no numpy')")
    with pytest.raises(InternalError, match="NameError"):
        list(walk(bytes(tmp_path)))
    monkeypatch.setattr(worker, "START", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(Unavailable, match="did not start"):
        list(walk(bytes(tmp_path)))
    monkeypatch.setattr(worker, "command", lambda: [str(tmp_path / "none")])
    with pytest.raises(Unavailable, match="cannot be started"):
        list(walk(bytes(tmp_path)))


PROGRAM = """
import os, sys
from pagelake.extensions.catalog import coordinator, worker

worker.START = sys.argv[2]
real = coordinator.WorkerProcess.start

def start(self):
    real(self)
    print(self._process.pid, flush=True)

coordinator.WorkerProcess.start = start
for block in coordinator.walk(os.fsencode(sys.argv[1])):
    pass
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_no_process_outlives_the_program(tmp_path: Path, ending: signal.Signals) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"busy": {}})
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, os.fsdecode(root), SABOTAGE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        try:
            pid = int(program.stdout.readline())
            assert os.getpgid(pid) != program.pid  # Ctrl-C at a terminal does not come to it
            program.send_signal(ending)
            said = program.stderr.read()
            assert program.wait(60) == -ending
        finally:
            program.kill()
    assert (b"KeyboardInterrupt" in said) == (ending == signal.SIGINT)
    # Ended or being ended: a process that only waits to be collected runs no more.
    until = time.monotonic() + 60
    while _runs(pid):
        assert time.monotonic() < until
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Tell whether a process is there and not only waiting to be collected."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # gone this moment, unless there is no /proc here at all
        return not Path("/proc/self").exists()


BIND_MOUNTS = """
mount --bind "$1/a" "$1/a/b/loop" || exit 77
mount -t tmpfs none "$1/other" || exit 77
mkdir "$1/other/inside"
exec "$0" -c '
import os, sys
from pagelake.extensions.catalog.block import WalkOptions
from pagelake.extensions.catalog.coordinator import walk
root = os.fsencode(sys.argv[1])
for one in (True, False):
    for block in walk(root, WalkOptions(one_file_system=one, processes=2)):
        print(int(one), os.fsdecode(block.path[len(root):]), [e.errno for e in block.errors])
' "$1"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no mount name spaces here")
def test_mounts(tmp_path: Path) -> None:
    make(bytes(tmp_path) + b"/r", {b"a": {b"b": {b"loop": {}}, b"x": {}}, b"other": {}})
    found = subprocess.run(
        ["unshare", "-m", "sh", "-c", BIND_MOUNTS, sys.executable, str(tmp_path / "r")],
        capture_output=True,
        text=True,
    )
    if found.returncode == 77 or "unshare failed" in found.stderr:
        pytest.skip("mounting is not allowed here")
    # The mount of /a below itself is entered once; what is mounted in it is not repeated there.
    below = [
        "",
        "/a",
        "/a/b",
        "/a/b/loop",
        "/a/b/loop/b",
        "/a/b/loop/b/loop",
        "/a/b/loop/x",
        "/a/x",
    ]
    both = [*below, "/other"]
    assert found.stdout.splitlines() == [
        *(f"1 {path} []" for path in below),
        *(f"0 {path} []" for path in [*both, "/other/inside"]),
    ]
