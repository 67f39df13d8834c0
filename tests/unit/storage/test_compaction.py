"""Sealing, compaction and clustering: the same rows in another form, or nothing at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Conflict, StorageFull
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import AlterTable, Append, CreateTable, DropTable
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import Step, plan_compaction, plan_sealing
from pagelake.storage.row_group import RowGroupWriter, read_row_group, read_row_ids
from pagelake.storage.row_group_run import read_run
from pagelake.storage.store import Store

from .builders import TABLE, append, column, commit, definition
from .devices import FullDevice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pagelake.storage.effects import TableDefinition
    from pagelake.storage.snapshot import Snapshot

Rows = list[tuple[int, object]]


@pytest.fixture
def store() -> Iterator[Store]:
    with_table = Store(MemoryDevice())
    commit(with_table, CreateTable(definition()))
    yield with_table
    with_table.close()


def rows_of(store: Store, snapshot: Snapshot, table: str = TABLE) -> Rows:
    """Row id and first column of all live rows, in order, read one row group at a time."""
    state = snapshot.tables[table]
    found: Rows = []
    for group in state.row_groups:
        batch = read_row_group(store, state.definition, group, state.definition.columns[:1])
        ids = read_row_ids(store, state.definition, group).to_pylist()
        gone = {int(p) for v in state.deletes.get(group.id, ()) for p in v.positions(store.pages)}
        values = batch.column(0).to_pylist()
        found += [(ids[n], values[n]) for n in range(group.rows) if n not in gone]
    assert len(found) == state.rows
    return found


def write_pages(store: Store, arrays: Sequence[pa.Array], known: TableDefinition) -> None:
    """Commit one paged row group."""
    transaction = store.begin()
    writer = RowGroupWriter(store, transaction, [c.id for c in known.columns], inlines=False)
    names = [str(c.id) for c in known.columns]
    groups = writer.write([pa.RecordBatch.from_arrays(list(arrays), names=names)])
    transaction.add("INSERT", Append(known.id, groups))
    transaction.commit()


def insert(store: Store, *batches: list[int | None]) -> None:
    for values in batches:
        transaction = store.begin()
        append(transaction, values)
        transaction.commit()


def delete(store: Store, group: int, *positions: int) -> None:
    transaction = store.begin()
    found = transaction.snapshot.tables[TABLE].row_groups[group].id
    transaction.delete("DELETE", TABLE, {found: np.array(positions, dtype=np.uint32)})
    transaction.commit()


def steps_of(store: Store, *, eager: bool = True, seal: bool = False) -> list[Step]:
    state = store.snapshot().tables[TABLE]
    return plan_sealing(state, groups_min=1) if seal else plan_compaction(state, eager=eager)


def test_sealing_keeps_rows_order_and_ids(store: Store) -> None:
    insert(store, [1], [2, None], [4], [5, 6, 7])
    delete(store, 3, 1)
    before, old = rows_of(store, store.snapshot()), store.snapshot()
    done = rewrite(store, TABLE, steps_of(store, seal=True))
    assert (done.rows, done.removed, len(done.added)) == (6, 4, 1)
    assert rows_of(store, store.snapshot()) == before
    assert [g.inline for g in store.snapshot().tables[TABLE].row_groups] == [None]
    assert steps_of(store, seal=True) == steps_of(store) == []
    assert rows_of(store, old) == before
    insert(store, [8])
    assert rows_of(store, store.snapshot()) == [*before, (7, 8)]


def test_row_ids_are_implied_only_where_they_are_consecutive(store: Store) -> None:
    insert(store, [1, 2, 3], [4, 5])
    rewrite(store, TABLE, steps_of(store, seal=True))
    (whole,) = store.snapshot().tables[TABLE].row_groups
    assert not whole.explicit_row_ids
    delete(store, 0, 2)
    rewrite(store, TABLE, steps_of(store))
    (holed,) = store.snapshot().tables[TABLE].row_groups
    assert holed.explicit_row_ids
    assert rows_of(store, store.snapshot()) == [(0, 1), (1, 2), (3, 4), (4, 5)]
    insert(store, [6])
    rewrite(store, TABLE, steps_of(store))
    assert rows_of(store, store.snapshot())[-2:] == [(4, 5), (5, 6)]


def test_the_rewritten_log_reads_the_same_from_its_start(store: Store) -> None:
    insert(store, [1], [2], [3])
    rewrite(store, TABLE, steps_of(store, seal=True))
    insert(store, [4])
    again = Store(store.device)
    assert rows_of(again, again.snapshot()) == rows_of(store, store.snapshot())


def test_row_groups_with_few_deleted_rows_stay(store: Store) -> None:
    write_pages(store, [pa.array(range(100))], definition())
    delete(store, 0, *range(9))
    assert steps_of(store) == []
    delete(store, 0, 50)
    assert [step.rows for step in steps_of(store)] == [90]


def test_background_merges_only_what_pays(store: Store) -> None:
    known = definition()
    write_pages(store, [pa.array(range(100))], known)
    for _ in range(3):
        write_pages(store, [pa.array(range(10))], known)
    assert steps_of(store, eager=False) == []
    assert len(steps_of(store)) == 1
    write_pages(store, [pa.array(range(10))], known)
    (step,) = steps_of(store, eager=False)
    assert (len(step.groups), step.rows) == (4, 40)


def test_a_delete_in_the_same_row_group_wins(store: Store) -> None:
    insert(store, [1, 2, 3], [4, 5])
    steps = steps_of(store)

    def meanwhile(_state: object, _groups: object) -> None:
        delete(store, 0, 1)

    with pytest.raises(Conflict):
        rewrite(store, TABLE, steps, derive=meanwhile)
    assert rows_of(store, store.snapshot()) == [(0, 1), (2, 3), (3, 4), (4, 5)]
    rewrite(store, TABLE, steps)
    assert rows_of(store, store.snapshot()) == [(0, 1), (2, 3), (3, 4), (4, 5)]


def test_appends_and_deletes_elsewhere_do_not_disturb(store: Store) -> None:
    write_pages(store, [pa.array(range(100_000))], definition())
    insert(store, [1], [2])

    def meanwhile(_state: object, _groups: object) -> None:
        delete(store, 0, 0)
        insert(store, [3])

    rewrite(store, TABLE, steps_of(store, seal=True), derive=meanwhile)
    rows = rows_of(store, store.snapshot())
    assert rows[0] == (1, 1)
    assert rows[-3:] == [(100_000, 1), (100_001, 2), (100_002, 3)]
    assert len(rows) == 100_002


@pytest.mark.parametrize("change", ["drop", "alter"])
def test_a_schema_change_wins(store: Store, change: str) -> None:
    insert(store, [1], [2])
    wider = replace(definition(), columns=(column(), column(2, "b")), next_column_id=3)

    def meanwhile(_state: object, _groups: object) -> None:
        commit(store, DropTable(TABLE) if change == "drop" else AlterTable(wider))

    version = store.snapshot().version
    with pytest.raises(Conflict):
        rewrite(store, TABLE, steps_of(store), derive=meanwhile)
    assert store.snapshot().version == version + 1


def test_a_column_added_later_keeps_its_initial_value(store: Store) -> None:
    insert(store, [1], [2])
    sink = pa.BufferOutputStream()
    value = pa.record_batch([pa.array([7], pa.int64())], names=["v"])
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write_batch(value)
    initial = sink.getvalue().to_pybytes()
    late = replace(column(2, "b"), initial=initial)
    commit(store, AlterTable(replace(definition(), columns=(column(), late), next_column_id=3)))
    rewrite(store, TABLE, steps_of(store))
    state = store.snapshot().tables[TABLE]
    (group,) = state.row_groups
    batch = read_row_group(store, state.definition, group, state.definition.columns)
    assert batch.to_pylist() == [{"1": 1, "2": 7}, {"1": 2, "2": 7}]


def test_a_full_device_leaves_the_table_as_it_was() -> None:
    memory = MemoryDevice()
    device = FullDevice(memory)
    store = Store(device)
    commit(store, CreateTable(definition()))
    insert(store, [1], [2], [3])
    before = rows_of(store, store.snapshot())
    failures = 0
    for room in range(20):
        device.room = room
        try:
            rewrite(store, TABLE, steps_of(store))
            break
        except StorageFull:
            failures += 1
            device.room = None
            assert rows_of(store, store.snapshot()) == before
    device.room = None
    assert failures > 0
    assert rows_of(store, store.snapshot()) == before
    assert [g.inline for g in store.snapshot().tables[TABLE].row_groups] == [None]
    store.close()


def test_giving_up_half_way_leaves_nothing(store: Store) -> None:
    insert(store, [1], [2])
    version = store.snapshot().version

    def stop(_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewrite(store, TABLE, steps_of(store), pace=stop)
    assert store.snapshot().version == version


def clustered(kind: pa.DataType) -> TableDefinition:
    columns = (column(1, "n", pa.int64()), column(2, "k", kind))
    return replace(definition("b" * 32, "c"), columns=columns, cluster_by=(2,))


def keys_of(store: Store, known: TableDefinition) -> list[object]:
    state = store.snapshot().tables[known.id]
    tables = read_run(store, known, list(state.row_groups), known.columns)
    return [value for table in tables for value in table.column(1).to_pylist()]


SCRAMBLED = np.random.default_rng(5).permutation(300_000)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (pa.int64(), [int(n) for n in SCRAMBLED]),
        (pa.int64(), [None if n % 3 == 0 else int(n) for n in SCRAMBLED]),
        (pa.float64(), [float(n) for n in SCRAMBLED]),
        (pa.string(), [f"a long common{n % 7} and more" for n in SCRAMBLED]),
        (pa.string(), [f"key {n:06d} \N{LATIN SMALL LETTER E WITH ACUTE}" for n in SCRAMBLED]),
        (pa.binary(), [bytes([n % 251]) * 20 for n in SCRAMBLED]),
    ],
)
def test_clustering_sorts_and_then_has_nothing_to_do(
    store: Store, kind: pa.DataType, keys: list[object]
) -> None:
    known = clustered(kind)
    commit(store, CreateTable(known))
    for start in range(0, len(keys), 100_000):
        piece = keys[start : start + 100_000]
        write_pages(store, [pa.array(range(len(piece))), pa.array(piece, kind)], known)
    before = dict(rows_of(store, store.snapshot(), known.id))
    steps = plan_compaction(store.snapshot().tables[known.id], eager=True)
    assert {step.task for step in steps} == {"cluster"}
    rewrite(store, known.id, steps)
    found = keys_of(store, known)
    values = [key for key in found if key is not None]
    assert values == sorted(values)  # type: ignore[type-var]
    assert all(key is None for key in found[len(values) :])
    assert dict(rows_of(store, store.snapshot(), known.id)) == before
    assert plan_compaction(store.snapshot().tables[known.id], eager=True) == []


def test_nan_is_sorted_between_numbers_and_null(store: Store) -> None:
    known = clustered(pa.float64())
    commit(store, CreateTable(known))
    for keys in ([None, 2.0, float("nan")], [1.0, float("nan"), -3.0]):
        write_pages(store, [pa.array(range(3)), pa.array(keys, pa.float64())], known)
    rewrite(store, known.id, plan_compaction(store.snapshot().tables[known.id], eager=True))
    found = [str(key) for key in keys_of(store, known)]
    assert found == ["-3.0", "1.0", "2.0", "nan", "nan", "None"]


def test_columns_without_an_order_do_not_sort(store: Store) -> None:
    known = clustered(pa.list_(pa.int64()))
    commit(store, CreateTable(known))
    for keys in ([[2], [1]], [[0], None]):
        write_pages(store, [pa.array([1, 2]), pa.array(keys, pa.list_(pa.int64()))], known)
    rewrite(store, known.id, plan_compaction(store.snapshot().tables[known.id], eager=True))
    assert keys_of(store, known) == [[2], [1], [0], None]
    assert plan_compaction(store.snapshot().tables[known.id], eager=True) == []


def test_runs_of_inlined_groups_read_as_each_by_itself(store: Store) -> None:
    insert(store, [1, None], [3], [4, 5, 6])
    state = store.snapshot().tables[TABLE]
    (table,) = read_run(
        store, state.definition, list(state.row_groups), state.definition.columns, row_ids=True
    )
    assert list(zip(*(c.to_pylist() for c in reversed(table.columns)), strict=True)) == rows_of(
        store, store.snapshot()
    )
