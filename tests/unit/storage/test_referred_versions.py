"""Old versions that a clone, a restore or a tag names stay readable, whenever reclaim comes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import SnapshotGone
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import CloneTable, CreateTable, CreateTag, RestoreTable, Rewrite
from pagelake.storage.environment import Environment
from pagelake.storage.failpoints import Failpoint
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, commit, definition, inline_group
from tests.unit.storage.test_past import CALM, add, add_paged, values

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.effects import Effect
    from pagelake.storage.transaction import Transaction

CLONE = "b" * 32
ROWS = 480_000

NAMING: dict[str, Callable[[int], Effect]] = {
    "clone": lambda version: CloneTable(definition(CLONE, "c"), TABLE, version),
    "restore": lambda version: RestoreTable(TABLE, version),
    "tag": lambda version: CreateTag("then", version),
}


def two_generations(device: MemoryDevice) -> tuple[Store, int]:
    """A store whose pages only an old version needs; returns it and that version."""
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))
    old = add_paged(store, range(60_000))
    groups = tuple(group.id for group in store.snapshot().tables[TABLE].row_groups)
    commit(store, Rewrite(TABLE, groups, (replace(inline_group("x", [7]), first_row_id=1),)))
    store.pages.close()
    for _ in range(2):
        add(store, 8)
        store.checkpoint()
    return store, old


def rows_named(store: Store, kind: str, old: int) -> int:
    version = old if kind == "tag" else store.snapshot().version
    return len(values(store, version, CLONE if kind == "clone" else TABLE))


@pytest.mark.parametrize("kind", NAMING)
def test_a_version_named_in_an_open_transaction_is_kept(kind: str) -> None:
    device = MemoryDevice()
    store, old = two_generations(device)
    transaction = Store(device, environment=CALM).begin()
    transaction.add("NAME", NAMING[kind](old))
    assert store.reclaim(0).held_back_by == old
    transaction.commit()
    store.reclaim(0)
    assert rows_named(Store(device, environment=CALM), kind, old) == ROWS


@pytest.mark.parametrize("kind", NAMING)
def test_a_version_named_while_reclaim_is_under_way_is_kept(kind: str) -> None:
    """The horizon is above it and no pin holds it any more, but a record has come to name it."""
    device = MemoryDevice()
    _, old = two_generations(device)
    late: list[Transaction] = []

    def reach(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.RECLAIM_HORIZON_RAISED and late:
            late.pop().commit()

    reclaimer = Store(device, environment=Environment(reach=reach, threads=False))
    late.append(Store(device, environment=CALM).begin())
    late[0].add("NAME", NAMING[kind](old))
    done = reclaimer.reclaim(0)
    assert done.held_back_by is None
    assert done.bundles == 1
    assert not late
    assert rows_named(Store(device, environment=CALM), kind, old) == ROWS


@pytest.mark.parametrize("kind", NAMING)
def test_a_version_that_is_gone_cannot_be_named(kind: str) -> None:
    device = MemoryDevice()
    store, old = two_generations(device)
    transaction = Store(device, environment=CALM).begin()
    store.reclaim(0)
    with pytest.raises(SnapshotGone):
        transaction.add("NAME", NAMING[kind](old))
    transaction.rollback()
    add(store, 9)
    assert store.reclaim(0).held_back_by is None
