"""Pages: any damage to any field is told from the right page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagelake.errors import Corrupt
from pagelake.storage.page import (
    HEADER_BYTES,
    PAGE_ALIGNMENT,
    PageKind,
    PageRef,
    build_header,
    padded,
    segment_name,
    verify,
)

STORE = bytes(range(16))
PAYLOAD = b"the payload of a page"
SEGMENT, OFFSET = 0xABC, 3 * PAGE_ALIGNMENT


def page(payload: bytes = PAYLOAD, store: bytes = STORE) -> tuple[bytearray, PageRef]:
    header, checksum = build_header(store, SEGMENT, OFFSET, PageKind.COLUMN_CHUNK, payload)
    return bytearray(header + payload), PageRef(SEGMENT, OFFSET, len(payload), checksum)


@given(st.binary(max_size=100))
def test_a_page_gives_its_payload(payload: bytes) -> None:
    content, ref = page(payload)
    assert verify(memoryview(content), ref, STORE, PageKind.COLUMN_CHUNK) == payload
    assert verify(memoryview(content), ref, STORE) == payload


@pytest.mark.parametrize("position", range(HEADER_BYTES + len(PAYLOAD)))
def test_every_flipped_bit_is_noticed(position: int) -> None:
    for bit in range(8):
        content, ref = page()
        content[position] ^= 1 << bit
        with pytest.raises(Corrupt) as caught:
            verify(memoryview(content), ref, STORE, PageKind.COLUMN_CHUNK)
        assert caught.value.file == segment_name(SEGMENT)
        assert caught.value.offset == OFFSET


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"segment": 1}, "another place"),
        ({"offset": 0}, "another place"),
        ({"length": len(PAYLOAD) - 1}, "another place"),
        ({"checksum": 1}, "not the version"),
    ],
    ids=str,
)
def test_a_right_page_in_the_wrong_place(change: dict[str, int], why: str) -> None:
    content, ref = page()
    with pytest.raises(Corrupt, match=why):
        verify(memoryview(content), replace(ref, **change), STORE)


def test_foreign_and_mistaken_pages() -> None:
    content, ref = page(store=bytes(16))
    with pytest.raises(Corrupt, match="another store"):
        verify(memoryview(content), ref, STORE)
    content, ref = page()
    with pytest.raises(Corrupt, match="kind"):
        verify(memoryview(content), ref, STORE, PageKind.DELETE_VECTOR)


def test_the_layout_is_the_documented_one() -> None:
    """docs/format/page.md, section 2: a change of layout is a change of version."""
    content, ref = page()
    assert len(content) == HEADER_BYTES + len(PAYLOAD)
    assert content[:8] == b"PLPG" + b"\x01\x00" + b"\x01" + b"\x00"
    assert content[8:24] == STORE
    numbers = [int.from_bytes(content[at : at + 8], "little") for at in (24, 32, 40, 48)]
    assert numbers == [SEGMENT, OFFSET, len(PAYLOAD), ref.checksum]
    assert content[56:64] == bytes(8)


@given(st.integers(0, 1 << 40))
def test_padding_reaches_the_next_boundary(length: int) -> None:
    assert padded(length) % PAGE_ALIGNMENT == 0
    assert 0 <= padded(length) - length < PAGE_ALIGNMENT
