"""The head of the log: what of others' records is learned, and when it is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Corrupt
from pagelake.storage import head as heads
from pagelake.storage.commit import recent
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import AlterTable, CreateTable
from pagelake.storage.log.commit_log import record_name
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, commit, definition
from tests.unit.storage.commit.test_combining import insert

if TYPE_CHECKING:
    from typing import Any


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def store(device: MemoryDevice) -> Store:
    made = Store(device)
    commit(made, CreateTable(definition()))
    return made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the records that are decoded."""
    names: list[str] = []
    decode = heads.decode

    def noting(content: bytes, **details: Any) -> Any:
        names.append(details["name"])
        return decode(content, **details)

    monkeypatch.setattr(heads, "decode", noting)
    return names


def test_who_only_appends_decodes_nothing(
    store: Store, device: MemoryDevice, decoded: list[str]
) -> None:
    writer = Store(device)
    decoded.clear()
    for value in range(10):
        assert insert(store, value) == 2 * value + 2
        assert insert(writer, value) == 2 * value + 3
    assert decoded == []
    assert writer.head.tail == 21
    assert writer.head.snapshot.version < 21
    assert writer.snapshot().tables[TABLE].rows == 20, "whoever reads sees all"
    assert writer.snapshot().version == store.snapshot().version == 21
    assert writer.snapshot().time_us == writer.head.tail_time_us


def test_names_are_those_of_the_newest_version(
    store: Store, device: MemoryDevice, decoded: list[str]
) -> None:
    writer = Store(device)
    insert(store, 1)
    commit(store, AlterTable(definition(name="renamed")))
    insert(store, 2)
    names = writer.head.names()
    assert names.table("main", "renamed") is not None
    assert names.table("main", "t") is None
    assert insert(writer, 3) == 5


def test_history_is_told_to_the_end(store: Store, device: MemoryDevice) -> None:
    writer = Store(device)
    insert(store, 1)
    insert(writer, 2)
    assert [info.version for info in writer.history()] == [1, 2, 3]
    insert(store, 3)
    assert [info.version for info in writer.history()] == [1, 2, 3, 4]


def test_an_update_sees_rows_that_were_not_applied_before(
    store: Store, device: MemoryDevice
) -> None:
    writer = Store(device)
    insert(store, 1)
    insert(writer, 2)
    transaction = writer.begin(durable=False)
    assert transaction.snapshot.tables[TABLE].rows == 2
    append(transaction, [3])
    assert transaction.commit() == 4
    assert store.snapshot().tables[TABLE].rows == 3


def test_who_is_far_behind_goes_on_from_a_checkpoint(
    store: Store, device: MemoryDevice, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "VERSIONS_KEPT", 16)
    monkeypatch.setattr(recent, "VERSIONS_KEPT", 16)
    writer = Store(device)
    insert(writer, 0)
    began = writer.begin_blind()
    for value in range(60):
        insert(store, value)
    store.checkpoint()
    for value in range(5):
        insert(store, value)
    insert(writer, 1)
    decoded.clear()
    assert writer.snapshot().tables[TABLE].rows == 67
    assert len(decoded) < 10
    assert insert(writer, 2) == 69
    assert insert(store, 3) == 70
    assert writer.head.recent.version_of(began.id) is None


def test_damage_is_found_before_anything_is_built_on_it(store: Store, device: MemoryDevice) -> None:
    writer = Store(device)
    insert(store, 1)
    name = record_name(2)
    content = device.read(name)
    device.unlink(name)
    device.stage(content[:-1] + b"?").link(name)
    with pytest.raises(Corrupt, match=name):
        writer.head.names()
    with pytest.raises(Corrupt, match=name):
        insert(writer, 2)
    assert writer.head.tail == 1
