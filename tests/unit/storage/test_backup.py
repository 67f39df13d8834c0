"""Backups: a store of its own at every moment, of which only what is new is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pagelake.errors import Corrupt, Denied, NotAStore, StorageFull
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import CreateSchema, CreateTable, Delete, DeleteVector
from pagelake.storage.log import checkpoint as checkpoints
from pagelake.storage.maintenance.backup import backup
from pagelake.storage.maintenance.check import check, verify_store
from pagelake.storage.maintenance.finding import Severity
from pagelake.storage.row_group import read_row_group
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, commit
from tests.unit.storage.devices import FullDevice
from tests.unit.storage.test_check import PAGED, flip, load, replace_file, segment_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake.storage.devices.device import Device


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(MemoryDevice())
    commit(store, CreateTable(PAGED))
    load(store)
    (group,) = store.snapshot().tables[TABLE].row_groups
    commit(store, Delete(TABLE, {group.id: DeleteVector.of(positions_of([1, 7]))}))
    yield store
    store.close()


def rows(store: Store, version: int) -> list[Any]:
    """Everything stored in the table at a version."""
    state = store.snapshot_at(version).tables[TABLE]
    columns = state.definition.columns
    batches = [read_row_group(store, state.definition, g, columns) for g in state.row_groups]
    return [state.rows, [b.to_pydict() for b in batches]]


def require_copy(source: Store, destination: Device, oldest: int = 1) -> None:
    """The destination is a sound store with the same rows at all versions."""
    assert [f for f in check(destination) if f.severity is Severity.DAMAGE] == []
    copy = Store(destination, read_only=True)
    assert copy.id == source.id
    assert copy.snapshot().version == source.snapshot().version
    for version in range(oldest, source.snapshot().version + 1):
        assert rows(copy, version) == rows(source, version)
    assert verify_store(copy) == []


def segment_bytes(device: Device) -> int:
    return sum(device.size(f"segments/{name}") for name in device.list("segments"))


def test_a_backup_is_a_store_with_every_version(store: Store) -> None:
    destination = MemoryDevice()
    done = backup(store, destination)
    assert done.version == store.snapshot().version
    assert done.bytes_copied == sum(map(len, destination._files.values()))
    require_copy(store, destination)


def test_a_copy_can_go_on_by_itself(store: Store) -> None:
    destination = MemoryDevice()
    backup(store, destination)
    copy = Store(destination)
    load(copy, 100)
    assert copy.snapshot().tables[TABLE].rows == store.snapshot().tables[TABLE].rows + 100
    copy.close()
    with pytest.raises(Denied):
        backup(store, destination)
    load(store, 200)
    with pytest.raises(Denied, match="another version"):
        backup(store, destination)


def test_only_what_is_new_is_copied(store: Store) -> None:
    destination = MemoryDevice()
    assert backup(store, destination).bytes_copied > segment_bytes(store.device)
    assert backup(store, destination).bytes_copied == 0
    before = segment_bytes(store.device)
    for _ in range(2):
        load(store)
    added = segment_bytes(store.device) - before
    assert len(store.device.list("segments")) == 1, "the segment grew, it was not copied anew"
    copied = backup(store, destination).bytes_copied
    # Besides the pages, two records and a checkpoint.
    assert added < copied < added + 10_000
    require_copy(store, destination)


def test_a_reader_of_the_copy_is_not_disturbed(store: Store, tmp_path: Path) -> None:
    destination = LocalDevice(tmp_path / "copy", create=True)
    version = backup(store, destination).version
    reader = Store(LocalDevice(tmp_path / "copy", create=False), read_only=True)
    then = rows(reader, version)
    load(store)
    store.checkpoint()
    backup(store, destination)
    assert rows(reader, version) == then
    assert reader.snapshot().version == version + 1
    require_copy(store, destination)


@pytest.mark.parametrize("again", [False, True])
def test_an_interrupted_backup_is_completed(store: Store, again: bool) -> None:
    """It fails at every call that needs room in turn; the next run brings it to an end."""
    for room in range(100):
        inner = MemoryDevice()
        held = backup(store, inner).version if again else 1
        if again:
            load(store, 9000)
        full = FullDevice(inner)
        full.extend = inner.extend  # type: ignore[attr-defined]
        full.room = room
        try:
            backup(store, full)  # type: ignore[arg-type]
        except StorageFull:
            if again:
                copy = Store(inner, read_only=True)
                assert copy.snapshot().version >= held
                assert rows(copy, held) == rows(store, held)
            elif "store.json" not in inner._files:
                with pytest.raises(NotAStore):
                    Store(inner, read_only=True)
            backup(store, inner)
            require_copy(store, inner, oldest=held)
        else:
            break
    assert room >= 2
    require_copy(store, inner, oldest=held)


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"x", b"x" * 300_000])
def test_bytes_that_never_reached_the_disk_are_replaced(store: Store, garbage: bytes) -> None:
    """A power failure may leave a longer file, full of zeros."""
    destination = MemoryDevice()
    name = segment_of(store.device)  # type: ignore[arg-type]
    part = store.device.read(name)[:4096]
    assert destination.stage(part + garbage).link(name)
    backup(store, destination)
    require_copy(store, destination)


def test_a_damaged_page_is_not_backed_up(store: Store) -> None:
    destination = MemoryDevice()
    held = backup(store, destination).version
    load(store)
    device = store.device
    assert isinstance(device, MemoryDevice)
    newest = store.snapshot().tables[TABLE].row_groups[-1].chunks[1].page
    flip(device, segment_of(device), newest.offset + 70)
    with pytest.raises(Corrupt) as caught:
        backup(store, destination)
    assert caught.value.file == segment_of(device)
    assert Store(destination, read_only=True).snapshot().version == held
    flip(device, segment_of(device), newest.offset + 70)
    backup(store, destination)
    require_copy(store, destination)


def test_a_store_with_a_damaged_log_is_not_backed_up(store: Store) -> None:
    device = store.device
    assert isinstance(device, MemoryDevice)
    name = "log/00000000000000000002"
    replace_file(device, name, device.read(name)[:-1])
    destination = MemoryDevice()
    with pytest.raises(Corrupt) as caught:
        backup(store, destination)
    assert caught.value.file == name
    assert destination.list("log") == []


def test_another_store_is_refused(store: Store) -> None:
    destination = MemoryDevice()
    Store(destination).close()
    before = dict(destination._files)
    with pytest.raises(NotAStore, match="another store"):
        backup(store, destination)
    assert dict(destination._files) == before


def test_an_older_store_is_refused(store: Store) -> None:
    destination, older = MemoryDevice(), MemoryDevice()
    backup(store, older)
    load(store, 10)
    backup(store, destination)
    behind = Store(older)
    with pytest.raises(Denied, match="at version"):
        backup(behind, destination)
    behind.close()


def test_folded_and_reclaimed_stores_are_backed_up(store: Store) -> None:
    destination = MemoryDevice()
    backup(store, destination)
    for _ in range(3):
        load(store, 100)
        store.checkpoint()
    assert store.fold()
    backup(store, destination)
    require_copy(store, destination)
    commit(store, CreateSchema("s"))
    store.pins.settle()
    store.reclaim(0)
    load(store, 100)
    horizon = store.log.horizon.read()
    assert horizon > 1
    backup(store, destination)
    require_copy(store, destination, oldest=horizon)
    fresh = MemoryDevice()
    backup(store, fresh)
    require_copy(store, fresh, oldest=horizon)
    assert backup(store, fresh).bytes_copied == 0
    # The copy does not gather one checkpoint a run.
    for _ in range(5):
        load(store, 10)
        backup(store, fresh)
    assert len(checkpoints.versions(fresh)) < 5


def test_progress_reaches_the_end(store: Store) -> None:
    calls: list[tuple[int, int]] = []
    backup(store, MemoryDevice(), lambda _what, done, total: calls.append((done, total)))
    assert calls
    assert calls[-1] == (segment_bytes(store.device),) * 2
