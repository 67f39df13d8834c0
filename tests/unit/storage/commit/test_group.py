"""Transactions that share a record are checked against each other, in the record's order."""

from __future__ import annotations

import numpy as np
import pytest

from pagelake.errors import Conflict
from pagelake.storage.commit.committer import _Request
from pagelake.storage.conflict import Footprint, Kind
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import CreateSchema, CreateTable, Delete, DeleteVector, DropTable
from pagelake.storage.environment import Environment
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, commit, definition

OTHER = "b" * 32


@pytest.fixture
def store() -> Store:
    store = Store(MemoryDevice(), environment=Environment(threads=False))
    commit(store, CreateTable(definition()), CreateTable(definition(OTHER, "u")))
    transaction = store.begin()
    append(transaction, [1, 2, 3])
    transaction.commit()
    return store


def together(store: Store, *transactions: object) -> list[_Request]:
    """Commit transactions in one batch."""
    requests = [
        _Request(t, Footprint.of(t.effects, {(table, Kind.READ) for table in t.reads or ()}))  # type: ignore[attr-defined,arg-type]
        for t in transactions
    ]
    store._committer._commit_batch(requests)
    return requests


def delete(store: Store, *positions: int) -> object:
    transaction = store.begin()
    (group,) = transaction.snapshot.tables[TABLE].row_groups
    vector = DeleteVector.of(np.array(positions, np.uint32))
    transaction.add("DELETE", Delete(TABLE, {group.id: vector}))
    return transaction


def test_one_row_is_deleted_once(store: Store) -> None:
    first, second, third = together(
        store, delete(store, 0, 1), delete(store, 1, 2), delete(store, 2)
    )
    assert first.version == third.version == store.snapshot().version
    assert isinstance(second.error, Conflict)
    assert not second.version
    assert store.snapshot().tables[TABLE].rows == 0


def test_a_table_is_not_dropped_under_its_neighbour(store: Store) -> None:
    dropping, adding = store.begin(), store.begin()
    dropping.add("DROP", DropTable(TABLE))
    append(adding, [4])
    first, second = together(store, dropping, adding)
    assert first.version
    assert isinstance(second.error, Conflict)
    assert TABLE not in store.snapshot().tables


def test_a_name_is_made_once(store: Store) -> None:
    one, other = store.begin(), store.begin()
    for transaction in (one, other):
        transaction.add("CREATE SCHEMA", CreateSchema("s"))
    first, second = together(store, one, other)
    assert first.version
    assert isinstance(second.error, Conflict)


def test_serializable_neighbours_do_not_skew(store: Store) -> None:
    one, other = store.begin(), store.begin()
    for transaction, written, read in ((one, TABLE, OTHER), (other, OTHER, TABLE)):
        transaction.make_serializable()
        transaction.note_read(read)
        append(transaction, [9], written)
    first, second = together(store, one, other)
    assert first.version
    assert isinstance(second.error, Conflict)
