"""Past versions, folding, the boundary, tags, clones, restores and reclaim, without SQL."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Conflict, OutcomeUnknown, SnapshotGone
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import (
    Append,
    CloneTable,
    CreateSchema,
    CreateTable,
    CreateTag,
    Delete,
    DeleteVector,
    DropTable,
    DropTag,
    RestoreTable,
    Rewrite,
)
from pagelake.storage.environment import Environment
from pagelake.storage.failpoints import Failpoint
from pagelake.storage.log.commit_log import record_name
from pagelake.storage.row_group import RowGroupWriter, read_row_group
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, column, commit, definition, inline_group

DAY_US = 86_400_000_000
CALM = Environment(threads=False)
"""Without threads, pins are let go of at once instead of lingering."""


def values(store: Store, version: int, table: str = TABLE) -> list[int]:
    state = store.snapshot_at(version).tables[table]
    found: list[int] = []
    for group in state.row_groups:
        batch = read_row_group(store, state.definition, group, [column()])
        gone = {int(p) for v in state.deletes.get(group.id, ()) for p in v.positions(store.pages)}
        found += [v for i, v in enumerate(batch.column(0).to_pylist()) if i not in gone]
    return found


def add(store: Store, *numbers: int) -> int:
    transaction = store.begin()
    append(transaction, list(numbers))
    return transaction.commit()


def add_paged(store: Store, numbers: range) -> int:
    transaction = store.begin()
    batch = pa.record_batch([pa.array(numbers, pa.int64())], names=["1"])
    writer = RowGroupWriter(store, transaction, [1])
    groups = writer.write([batch] * 8)
    assert groups[0].inline is None
    transaction.add("INSERT", Append(TABLE, groups))
    return transaction.commit()


def add_page(store: Store, *numbers: int) -> int:
    """Append a row group that has a page, however small it is."""
    transaction = store.begin()
    batch = pa.record_batch([pa.array(numbers, pa.int64())], names=["1"])
    groups = RowGroupWriter(store, transaction, [1], inlines=False).write([batch])
    transaction.add("INSERT", Append(TABLE, groups))
    return transaction.commit()


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def store(device: MemoryDevice) -> Store:
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    return store


def checkpoint_and_fold(store: Store) -> int:
    for _ in range(2):
        store.checkpoint()
        commit(store, CreateSchema(f"s{store.known_version}"))
    return store.fold()


def test_every_version_stays_as_it_was(device: MemoryDevice, store: Store) -> None:
    seen = {1: []}
    for number in range(2, 40):
        version = add(store, number)
        seen[version] = values(store, version)
        if number % 10 == 0:
            store.checkpoint()
    again = Store(device, environment=CALM)
    for version, expected in seen.items():
        assert values(again, version) == expected


def test_a_version_that_is_not_there_is_refused(store: Store) -> None:
    for version in (-1, 99):
        with pytest.raises(SnapshotGone, match="no version"):
            store.snapshot_at(version)


def test_versions_are_found_by_time(device: MemoryDevice) -> None:
    clock = [1000]
    store = Store(device, environment=Environment(now_us=lambda: clock[0]))
    commit(store, CreateTable(definition()))
    for second in range(2, 6):
        clock[0] = second * 1000
        add(store, second)
    assert [store.version_at(t) for t in (1000, 1999, 2000, 5500)] == [1, 1, 2, 5]
    with pytest.raises(SnapshotGone):
        store.version_at(999)


def test_folded_records_are_read_from_their_bundle(device: MemoryDevice, store: Store) -> None:
    for number in range(30):
        add(store, number)
    slow = Store(device, environment=CALM)
    for number in range(30, 60):
        add(store, number)
    folded = checkpoint_and_fold(store)
    assert folded == 61
    assert [n for n in device.list("log") if n.isdigit() and int(n) <= folded] == []
    assert slow.snapshot().version == store.snapshot().version
    assert values(slow, 40) == list(range(39))
    fresh = Store(device, environment=CALM)
    assert [i.version for i in fresh.history()] == list(range(1, fresh.known_version + 1))
    assert list(fresh.history()) == list(store.history()) == list(slow.history())


def test_a_freed_name_cannot_be_taken_for_a_commit(device: MemoryDevice) -> None:
    """SlateDB RFC 0026: the writer stalls, others commit, fold and free the name it chose."""
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    others = Store(device, environment=CALM)

    def stall(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.COMMIT_STAGED and others.known_version == 1:
            for number in range(20):
                add(others, number)
            assert checkpoint_and_fold(others) > 15

    zombie = Store(device, environment=Environment(reach=stall, threads=False))
    version = add(zombie, 1000)
    assert version > 20
    reader = Store(device, environment=CALM)
    assert values(reader, reader.known_version) == [*range(20), 1000]
    assert not device.exists(record_name(2)), "what was linked in vain is removed"


def test_a_commit_that_overslept_reclaim_is_unknown_or_kept(device: MemoryDevice) -> None:
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    others = Store(device, environment=CALM)

    def stall(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.COMMIT_LINKED and others.known_version == 1:
            for number in range(20):
                add(others, number)
            checkpoint_and_fold(others)
            others.reclaim(0)

    zombie = Store(device, environment=Environment(reach=stall, threads=False))
    transaction = zombie.begin()
    append(transaction, [1000])
    with suppress(OutcomeUnknown):
        transaction.commit()
    reader = Store(device, environment=CALM)
    assert sorted(values(reader, reader.known_version)) == [*range(20), 1000]


def test_a_clone_is_apart_from_its_source(device: MemoryDevice, store: Store) -> None:
    add(store, 1, 2)
    version = add(store, 3)
    add(store, 4)
    other = replace(definition("b" * 32, "u"))
    commit(store, CloneTable(other, TABLE, version))
    add(store, 5)
    transaction = store.begin()
    append(transaction, [6], "b" * 32)
    newest = transaction.commit()
    for reader in (store, Store(device, environment=CALM)):
        assert values(reader, newest) == [1, 2, 3, 4, 5]
        assert values(reader, newest, "b" * 32) == [1, 2, 3, 6]


def test_a_restore_brings_the_rows_back_and_gives_out_no_id_twice(store: Store) -> None:
    good = add(store, 1, 2)
    bad = add(store, 3)
    restored = commit(store, RestoreTable(TABLE, good))
    after = add(store, 4)
    assert values(store, restored) == [1, 2]
    assert values(store, bad) == [1, 2, 3]
    assert values(store, after) == [1, 2, 4]
    assert store.snapshot().tables[TABLE].row_groups[-1].first_row_id == 3


def test_a_restore_meets_a_concurrent_append(store: Store) -> None:
    good = add(store, 1)
    transaction = store.begin()
    transaction.add("RESTORE", RestoreTable(TABLE, good))
    add(store, 2)
    with pytest.raises(Conflict, match="restore"):
        transaction.commit()


def test_reclaim_frees_what_nothing_needs(device: MemoryDevice, store: Store) -> None:
    add_paged(store, range(60_000))
    groups = store.snapshot().tables[TABLE].row_groups
    kept = add(store, 1)
    commit(store, Rewrite(TABLE, tuple(g.id for g in groups), (inline_group("n", [7]),)))
    assert len(device.list("segments")) == 1
    store.pages.close()
    assert store.reclaim(DAY_US).segments == 0, "the versions are young"
    assert values(store, kept)[-1] == 1
    report = store.reclaim(0)
    assert report.segments == 1 and report.horizon == store.known_version
    assert device.list("segments") == []
    assert values(Store(device, environment=CALM), report.horizon) == [7, 1]
    with pytest.raises(SnapshotGone, match="reclaimed"):
        store.snapshot_at(kept)
    assert Store(device, environment=CALM).history()[0].version == report.horizon


@pytest.mark.parametrize("holder", ["tag", "clone", "reader", "restore"])
def test_reclaim_keeps_what_is_held(device: MemoryDevice, store: Store, holder: str) -> None:
    kept = add_paged(store, range(60_000))
    other = Store(device, environment=CALM)
    if holder == "tag":
        commit(store, CreateTag("gold", kept))
    if holder == "clone":
        commit(store, CloneTable(definition("b" * 32, "u"), TABLE, kept))
    reading = other.pin(kept)
    if holder == "reader":
        reading.__enter__()
    commit(store, DropTable(TABLE)) if holder == "clone" else add(store, 2)
    if holder == "restore":
        commit(store, Rewrite(TABLE, (store.snapshot().tables[TABLE].row_groups[0].id,), ()))
        commit(store, RestoreTable(TABLE, kept))
    elif holder != "clone":
        groups = store.snapshot().tables[TABLE].row_groups
        commit(store, Rewrite(TABLE, tuple(g.id for g in groups), ()))
    for _ in range(2):
        store.checkpoint()
        add(store, 3) if holder != "clone" else commit(store, CreateSchema(f"x{_}"))
    store.fold()
    store.pages.close()
    for _ in range(2):
        store.reclaim(0)
        assert len(device.list("segments")) == 1
    fresh = Store(device, environment=CALM)
    if holder == "tag":
        assert len(values(fresh, kept)) == 480_000
        commit(fresh, DropTag("gold"))
        assert fresh.reclaim(0).segments == 1
    elif holder == "clone":
        assert len(values(fresh, fresh.known_version, "b" * 32)) == 480_000
    elif holder == "restore":
        assert len(values(fresh, fresh.known_version)) == 480_002
    else:
        assert len(values(other, kept)) == 480_000 if kept >= fresh.log.horizon.read() else True
        state = other.head.at(kept).tables[TABLE]
        for group in state.row_groups:
            read_row_group(other, state.definition, group, [column()])
        reading.__exit__(None, None, None)
        other.pins.settle()
        assert fresh.reclaim(0).segments == 1


def test_an_uncommitted_segment_of_another_process_stays(device: MemoryDevice) -> None:
    store, other = Store(device, environment=CALM), Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    transaction = other.begin()
    batch = pa.record_batch([pa.array(range(60_000), pa.int64())], names=["1"])
    groups = RowGroupWriter(other, transaction, [1]).write([batch])
    store.reclaim(0)
    transaction.add("INSERT", Append(TABLE, groups))
    version = transaction.commit()
    assert len(values(store, version)) == 60_000


@pytest.mark.parametrize("now_us", [0, 4_102_444_800_000_000], ids=["1970", "2100"])
def test_a_wrong_clock_expires_nothing(device: MemoryDevice, now_us: int) -> None:
    clock = [1_700_000_000_000_000]
    store = Store(device, environment=Environment(now_us=lambda: clock[0]))
    commit(store, CreateTable(definition()))
    version = add(store, 1)
    clock[0] = now_us
    for number in range(5):
        add(store, number)
    store.reclaim(7 * DAY_US)
    assert values(store, version) == [1]


def test_serializable_transactions_do_not_skew(store: Store) -> None:
    other = definition("b" * 32, "u")
    commit(store, CreateTable(other))
    first, second = store.begin(), store.begin()
    for transaction, mine, theirs in ((first, TABLE, "b" * 32), (second, "b" * 32, TABLE)):
        transaction.make_serializable()
        transaction.note_read(theirs)
        append(transaction, [1], mine)
    first.commit()
    with pytest.raises(Conflict, match="read"):
        second.commit()


def test_a_delete_and_a_rewrite_of_other_row_groups_commute(store: Store) -> None:
    add(store, 1, 2)
    add(store, 3)
    one, two = store.snapshot().tables[TABLE].row_groups
    transaction = store.begin()
    transaction.add("DELETE", Delete(TABLE, {one.id: DeleteVector.of(np.array([0], np.uint32))}))
    commit(store, Rewrite(TABLE, (two.id,), (replace(inline_group("n", [3]), first_row_id=2),)))
    version = transaction.commit()
    assert values(store, version) == [2, 3]
