"""Names of chunks: keyed BLAKE3, and what rows and indexes hold of it.

    hash        32 bytes, in the row of the chunk
    reference   its first 16 bytes, in extents: two words
    code        its first 8 bytes, which the index is sorted by: the first word

The key is that of a trust domain, so that equal bytes of two domains have different names: nobody
can tell from a name, or from what a write costs, what another domain has.

The key of domain 0 is derived from the store's id. A key of its own in a row would make two first
writers race for it, and could be lost by itself; the id stands in ``store.json`` and in the header
of every page, and is the same in a backup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from ...errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

HASH_BYTES: Final = 32
REFERENCE_BYTES: Final = 16
_CONTEXT: Final = "pagelake content: key of a trust domain"
_ETAG_BYTES: Final = 16
_AGAIN: Final = b"\x01"

Words = npt.NDArray[np.int64]


def domain_key(store_id: bytes, domain: int = 0) -> bytes:
    """The key that names the chunks of a trust domain."""
    named = store_id + domain.to_bytes(8, "little")
    return blake3(named, derive_key_context=_CONTEXT).digest()


def digest(piece: bytes | memoryview, key: bytes) -> bytes:
    """The hash of a chunk."""
    return blake3(piece, key=key).digest()


def digest_again(piece: bytes | memoryview, key: bytes) -> bytes:
    """Another hash of a chunk, where the reference of the first one is taken by other bytes."""
    return blake3(bytes(piece) + _AGAIN, key=key).digest()


def etag_of(parts: Iterable[bytes | memoryview], key: bytes) -> str:
    """A short name of a content, from what tells it apart."""
    hasher = blake3(key=key)
    for part in parts:
        hasher.update(part)
    return hasher.digest(_ETAG_BYTES).hex()


def words_of(hashes: bytes | memoryview) -> Words:
    """Hashes laid end to end as words, shape (n, 4): the first two are the reference."""
    return np.frombuffer(hashes, dtype="<i8").reshape(-1, 4)


def column_words(column: pa.Array) -> Words:
    """The hashes of a column of ``chunks`` as words, shape (n, 4), without a copy.

    Raises:
        Corrupt: One of them is no hash.
    """
    if not len(column):
        return np.empty((0, 4), dtype=np.int64)
    _, offsets, content = column.buffers()
    ends = np.frombuffer(offsets, dtype="<i4")[column.offset : column.offset + len(column) + 1]
    first, last = int(ends[0]), int(ends[-1])
    if column.null_count or last - first != HASH_BYTES * len(column):
        raise Corrupt("a hash of file_data.chunks has a wrong length")
    return words_of(memoryview(content)[first:last])
