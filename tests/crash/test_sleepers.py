"""Whoever folds, checkpoints or reclaims may stop at any step, for as long as it wants.

Meanwhile another process with a clock of its own commits, compacts, folds and reclaims. Afterwards
all rows are there, a reader that has slept as well reads what it began with, and nothing that a
version needs was freed. What stops is a function at a failpoint: to everybody else that is the same
as a stopped process, because its pins stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from pagelake.storage import row_group
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, CreateTable
from pagelake.storage.environment import Environment
from pagelake.storage.failpoints import Failpoint
from pagelake.storage.maintenance.check import verify_store
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_compaction
from pagelake.storage.row_group import RowGroupWriter, read_row_group
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, column, commit, definition
from tests.unit.storage.test_past import values

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_US = 86_400_000_000
NOW_US = 1_700_000_000_000_000
PAGED = list(range(3_000))
ELSEWHERE = {Failpoint.COMMIT_OFFERED}
"""Reached only while another process has the turn; ``test_combining_truth`` sleeps there."""


def _pass_by(_: Failpoint) -> None:
    """Nobody sleeps."""


def store_at(
    device: MemoryDevice, now_us: int, reach: Callable[[Failpoint], None] = _pass_by
) -> Store:
    clock = [now_us]

    def tick() -> int:
        clock[0] += 1_000
        return clock[0]

    return Store(device, environment=Environment(now_us=tick, reach=reach, threads=False))


def add(store: Store, number: int) -> None:
    transaction = store.begin()
    append(transaction, [number])
    transaction.commit()


def add_pages(store: Store) -> None:
    transaction = store.begin()
    batch = pa.record_batch([pa.array(PAGED, pa.int64())], names=["1"])
    groups = RowGroupWriter(store, transaction, [1]).write([batch])
    assert groups[0].inline is None
    transaction.add("INSERT", Append(TABLE, groups))
    transaction.commit()


def compact(store: Store) -> None:
    steps = plan_compaction(store.snapshot().tables[TABLE], eager=True)
    if steps:
        rewrite(store, TABLE, steps)


def upkeep(store: Store) -> None:
    """Everything that may stop half-way."""
    store.checkpoint()
    add(store, 1)
    store.checkpoint()
    compact(store)
    store.pages.close()
    store.reclaim(0)


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
@pytest.mark.parametrize("failpoint", Failpoint)
def test_a_sleeper_wakes_in_another_time(
    monkeypatch: pytest.MonkeyPatch, failpoint: Failpoint, reader: bool
) -> None:
    monkeypatch.setattr(row_group, "INLINE_ROWS_MAX", 0)
    device = MemoryDevice()
    first = store_at(device, NOW_US)
    commit(first, CreateTable(definition()))
    add_pages(first)
    first.pages.close()
    reading = first.begin()
    if not reader:
        reading.rollback()
    days, slept = DAY_US if reader else -DAY_US, []
    awake = store_at(device, NOW_US + days)

    def reach(found: Failpoint) -> None:
        if found is failpoint and not slept:
            slept.append(found)
            for number in range(100, 103):
                add(awake, number)
                upkeep(awake)

    sleeper = store_at(device, NOW_US, reach)
    add_pages(sleeper)
    upkeep(sleeper)
    if not slept:
        assert reader or failpoint in ELSEWHERE, "it is not on the way of upkeep"
        return
    expected = sorted([*PAGED, *PAGED, 1, 1, 1, 1, *range(100, 103)])
    for store in (Store(device, environment=Environment(threads=False)), sleeper, awake):
        assert sorted(values(store, store.snapshot().version)) == expected
        assert verify_store(store) == []
    if reader:
        state = reading.base.tables[TABLE]
        batches = [read_row_group(first, state.definition, g, [column()]) for g in state.row_groups]
        assert sum(batch.num_rows for batch in batches) == len(PAGED)
        reading.rollback()
    add(sleeper, 7)
    assert len(values(awake, awake.snapshot().version)) == len(expected) + 1
