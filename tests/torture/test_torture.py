"""Small versions of the programs in this folder; each says why where it cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.settings import SETTINGS
from tests.multiprocess.fleet import ROOT, Fleet
from tests.torture import bypass, limits, namespace, tracing
from tests.torture.bypass import compare
from tests.torture.failing_syscalls import Toll, fail_each, used_after_failed_sync
from tests.torture.limits import sweep
from tests.torture.soak import Meter
from tests.torture.surgery import OPERATIONS, operate
from tests.torture.tracing import SystemCall
from tests.torture.victim import Witness

if TYPE_CHECKING:
    from pathlib import Path

traceable = pytest.mark.skipif(bool(tracing.missing()), reason=tracing.missing())
only_full = pytest.mark.skipif(
    os.environ.get("PAGELAKE_FULL") != "1", reason="takes long: PAGELAKE_FULL=1, or make torture"
)
SEED = 5


def run(program: str, *arguments: str) -> str:
    """What a program prints; it must be content with what it found."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.torture.{program}", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# System calls that fail


@traceable
@pytest.mark.parametrize(
    ("call", "error"),
    [("fdatasync", "EIO"), ("fsync", "EIO"), ("linkat", "EINTR"), ("writev", "ENOSPC")],
)
def test_failing_system_calls(tmp_path: Path, call: str, error: str) -> None:
    toll = Toll()
    with Fleet() as fleet:
        fail_each(tmp_path, call, error, SEED, step=28, toll=toll, fleet=fleet)
    assert toll.wrong == []
    assert toll.trials >= 1
    assert toll.injected[f"{call} {error}"] >= toll.trials


def test_the_use_of_a_file_after_its_failed_sync_is_told() -> None:
    failed = SystemCall(1, "fdatasync", "3</store/segments/a>", "-1 EIO (…) (INJECTED)")
    again = SystemCall(1, "fdatasync", "3</store/segments/a>", "0")
    other = SystemCall(1, "fdatasync", "3</store/segments/b>", "0")
    assert used_after_failed_sync([again, failed, other]) == []
    (told,) = used_after_failed_sync([failed, other, again])
    assert "segments/a" in told


def test_a_witness_knows_what_may_have_happened() -> None:
    witness = Witness(SEED)
    for said in (["begin", 0], ["done", 0], ["begin", 1], ["failed", 1, "StorageFull", ""]):
        witness.hear(said)
    assert len(witness.possible) == 1
    for said in (["begin", 2], ["failed", 2, "OutcomeUnknown", ""]):
        witness.hear(said)
    known = list(witness.possible)
    witness.hear(["begin", 3])
    witness.died()
    assert all(model in witness.possible for model in known)
    assert witness.acknowledged == 1


# What a process asks of the kernel


@traceable
@pytest.mark.parametrize("hot", [False, True], ids=["hot off", "hot on"])
def test_every_file_call_goes_through_the_seam(tmp_path: Path, hot: bool) -> None:
    (tmp_path / "spill").mkdir()
    with Fleet({"TMPDIR": str(tmp_path / "spill")}) as fleet:
        found = bypass.audit(tmp_path, fleet, seed=SEED, count=4, hot=hot)
    assert found.wrong == []
    assert found.noted["fdatasync"] > 0
    assert (found.kernel > 0) == hot


def test_what_passes_by_the_seam_is_told(tmp_path: Path) -> None:
    store = tmp_path / "store"
    calls = [
        SystemCall(1, "fsync", f"3<{store}/log>", "0"),
        SystemCall(1, "openat", 'AT_FDCWD, "/home/me/diary", O_WRONLY|O_CREAT', "4"),
        SystemCall(1, "openat", f'AT_FDCWD, "{store}/log/1", O_RDONLY', "-1 ENOENT"),
    ]
    found = compare(calls, Counter(openat=1), store, hot=False)
    assert ["fsync" in wrong or "diary" in wrong for wrong in found.wrong] == [True, True]
    calls = [SystemCall(1, "pwrite64", f'3<{store}/segments/1>, "x"', "1")]
    assert compare(calls, Counter(), store, hot=True).wrong != []
    calls = [SystemCall(1, "pwrite64", f'3<{store}/hot/1>, "x"', "1")]
    assert compare(calls, Counter(), store, hot=True).wrong == []


# Power cuts


@pytest.mark.skipif(bool(namespace.fuse_missing()), reason=namespace.fuse_missing())
def test_power_cuts() -> None:
    assert "0 wrong" in run("lossy_mounts", "--mounts", "3", "--seed", "3")


@only_full
@pytest.mark.skipif(bool(namespace.fuse_missing()), reason=namespace.fuse_missing())
def test_a_process_that_does_not_sync_loses() -> None:
    """The harness itself."""
    with pytest.raises(AssertionError, match=r"[1-9]\d* wrong"):
        run("lossy_mounts", "--mounts", "12", "--seed", "3", "--careless")


# Out of room, memory, descriptors


@only_full
@pytest.mark.skipif(bool(namespace.loop_missing()), reason=namespace.loop_missing())
def test_a_disk_that_fills_up() -> None:
    assert "0 wrong" in run("small_disk", "--points", "3", "--seed", "2", "--kind", "ext4")


@pytest.mark.parametrize(("limit", "step"), [("file size", 16), ("descriptors", 24)])
def test_limits(limit: str, step: int) -> None:
    toll = sweep(limit, SEED, step=step)
    assert toll.wrong == []
    assert toll.lives == len(limits.SIZES[limit][::step])
    assert toll.acknowledged > 0


def test_no_thread_for_what_follows_a_commit(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement whose commit was made must not fail for what comes after it."""
    start, refused = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if isinstance(thread, threading.Timer) or thread.name == "pagelake-maintenance":
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (a BIGINT)")
        db.execute("INSERT INTO t VALUES (1)")
        assert db.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert len(refused) > 1
    assert "pagelake-maintenance" in refused


def test_out_of_memory_has_a_type(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (a BIGINT)")
        with monkeypatch.context() as patch:
            patch.setattr(type(db._database.store), "commit", exhausted)
            with pytest.raises(pagelake.OutcomeUnknown):
                db.execute("INSERT INTO t VALUES (1)")
        with monkeypatch.context() as patch:
            patch.setattr("pagelake.engine.query.make_plan", exhausted)
            with pytest.raises(pagelake.LimitExceeded):
                db.execute("SELECT 41")
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    monkeypatch.setattr("pagelake.engine.database.Kernel", exhausted)
    with pytest.raises(pagelake.LimitExceeded):
        pagelake.connect(store_path)


def test_full_temporary_folders_keep_nobody_from_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr("tempfile.gettempdir", full)
    assert "pagelake-" in str(SETTINGS["temp_directory"].default())


# Surgery on files


def test_surgery_is_noticed() -> None:
    done = operate(1_300, SEED)
    assert done.outcome.silent == []
    assert done.outcome.kinds.keys() == {operation.__name__ for operation in OPERATIONS}
    assert done.outcome.errors["Corrupt"] > done.outcome.count // 3


def test_misplaced_records_are_noticed() -> None:
    assert operate(1_300, SEED).misplaced.silent == []


# Soak


def test_growth_is_told() -> None:
    meter = Meter()
    for second in range(60):
        meter.note("rss of steady", second, (100 << 20) + second % 7 * 1000)
        meter.note("rss of leaking", second, (100 << 20) + second * (1 << 20))
        meter.note("files of warming up", second, min(second, 20))
    (told,) = meter.growing()
    assert "leaking" in told
