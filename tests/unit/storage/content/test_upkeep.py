"""Contents and maintenance: sweep, settle, reclaim, check, backup; damage; a full disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pagelake.errors import Conflict, Corrupt, StorageFull
from pagelake.storage.content.content_check import contradictions
from pagelake.storage.content.content_pages import groups_naming, pages_of_state, references
from pagelake.storage.content.sweep import Sweeper
from pagelake.storage.content.tables import CHUNKS, ELEMENTS, PACKS
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, Delete, DeleteVector, Rely
from pagelake.storage.environment import Environment
from pagelake.storage.maintenance.backup import backup
from pagelake.storage.maintenance.check import check
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.finding import Severity
from pagelake.storage.maintenance.plan import plan_compaction, plan_moving, plan_sealing
from pagelake.storage.page import segment_name
from pagelake.storage.store import Store
from tests.unit.storage.content.shelf import Shelf
from tests.unit.storage.content.test_content_store import KIB, MIB, noise, words
from tests.unit.storage.devices import FullDevice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake.storage.content.sweep import Swept
    from pagelake.storage.page import PageRef


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.close()


def sweep(shelf: Shelf) -> Swept:
    return Sweeper(shelf.store).run(0.0, age_s=0.0)


def require_sound(shelf: Shelf) -> None:
    assert [f for f in check(shelf.store) if f.severity is Severity.DAMAGE] == []


def pack_pages(shelf: Shelf) -> list[PageRef]:
    state = shelf.store.snapshot().tables[PACKS]
    several = pages_of_state(shelf.store.pages, state)
    return [page for _, places in several for page in references(places)]


def seal(shelf: Shelf, table: str = ELEMENTS) -> None:
    steps = plan_sealing(shelf.store.snapshot().tables[table], groups_min=1)
    rewrite(shelf.store, table, steps)


# Sweep


def test_a_sweep_takes_what_nobody_refers_to_and_nothing_else(shelf: Shelf) -> None:
    contents = {n: noise(40_000 + 20_000 * n, n) for n in range(1, 6)}
    for handle, content in contents.items():
        shelf.put(handle, content)
    shelf.put(6, contents[1] + contents[2])
    before = shelf.rows(CHUNKS)
    shelf.remove(1)
    shelf.remove(3)
    swept = sweep(shelf)
    assert 0 < swept.chunks < before
    assert swept.packs == 1
    assert sweep(shelf).chunks == 0
    for handle in (2, 4, 5):
        assert shelf.get(handle) == contents[handle]
    assert shelf.get(6) == contents[1] + contents[2]
    require_sound(shelf)


def test_a_chunk_waits_an_hour(shelf: Shelf) -> None:
    shelf.put(1, noise(100_000))
    shelf.remove(1)
    sweeper = Sweeper(shelf.store)
    assert sweeper.due(0.0)
    first = sweeper.run(0.0)
    assert (first.chunks, first.waiting) == (0, shelf.rows(CHUNKS))
    assert not sweeper.due(3599.0)
    shelf.put(2, noise(100_000))
    assert sweeper.run(3600.0).chunks == 0
    shelf.remove(2)
    assert sweeper.run(7200.0).chunks == 0
    swept = sweeper.run(10_800.0)
    assert (swept.chunks, swept.packs, swept.waiting) == (first.waiting, 1, 0)
    assert shelf.rows(CHUNKS) == 0


def test_what_deltas_were_made_against_stays(shelf: Shelf) -> None:
    content = noise(200_000)
    shelf.put(1, content)
    changed = content[:100_000] + b"other" + content[100_005:]
    shelf.put(2, changed)
    shelf.remove(1)
    sweep(shelf)
    assert shelf.get(2) == changed
    require_sound(shelf)
    shelf.remove(2)
    sweep(shelf)
    sweep(shelf)
    assert shelf.rows(CHUNKS) == shelf.rows(PACKS) == 0


def test_of_equal_chunks_one_stays(shelf: Shelf) -> None:
    content = noise(200_000)
    made = {1: shelf.write(content), 2: shelf.write(content)}
    for handle, each in made.items():
        shelf.put(handle, each)
    rows = shelf.rows(CHUNKS)
    assert sweep(shelf).chunks == rows // 2
    assert shelf.get(1) == shelf.get(2) == content
    require_sound(shelf)


def test_a_writer_that_uses_a_swept_chunk_brings_it_back(shelf: Shelf) -> None:
    """The sweep comes between the look-up and the commit, with a reclaim behind it."""
    content = noise(300_000)
    shelf.put(1, content)
    shelf.remove(1)
    made = shelf.write(content)  # refers to what is there
    assert made.staged is not None
    assert made.staged.effects == []
    assert sweep(shelf).packs == 1
    assert shelf.store.reclaim(0).segments == 0
    shelf.put(2, made)
    shelf.store.reclaim(0)
    assert shelf.get(2) == content
    require_sound(shelf)


def test_a_writer_that_uses_a_delta_brings_back_its_base(shelf: Shelf) -> None:
    content = noise(300_000)
    changed = content[:100_000] + b"other" + content[100_005:]
    shelf.put(1, content)
    shelf.put(2, changed)
    shelf.remove(1)
    shelf.remove(2)
    made = shelf.write(changed)
    sweep(shelf)
    sweep(shelf)
    assert shelf.rows(CHUNKS) == 0
    shelf.put(3, made)
    assert shelf.get(3) == changed
    require_sound(shelf)


def test_a_sweep_at_the_moment_of_a_commit_makes_it_run_again(shelf: Shelf) -> None:
    content = noise(300_000)
    shelf.put(1, content)
    shelf.remove(1)
    made = shelf.write(content)
    swept: list[int] = []
    shelf.commit({2: made}, before=lambda: swept.append(sweep(shelf).chunks))
    assert swept[0] > 0
    assert shelf.get(2) == content
    require_sound(shelf)


def test_a_commit_at_the_moment_of_a_sweep_saves_its_chunks(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, other = noise(300_000), noise(300_000, 2)
    shelf.put(1, content)
    shelf.put(2, other)
    shelf.remove(1)
    shelf.remove(2)
    made = shelf.write(content)
    begin = Sweeper._begin

    def late(sweeper: Sweeper, *args: object) -> object:
        monkeypatch.setattr(Sweeper, "_begin", begin)
        shelf.put(3, made)
        return begin(sweeper, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Sweeper, "_begin", late)
    assert sweep(shelf).chunks == 0
    assert shelf.get(3) == content
    assert sweep(shelf).packs == 1
    assert shelf.get(3) == content
    require_sound(shelf)


def test_earlier_versions_keep_what_was_swept(shelf: Shelf) -> None:
    content = noise(300_000)
    version = shelf.put(1, content)
    shelf.remove(1)
    sweep(shelf)
    with shelf.store.pin(version):
        then = shelf.store.snapshot_at(version)
        shelf.store.reclaim(0)
        assert shelf.get(1, then) == content


# Settle


def test_sealing_takes_contents_out_of_the_rows(shelf: Shelf) -> None:
    contents = {n: noise(n * 137 % 5000, n) for n in range(60)}
    for start in range(0, 60, 10):
        some = range(start, start + 10)
        shelf.commit({n: shelf.contents.inline(contents[n]) for n in some})
    before, version = shelf.files(), shelf.store.snapshot().version
    seal(shelf)
    files = shelf.files()
    for handle, content in contents.items():
        assert files[handle].inline is None
        assert (files[handle].etag, files[handle].size) == (before[handle].etag, len(content))
        assert shelf.get(handle) == content
    assert shelf.get(5, shelf.store.snapshot_at(version)) == contents[5]
    assert shelf.rows(PACKS) == 1
    state = shelf.store.snapshot().tables[ELEMENTS]
    assert sum(group.stored_bytes for group in state.row_groups) < 60 * KIB
    require_sound(shelf)
    shelf.store.reclaim(0)
    assert shelf.get(59) == contents[59]


def test_a_file_changed_while_it_is_settled_is_not_lost(shelf: Shelf) -> None:
    shelf.put(1, b"first")
    shelf.put(2, b"other")
    mine = shelf.contents.inline(b"second")
    shelf.commit({1: mine}, before=lambda: seal(shelf))
    assert shelf.get(1) == b"second"
    assert shelf.get(2) == b"other"
    require_sound(shelf)


def test_row_groups_of_many_bytes_are_not_made_one(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagelake.storage.maintenance import plan

    monkeypatch.setattr(plan, "ROW_GROUP_BYTES_MAX", 64 << 10)
    for handle in range(20):
        shelf.put(handle, noise(10_000, handle))
    steps = plan_sealing(shelf.store.snapshot().tables[ELEMENTS], groups_min=1)
    assert len(steps) == 4
    seal(shelf)
    shelf.store.checkpoint()
    assert all(shelf.get(handle) == noise(10_000, handle) for handle in range(20))


# Reclaim, backup, check


def test_reclaim_keeps_packs_in_use_and_frees_the_others(tmp_path: Path) -> None:
    shelf = Shelf(LocalDevice(tmp_path / "s", create=True))
    contents = {n: noise(3 * MIB, n) for n in (1, 2, 3)}
    for handle, content in contents.items():
        shelf.put(handle, content)
    shelf.store.checkpoint()
    shelf.store.reclaim(0)
    for handle, content in contents.items():
        assert shelf.get(handle) == content
    shelf.remove(2)
    assert shelf.store.reclaim(0).bytes_freed < MIB
    sweep(shelf)
    shelf.close()
    shelf = Shelf(LocalDevice(tmp_path / "s", create=True))
    assert shelf.store.reclaim(0).bytes_freed >= 3 * MIB
    assert shelf.get(1) == contents[1]
    assert shelf.get(3) == contents[3]
    require_sound(shelf)
    shelf.close()


def test_compaction_of_the_tables_keeps_contents(shelf: Shelf) -> None:
    contents = {n: noise(30_000, n) for n in range(1, 30)}
    for handle, content in contents.items():
        shelf.put(handle, content)
    for handle in range(1, 15):
        shelf.remove(handle)
    sweep(shelf)
    for table in (CHUNKS, PACKS):
        steps = plan_compaction(shelf.store.snapshot().tables[table], eager=True)
        assert steps
        rewrite(shelf.store, table, steps)
    shelf.store.reclaim(0)
    shelf.put(40, contents[20] + b"!")
    for handle in range(15, 30):
        assert shelf.get(handle) == contents[handle]
    require_sound(shelf)


def test_a_backup_has_the_contents(shelf: Shelf) -> None:
    shelf.put(1, noise(300_000))
    shelf.put(2, b"small")
    copy = MemoryDevice()
    backup(shelf.store, copy)
    shelf.put(3, noise(2 * MIB, 3))
    shelf.remove(1)
    sweep(shelf)
    shelf.store.reclaim(0)
    backup(shelf.store, copy)
    restored = Shelf(copy)
    assert restored.get(2) == b"small"
    assert restored.get(3) == noise(2 * MIB, 3)
    require_sound(restored)
    restored.close()


def flip(device: MemoryDevice, page: PageRef, at: int = 70) -> None:
    name = segment_name(page.segment)
    content = bytearray(device.read(name))
    content[page.offset + at] ^= 1
    device._files[name] = content


@pytest.mark.parametrize("threads", [False, True])
def test_a_damaged_pack_is_corrupt_and_names_the_file(*, threads: bool) -> None:
    device = MemoryDevice()
    shelf = Shelf(device, threads=threads)
    contents = {n: noise(2 * MIB, n) for n in (11, 12)}
    for handle, content in contents.items():
        shelf.put(handle, content)
    page = pack_pages(shelf)[0]
    flip(device, page)
    shelf.close()
    shelf = Shelf(device, threads=threads)
    with pytest.raises(Corrupt, match="file with handle 11 ") as caught:
        shelf.get(11)
    assert (caught.value.file, caught.value.offset) == (segment_name(page.segment), page.offset)
    assert shelf.get(12) == contents[12]
    reader = shelf.contents.read(shelf.store.snapshot(), shelf.file(11))
    assert reader.read_at(2 * MIB - 10, 10) == contents[11][-10:]
    (found,) = [f for f in check(shelf.store) if f.severity is Severity.DAMAGE]
    assert (found.offset, found.affects) == (page.offset, ("files with handle 11",))
    shelf.close()


def test_a_missing_segment_is_said_once(shelf: Shelf) -> None:
    assert isinstance(shelf.device, MemoryDevice)
    shelf.put(2, noise(100_000, 2))
    shelf.put(1, noise(5 * MIB))
    lost = pack_pages(shelf)[-1].segment
    shelf.device.unlink(segment_name(lost))
    with pytest.raises(Corrupt, match=r"handle 1 .* missing"):
        shelf.get(1)
    found = [f for f in check(shelf.store) if f.severity is Severity.DAMAGE]
    mine = [f for f in found if "files with handle 1" in f.affects]
    assert len(mine) == 1


def test_a_row_that_is_not_there_is_found(shelf: Shelf) -> None:
    """What no correct program does: chunks and packs deleted under a content."""
    for table, what in ((CHUNKS, "extents refer to chunks"), (PACKS, "in packs that are not")):
        shelf.put(5, noise(100_000))
        transaction = shelf.store.begin()
        state = transaction.snapshot.tables[table]
        vectors = {
            group.id: DeleteVector.of(np.arange(group.rows, dtype=np.uint32))
            for group in state.row_groups
            if group.id not in state.deletes
        }
        transaction.add("DAMAGE", Delete(table, vectors))
        transaction.commit()
        with pytest.raises(Corrupt, match="handle 5 "):
            shelf.get(5)
        found = list(contradictions(shelf.store.pages, shelf.store.snapshot()))
        assert any(what in said for said, _ in found)
        assert any("handle 5" in affects for _, affects in found) == (table == CHUNKS)
        shelf.remove(5)


def test_damaged_extents_are_corrupt(shelf: Shelf) -> None:
    made = shelf.write(noise(100_000))
    from dataclasses import replace

    assert made.extents is not None
    shelf.put(8, replace(made, extents=made.extents[:-20]))
    with pytest.raises(Corrupt, match=r"handle 8 .* instead of 100000"):
        shelf.get(8)
    shelf.put(9, replace(shelf.write(noise(50_000)), extents=made.extents[:-7]))
    with pytest.raises(Corrupt, match=r"handle 9 .* cut short"):
        shelf.get(9)


def test_what_is_relied_on_is_told(shelf: Shelf) -> None:
    content = noise(100_000)
    shelf.put(1, content)
    made = shelf.write(content)
    effects = shelf.contents.effects(shelf.store.snapshot(), 2, made)
    (rely,) = effects
    assert isinstance(rely, Rely)
    assert len(rely.keys[0].codes) == 8 * shelf.rows(CHUNKS)
    shelf.put(2, made)
    fresh = shelf.write(noise(100_000, 9))
    told = shelf.contents.effects(shelf.store.snapshot(), 3, fresh)
    assert [type(effect) for effect in told] == [Append, Append]
    shelf.contents.release(fresh, committed=False)


# A full disk


def test_a_full_disk_leaks_nothing(tmp_path: Path) -> None:
    device = FullDevice(LocalDevice(tmp_path / "s", create=True))
    shelf = Shelf(device)
    shelf.put(1, noise(100_000))
    content = noise(6 * MIB, 7) + words(MIB)
    failed = 0
    descriptors = len(os.listdir("/dev/fd"))
    segments = device.list("segments")
    for room in range(40):
        device.room = room
        try:
            shelf.put(2, content)
        except StorageFull:
            failed += 1
            # A segment that held others' pages is not appended to any more, and another one
            # that holds nothing is gone.
            assert set(device.list("segments")) <= set(segments)
            assert len(os.listdir("/dev/fd")) <= descriptors
        else:
            break
    device.room = None
    assert failed >= 8
    assert shelf.get(2) == content
    assert shelf.get(1) == noise(100_000)
    require_sound(shelf)
    shelf.close()


def test_an_editor_meets_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    from pagelake.storage.content import content_editor

    monkeypatch.setattr(content_editor, "_BLOCKS_MAX", 2)
    device = FullDevice(MemoryDevice())
    shelf = Shelf(device)
    content = noise(MIB)
    shelf.put(1, content)
    for room in range(40):
        device.room = room
        try:
            with shelf.contents.edit(shelf.store.snapshot(), shelf.file(1)) as editor:
                for at in range(0, MIB, 100_000):
                    editor.write_at(at, b"x" * 70_000)
                expected = editor.read_at(0, 2 * MIB)
                made = editor.finish()
        except StorageFull:
            continue
        break
    device.room = None
    shelf.put(1, made)
    assert shelf.get(1) == expected
    shelf.close()


def test_a_conflict_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "s", create=True)
    shelf = Shelf(device)
    shelf.put(1, b"x")
    made = shelf.write(noise(3 * MIB))
    transaction = shelf.store.begin()
    shelf.stage(transaction, {1: made})
    shelf.put(1, b"y")
    with pytest.raises(Conflict):
        transaction.commit()
    shelf.contents.release(made, committed=False)
    assert device.list("segments") == []
    shelf.close()


def test_a_store_with_contents_opens_anew(tmp_path: Path) -> None:
    shelf = Shelf(LocalDevice(tmp_path / "s", create=True), threads=True)
    shelf.put(1, noise(MIB))
    shelf.close()
    store = Store(LocalDevice(tmp_path / "s", create=False), environment=Environment(threads=False))
    assert store.snapshot().tables[PACKS].rows == 1
    store.close()


def test_packs_leave_segments_that_are_mostly_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files have no holes: a pack in use would keep a whole segment."""
    monkeypatch.setattr(LocalDevice, "punch", lambda *_: None)
    device = LocalDevice(tmp_path / "s", create=True)
    shelf = Shelf(device)
    contents = {n: noise(600_000, n) for n in range(1, 9)}
    for handle, content in contents.items():
        shelf.put(handle, content)
    for handle in range(2, 9):
        shelf.remove(handle)
    sweep(shelf)
    shelf.store.pages.close()
    shelf.store.reclaim(0)
    sparse = shelf.store.pages.sparse
    assert sparse
    state = shelf.store.snapshot().tables[PACKS]
    naming = groups_naming(shelf.store.pages, state, sparse)
    steps = plan_moving(state, sparse, naming)
    assert steps
    rewrite(shelf.store, PACKS, steps)
    assert {page.segment for page in pack_pages(shelf)}.isdisjoint(sparse)
    shelf.store.reclaim(0)
    shelf.store.reclaim(0)
    assert not any(device.exists(segment_name(segment)) for segment in sparse)
    assert shelf.get(1) == contents[1]
    require_sound(shelf)
    shelf.close()
