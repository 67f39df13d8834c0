"""The page store: segments of one writer each, reused, removed where nobody refers to them."""

from __future__ import annotations

import pytest

from pagelake.errors import Corrupt
from pagelake.storage import page_store
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.environment import Environment
from pagelake.storage.page import PAGE_ALIGNMENT, PageKind, segment_name
from pagelake.storage.page_store import PageStore

STORE = bytes(16)


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def pages(device: MemoryDevice) -> PageStore:
    return PageStore(device, STORE, Environment())


def test_pages_come_back_and_start_on_boundaries(pages: PageStore) -> None:
    writer = pages.writer()
    payloads = [b"", b"x", b"y" * 5_000, bytes(4096 - 64)]
    refs = [writer.append(payload, PageKind.COLUMN_CHUNK) for payload in payloads]
    pages.sync([writer])
    assert [bytes(pages.get(ref)) for ref in refs] == payloads
    assert [ref.offset % PAGE_ALIGNMENT for ref in refs] == [0] * 4
    assert writer.size == sum(ref.stored_bytes for ref in refs)


def test_writers_at_the_same_time_have_segments_of_their_own(pages: PageStore) -> None:
    first, second = pages.writer(), pages.writer()
    assert first.segment != second.segment
    pages.release(first)
    assert pages.writer(exclusive=True).segment != first.segment
    assert pages.writer().segment == first.segment, "an idle segment is used again"


def test_a_large_segment_is_sealed(pages: PageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_store, "SEGMENT_BYTES_MAX", 2 * PAGE_ALIGNMENT)
    writer = pages.writer()
    for _ in range(2):
        writer.append(b"x", PageKind.COLUMN_CHUNK)
    pages.release(writer)
    assert pages.writer().segment != writer.segment


def test_an_abandoned_segment_is_removed_unless_somebody_refers_to_it(
    pages: PageStore, device: MemoryDevice
) -> None:
    lost, unknown, shared = pages.writer(), pages.writer(), pages.writer()
    for writer in (lost, unknown, shared):
        writer.append(b"x", PageKind.COLUMN_CHUNK)
    pages.sync([lost, unknown, shared])
    pages.release(shared)
    assert pages.writer() is shared
    pages.abandon(lost)
    pages.abandon(unknown, keep=True)
    pages.abandon(shared)
    left = {segment_name(writer.segment) for writer in (unknown, shared)}
    assert {f"segments/{name}" for name in device.list("segments")} == left


def test_what_is_missing_or_cut_short_is_corrupt(pages: PageStore, device: MemoryDevice) -> None:
    writer = pages.writer()
    ref = writer.append(b"payload", PageKind.COLUMN_CHUNK)
    name = segment_name(ref.segment)
    content = device.read(name)
    device.unlink(name)
    with pytest.raises(Corrupt, match="missing") as caught:
        pages.get(ref)
    assert (caught.value.file, caught.value.offset) == (name, 0)
    device.create(name).append(content[:20])
    with pytest.raises(Corrupt, match="ends too early"):
        pages.get(ref)
