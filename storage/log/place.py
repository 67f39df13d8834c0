"""Whether a record stands at its place in the log.

A record's bytes do not tell its version: a writer that loses the race for one name offers the same
bytes for the next. What is known is what it builds on. A sound record that something has copied
to another place either does not fit what stands before it, or stands there twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable


def verify_place(
    base: tuple[int, bytes],
    record_hash: bytes,
    version: int,
    hash_of: Callable[[int], bytes | None],
    name: str,
) -> None:
    """Check that a record may be the one of a version.

    Args:
        base: Version and hash of the record that its writer had read last.
        record_hash: Its own hash.
        version: Where it stands.
        hash_of: Hash of an earlier version's record, None where it is not known any more.
        name: Its file, for the message.

    Raises:
        Corrupt: It belongs elsewhere.
    """
    base_version, base_hash = base
    known = hash_of(base_version) if base_version < version else None
    if base_version >= version or (known is not None and known != base_hash):
        raise Corrupt(
            f"{name} is damaged: it does not continue the log before it", file=name, offset=0
        )
    for earlier in range(base_version + 1, version):
        if hash_of(earlier) == record_hash:
            raise Corrupt(f"{name} repeats version {earlier}", file=name, offset=0)
