"""Every failpoint lies on a path that is taken: one that never is guards nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pagelake.storage.commit.combining import TURN
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, CreateTable, Rewrite
from pagelake.storage.environment import Environment
from pagelake.storage.failpoints import Failpoint
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, commit, definition, inline_group
from tests.unit.storage.test_past import add_page, add_paged, values


class _Died(BaseException):
    """Ends a process wherever it is."""


def _insert_while_another_has_the_turn(store: Store) -> None:
    turn = store.device.turn(TURN)
    assert turn is not None
    assert turn.take()
    transaction = store.begin_blind()
    group = inline_group(transaction.next_row_group_id(), [9])
    transaction.add_blind("INSERT", Append(TABLE, (group,)))
    transaction.commit()
    turn.give()


def _life(store: Store) -> None:
    """Commits, checkpoints, folding and reclaim, on a store that may be half-way through them."""
    if TABLE not in store.snapshot().tables:
        commit(store, CreateTable(definition()))
    _insert_while_another_has_the_turn(store)
    add_paged(store, range(60_000))
    groups = tuple(group.id for group in store.snapshot().tables[TABLE].row_groups)
    commit(store, Rewrite(TABLE, groups, (replace(inline_group("x", [7]), first_row_id=1),)))
    store.pages.close()
    for number in (1, 2):  # of which one stays
        add_page(store, number)
    last = store.snapshot().tables[TABLE].row_groups[-1]
    commit(store, Rewrite(TABLE, (last.id,), ()))
    store.checkpoint()
    transaction = store.begin()
    append(transaction, [8])
    transaction.commit()
    store.checkpoint()
    store.pages.close()
    store.reclaim(0)


def test_every_failpoint_is_reached() -> None:
    reached: set[Failpoint] = set()
    _life(Store(MemoryDevice(), environment=Environment(reach=reached.add, threads=False)))
    assert reached == set(Failpoint)


@pytest.mark.parametrize("failpoint", Failpoint)
def test_a_process_may_die_at_any_of_them(failpoint: Failpoint) -> None:
    """Each time it is reached, from the first on, until a life ends without meeting it again."""

    device, survived, nth = MemoryDevice(), False, 0
    while not survived:
        nth += 1
        left = [nth]

        def reach(found: Failpoint, left: list[int] = left) -> None:
            if found is failpoint:
                left[0] -= 1
                if left[0] == 0:
                    raise _Died

        try:
            _life(Store(device, environment=Environment(reach=reach, threads=False)))
            survived = True
        except _Died:
            # As the system does when a process ends.
            device._holds.clear()
            device._turns.clear()
        heir = Store(device, environment=Environment(threads=False))
        before = values(heir, heir.known_version) if TABLE in heir.snapshot().tables else []
        if TABLE in heir.snapshot().tables:
            transaction = heir.begin()
            append(transaction, [nth])
            version = transaction.commit()
            assert values(heir, version) == [*before, nth]
        heir.close()
    assert nth > 1
