"""Transactions: what they see, what they forget, and where their pages go."""

from __future__ import annotations

import numpy as np
import pytest

from pagelake.errors import Closed
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import CreateSchema, CreateTable, Delete
from pagelake.storage.page import PageKind
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, commit, definition


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def store(device: MemoryDevice) -> Store:
    made = Store(device)
    commit(made, CreateTable(definition()))
    return made


def test_a_transaction_reads_its_own_writes_and_nobody_else_does(store: Store) -> None:
    transaction = store.begin()
    append(transaction, [1, 2])
    assert transaction.snapshot.tables[TABLE].rows == 2
    assert transaction.snapshot.overlay
    assert store.snapshot().tables[TABLE].rows == 0
    rival = store.begin()
    append(rival, [3])
    rival.commit()
    assert transaction.snapshot.tables[TABLE].rows == 2, "it keeps the snapshot it began with"
    transaction.commit()
    assert store.snapshot().tables[TABLE].rows == 3


def test_a_savepoint_is_a_place_to_come_back_to(store: Store) -> None:
    transaction = store.begin()
    append(transaction, [1])
    mark = transaction.savepoint()
    append(transaction, [2])
    transaction.add("CREATE SCHEMA", CreateSchema("s"))
    stamps = {transaction.snapshot.overlay}
    transaction.rollback_to(mark)
    stamps.add(transaction.snapshot.overlay)
    assert len(stamps) == 2, "caches must not take it for the state before"
    assert transaction.snapshot.tables[TABLE].rows == 1
    assert not transaction.snapshot.has_schema("s")
    append(transaction, [3, 4])
    transaction.rollback_to(mark)
    append(transaction, [5])
    transaction.commit()
    assert store.snapshot().tables[TABLE].rows == 2
    ids = [group.id for group in store.snapshot().tables[TABLE].row_groups]
    assert len(set(ids)) == 2, "row group ids are not given out twice"


def test_a_rollback_leaves_nothing(store: Store, device: MemoryDevice) -> None:
    transaction = store.begin()
    append(transaction, [1])
    transaction.writer().append(b"x" * 100, PageKind.COLUMN_CHUNK)
    transaction.rollback()
    transaction.rollback()
    assert store.snapshot().version == 1
    assert device.list("segments") == []
    with pytest.raises(Closed):
        transaction.add_blind("INSERT", CreateSchema("s"))


def test_operations_are_named_once_each(store: Store) -> None:
    transaction = store.begin()
    for operation in ("INSERT", "UPDATE", "INSERT"):
        transaction.add(operation, CreateSchema(f"s{len(transaction.effects)}"))
    transaction.message = "why"
    transaction.commit()
    info = store.history()[-1]
    assert (info.operation, info.message) == ("INSERT, UPDATE", "why")


def test_large_delete_vectors_go_to_pages(store: Store, device: MemoryDevice) -> None:
    rows = 120_000
    for _ in range(8):
        transaction = store.begin()
        append(transaction, [*range(rows)])
        transaction.commit()
    groups = [group.id for group in store.snapshot().tables[TABLE].row_groups]
    chance = np.random.default_rng(7)
    positions = {g: positions_of(chance.choice(rows, rows // 2, replace=False)) for g in groups}
    small = store.begin()
    small.delete("DELETE", TABLE, {groups[0]: positions[groups[0]][:10]})
    (effect,) = small.effects
    assert isinstance(effect, Delete)
    assert all(vector.page is None for vector in effect.vectors.values())
    assert device.list("segments") == []
    small.rollback()

    transaction = store.begin()
    transaction.delete("DELETE", TABLE, {**positions, "untouched": positions_of([])})
    (effect,) = transaction.effects
    assert isinstance(effect, Delete)
    assert set(effect.vectors) == set(groups)
    assert all(vector.payload is None for vector in effect.vectors.values())
    transaction.commit()
    state = Store(device).snapshot().tables[TABLE]
    assert state.rows == 8 * rows // 2
    for group in groups:
        (vector,) = state.deletes[group]
        assert np.array_equal(vector.positions(store.pages), positions[group])


def test_a_segment_is_used_by_one_transaction_after_the_other(
    store: Store, device: MemoryDevice
) -> None:
    for number in range(3):
        transaction = store.begin()
        transaction.writer().append(b"x", PageKind.COLUMN_CHUNK)
        transaction.add("TEST", CreateSchema(f"s{number}"))
        transaction.commit()
    assert len(device.list("segments")) == 1
    transaction = store.begin()
    shared, own = transaction.writer(), transaction.writer(exclusive=True)
    assert own is not shared, "a bulk write must be able to return its space"
    assert transaction.writer(exclusive=True) is own
    transaction.rollback()
    assert len(device.list("segments")) == 1
