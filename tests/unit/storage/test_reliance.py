"""Reliance on rows in the life of a store: opened anew, folded, reclaimed, backed up, checked."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from pagelake.errors import Conflict, Corrupt
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, AppendedKeys, CreateTable, DropTable, Rely
from pagelake.storage.environment import Environment
from pagelake.storage.maintenance.backup import backup
from pagelake.storage.maintenance.check import check
from pagelake.storage.snapshot import Snapshot
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, commit, definition, inline_group

KEYS = (AppendedKeys((1,), np.array([7], "<u8").tobytes()),)


def opened(device: MemoryDevice) -> Store:
    return Store(device, environment=Environment(threads=False))


def test_records_with_reliance_live_like_others() -> None:
    device, copy = MemoryDevice(), MemoryDevice()
    with closing(opened(device)) as store:
        commit(store, CreateTable(definition()), Append(TABLE, (inline_group("g", [6, 7, 8]),)))
        for position in range(2):
            transaction = store.begin()
            group = inline_group(transaction.next_row_group_id(), [position])
            transaction.add("TOUCH", Append(TABLE, (group,)), Rely(TABLE, KEYS))
            transaction.delete("DELETE", TABLE, {"g": positions_of([position])}, KEYS)
            version = transaction.commit()
            store.checkpoint()
        with closing(opened(device)) as again:
            assert again.snapshot().tables[TABLE].rows == 3
        assert store.fold() == version - 1
        store.reclaim(0)
        backup(store, copy)
        assert list(check(store)) == []
    with closing(opened(copy)) as restored:
        assert restored.snapshot().version == version
        assert restored.snapshot().tables[TABLE].rows == 3
        assert list(check(restored)) == []


def test_what_is_relied_on_outlives_its_process() -> None:
    """A process that opens the store later finds the conflict in the record."""
    device = MemoryDevice()
    with closing(opened(device)) as store:
        commit(store, CreateTable(definition()), Append(TABLE, (inline_group("g", [6, 7]),)))
        sleeper = store.begin()
        sleeper.delete("DELETE", TABLE, {"g": positions_of([1])}, KEYS)
        with closing(opened(device)) as other:
            commit(other, Rely(TABLE, KEYS))
        with pytest.raises(Conflict, match="reliance"):
            sleeper.commit()


def test_nobody_relies_on_rows_of_a_table_that_is_gone() -> None:
    with pytest.raises(Corrupt):
        Snapshot().apply([Rely(TABLE, KEYS)], version=1)
    with closing(opened(MemoryDevice())) as store:
        commit(store, CreateTable(definition()))
        late = store.begin()
        late.add("TOUCH", Rely(TABLE, KEYS))
        commit(store, DropTable(TABLE))
        with pytest.raises(Conflict):
            late.commit()
