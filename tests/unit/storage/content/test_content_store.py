"""Contents go in and come out: sizes, holes, sharing, many at once, and what is held meanwhile."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xxhash

from pagelake.errors import Closed, Denied
from pagelake.storage.content.content import INLINE_BYTES_MAX
from pagelake.storage.content.content_check import contradictions
from pagelake.storage.content.content_store import ContentStore
from pagelake.storage.content.extent import NEAR_MAX, holes, unpack
from pagelake.storage.content.sweep import Sweeper
from pagelake.storage.content.tables import CHUNKS, EXTENTS, PACKS
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.environment import Environment
from pagelake.storage.maintenance.check import check
from pagelake.storage.maintenance.finding import Severity
from pagelake.storage.store import Store
from tests.unit.storage.content.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
SIZES = (
    0, 1, 2, 4095, 4096, INLINE_BYTES_MAX - 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1,
    64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 1,
)  # fmt: skip


def noise(size: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size)


def words(size: int) -> bytes:
    text = b"".join(b"%d bottles stand on wall %x\n" % (n, n * n) for n in range(size // 20))
    return text[:size].ljust(size, b".")


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.close()


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read(shelf: Shelf, size: int) -> None:
    content = noise(size, size)
    shelf.put(7, content)
    file = shelf.file(7)
    assert file.size == size
    assert (file.inline is not None) == (size <= INLINE_BYTES_MAX)
    assert file.checksum == f"xxh3-128:{xxhash.xxh3_128_hexdigest(content)}"
    reader = shelf.contents.read(shelf.store.snapshot(), file)
    assert reader.read_at(0, size + 10) == content
    for offset in (0, size // 3, max(size - 5, 0), size, size + 5):
        assert reader.read_at(offset, 4097) == content[offset : offset + 4097]
        buffer = bytearray(b"x" * 100)
        count = reader.readinto_at(offset, buffer)
        expected = content[offset : offset + 100]
        assert (count, bytes(buffer)) == (len(expected), expected.ljust(100, b"x"))


@pytest.mark.parametrize("step", [1000, 64 * KIB, 5 * MIB])
def test_pieces_of_any_size_make_the_same_content(shelf: Shelf, step: int) -> None:
    content = noise(700_000) + bytes(300_000) + words(400_000)
    whole = shelf.write(content)
    with shelf.contents.write() as writer:
        for start in range(0, len(content), step):
            writer.write(bytearray(content[start : start + step]))
        pieces = writer.finish()
    assert (pieces.etag, pieces.checksum) == (whole.etag, whole.checksum)
    assert pieces.extents == whole.extents
    for made in (pieces, whole):
        shelf.contents.release(made, committed=False)


def test_many_extents_lie_in_rows_of_their_own(shelf: Shelf) -> None:
    content = noise(12 * MIB)
    shelf.put(1, content)
    file = shelf.file(1)
    assert file.extents is None
    assert shelf.rows(EXTENTS) == 2
    assert shelf.get(1) == content
    shelf.put(1, b"short")
    assert shelf.rows(EXTENTS) == 0
    shelf.put(1, content)
    shelf.remove(1)
    assert shelf.rows(EXTENTS) == 0


def test_text_takes_less_room_than_it_has_bytes(shelf: Shelf) -> None:
    content = words(2 * MIB)
    shelf.put(1, content)
    assert shelf.file(1).used < len(content) / 2
    assert shelf.get(1) == content


def test_zeros_are_stored_nowhere(shelf: Shelf) -> None:
    content = noise(100_000) + bytes(10 * MIB) + b"end"
    shelf.put(1, content)
    assert shelf.file(1).used < 300_000
    assert shelf.get(1) == content
    with shelf.contents.write() as writer:
        writer.write(b"begin")
        writer.hole(5 << 30)
        writer.write(b"end")
        made = writer.finish()
    shelf.put(2, made)
    file = shelf.file(2)
    assert file.size == (5 << 30) + 8
    assert file.used < 100
    assert file.extents is not None
    assert int(holes(unpack(file.extents)).sum()) == 5
    reader = shelf.contents.read(shelf.store.snapshot(), file)
    assert reader.read_at((5 << 30) + 3, 100) == bytes(2) + b"end"
    assert reader.read_at(3 << 30, 3) == bytes(3)


def test_equal_contents_are_stored_once(shelf: Shelf) -> None:
    content = noise(500_000)
    shelf.put(1, content)
    chunks, packs = shelf.rows(CHUNKS), shelf.rows(PACKS)
    shelf.put(2, content)
    shelf.put(3, content[100_000:] + b"more")
    assert shelf.rows(PACKS) == packs + 1
    assert shelf.rows(CHUNKS) <= chunks + 4
    assert shelf.get(2) == content
    assert shelf.get(3) == content[100_000:] + b"more"
    assert shelf.file(2).used == shelf.file(1).used


def test_two_that_write_the_same_at_once_both_succeed(shelf: Shelf) -> None:
    content = noise(300_000)
    one, two = shelf.write(content), shelf.write(content)
    shelf.put(1, one)
    shelf.put(2, two)
    assert shelf.get(1) == shelf.get(2) == content


def test_another_content_has_another_etag(shelf: Shelf) -> None:
    made = [shelf.write(noise(size, seed)) for size in (10, 100_000) for seed in (1, 2, 1)]
    etags = [content.etag for content in made]
    assert etags[0] == etags[2] != etags[1]
    assert etags[3] == etags[5] != etags[4]
    for content in made:
        shelf.contents.release(content, committed=False)


def test_equal_bytes_of_two_stores_have_other_names() -> None:
    shelves = [Shelf(), Shelf()]
    one, two = (s.write(noise(100_000)) for s in shelves)
    assert one.etag != two.etag
    assert one.extents != two.extents


def test_a_share_costs_no_bytes(shelf: Shelf) -> None:
    for content in (b"small", noise(200_000), noise(9 * MIB)):
        shelf.put(1, content)
        packs = shelf.rows(PACKS)
        shelf.put(2, shelf.contents.share(shelf.store.snapshot(), shelf.file(1)))
        shelf.remove(1)
        assert shelf.get(2) == content
        assert shelf.rows(PACKS) == packs
        shelf.put(1, b"")


def test_an_edit_before_keeps_versions_after_and_readers(shelf: Shelf) -> None:
    content = noise(300_000)
    version = shelf.put(1, content)
    shelf.put(1, noise(300_000, 2))
    then = shelf.store.snapshot_at(version)
    assert shelf.get(1, then) == content


def test_contents_of_one_writer_share_their_packs(shelf: Shelf) -> None:
    contents = {n: noise(3000 * n, n) for n in range(40)}
    with shelf.contents.write(inline_bytes_max=0) as writer:
        made = {}
        for handle, content in contents.items():
            writer.write(content)
            made[handle] = writer.next() if handle < 39 else writer.finish()
    shelf.commit(made)
    assert shelf.rows(PACKS) == 3
    for handle, content in contents.items():
        assert shelf.get(handle) == content
        assert shelf.file(handle).inline is None


def test_a_last_small_content_brings_the_packs_of_the_others(shelf: Shelf) -> None:
    with shelf.contents.write() as writer:
        writer.write(noise(100_000))
        first = writer.next()
        writer.write(b"tiny")
        last = writer.finish()
    shelf.commit({1: first, 2: last})
    assert shelf.get(1) == noise(100_000)
    assert shelf.get(2) == b"tiny"


def test_a_replaced_content_is_stored_as_what_differs(shelf: Shelf) -> None:
    content = noise(100_000)
    shelf.put(1, content)
    changed = b"new begin" + content[9:50_000] + b"!" + content[50_001:]
    with shelf.contents.write(previous=shelf.file(1)) as writer:
        writer.write(changed)
        made = writer.finish()
    assert made.staged is not None
    packs = shelf.rows(PACKS)
    shelf.put(1, made)
    assert shelf.rows(PACKS) == packs + 1
    assert _pack_bytes(shelf) < len(content) + 1000
    assert shelf.get(1) == changed
    shelf.put(2, changed[:60_000] + b"?" + changed[60_001:])
    assert _pack_bytes(shelf) < len(content) + 2000
    assert shelf.get(2) == changed[:60_000] + b"?" + changed[60_001:]


def _pack_bytes(shelf: Shelf) -> int:
    from pagelake.storage.content.content_pages import pages_of_state

    state = shelf.store.snapshot().tables[PACKS]
    return sum(
        int(places["length"].sum()) for _, places in pages_of_state(shelf.store.pages, state)
    )


def test_a_new_file_is_not_compared_for_ever(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    head = noise(100_000)
    shelf.put(1, head + noise(3 * MIB, 1))
    asked = []
    from pagelake.storage.content import chunk_stream

    def never(piece: memoryview, _base: bytes) -> None:
        asked.append(len(piece))

    monkeypatch.setattr(chunk_stream, "delta_of", never)
    shelf.put(2, head + noise(3 * MIB, 2))
    assert 0 < len(asked) <= 4


def test_what_is_finished_takes_no_more(shelf: Shelf) -> None:
    writer = shelf.contents.write()
    writer.write(b"x")
    writer.finish()
    with pytest.raises(Closed):
        writer.write(b"y")
    with pytest.raises(Closed):
        writer.finish()
    writer.abort()


def test_a_store_that_is_read_only_takes_no_content(tmp_path: Path) -> None:
    shelf = Shelf(LocalDevice(tmp_path / "s", create=True))
    shelf.put(1, noise(100_000))
    shelf.close()
    store = Store(
        LocalDevice(tmp_path / "s", create=False),
        environment=Environment(threads=False), read_only=True,
    )  # fmt: skip
    with pytest.raises(Denied), ContentStore(store).write() as writer:
        writer.write(noise(100_000))
    store.close()


def test_a_content_that_is_given_up_leaves_no_file(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "s", create=True)
    shelf = Shelf(device, threads=True)
    with pytest.raises(ZeroDivisionError), shelf.contents.write() as writer:
        writer.write(noise(6 * MIB))
        assert device.list("segments")
        raise ZeroDivisionError
    assert device.list("segments") == []
    made = shelf.write(noise(3 * MIB))
    shelf.contents.release(made, committed=False)
    assert device.list("segments") == []
    shelf.close()


def test_a_large_content_goes_through_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagelake.storage.content import segments

    monkeypatch.setattr(segments, "SEGMENT_BYTES_MAX", 2 * MIB)
    device = LocalDevice(tmp_path / "s", create=True)
    shelf = Shelf(device, threads=True)
    random, digest = np.random.default_rng(1), hashlib.sha256()
    with shelf.contents.write() as writer:
        for _ in range(20):
            piece = random.bytes(500_000)
            digest.update(piece)
            writer.write(piece)
        made = writer.finish()
    assert len(device.list("segments")) == 4
    shelf.put(1, made)
    assert hashlib.sha256(shelf.get(1)).digest() == digest.digest()
    shelf.store.reclaim(0)
    assert hashlib.sha256(shelf.get(1)).digest() == digest.digest()
    shelf.close()


def test_near_extents_fit_a_row(shelf: Shelf) -> None:
    made = shelf.write(noise(NEAR_MAX * 9 * KIB))
    assert made.extents is not None
    assert made.far_extents is None
    shelf.contents.release(made, committed=False)


def test_chunks_whose_references_are_alike_are_told_apart(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagelake.storage.content import chunk_stream, hashing

    def weak(piece: memoryview, key: bytes) -> bytes:
        return bytes([1] * 15 + [piece[0] % 2]) + hashing.digest(piece, key)[16:]

    monkeypatch.setattr(chunk_stream, "digest", weak)
    contents = {n: noise(100_000, n) for n in (1, 2)}
    for handle, content in contents.items():
        shelf.put(handle, content)
        shelf.put(handle + 10, content)
    for handle, content in contents.items():
        assert shelf.get(handle) == shelf.get(handle + 10) == content


def test_a_content_of_the_past_comes_back(shelf: Shelf) -> None:
    """Its chunks were swept, and are there in the version that it is taken from."""
    content = noise(9 * MIB)
    version = shelf.put(1, content)
    shelf.remove(1)
    with shelf.store.pin(version):
        Sweeper(shelf.store).run(0.0, age_s=0.0)
        assert shelf.rows(CHUNKS) == 0
        then = shelf.store.snapshot_at(version)
        shelf.put(2, shelf.contents.share(then, shelf.files(then)[1]))
        with shelf.contents.edit(then, shelf.files(then)[1]) as editor:
            editor.write_at(5 * MIB, b"edited")
            made = editor.finish()
    shelf.store.reclaim(0)
    shelf.put(3, made)
    shelf.store.reclaim(0)
    assert shelf.get(2) == content
    assert shelf.get(3) == content[: 5 * MIB] + b"edited" + content[5 * MIB + 6 :]
    assert list(contradictions(shelf.store.pages, shelf.store.snapshot())) == []


def test_pages_of_rows_and_of_packs_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows go to pages while a pack is being appended by another thread."""
    from pagelake.storage.content import staged

    monkeypatch.setattr(staged, "ROW_GROUP_ROWS_MAX", 100)
    shelf = Shelf(LocalDevice(tmp_path / "s", create=True), threads=True)
    content = noise(20 * MIB)
    shelf.put(1, content)
    assert shelf.get(1) == content
    assert [f for f in check(shelf.store) if f.severity is Severity.DAMAGE] == []
    shelf.close()
