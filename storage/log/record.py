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
from . import key_change
from .effects_wire import from_wire, to_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..effects import Effect, Wire
    from .key_change import KeyChange

RECORD_FORMAT = 3
"""Newest format that is read; what is written carries the oldest that can say it."""
_WITH_IDS = 2
_WITH_KEYS = 3
GENESIS_HASH = bytes(32)
_MAGIC = b"PLRC"
# magic, format, flags, store id, base version, base hash, time (us), raw body bytes, body bytes,
# checksum
_HEADER = struct.Struct("<4sHH16sQ32sqQQQ")
_COMPRESSED = 1
_ROWS_ONLY = 2
_KEYS_TOLD = 4
_ID_BYTES = 16
_COUNT = struct.Struct("<H")
_KEYS_BYTES = struct.Struct("<I")
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


@dataclass(frozen=True, slots=True)
class RecordHead:
    """What a record's first bytes tell, without its effects.

    Attributes:
        base_version: Newest version its writer had read.
        base_hash: Hash of that version's record.
        time_us: Writer's clock, microseconds since the epoch.
        hash: blake2b-256 of the record's bytes.
        ids: Ids of its transactions if they change *rows only*, no name, column or view; None for
            any other record.
        keys: What they did to keys, of a record that changes rows only; None where the record does
            not say, as those of earlier versions do not.
    """

    base_version: int
    base_hash: bytes
    time_us: int
    hash: bytes
    ids: tuple[str, ...] | None
    keys: tuple[KeyChange, ...] | None = None


def frame(
    body: bytes,
    *,
    magic: bytes,
    store_id: bytes,
    base: tuple[int, bytes],
    time_us: int,
    ids: Sequence[str] | None = None,
    keys: bytes | None = None,
) -> bytes:
    """Put a header with checksum before a body, compressed where that pays.

    Args:
        body: The body.
        magic: 4 bytes that say what it is.
        store_id: 16 bytes.
        base: Version and hash that it builds on.
        time_us: Microseconds since the epoch.
        ids: Ids of transactions to be read without the body.
        keys: What they did to keys, packed, to be read without the body as well.
    """
    flags, stored, version = 0, body, 1
    if len(body) >= _COMPRESS_FROM_BYTES:
        stored = _ZSTD.compress(body, asbytes=True)
        flags = _COMPRESSED
    if keys is not None:
        stored = _KEYS_BYTES.pack(len(keys)) + keys + stored
        flags, version = flags | _KEYS_TOLD, _WITH_KEYS
    if ids is not None:
        stored = _COUNT.pack(len(ids)) + bytes.fromhex("".join(ids)) + stored
        flags, version = flags | _ROWS_ONLY, max(version, _WITH_IDS)
    fields = (magic, version, flags, store_id, *base, time_us, len(body), len(stored))
    blank = _HEADER.pack(*fields, 0)
    digest = xxhash.xxh3_64(blank)
    digest.update(stored)
    return _HEADER.pack(*fields, digest.intdigest()) + stored


@dataclass(frozen=True, slots=True)
class _Frame:
    """A checked frame: header fields, and what follows them."""

    flags: int
    base_version: int
    base_hash: bytes
    time_us: int
    raw_bytes: int
    stored: bytes

    @property
    def ids_bytes(self) -> int:
        """Size of the list of ids before the body."""
        if not self.flags & _ROWS_ONLY:
            return 0
        return _COUNT.size + _ID_BYTES * int(_COUNT.unpack_from(self.stored)[0])

    @property
    def keys(self) -> bytes | None:
        """What is said of keys before the body; None where nothing is."""
        if not self.flags & _KEYS_TOLD:
            return None
        first = self.ids_bytes + _KEYS_BYTES.size
        return self.stored[first : first + self._keys_bytes]

    @property
    def _keys_bytes(self) -> int:
        return int(_KEYS_BYTES.unpack_from(self.stored, self.ids_bytes)[0])

    @property
    def body(self) -> bytes:
        """The body as it is stored."""
        first = self.ids_bytes
        if self.flags & _KEYS_TOLD:
            first += _KEYS_BYTES.size + self._keys_bytes
        return self.stored[first:]


def _checked(content: bytes, *, magic: bytes, store_id: bytes, name: str) -> _Frame:
    """Check a frame against its checksum."""

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
    return _Frame(flags, base, base_hash, time_us, raw, body)


def unframe(
    content: bytes, *, magic: bytes, store_id: bytes, name: str
) -> tuple[bytes, int, bytes, int]:
    """Check a framed body; returns (body, base version, base hash, time).

    Raises:
        Corrupt: The bytes are damaged or belong elsewhere.
        FormatTooNew: A later version of Pagelake wrote them.
    """
    frame = _checked(content, magic=magic, store_id=store_id, name=name)
    body = frame.body
    if frame.flags & _COMPRESSED:
        try:
            body = _ZSTD.decompress(body, decompressed_size=frame.raw_bytes, asbytes=True)
        except (OSError, pa.ArrowInvalid) as error:
            raise Corrupt(
                f"{name} is damaged: its body cannot be decompressed: {error}", file=name, offset=0
            ) from error
    return body, frame.base_version, frame.base_hash, frame.time_us


def transaction_to_wire(transaction: CommittedTransaction) -> Wire:
    """Flatten a transaction, as a record holds it."""
    t = transaction
    return [t.id, t.operation, [to_wire(e) for e in t.effects], t.message, t.author]


def encode(
    transactions: Sequence[Wire],
    *,
    store_id: bytes,
    base: tuple[int, bytes],
    time_us: int,
    rows_only: bool,
) -> bytes:
    """Serialise a record; ``decode`` reverses it.

    Args:
        transactions: The transactions, each by ``transaction_to_wire``.
        store_id: 16 bytes.
        base: Newest version that the writer has read, and the hash of its record.
        time_us: Microseconds since the epoch.
        rows_only: None of them changes more than rows (see ``RecordHead``).
    """
    body: bytes = msgpack.packb(transactions)
    ids = [t[0] for t in transactions] if rows_only else None
    effects = [effect for t in transactions for effect in t[2]]
    # Reliance is said in this format only, whatever else there is.
    told = rows_only or any(effect[0] == "rely" for effect in effects)
    return frame(
        body,
        magic=_MAGIC,
        store_id=store_id,
        base=base,
        time_us=time_us,
        ids=ids,
        keys=key_change.pack(key_change.gather(effects)) if told else None,
    )


def record_hash(content: bytes) -> bytes:
    """Hash of a record's bytes, as the chain uses it."""
    return hashlib.blake2b(content, digest_size=32).digest()


def peek(content: bytes, *, store_id: bytes, name: str) -> RecordHead:
    """Read a record as far as it can be read without its effects.

    Raises:
        Corrupt: The bytes are damaged or belong elsewhere.
        FormatTooNew: A later version of Pagelake wrote them.
    """
    frame = _checked(content, magic=_MAGIC, store_id=store_id, name=name)
    ids = keys = None
    if size := frame.ids_bytes:
        listed = frame.stored[_COUNT.size : size].hex()
        ids = tuple(listed[i : i + 2 * _ID_BYTES] for i in range(0, len(listed), 2 * _ID_BYTES))
        if (told := frame.keys) is not None:
            keys = key_change.unpack(told, name)
    return RecordHead(
        frame.base_version, frame.base_hash, frame.time_us, record_hash(content), ids, keys
    )


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
