"""Every legal state after a power failure opens with all that was promised, and takes more.

``PAGELAKE_FULL=1`` goes through 300,000 states instead of 20,000; ``PAGELAKE_SEED`` sets the first
seed. ``python -m tests.crash.crash_states`` does the same and prints what it is at.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from pagelake.storage import pins
from pagelake.storage.devices.crash_states import Disk
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import (
    Append,
    Create,
    Link,
    Mark,
    Punch,
    RecordingDevice,
    Stage,
    Sync,
    SyncDirectory,
    Trace,
    Unlink,
)
from tests.crash.crash_states import STATES_FULL, Lost, explore
from tests.crash.workloads import WORKLOADS, folds, paged_appends, punches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.oracle import Run

FULL = os.environ.get("PAGELAKE_FULL") == "1"
SEED = int(os.environ.get("PAGELAKE_SEED", "0"))
STATES = -(-STATES_FULL // len(WORKLOADS)) if FULL else 20
"""States a workload: a sample here, the whole number by `make crash`."""


@pytest.mark.parametrize(
    "workload", WORKLOADS if FULL else WORKLOADS[::3], ids=lambda workload: workload.__name__
)
def test_no_state_loses_what_was_promised(workload: Callable[[Run], None]) -> None:
    states = explore(workload, states=STATES, seed=SEED)
    print(f"{workload.__name__}, seed {SEED}: {states:,} states, 0 lost")
    assert states >= STATES


# The tests are worth something only if they notice a store that forgets a sync.


@pytest.mark.parametrize(
    ("folder", "workload"),
    [
        ("", paged_appends),
        ("log", paged_appends),
        ("segments", paged_appends),
        ("log/bundles", folds),
        ("log/boundary", folds),
        ("log/horizon", punches),
    ],
)
def test_a_forgotten_sync_of_a_folder_is_noticed(
    monkeypatch: pytest.MonkeyPatch, folder: str, workload: Callable[[Run], None]
) -> None:
    honest = RecordingDevice.sync_directory

    def forgetful(device: RecordingDevice, name: str) -> None:
        if name != folder:
            honest(device, name)

    monkeypatch.setattr(RecordingDevice, "sync_directory", forgetful)
    with pytest.raises(Lost):
        explore(workload, states=1, seed=0)


def test_a_forgotten_sync_of_pages_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pagelake.storage.devices.recording_device._RecordedAppendFile.sync", lambda file: None
    )
    with pytest.raises(Lost):
        explore(paged_appends, states=1, seed=0)


def test_a_punch_where_a_transaction_still_writes_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = pins.held_segments
    monkeypatch.setattr(pins, "held_segments", lambda d: dict.fromkeys(honest(d), 1 << 60))
    with pytest.raises(Lost):
        explore(punches, states=1, seed=0)


# The model


def contents(disk: Disk, name: str) -> set[bytes | None]:
    """What a file can hold after a power failure; None where it can be missing."""
    return {state.files.get(name) for state in disk.states(Random(1), samples=200)}


def test_what_was_synced_stays() -> None:
    disk = Disk.after({}, [Create(1, "d/a"), Append(1, b"xy"), Sync(1), SyncDirectory("d")])
    assert contents(disk, "d/a") == {b"xy"}


def test_synced_bytes_without_a_synced_name_may_be_gone() -> None:
    disk = Disk.after({}, [Create(1, "d/a"), Append(1, b"xy"), Sync(1), SyncDirectory("e")])
    assert contents(disk, "d/a") == {None, b"xy"}


def test_what_was_punched_may_be_there_in_any_part_until_it_is_synced() -> None:
    calls = [Create(1, "d/a"), Append(1, b"x" * 8192), Sync(1), SyncDirectory("d")]
    disk = Disk.after({}, [*calls, Punch("d/a", ((4096, 4096),))])
    found = contents(disk, "d/a")
    assert found > {b"x" * 8192, b"x" * 4096 + bytes(4096)}
    assert all(content is not None and content[:4096] == b"x" * 4096 for content in found)
    disk.apply(Sync(1))
    assert contents(disk, "d/a") == {b"x" * 4096 + bytes(4096)}


def test_unsynced_bytes_are_lost_kept_torn_or_zero() -> None:
    disk = Disk.after({}, [Create(1, "d/a"), Append(1, b"xy"), SyncDirectory("d")])
    found = contents(disk, "d/a")
    assert found >= {b"", b"xy", b"\0\0"}
    assert found & {b"x", b"x\0"}
    assert None not in found


def test_unsynced_appends_are_kept_in_any_subset_and_torn_at_every_sector() -> None:
    parts = [b"a" * 512, b"b" * 1024]
    disk = Disk.after({}, [Create(1, "a"), *(Append(1, p) for p in parts), SyncDirectory("")])
    found = contents(disk, "a")
    assert bytes(512) + parts[1] in found
    assert parts[0] + bytes(1024) in found
    assert parts[0] in found
    assert parts[0] + b"b" * 512 in found
    assert parts[0] + b"b" * 512 + bytes(512) in found
    assert parts[0] + bytes(512) + b"b" * 512 in found


def test_names_come_and_go_independently_until_their_folder_is_synced() -> None:
    calls = [Stage(1, b"new"), Link(1, "d/new"), Unlink("d/old"), SyncDirectory("d/e")]
    disk = Disk.after({"d/old": b"old"}, calls)
    found = {frozenset(state.files) for state in disk.states(Random(1), samples=0)}
    names = [[], ["d/new"], ["d/old"], ["d/new", "d/old"]]
    assert found == {frozenset(some) for some in names}
    disk.apply(SyncDirectory("d"))
    assert [set(state.files) for state in disk.states(Random(1), samples=0)] == [{"d/new"}]


def test_a_name_used_again_leads_to_nothing_the_old_file_or_the_new_one() -> None:
    disk = Disk.after({"d/a": b"old"}, [Unlink("d/a"), Stage(1, b"new"), Link(1, "d/a")])
    assert contents(disk, "d/a") == {b"old", None, b"new"}


def test_equal_states_have_equal_digests_and_others_do_not() -> None:
    disk = Disk.after({}, [Create(1, "a"), Append(1, bytes(700)), Append(1, b"x" * 700)])
    by_digest: dict[bytes, dict[str, bytes]] = {}
    for state in disk.states(Random(1), samples=50):
        assert by_digest.setdefault(state.digest, dict(state.files)) == state.files
    assert len({tuple(files.items()) for files in by_digest.values()}) == len(by_digest)


def test_a_trace_holds_what_changed_and_leads_to_the_device_as_it_is() -> None:
    device = RecordingDevice(MemoryDevice({"d/old": b"old"}), trace=Trace({"d/old": b"old"}))
    file = device.create("d/a")
    assert file.append(b"x", b"y") == 0
    file.sync()
    staged = device.stage(b"s")
    assert not staged.link("d/old")
    assert staged.link("d/s")
    device.unlink("d/old")
    device.sync_directory("d")
    device.mark("done")
    assert device.trace.calls == [
        Create(1, "d/a"),
        Append(1, b"xy"),
        Sync(1),
        Stage(2, b"s"),
        Link(2, "d/s"),
        Unlink("d/old"),
        SyncDirectory("d"),
        Mark("done"),
    ]
    disk = Disk.after(device.trace.initial, device.trace.calls)
    assert disk.visible() == {"d/a": b"xy", "d/s": b"s"} == dict(disk.durable().files)


def test_a_continued_trace_keeps_what_was_not_synced_unsynced() -> None:
    first = RecordingDevice()
    first.create("d/a").append(b"x")
    disk = Disk.after({}, first.trace.calls)
    second = RecordingDevice(MemoryDevice(disk.visible()), trace=first.trace.prefix(2))
    second.stage(b"s").link("d/s")
    second.sync_directory("d")
    after = Disk.after({}, second.trace.calls)
    assert after.durable().files == {"d/a": b"", "d/s": b"s"}
    assert len(first.trace.calls) == 2
