"""Checkpoints: a snapshot written out whole, and passed over where it is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Corrupt, Denied, StorageFull
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import (
    CreateSchema,
    CreateTable,
    Delete,
    DeleteVector,
    DropTable,
    View,
)
from pagelake.storage.log import checkpoint as checkpoints
from pagelake.storage.log.commit_log import record_name
from pagelake.storage.store import CHECKPOINT_EVERY_RECORDS, CHECKPOINTS_KEPT, Store
from tests.unit.storage.builders import TABLE, append, commit, definition
from tests.unit.storage.devices import FullDevice

if TYPE_CHECKING:
    from pagelake.storage.devices.device import Device
    from pagelake.storage.snapshot import Snapshot


def fill(store: Store) -> None:
    commit(store, CreateSchema("s"), CreateTable(definition()), CreateTable(definition("b", "u")))
    commit(store, View("s", "v", "SELECT 1", ("a",), "s"), DropTable("b"))
    for _ in range(3):
        transaction = store.begin()
        append(transaction, [1, 2, None])
        transaction.message = "a message"
        transaction.commit()
    first, *_ = store.snapshot().tables[TABLE].row_groups
    vector = DeleteVector.of(positions_of([1]))
    commit(store, Delete(TABLE, {first.id: vector}), operation="DELETE")


def overwrite(device: Device, name: str, content: bytes) -> None:
    device.unlink(name)
    device.stage(content).link(name)


def same(left: Snapshot, right: Snapshot) -> bool:
    """Equality by value: row group lists and delete vectors compare by what they hold."""
    return checkpoints.encode(left, [], store_id=bytes(16)) == checkpoints.encode(
        right, [], store_id=bytes(16)
    )


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


def test_a_checkpoint_gives_the_same_snapshot_and_history(device: MemoryDevice) -> None:
    store = Store(device)
    fill(store)
    content = checkpoints.encode(store.snapshot(), store.history(), store_id=store.id)
    snapshot, history = checkpoints.decode(content, store_id=store.id, name="c")
    assert same(snapshot, store.snapshot())
    assert checkpoints.unpack_history(history) == list(store.history())
    assert (snapshot.version, snapshot.time_us) == (
        store.snapshot().version, store.snapshot().time_us,
    )  # fmt: skip
    state = snapshot.tables[TABLE]
    assert (state.rows, state.next_row_id, state.deleted_rows) == (8, 9, 1)


def test_any_flipped_bit_is_noticed(device: MemoryDevice) -> None:
    store = Store(device)
    commit(store, CreateTable(definition()))
    content = checkpoints.encode(store.snapshot(), store.history(), store_id=store.id)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        with pytest.raises(Corrupt) as caught:
            checkpoints.decode(bytes(damaged), store_id=store.id, name="c")
        assert caught.value.file == "c"


def test_opening_reads_the_tail_only(device: MemoryDevice) -> None:
    store = Store(device)
    fill(store)
    version = store.checkpoint()
    append_one = store.begin()
    append(append_one, [7])
    append_one.commit()
    for old in range(1, version + 1):
        device.unlink(record_name(old))
    again = Store(device)
    assert again.snapshot().version == version + 1
    assert same(again.snapshot(), store.snapshot())
    assert again.history() == store.history()


def test_a_damaged_checkpoint_is_passed_over(device: MemoryDevice) -> None:
    store = Store(device)
    fill(store)
    first = store.checkpoint()
    commit(store, CreateSchema("later"))
    second = store.checkpoint()
    assert device.list(checkpoints.FOLDER) == [f"{first:020d}", f"{second:020d}"]
    for version in (second, first):
        overwrite(device, checkpoints.checkpoint_name(version), b"junk")
        again = Store(device)
        assert same(again.snapshot(), store.snapshot())
        assert [c.version for c in again.history()] == [*range(1, second + 1)]


def test_strange_files_among_the_checkpoints_do_no_harm(device: MemoryDevice) -> None:
    store = Store(device)
    fill(store)
    for name in ("zzz", "README", "1.partial"):
        device.stage(b"?").link(f"{checkpoints.FOLDER}/{name}")
    for number in range(CHECKPOINTS_KEPT + 2):
        commit(store, CreateSchema(f"s{number}"))
        newest = store.checkpoint()
    kept = [name for name in device.list(checkpoints.FOLDER) if name.isdigit()]
    assert len(kept) == CHECKPOINTS_KEPT
    assert int(kept[-1]) == newest
    assert same(Store(device).snapshot(), store.snapshot())


def test_a_checkpoint_is_due_after_enough_records(device: MemoryDevice) -> None:
    store = Store(device)
    for number in range(CHECKPOINT_EVERY_RECORDS - 1):
        commit(store, CreateSchema(f"s{number}"))
    assert not store.checkpoint_due
    commit(store, CreateSchema("one more"))
    assert store.checkpoint_due
    store.checkpoint()
    assert not store.checkpoint_due
    assert not Store(device).checkpoint_due


def test_a_checkpoint_without_room_changes_nothing(device: MemoryDevice) -> None:
    full = FullDevice(device)
    store = Store(full)
    fill(store)
    full.room = 0
    with pytest.raises(StorageFull):
        store.checkpoint()
    full.room = None
    assert device.list(checkpoints.FOLDER) == []
    commit(store, CreateSchema("still here"))


def test_a_read_only_store_writes_no_checkpoint(device: MemoryDevice) -> None:
    fill(Store(device))
    with pytest.raises(Denied):
        Store(device, read_only=True).checkpoint()
    assert device.list(checkpoints.FOLDER) == []
