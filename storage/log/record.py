"""Commit records: what makes transactions true.

A record is a fixed header, a chain to the newest record its writer had read, and a msgpack
body of one or more transactions. Its bytes do not depend on the version that it gets.

Byte layout: docs/format/commit-record.md, sections 2 to 4.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack
import pyarrow as pa
import xxhash

from ...errors import Corrupt, FormatTooNew
from .effects_wire import from_wire, to_wire

if TYPE_CHECKING:
    from ..effects import Effect

RECORD_FORMAT = 1
GENESIS_HASH = bytes(32)
_MAGIC = b"PLRC"
# magic, format, flags, store id, base version, base hash, time (us), raw body bytes, body bytes,
# checksum
_HEADER = struct.Struct("<4sHH16sQ32sqQQQ")
_COMPRESSED = 1
_COMPRESS_FROM_BYTES = 256
_BODY_BYTES_MAX = 1 << 31
_ZSTD = pa.Codec("zstd", compression_level=1)


@dataclass(frozen=True, slots=True)
class CommittedTransaction:
    """One transaction inside a record.

    Attributes:
        id: Random id, 32 hexadecimal digits.
        operation: The statement kinds that made it, such as ``INSERT``.
        effects: What it does, in order.
        message: Free text given by the user, or None.
        author: Who made it, as the user said, or None.
    """

    id: str
    operation: str
    effects: tuple[Effect, ...]
    message: str | None = None
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A decoded commit record.

    Attributes:
        base_version: Newest version its writer had read.
        base_hash: Hash of that version's record.
        time_us: Writer's clock, microseconds since the epoch, never before the base's.
        transactions: The transactions, each with its own effects.
        hash: blake2b-256 of the record's bytes.
        stored_bytes: Size of the record.
    """

    base_version: int
    base_hash: bytes
    time_us: int
    transactions: tuple[CommittedTransaction, ...]
    hash: bytes
    stored_bytes: int


def frame(
    body: bytes, *, magic: bytes, store_id: bytes, base: tuple[int, bytes], time_us: int
) -> bytes:
    """Put a header with checksum before a body, compressed where that pays."""
    flags, stored = 0, body
    if len(body) >= _COMPRESS_FROM_BYTES:
        stored = _ZSTD.compress(body, asbytes=True)
        flags = _COMPRESSED
    fields = (magic, RECORD_FORMAT, flags, store_id, *base, time_us, len(body), len(stored))
    blank = _HEADER.pack(*fields, 0)
    digest = xxhash.xxh3_64(blank)
    digest.update(stored)
    return _HEADER.pack(*fields, digest.intdigest()) + stored


def unframe(
    content: bytes, *, magic: bytes, store_id: bytes, name: str
) -> tuple[bytes, int, bytes, int]:
    """Check a framed body; returns (body, base version, base hash, time).

    Raises:
        Corrupt: The bytes are damaged or belong elsewhere.
        FormatTooNew: A later version of Pagelake wrote them.
    """

    def corrupt(why: str) -> Corrupt:
        return Corrupt(f"{name} is damaged: {why}", file=name, offset=0)

    if len(content) < _HEADER.size:
        raise corrupt("it is cut short")
    found, version, flags, store, base, base_hash, time_us, raw, stored, checksum = (
        _HEADER.unpack_from(content)
    )
    if found != magic:
        raise corrupt("it does not begin as it should")
    if store != store_id:
        raise corrupt("it belongs to another store")
    body = content[_HEADER.size :]
    if len(body) != stored or raw > _BODY_BYTES_MAX:
        raise corrupt("its length is not what its header says")
    digest = xxhash.xxh3_64(
        _HEADER.pack(found, version, flags, store, base, base_hash, time_us, raw, stored, 0)
    )
    digest.update(body)
    if digest.intdigest() != checksum:
        raise corrupt("its checksum does not match its bytes")
    # Only now: a flipped bit must not pass for a later version.
    if version > RECORD_FORMAT:
        raise FormatTooNew(
            f"{name} has format {version}, this version reads up to {RECORD_FORMAT}",
            hint="upgrade pagelake",
        )
    if flags & _COMPRESSED:
        try:
            body = _ZSTD.decompress(body, decompressed_size=raw, asbytes=True)
        except (OSError, pa.ArrowInvalid) as error:
            raise corrupt(f"its body cannot be decompressed: {error}") from error
    return body, base, base_hash, time_us


def encode(
    transactions: tuple[CommittedTransaction, ...],
    *,
    store_id: bytes,
    base_version: int,
    base_hash: bytes,
    time_us: int,
) -> bytes:
    """Serialise a record; ``decode`` reverses it."""
    wire = [
        [t.id, t.operation, [to_wire(e) for e in t.effects], t.message, t.author]
        for t in transactions
    ]
    body: bytes = msgpack.packb(wire)
    return frame(
        body, magic=_MAGIC, store_id=store_id, base=(base_version, base_hash), time_us=time_us
    )


def record_hash(content: bytes) -> bytes:
    """Hash of a record's bytes, as the chain uses it."""
    return hashlib.blake2b(content, digest_size=32).digest()


def decode(content: bytes, *, store_id: bytes, name: str) -> Record:
    """Read a record.

    Args:
        content: The bytes of the file.
        store_id: The store the record must belong to.
        name: File name, for error messages.

    Raises:
        Corrupt: The bytes are damaged or belong elsewhere.
        FormatTooNew: A later version of Pagelake wrote them.
    """
    body, base_version, base_hash, time_us = unframe(
        content, magic=_MAGIC, store_id=store_id, name=name
    )
    wire = unpack(body, name)
    transactions = tuple(
        CommittedTransaction(t[0], t[1], tuple(from_wire(e) for e in t[2]), t[3], t[4])
        for t in wire
    )
    return Record(
        base_version, base_hash, time_us, transactions, record_hash(content), len(content)
    )


def unpack(body: bytes, name: str) -> list[Any]:
    """Decode a msgpack body that must be a list of lists."""
    try:
        wire = msgpack.unpackb(body, strict_map_key=False, use_list=True)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise Corrupt(f"{name} cannot be read: {error}", file=name, offset=0) from error
    if not isinstance(wire, list):
        raise Corrupt(f"{name} cannot be read: its body is not a list", file=name, offset=0)
    return wire
