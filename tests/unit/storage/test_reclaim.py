"""Reclaim inside segments: dead pages give their room back, all others stay as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Corrupt, SnapshotGone
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, CloneTable, CreateTable, CreateTag, DropTag, Rewrite
from pagelake.storage.maintenance.backup import backup
from pagelake.storage.maintenance.check import check
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_moving
from pagelake.storage.page import PAGE_ALIGNMENT, PageKind, segment_name
from pagelake.storage.reclaim import sparse_segments
from pagelake.storage.row_group import RowGroupWriter
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, commit, definition
from tests.unit.storage.test_past import CALM, add_page, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake.storage.effects import RowGroup

ROWS = 40_000
"""Of random numbers: some 300 KiB, which no file system notes anywhere but in blocks."""


@pytest.fixture(params=["memory", "local"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryDevice | LocalDevice]:
    if request.param == "memory":
        yield MemoryDevice()
        return
    opened = LocalDevice(tmp_path / "store", create=True)
    yield opened
    opened.close()


@pytest.fixture
def store(device: MemoryDevice | LocalDevice) -> Store:
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    return store


def numbers(seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(1 << 62, size=ROWS).tolist()


def rows(store: Store, table: str = TABLE) -> list[RowGroup]:
    return list(store.snapshot().tables[table].row_groups)


def remove(store: Store, group: RowGroup) -> int:
    return commit(store, Rewrite(TABLE, (group.id,), ()))


def readable(store: Store, group: RowGroup) -> bool:
    try:
        for chunk in group.chunks.values():
            store.pages.get(chunk.page)
    except Corrupt as error:
        assert error.offset == chunk.page.offset and error.file == segment_name(chunk.page.segment)
        return False
    return True


def test_dead_pages_give_their_room_back(device: MemoryDevice | LocalDevice, store: Store) -> None:
    for seed in range(3):
        add_page(store, *numbers(seed))
    first, second, third = rows(store)
    assert len(device.list("segments")) == 1, "one writer after another uses the same segment"
    remove(store, second)
    assert store.reclaim(0).bytes_freed == second.stored_bytes
    assert not readable(store, second), "never zeros in place of rows"
    assert values(store, store.known_version) == numbers(0) + numbers(2)
    assert readable(store, first) and readable(store, third)
    assert store.reclaim(0).bytes_freed == 0, "and once only"


def test_room_comes_back_to_the_file_system(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    for seed in range(4):
        add_page(store, *numbers(seed))
    (name,) = device.list("segments")
    segment = tmp_path / "store/segments" / name
    before = segment.stat()
    for group in rows(store)[:3]:
        remove(store, group)
    freed = store.reclaim(0).bytes_freed
    after = segment.stat()
    live = rows(store)[0].stored_bytes
    assert after.st_size == before.st_size
    assert (before.st_blocks - after.st_blocks) * 512 == freed > 2.9 * live
    assert after.st_blocks * 512 <= 1.1 * live
    store.close()
    device.close()


@pytest.mark.parametrize("holder", ["version", "tag", "clone", "reader"])
def test_pages_that_somebody_can_reach_stay(
    device: MemoryDevice | LocalDevice, store: Store, holder: str
) -> None:
    add_page(store, *numbers(1))
    kept = add_page(store, *numbers(2))
    other = Store(device, environment=CALM)
    dead = rows(store)[1]
    if holder == "tag":
        commit(store, CreateTag("gold", kept))
    if holder == "clone":
        commit(store, CloneTable(definition("b" * 32, "u"), TABLE, kept))
    reading = other.pin(kept)
    if holder == "reader":
        reading.__enter__()
    remove(store, dead)
    store.reclaim(10**15 if holder == "version" else 0)
    assert readable(other, dead)
    if holder == "tag":
        commit(store, DropTag("gold"))
    if holder == "reader":
        reading.__exit__(None, None, None)
        other.pins.settle()
    if holder != "clone":
        assert store.reclaim(0).bytes_freed >= dead.stored_bytes
        assert not readable(other, dead)


def test_pages_of_an_open_transaction_stay_whoever_reclaims(
    device: MemoryDevice | LocalDevice, store: Store
) -> None:
    other = Store(device, environment=CALM)
    add_page(other, *numbers(1))
    add_page(other, *numbers(2))
    transaction = other.begin()
    batch = pa.record_batch([pa.array(numbers(3), pa.int64())], names=["1"])
    added = RowGroupWriter(other, transaction, [1], inlines=False).write([batch])
    first, second = rows(store)
    remove(store, second)
    assert len(device.list("segments")) == 1
    assert store.reclaim(0).bytes_freed == 0, "the version that the transaction began on is read"
    transaction.add("INSERT", Append(TABLE, added))
    transaction.commit()
    other.pins.settle()
    assert store.reclaim(0).bytes_freed == second.stored_bytes
    assert values(other, other.known_version) == numbers(1) + numbers(3)
    assert readable(store, first)


def test_a_held_segment_gives_back_only_what_transactions_are_done_with(
    device: MemoryDevice | LocalDevice, store: Store
) -> None:
    """The writer's process reads nothing here, so only its hold speaks for its pages."""
    add_page(store, *numbers(1))
    writer = store.pages.writer()
    ref = writer.append(bytes(ROWS) + b"x", PageKind.COLUMN_CHUNK)
    other = Store(device, environment=CALM)
    dead = rows(store)[0]
    remove(other, dead)
    other.reclaim(0)
    assert not readable(other, dead)
    assert bytes(store.pages.get(ref))[-1:] == b"x"
    store.pages.release(writer)
    other.reclaim(0)
    with pytest.raises(Corrupt):
        store.pages.get(ref)


