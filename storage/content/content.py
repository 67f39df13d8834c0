"""What an element's row says about its bytes, and what must be committed with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

    from .staged import Staged

INLINE_BYTES_MAX: Final = 16 << 10
"""Up to here the bytes stand in the element's row, until that is sealed: one record then makes
name and bytes durable, with one sync."""


@dataclass(frozen=True, slots=True)
class Content:
    """A content that is written, and not committed yet.

    Attributes:
        size: Bytes it has.
        used: Bytes that its chunks take where they are stored; a chunk counts wherever it is used.
        etag: A short name: other bytes have another one.
        checksum: ``xxh3-128:`` and the hexadecimal digest of the bytes; None where they were
            never seen in order.
        inline: The bytes themselves, of a small one; None otherwise.
        extents: The packed extents of one that has few; None otherwise.
        far_extents: Rows for ``extents`` without their handle, of one that has more.
        staged: The rows and pages that must be committed with it; None where there are none.
    """

    size: int
    used: int
    etag: str
    checksum: str | None
    inline: bytes | None
    extents: bytes | None
    far_extents: pa.RecordBatch | None
    staged: Staged | None
