"""Deletes that follow their rows through a compaction, and conflicts that stay conflicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Conflict
from pagelake.storage.commit.remap import follow
from pagelake.storage.delete_vector import ROW_GROUP_ROWS_MAX
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import (
    ROW_ID_COLUMN,
    AlterTable,
    Append,
    CreateTable,
    Delete,
    DeleteVector,
    RowGroup,
)
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import Step, plan_compaction, plan_sealing
from pagelake.storage.page import PageKind
from pagelake.storage.row_group import ROW_ID_FIELD
from pagelake.storage.store import Store

from .builders import TABLE, append, column, commit, definition
from .test_compaction import insert, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.storage.effects import Effect
    from pagelake.storage.transaction import Transaction


@pytest.fixture
def store() -> Iterator[Store]:
    with_table = Store(MemoryDevice())
    commit(with_table, CreateTable(definition()))
    insert(with_table, [0, 1, 2, 3], [4, 5], [6, 7, 8, 9])
    yield with_table
    with_table.close()


def remove(transaction: Transaction, group: int, *positions: int) -> None:
    found = transaction.snapshot.tables[TABLE].row_groups[group].id
    transaction.delete("DELETE", TABLE, {found: np.array(positions, dtype=np.uint32)})


def update(transaction: Transaction, group: int, position: int, row_id: int, value: int) -> None:
    """Give a row another value, as an UPDATE does."""
    remove(transaction, group, position)
    batch = pa.record_batch(
        [pa.array([value]), pa.array([row_id])],
        schema=pa.schema([pa.field("1", pa.int64()), ROW_ID_FIELD]),
    )
    message = batch.serialize().to_pybytes()
    group_id = transaction.next_row_group_id()
    appended = RowGroup(group_id, 1, inline=message, inline_columns=(1, ROW_ID_COLUMN))
    transaction.add("UPDATE", Append(TABLE, (appended,)))


def compact(store: Store, *, seal: bool = False) -> None:
    state = store.snapshot().tables[TABLE]
    steps = plan_sealing(state, groups_min=1) if seal else plan_compaction(state, eager=True)
    assert steps
    rewrite(store, TABLE, steps)


def in_record(vectors: dict[str, DeleteVector]) -> None:
    """Leave payloads where they are."""


def commit_following(store: Store, transaction: Transaction) -> None:
    """Commit; a conflict is settled by following the rewrites, as often as there is one."""
    while True:
        try:
            store.commit(transaction)
        except Conflict:
            effects = follow(store, transaction, in_record)
            if effects is None:
                transaction.rollback()
                raise
            transaction.effects[:] = effects
        else:
            transaction.rollback()
            return


def values(store: Store) -> list[object]:
    """Values of the live rows, after reading the log from its start as well."""
    found = rows_of(store, store.snapshot())
    again = Store(store.device, read_only=True)
    assert rows_of(again, again.snapshot()) == found
    again.executor.shutdown()
    return [value for _, value in found]


def test_a_delete_follows_its_rows_into_the_new_row_group(store: Store) -> None:
    transaction = store.begin()
    remove(transaction, 0, 1, 3)
    remove(transaction, 2, 0)
    compact(store)
    with pytest.raises(Conflict):
        store.commit(transaction)
    commit_following(store, transaction)
    assert values(store) == [0, 2, 4, 5, 7, 8, 9]


def test_two_deletes_of_one_row_group_stay_apart(store: Store) -> None:
    transaction = store.begin()
    remove(transaction, 0, 1)
    remove(transaction, 0, 2)
    compact(store)
    commit_following(store, transaction)
    assert values(store) == [0, 3, 4, 5, 6, 7, 8, 9]
    assert store.snapshot().tables[TABLE].rows == 8


def test_an_update_follows_and_keeps_its_row_id(store: Store) -> None:
    transaction = store.begin()
    update(transaction, 0, 2, 2, 20)
    compact(store)
    commit_following(store, transaction)
    assert sorted(rows_of(store, store.snapshot()))[2] == (2, 20)
    assert len(values(store)) == 10


def test_rows_with_explicit_ids_are_found(store: Store) -> None:
    """A row group with holes brings its ids along, and so does a sorted one."""
    first = store.begin()
    remove(first, 0, 0, 2)
    first.commit()
    transaction = store.begin()
    remove(transaction, 0, 3)
    remove(transaction, 2, 1)
    clustered = replace(definition(), cluster_by=(1,))
    compact(store)
    (whole,) = store.snapshot().tables[TABLE].row_groups
    assert whole.explicit_row_ids
    commit_following(store, transaction)
    assert values(store) == [1, 4, 5, 6, 8, 9]
    commit(store, AlterTable(clustered))
    insert(store, [0, 3])
    late = store.begin()
    remove(late, 1, 0)
    compact(store)
    commit_following(store, late)
    assert values(store) == [1, 3, 4, 5, 6, 8, 9]


def test_several_rewrites_in_a_row_are_followed(store: Store) -> None:
    transaction = store.begin()
    remove(transaction, 1, 1)
    compact(store, seal=True)
    insert(store, [10])
    compact(store)
    other = store.begin()
    remove(other, 0, 0)
    other.commit()
    insert(store, [11, 12])
    compact(store)
    commit_following(store, transaction)
    assert values(store) == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]


def test_a_rewrite_after_the_first_remapping_is_followed_too(store: Store) -> None:
    transaction = store.begin()
    remove(transaction, 1, 1)
    compact(store)
    effects = follow(store, transaction, in_record)
    assert effects is not None
    transaction.effects[:] = effects
    insert(store, [10])
    compact(store)
    commit_following(store, transaction)
    assert values(store) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]


def test_rows_spread_over_several_new_row_groups_are_all_found(store: Store) -> None:
    many = list(range(10, 10 + ROW_GROUP_ROWS_MAX))
    insert(store, many[:70_000], many[70_000:])
    transaction = store.begin()
    remove(transaction, 3, *range(0, 70_000, 7))
    remove(transaction, 4, *range(0, 52_000, 3))
    remove(transaction, 0, 0)
    expected = len(rows_of(store, transaction.snapshot))
    compact(store)
    assert len(store.snapshot().tables[TABLE].row_groups) == 2
    left = {value for _, value in rows_of(store, transaction.snapshot)}
    commit_following(store, transaction)
    assert set(values(store)) == left
    assert store.snapshot().tables[TABLE].rows == expected


def test_a_row_that_others_deleted_before_the_rewrite_is_a_conflict(store: Store) -> None:
    transaction, other = store.begin(), store.begin()
    remove(transaction, 0, 1, 2)
    remove(other, 0, 2)
    other.commit()
    compact(store)
    with pytest.raises(Conflict):
        commit_following(store, transaction)
    assert values(store) == [0, 1, 3, 4, 5, 6, 7, 8, 9]


def test_a_row_that_others_updated_before_the_rewrite_is_a_conflict(store: Store) -> None:
    """A row of that id exists again afterwards; deleting it would lose the update."""
    transaction, other = store.begin(), store.begin()
    remove(transaction, 0, 2)
    update(other, 0, 2, 2, 20)
    other.commit()
    compact(store)
    assert (2, 20) in rows_of(store, store.snapshot())
    with pytest.raises(Conflict):
        commit_following(store, transaction)
    assert 20 in values(store)


@pytest.mark.parametrize("updated", [False, True])
def test_a_row_that_others_changed_after_the_rewrite_is_a_conflict(
    store: Store, updated: bool
) -> None:
    transaction = store.begin()
    remove(transaction, 0, 2)
    compact(store)
    other = store.begin()
    if updated:
        update(other, 0, 2, 2, 20)
    else:
        remove(other, 0, 2)
    other.commit()
    compact(store)
    with pytest.raises(Conflict):
        commit_following(store, transaction)
    assert len(values(store)) == (10 if updated else 9)


def test_other_rows_of_the_same_row_group_are_no_conflict(store: Store) -> None:
    transaction, before = store.begin(), store.begin()
    remove(transaction, 0, 1)
    remove(before, 0, 2)
    before.commit()
    compact(store)
    after = store.begin()
    remove(after, 0, 0)
    after.commit()
    commit_following(store, transaction)
    assert values(store) == [3, 4, 5, 6, 7, 8, 9]


def test_a_schema_change_stays_a_conflict(store: Store) -> None:
    transaction = store.begin()
    remove(transaction, 0, 1)
    compact(store)
    wider = replace(definition(), columns=(column(), column(2, "b")), next_column_id=3)
    commit(store, AlterTable(wider))
    assert follow(store, transaction, in_record) is None


def test_what_is_no_matter_of_rewrites_is_left_alone(store: Store) -> None:
    transaction, other = store.begin(), store.begin()
    remove(transaction, 0, 1)
    remove(other, 0, 1)
    other.commit()
    assert follow(store, transaction, in_record) is None
    untouched = store.begin()
    remove(untouched, 1, 0)
    state = store.snapshot().tables[TABLE]
    elsewhere = Step("compact", (state.row_groups[2].id,), 4, 0)
    rewrite(store, TABLE, [elsewhere])
    assert follow(store, untouched, in_record) is None
    untouched.commit()
    assert values(store) == [0, 2, 3, 5, 6, 7, 8, 9]


def test_large_vectors_are_handed_over_and_unmoved_ones_stay(store: Store) -> None:
    transaction = store.begin()
    remove(transaction, 0, 1)
    append(transaction, [50, 51])
    remove(transaction, 3, 0)
    own: list[Effect] = [e for e in transaction.effects if isinstance(e, Delete)][1:]
    compact(store)
    placed: list[DeleteVector] = []

    def to_pages(vectors: dict[str, DeleteVector]) -> None:
        writer = transaction.writer()
        for vector in vectors.values():
            vector.page = writer.append(vector.payload or b"", PageKind.DELETE_VECTOR)
            vector.payload = None
            placed.append(vector)

    effects = follow(store, transaction, to_pages)
    assert effects is not None
    assert [v.count for v in placed] == [1]
    assert effects[2:] == own
    transaction.effects[:] = effects
    transaction.commit()
    assert values(store) == [0, 2, 3, 4, 5, 6, 7, 8, 9, 51]


def test_random_histories_end_as_if_nothing_had_been_rewritten() -> None:
    """Two stores live through the same deletes; in one of them maintenance never rests."""
    rng = np.random.default_rng(7)
    for _ in range(12):
        stores = [Store(MemoryDevice()) for _ in range(2)]
        for one in stores:
            commit(one, CreateTable(definition()))
            insert(one, *([*range(n * 30, n * 30 + 30)] for n in range(4)))
        groups, chosen = rng.permuted(np.arange(120)).reshape(2, 60), []
        for number, one in enumerate(stores):
            transaction = one.begin()
            for row in groups[0]:
                remove(transaction, int(row) // 30, int(row) % 30)
            others = one.begin()
            for row in groups[1][:20]:
                remove(others, int(row) // 30, int(row) % 30)
            others.commit()
            if number:
                compact(one)
                append_and_compact = one.begin()
                append(append_and_compact, [1000])
                append_and_compact.commit()
                compact(one)
            else:
                insert(one, [1000])
            commit_following(one, transaction)
            chosen.append(sorted(rows_of(one, one.snapshot())))
            one.close()
        assert chosen[0] == chosen[1]
        assert len(chosen[0]) == 41
