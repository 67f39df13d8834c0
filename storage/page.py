"""Pages: the unit of allocation and verification inside a segment.

A page is a 64-byte header and a payload, and starts on a 4 KiB boundary so that its payload
can be mapped. The checksum covers header and payload, and every referrer repeats it together
with the place and the length, so that rotten, torn, misdirected, stale and foreign pages are all
told from the right one.

Byte layout: docs/format/page.md, section 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import xxhash

from ..errors import Corrupt, FormatTooNew

PAGE_ALIGNMENT = 4096
HEADER_BYTES = 64
_MAGIC = b"PLPG"
_VERSION = 1
# magic, version, kind, reserved, store id, segment id, offset, payload length, checksum, reserved
_HEADER = struct.Struct("<4sHBB16sQQQQ8s")
_CHECKSUM_AT = 48
_NO_CHECKSUM = bytes(8)


class PageKind(IntEnum):
    """What a page's payload is."""

    COLUMN_CHUNK = 1
    ROW_IDS = 2
    DELETE_VECTOR = 3
    KEY_RUN = 4
    CONTENT = 5


@dataclass(frozen=True, slots=True)
class PageRef:
    """Where a page lies and what must be found there.

    Attributes:
        segment: Segment id, an unsigned 64-bit number.
        offset: Byte offset of the page header in its segment.
        length: Payload length in bytes.
        checksum: xxh3-64 over header (checksum field zero) and payload.
    """

    segment: int
    offset: int
    length: int
    checksum: int

    @property
    def stored_bytes(self) -> int:
        """Bytes the page takes in its segment: header, payload and padding."""
        return padded(HEADER_BYTES + self.length)


def segment_name(segment: int) -> str:
    """Name of a segment's file on the device."""
    return f"segments/{segment:016x}"


def padded(length: int) -> int:
    """Length rounded up to the page alignment."""
    return -(-length // PAGE_ALIGNMENT) * PAGE_ALIGNMENT


def _checksum(header: bytes | memoryview, payload: bytes | memoryview) -> int:
    digest = xxhash.xxh3_64(header[:_CHECKSUM_AT])
    digest.update(_NO_CHECKSUM)
    digest.update(header[_CHECKSUM_AT + 8 :])
    digest.update(payload)
    return digest.intdigest()


def build_header(
    store_id: bytes, segment: int, offset: int, kind: PageKind, payload: bytes | memoryview
) -> tuple[bytes, int]:
    """Return the header of a page and the checksum in it."""
    length = memoryview(payload).nbytes
    fields = (_MAGIC, _VERSION, kind, 0, store_id, segment, offset, length)
    blank = _HEADER.pack(*fields, 0, bytes(8)).ljust(HEADER_BYTES, b"\0")
    checksum = _checksum(blank, payload)
    header = blank[:_CHECKSUM_AT] + checksum.to_bytes(8, "little") + blank[_CHECKSUM_AT + 8 :]
    return header, checksum


def verify(
    page: memoryview, ref: PageRef, store_id: bytes, kind: PageKind | None = None
) -> memoryview:
    """Check a page against its reference and return its payload.

    Args:
        page: Header and payload as read.
        ref: What the referrer expects.
        store_id: The store's id, 16 bytes.
        kind: The kind expected, when the reader knows it.

    Raises:
        Corrupt: The bytes are not the page that was written there.
        FormatTooNew: A later version of Pagelake wrote it.
    """
    magic, version, found_kind, _, store, segment, offset, length, checksum, _ = (
        _HEADER.unpack_from(page)
    )
    payload = page[HEADER_BYTES:]
    wrong = None
    if magic != _MAGIC:
        wrong = "it does not begin with a page header"
    elif version > _VERSION and _checksum(page[:HEADER_BYTES], payload) == ref.checksum:
        # Only with the checksum: a flipped bit must not pass for a later version.
        raise FormatTooNew(
            f"a page of {segment_name(ref.segment)} has format {version}, this version reads "
            f"up to {_VERSION}",
            hint="upgrade pagelake",
        )
    elif version != _VERSION:
        wrong = f"its page format is {version}, not {_VERSION}"
    elif store != store_id:
        wrong = "it belongs to another store"
    elif (segment, offset, length) != (ref.segment, ref.offset, ref.length):
        wrong = "it was written for another place"
    elif checksum != ref.checksum:
        wrong = "it is not the version that its referrer expects"
    elif kind is not None and found_kind != kind:
        wrong = f"it is of kind {found_kind}, not {kind.value}"
    elif _checksum(page[:HEADER_BYTES], payload) != checksum:
        wrong = "its checksum does not match its bytes"
    if wrong is not None:
        raise Corrupt(
            f"page at offset {ref.offset} of {segment_name(ref.segment)} is damaged: {wrong}",
            file=segment_name(ref.segment),
            offset=ref.offset,
            hint="other tables, and versions that do not refer to this page, stay readable",
        )
    return payload