def test_pages_that_a_rollback_left_are_given_back(
    device: MemoryDevice | LocalDevice, store: Store
) -> None:
    add_page(store, *numbers(1))
    transaction = store.begin()
    batch = pa.record_batch([pa.array(numbers(2), pa.int64())], names=["1"])
    (left,) = RowGroupWriter(store, transaction, [1], inlines=False).write([batch])
    transaction.rollback()
    assert readable(store, left)
    assert store.reclaim(0).bytes_freed == left.stored_bytes
    assert not readable(store, left)
    assert values(store, store.known_version) == numbers(1)


def test_a_view_keeps_its_bytes(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    add_page(store, *numbers(1))
    add_page(store, *numbers(2))
    dead = rows(store)[0]
    view = store.pages.get(dead.chunks[1].page)
    expected = bytes(view)
    remove(store, dead)
    part = memoryview(np.frombuffer(view, np.uint8))[100:-100]
    del view
    elsewhere = Store(LocalDevice(tmp_path / "store", create=True), environment=CALM)
    assert elsewhere.reclaim(0).bytes_freed == 0, "somebody looks at it"
    assert part == expected[100:-100]
    del part
    assert elsewhere.reclaim(0).bytes_freed == dead.stored_bytes
    elsewhere.device.close()
    device.close()


def test_two_reclaims_at_once(device: MemoryDevice | LocalDevice, store: Store) -> None:
    """One that was stopped half-way frees what was dead then, which is dead for good."""
    for seed in range(3):
        add_page(store, *numbers(seed))
    slow = Store(device, environment=CALM)
    remove(store, rows(store)[0])
    honest, stopped = device.punch, []

    def punch(name: str, ranges: list[tuple[int, int]]) -> int | None:
        if not stopped:
            stopped.append(True)
            add_page(store, *numbers(9))
            remove(store, rows(store)[0])
            store.reclaim(0)
        return honest(name, ranges)

    device.punch = punch  # type: ignore[method-assign, assignment]
    slow.reclaim(0)
    assert stopped
    assert values(slow, slow.snapshot().version) == numbers(2) + numbers(9)
    assert [f for f in check(store) if f.severity.name == "DAMAGE"] == []


def test_check_and_backup_pass_over_what_was_given_back(
    device: MemoryDevice | LocalDevice, store: Store
) -> None:
    copy = MemoryDevice()
    for seed in range(3):
        add_page(store, *numbers(seed))
    assert backup(store, copy).bytes_copied > 0
    remove(store, rows(store)[1])
    assert store.reclaim(0).bytes_freed > 0
    assert list(check(store)) == []
    last = add_page(store, *numbers(3))
    again = backup(store, copy)
    assert again.version == last
    assert again.bytes_copied < 2 * rows(store)[0].stored_bytes
    restored = Store(copy, environment=CALM)
    assert values(restored, last) == numbers(0) + numbers(2) + numbers(3)
    assert [f for f in check(restored) if f.severity.name == "DAMAGE"] == []
    fresh = MemoryDevice()
    backup(store, fresh)
    restored = Store(fresh, environment=CALM)
    assert values(restored, last) == numbers(0) + numbers(2) + numbers(3)


def test_a_device_without_holes_has_its_segments_emptied(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    device._has_holes = False
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    for seed in range(4):
        add_page(store, *numbers(seed))
    dead, *live = rows(store)
    (name,) = device.list("segments")
    remove(store, dead)
    assert store.reclaim(0).bytes_freed == 0
    assert readable(store, dead)
    store.reclaim(0)  # nobody appends to the segment any more
    assert store.pages.sparse == {int(name, 16)}
    state = store.snapshot().tables[TABLE]
    (step,) = plan_moving(state, store.pages.sparse)
    assert step.groups == tuple(group.id for group in live)
    rewrite(store, TABLE, [step])
    assert plan_moving(store.snapshot().tables[TABLE], store.pages.sparse) == []
    assert store.reclaim(0).segments == 1
    assert name not in device.list("segments") and store.pages.sparse == frozenset()
    assert values(store, store.known_version) == numbers(1) + numbers(2) + numbers(3)
    store.close()
    device.close()


@pytest.mark.parametrize(
    ("segments", "sparse"),
    [
        ([], set()),
        ([(1, 100, 0), (2, 100, 100)], {2}),
        ([(1, 100, 10), (2, 100, 10)], set()),
        ([(1, 100, 90), (2, 1000, 0)], set()),
        ([(1, 100, 50), (2, 100, 60), (3, 100, 10)], {1, 2}),
        ([(1, 100, 50), (2, 400, 60), (3, 100, 5)], {1}),
        ([(segment, 100, 10) for segment in range(50)], set()),
    ],
)
def test_segments_are_emptied_until_the_rest_is_small(
    segments: list[tuple[int, int, int]], sparse: set[int]
) -> None:
    assert sparse_segments(segments) == sparse


_KILLED = """
import os, pathlib, signal, sys
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.page import PageKind
from pagelake.storage.store import Store
store = Store(LocalDevice(pathlib.Path(sys.argv[1]), create=True))
store.pages.writer().append(bytes(100_000), PageKind.COLUMN_CHUNK)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    subprocess.run([sys.executable, "-c", _KILLED, tmp_path / "store"], check=False)
    assert len(device.list("segments")) == 1
    assert store.reclaim(0).segments == 1
    store.close()
    device.close()


def test_old_files_without_a_name_of_their_own_go(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    now_s = time.time()
    for name, age_s in (("hot-old.duckdb", 7200), ("hot-new.duckdb", 60), ("hot-odd", -7200)):
        path = tmp_path / "store/tmp" / name
        path.write_bytes(bytes(PAGE_ALIGNMENT))
        os.utime(path, (now_s - age_s, now_s - age_s))
    spilled = tmp_path / "store/tmp/folder"
    spilled.mkdir()
    os.utime(spilled, (1, 1))
    assert store.reclaim(0).bytes_freed == PAGE_ALIGNMENT
    assert device.list("tmp") == ["folder", "hot-new.duckdb", "hot-odd"]
    store.close()
    device.close()


def test_a_version_below_the_horizon_is_gone_before_its_pages_are(store: Store) -> None:
    early = add_page(store, *numbers(1))
    add_page(store, *numbers(2))
    remove(store, rows(store)[0])
    store.reclaim(0)
    with pytest.raises(SnapshotGone):
        store.snapshot_at(early)
