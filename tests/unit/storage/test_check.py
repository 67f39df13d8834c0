"""The check names every damage, and the repair makes good what is derived and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from pagelake.errors import FormatTooNew
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import (
    ROW_ID_COLUMN,
    Append,
    CloneTable,
    Column,
    CreateTable,
    Delete,
    DeleteVector,
    RowGroup,
    TableDefinition,
    serialize_type,
)
from pagelake.storage.log import checkpoint as checkpoints
from pagelake.storage.maintenance import row_check
from pagelake.storage.maintenance.check import check, verify_store
from pagelake.storage.maintenance.finding import Finding, Severity
from pagelake.storage.maintenance.repair import repair
from pagelake.storage.page import HEADER_BYTES, PageKind, padded
from pagelake.storage.row_group import RowGroupWriter
from pagelake.storage.store import Store, record_name
from tests.unit.storage.builders import TABLE, append, commit, definition, of_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.storage.transaction import Transaction

COLUMNS = (
    Column(1, "a", "BIGINT", serialize_type(pa.int64())),
    Column(2, "b", "VARCHAR", serialize_type(pa.string())),
)
PAGED = TableDefinition(TABLE, "main", "t", COLUMNS, 3)
ROWS = 20_000


def groups_of(transaction: Transaction, rows: int = ROWS) -> tuple[RowGroup, ...]:
    writer = RowGroupWriter(transaction._store, transaction, (1, 2))
    values = pa.array(range(rows), pa.int64())
    texts = pa.array([f"a text longer than sixteen bytes {i}" for i in range(rows)])
    return writer.write([pa.record_batch([values, texts], names=["1", "2"])])


def load(store: Store, rows: int = ROWS) -> int:
    transaction = store.begin()
    transaction.add("INSERT", Append(TABLE, groups_of(transaction, rows)))
    return transaction.commit()


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def store(device: MemoryDevice) -> Iterator[Store]:
    """Two tables; t has pages, inlined rows and deletes, and a checkpoint in between."""
    store = Store(device)
    commit(store, CreateTable(PAGED), CreateTable(definition("b" * 32, "u")))
    load(store)
    store.checkpoint()
    transaction = store.begin()
    append(transaction, [1, None], "b" * 32)
    transaction.commit()
    (group,) = store.snapshot().tables[TABLE].row_groups
    commit(store, Delete(TABLE, {group.id: DeleteVector.of(positions_of([1, 7]))}))
    yield store
    store.close()


def damaged(device: MemoryDevice) -> list[Finding]:
    return [f for f in check(device) if f.severity is Severity.DAMAGE]


def flip(device: MemoryDevice, name: str, at: int) -> None:
    content = bytearray(device.read(name))
    content[at] ^= 0x10
    replace_file(device, name, bytes(content))


def replace_file(device: MemoryDevice, name: str, content: bytes) -> None:
    device.unlink(name)
    assert device.stage(content).link(name)


def segment_of(device: MemoryDevice) -> str:
    (name,) = device.list("segments")
    return f"segments/{name}"


def test_a_sound_store_is_clean(store: Store, device: MemoryDevice) -> None:
    assert list(check(device)) == []
    assert list(check(store)) == []
    assert verify_store(store) == []


def test_progress_reaches_the_end(store: Store) -> None:
    calls: list[tuple[int, int]] = []
    list(check(store, lambda _what, done, total: calls.append((done, total))))
    size = store.device.size(segment_of(store.device))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert len(calls) >= 2
    assert calls[-1] == (size, size)


def test_each_page_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    load(store)
    commit(store, CloneTable(definition("c" * 32, "c"), TABLE, store.snapshot().version))
    store.checkpoint()
    read = []
    get = type(store.pages).get

    def noting(self, ref, kind=None):
        read.append(ref)
        return get(self, ref, kind)

    monkeypatch.setattr(type(store.pages), "get", noting)
    assert list(check(store.device)) == []
    assert len(read) == len(set(read)) == 4


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_flipped_bit_in_a_record_is_found(
    store: Store, device: MemoryDevice, version: int
) -> None:
    flip(device, record_name(version), 150)
    (found,) = damaged(device)
    assert found.file == record_name(version)
    assert not found.derived
    assert found.affects
    # The checkpoint of version 2 holds the state: only the way to it is lost.
    assert ("history" in found.affects[0]) == (version <= 2)


def test_a_lost_record_is_found(store: Store, device: MemoryDevice) -> None:
    device.unlink(record_name(3))
    (found,) = damaged(device)
    assert (found.file, found.affects) == (record_name(3), ("versions 3 to 4",))
    assert "missing" in found.what


def test_a_truncated_record_is_found(store: Store, device: MemoryDevice) -> None:
    replace_file(device, record_name(4), device.read(record_name(4))[:-3])
    (found,) = damaged(device)
    assert found.file == record_name(4)


def test_swapped_records_are_found(store: Store, device: MemoryDevice) -> None:
    third, fourth = device.read(record_name(3)), device.read(record_name(4))
    replace_file(device, record_name(3), fourth)
    replace_file(device, record_name(4), third)
    assert damaged(device)[0].file == record_name(3)


def test_a_record_of_another_history_is_found(store: Store, device: MemoryDevice) -> None:
    """It is sound by itself, but what follows was written after a different one."""
    other = MemoryDevice({name: bytes(content) for name, content in device._files.items()})
    with_other = Store(other)
    load(with_other, 7)
    with_other.close()
    load(store, 8)
    load(store, 9)
    replace_file(device, record_name(5), other.read(record_name(5)))
    (found,) = damaged(device)
    assert found.file == record_name(6)
    assert "does not continue" in found.what


def test_a_flipped_bit_in_any_page_is_found(store: Store, device: MemoryDevice) -> None:
    (group,) = store.snapshot().tables[TABLE].row_groups
    name = segment_of(device)
    original = device.read(name)
    for chunk in group.chunks.values():
        for at in (0, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + chunk.page.length - 1):
            flip(device, name, chunk.page.offset + at)
            (found,) = damaged(device)
            assert (found.file, found.offset) == (name, chunk.page.offset)
            assert "main.t" in found.affects
            replace_file(device, name, original)
    assert damaged(device) == []


def test_swapped_pages_are_found(store: Store, device: MemoryDevice) -> None:
    (group,) = store.snapshot().tables[TABLE].row_groups
    first, second = (chunk.page for chunk in group.chunks.values())
    name = segment_of(device)
    content = device.read(name)
    one = content[first.offset : first.offset + first.stored_bytes]
    two = content[second.offset : second.offset + second.stored_bytes]
    assert one + two == content
    replace_file(device, name, two + one)
    assert {f.offset for f in damaged(device)} == {first.offset, second.offset}


def test_a_page_of_another_store_is_found(store: Store, device: MemoryDevice) -> None:
    name = segment_of(device)
    other = MemoryDevice()
    foreign = Store(other)
    commit(foreign, CreateTable(PAGED))
    load(foreign)
    foreign.close()
    replace_file(device, name, other.read(segment_of(other)))
    found = damaged(device)
    assert len(found) == 2
    assert all("another store" in f.what for f in found)


def test_a_lost_segment_is_said_once(store: Store, device: MemoryDevice) -> None:
    device.unlink(segment_of(device))
    (found,) = damaged(device)
    assert "missing" in found.what
    assert found.affects[0] == "main.t"


def test_a_truncated_segment_is_found(store: Store, device: MemoryDevice) -> None:
    name = segment_of(device)
    replace_file(device, name, device.read(name)[:5000])
    assert {f.file for f in damaged(device)} == {name}


@pytest.mark.parametrize("content", [b"", b"junk", b'{"format": 1, "store_id": "00"}'])
def test_a_damaged_identity_is_found(store: Store, device: MemoryDevice, content: bytes) -> None:
    replace_file(device, "store.json", content)
    (found,) = damaged(device)
    assert (found.file, found.affects) == ("store.json", ("the whole store",))


def test_a_later_format_is_not_judged(store: Store, device: MemoryDevice) -> None:
    replace_file(device, "store.json", of_format(device.read("store.json"), 9))
    with pytest.raises(FormatTooNew):
        list(check(device))


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_format_is_damage(
    store: Store, device: MemoryDevice, bit: int
) -> None:
    content = bytearray(device.read("store.json"))
    content[content.index(b": 1") + 2] ^= 1 << bit
    replace_file(device, "store.json", bytes(content))
    (found,) = damaged(device)
    assert (found.file, found.affects) == ("store.json", ("the whole store",))


def test_a_lost_identity_is_found(store: Store, device: MemoryDevice) -> None:
    device.unlink("store.json")
    assert [f.file for f in damaged(device)] == ["store.json"]


# What the checksums cannot tell: records that are well formed and not true.


def forge(store: Store, change: dict[str, object], column: int = 1) -> list[Finding]:
    """Load a row group with a column chunk whose description was changed."""
    transaction = store.begin()
    (group,) = groups_of(transaction)
    chunk = replace(group.chunks[column], **change)
    group = replace(group, chunks={**group.chunks, column: chunk})
    transaction.add("INSERT", Append(TABLE, (group,)))
    transaction.commit()
    return damaged(store.device)


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        (1, {"min": 1}, "below the minimum"),
        (1, {"max": ROWS - 2}, "above the maximum"),
        (2, {"min": "b"}, "below the minimum"),
        (2, {"max": "a text"}, "above the maximum"),
        (1, {"null_count": 1}, "null count of 0"),
        (1, {"nan_count": 1}, "nan count of 0"),
        (1, {"row_count": 1}, "row count of 20000"),
    ],
)
def test_an_untrue_zone_map_is_found(
    store: Store, column: int, change: dict[str, object], said: str
) -> None:
    (true,) = store.snapshot().tables[TABLE].row_groups
    zone = true.chunks[column].zone
    assert zone is not None
    (found,) = forge(store, {"zone": replace(zone, **change)}, column)
    assert said in found.what
    assert found.affects[0] == "main.t"


def test_a_wide_zone_map_is_right(store: Store) -> None:
    (true,) = store.snapshot().tables[TABLE].row_groups
    zone = true.chunks[1].zone
    assert zone is not None
    assert forge(store, {"zone": replace(zone, min=-5, max=None)}) == []


def test_a_chunk_of_other_rows_is_found(store: Store) -> None:
    (true,) = store.snapshot().tables[TABLE].row_groups
    transaction = store.begin()
    (shorter,) = groups_of(transaction, 19_000)
    group = replace(shorter, chunks={1: true.chunks[1], 2: shorter.chunks[2]})
    transaction.add("INSERT", Append(TABLE, (group,)))
    transaction.commit()
    (found,) = damaged(store.device)
    assert "20000 rows instead of 19000" in found.what


def test_inlined_rows_that_are_none_are_found(store: Store) -> None:
    transaction = store.begin()
    append(transaction, [1, 2, 3], "b" * 32)
    effect = transaction.effects[0]
    assert isinstance(effect, Append)
    (group,) = effect.row_groups
    transaction.effects[0] = replace(effect, row_groups=(replace(group, rows=2),))
    transaction.commit()
    (found,) = damaged(store.device)
    assert "3 inlined rows instead of 2" in found.what
    assert "main.u" in found.affects


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (DeleteVector.of(positions_of([ROWS])), "beyond its 20000 rows"),
        (DeleteVector.of(positions_of([7, 8])), "deleted twice"),
        (DeleteVector(3, DeleteVector.of(positions_of([9])).payload), "1 positions instead of 3"),
        (DeleteVector(1, b"no vector at all"), "cannot be read"),
        (DeleteVector(1), "neither payload nor page"),
    ],
)
def test_an_untrue_delete_vector_is_found(store: Store, vector: DeleteVector, said: str) -> None:
    (group,) = store.snapshot().tables[TABLE].row_groups
    commit(store, Delete(TABLE, {group.id: vector}))
    (found,) = damaged(store.device)
    assert said in found.what
    assert "main.t" in found.affects


def explicit(transaction: Transaction, ids: list[int | None]) -> Append:
    values = [pa.array(range(len(ids)), pa.int64()), pa.array(ids, pa.int64())]
    batch = pa.record_batch(values, names=["1", str(ROW_ID_COLUMN)])
    group = RowGroup(
        transaction.next_row_group_id(),
        len(ids),
        inline=batch.serialize().to_pybytes(),
        inline_columns=(1, ROW_ID_COLUMN),
    )
    return Append("b" * 32, (group,))


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([0, None], "the same row id"),  # the first one lives already
        ([5, 5], "the same row id"),
        ([None, 100], "never given out"),
        ([None, -1], "never given out"),
    ],
)
@pytest.mark.parametrize("window", [row_check.ROW_ID_WINDOW, 2])
def test_wrong_row_ids_are_found(
    store: Store,
    ids: list[int | None],
    said: str,
    window: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_check, "ROW_ID_WINDOW", window)
    transaction = store.begin()
    append(transaction, [1, 2, 3, 4], "b" * 32)
    transaction.commit()
    transaction = store.begin()
    transaction.add("UPDATE", explicit(transaction, ids))
    transaction.commit()
    found = damaged(store.device)
    assert [said in f.what for f in found] == [True]
    assert found[0].affects == ("main.u",)


def test_the_id_of_a_deleted_row_may_come_back(store: Store) -> None:
    first = next(iter(store.snapshot().tables["b" * 32].row_groups))
    transaction = store.begin()
    vector = DeleteVector.of(positions_of([0]))
    transaction.add("UPDATE", Delete("b" * 32, {first.id: vector}), explicit(transaction, [0]))
    transaction.commit()
    assert damaged(store.device) == []


def test_a_state_that_the_log_does_not_tell_is_found(store: Store, device: MemoryDevice) -> None:
    snapshot = store.snapshot()
    state = snapshot.tables[TABLE]
    untrue = replace(snapshot, tables={**snapshot.tables, TABLE: replace(state, rows=5)})
    name = checkpoints.checkpoint_name(snapshot.version)
    content = checkpoints.encode(untrue, store.history(), store_id=store.id)
    assert device.stage(content).link(name)
    (found,) = damaged(device)
    assert (found.file, found.derived) == (name, True)
    assert [r.done for r in repair(device)] == [True, True]
    assert damaged(device) == []
    # An open store that went astray is found too.
    store.head.snapshot = store.head.visible = untrue
    assert [f.file for f in verify_store(store)] == ["log"]


def test_unused_files_are_no_damage(store: Store, device: MemoryDevice) -> None:
    writer = store.pages.writer(exclusive=True)
    writer.append(bytes(100), PageKind.COLUMN_CHUNK)
    writer.close()
    device.stage(b"left over").link("tmp/x")
    found = {f.file: f for f in check(device)}
    unused = found.pop(f"segments/{writer.segment:016x}")
    assert (unused.severity, unused.bytes) == (
        Severity.INFORMATION, padded(HEADER_BYTES + 100),
    )  # fmt: skip
    assert found.pop("tmp/x").bytes == len(b"left over")
    assert found == {}
    assert verify_store(store) == []


# Repair


def test_a_damaged_checkpoint_is_written_anew(store: Store, device: MemoryDevice) -> None:
    store.checkpoint()
    for version in checkpoints.versions(device):
        flip(device, checkpoints.checkpoint_name(version), 200)
    assert {f.derived for f in damaged(device)} == {True}
    assert all(r.done for r in repair(device))
    assert damaged(device) == []
    assert checkpoints.versions(device) == [4]
    assert verify_store(store) == []


def test_a_checkpoint_is_kept_where_the_log_does_not_tell(
    store: Store, device: MemoryDevice
) -> None:
    flip(device, checkpoints.checkpoint_name(2), 200)
    flip(device, record_name(2), 150)
    before = dict(device._files)
    done = repair(device)
    assert {r.file for r in done} == {checkpoints.checkpoint_name(2), record_name(2)}
    assert not any(r.done for r in done)
    assert all("restore the file from a backup" in r.what for r in done)
    assert dict(device._files) == before


@pytest.mark.parametrize("file", ["record", "segment", "store.json"])
def test_truth_is_never_touched(store: Store, device: MemoryDevice, file: str) -> None:
    name = {"record": record_name(3), "segment": segment_of(device)}.get(file, file)
    flip(device, name, 1)
    before = dict(device._files)
    (done, *more) = repair(device)
    assert (done.file, done.done) == (name, False)
    assert all(not r.done for r in more)
    assert dict(device._files) == before


# The past


def test_a_reclaimed_store_is_clean_and_still_watched(store: Store, device: MemoryDevice) -> None:
    store.pins.settle()
    load(store)
    store.reclaim(0)
    store.checkpoint()
    assert damaged(device) == []
    assert verify_store(store) == []
    name = segment_of(device)
    flip(device, name, store.snapshot().tables[TABLE].row_groups[0].chunks[1].page.offset + 70)
    assert [f.file for f in damaged(device)] == [name]


def test_folded_records_are_checked(store: Store, device: MemoryDevice) -> None:
    store.checkpoint()
    assert store.fold() > 0
    assert damaged(device) == []
    (name,) = device.list("log/bundles")
    path = f"log/bundles/{name}"
    for at in (20, device.size(path) - 1):
        content = device.read(path)
        flip(device, path, at)
        found = damaged(device)
        assert {f.file for f in found} == {path}
        assert not any(f.derived for f in found)
        replace_file(device, path, content)
