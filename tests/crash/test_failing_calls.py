"""Every file call of a run fails once, in every way: each run ends in success or a typed error.

Afterwards a process on a device that works finds every commit that was acknowledged, nothing of
those that are known to have failed, and a store that takes commits.
"""

from __future__ import annotations

import os
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Error, OutcomeUnknown
from pagelake.storage.devices.failing_calls import FailingCalls, Fault
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.recording_device import RecordingDevice
from pagelake.storage.store import Store
from tests.crash.oracle import Reader, Run, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = "failing calls"
WAYS = [
    *((fault, False) for fault in Fault),
    # The device did what it was asked for, and the answer was an error all the same.
    (Fault.EIO, True),
]
FULL = os.environ.get("PAGELAKE_FULL") == "1"
STEP = 1 if FULL else 3
"""``make crash`` fails every call, ``make test`` every third."""
IDS = [f"{fault.name}{' late' if late else ''}" for fault, late in WAYS]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A place for a store, in memory where there is such a place: what fails is injected."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path / "store"
        return
    folder = shared / f"pagelake-{os.getpid()}-{tmp_path.name}"
    yield folder / "store"
    shutil.rmtree(folder, ignore_errors=True)


def until_none_fails(
    path: Path,
    fault: Fault,
    attempt: Callable[[FailingCalls], None],
    *,
    late: bool = False,
    step: int = 1,
) -> dict[str, int]:
    """Repeat an attempt with the first call failing, then the second…; failures by call.

    Args:
        path: Where the attempt makes its store.
        fault: How a call fails.
        attempt: What is tried.
        late: See ``FailingCalls``.
        step: Try only one in so many calls.
    """
    failed: dict[str, int] = {}
    for at in count(1, step):
        shutil.rmtree(path, ignore_errors=True)
        failing = FailingCalls(fault, at, late=late)
        before = len(os.listdir("/dev/fd"))
        attempt(failing)
        assert len(os.listdir("/dev/fd")) == before, f"call {at}, {failing.failed}, leaks"
        if failing.failed is None:
            break
        failed[failing.failed] = failed.get(failing.failed, 0) + 1
    return failed


class CarefulRun(Run):
    """A run that rolls back what was under way when it failed, as a session does.

    Args:
        seed: Decides everything.
        device: Where it writes.
        before: The run that it continues.
        version: The version that the device must be at; by default the last of that run.
    """

    def __init__(
        self,
        seed: str,
        device: LocalDevice | None = None,
        before: Run | None = None,
        *,
        version: int | None = None,
    ) -> None:
        last = 0 if before is None else before.version
        super().__init__(seed, before=before, version=last if version is None else version)
        self.device = RecordingDevice(device)

    def begin(self, store: Store) -> Work:
        self.work = super().begin(store)
        return self.work

    def close(self) -> None:
        work = getattr(self, "work", None)
        if work is not None and work.transaction.open:
            work.transaction.rollback()
        super().close()


def first_life(run: Run) -> None:
    """Some of everything that a store does."""
    store = run.open()
    run.begin(store).create("t", "k", "v").commit()
    run.begin(store).append("t", 4).commit()
    run.begin(store).append("t", 30, pages=True).commit()
    run.begin(store).update("t", run.pick("t", 3)).commit()
    run.begin(store).delete("t", run.pick("t", 9), pages=True).commit()
    store.checkpoint()
    run.begin(store).create("u", "k").append("u", 2).drop("t").commit()
    store.checkpoint()
    assert store.fold() > 0


def second_life(run: Run) -> None:
    """What the next process does."""
    store = run.open()
    run.begin(store).append("u", 20, pages=True).transaction.rollback()
    run.begin(store).append("u", 20, pages=True).commit()
    work = run.begin(store)
    for _ in range(6):
        work.append("u", 1, pages=True)
    work.commit()
    run.compact(store, "u")
    assert store.reclaim(0).segments > 0


def attempt_lives(path: Path, failing: FailingCalls) -> None:
    runs = [CarefulRun(SEED)]
    error: Error | None = None
    for life in (first_life, second_life):
        before = runs[-1]
        try:
            device = LocalDevice(path, create=True, calls=failing.calls)
            seed = f"{SEED} {len(runs)}"
            runs.append(CarefulRun(seed, device, before))
            try:
                life(runs[-1])
            except OutcomeUnknown:
                refuse_if_poisoned(path, runs[-1])
                raise
            finally:
                runs[-1].close()
                device.close()
        except Error as caught:
            error = caught
            break
    if failing.failed in {"fsync", "fdatasync"} and failing.fault is not Fault.ENOSPC:
        # A full device is still opened, although the file that probes it cannot be synced.
        assert error is not None, "a sync failed, and nobody noticed"
    find_what_was_promised(path, runs[-1], error)


def refuse_if_poisoned(path: Path, run: Run) -> None:
    """Who does not know whether its last commit is durable builds nothing on it."""
    published = (path / f"log/{run.version + 1:020d}").exists()
    if published and run._stores:
        with pytest.raises(OutcomeUnknown):
            run.begin(run._stores[-1]).create("more", "k").transaction.commit()


def find_what_was_promised(path: Path, run: Run, error: Error | None) -> None:
    device = LocalDevice(path, create=True)
    store = Store(device, environment=run.environment)
    snapshot = store.snapshot()
    possible = [run.version]
    if isinstance(error, OutcomeUnknown) and run.version + 1 in run.expected:
        possible.append(run.version + 1)
    assert snapshot.version in possible, error
    assert Reader().content(store, snapshot) == run.expected[snapshot.version]
    after = CarefulRun(f"{SEED} after", device, run, version=snapshot.version)
    again = after.open()
    after.begin(again).create("afterwards", "k").append("afterwards", 1).commit()
    after.close()
    store.close()
    device.close()


@pytest.mark.parametrize(("fault", "late"), WAYS, ids=IDS)
def test_a_store(path: Path, fault: Fault, late: bool) -> None:
    failed = until_none_fails(path, fault, lambda f: attempt_lives(path, f), late=late, step=STEP)
    assert failed.get("writev", 0) > 10 // STEP
    if FULL and fault is not Fault.SHORT_WRITE:
        assert {"open", "link_unnamed", "fsync", "fdatasync"} <= failed.keys()
        assert "punch" in failed or sys.platform != "linux"
