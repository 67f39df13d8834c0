"""Whole files as each child of a striped device holds them: the content and a checksum.

Small files are kept on every child. The checksum tells a rotten copy from a good one, and
keeps a single child from being mistaken for a store of its own.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal

import xxhash

from ....errors import Corrupt

if TYPE_CHECKING:
    from ..device import Device

_TRAILER = struct.Struct("<8sQ")
_MAGIC = b"PLCOPY1\n"
TRAILER_BYTES = _TRAILER.size
SEGMENTS = "segments"


def is_derived(name: str) -> bool:
    """True of files that can be made again and lie on one child only, as they are."""
    return name.partition("/")[0] in {"hot", "tmp"}


def is_striped(name: str) -> bool:
    """True of files that are appended to and cut in stripes."""
    return name.partition("/")[0] == SEGMENTS


def seal(content: bytes) -> bytes:
    """A file's content with its checksum behind it."""
    return content + _TRAILER.pack(_MAGIC, xxhash.xxh3_64_intdigest(content))


def unseal(stored: bytes, name: str) -> bytes:
    """The content of a sealed file.

    Raises:
        Corrupt: The copy is cut short or does not match its checksum.
    """
    content = stored[:-TRAILER_BYTES]
    if len(stored) >= TRAILER_BYTES:
        magic, checksum = _TRAILER.unpack(stored[-TRAILER_BYTES:])
        if magic == _MAGIC and checksum == xxhash.xxh3_64_intdigest(content):
            return content
    raise Corrupt(f"a copy of {name} does not match its checksum", file=name)


def publish_copy(child: Device, name: str, content: bytes) -> Literal[True]:
    """Give a child a copy of a small file, durably."""
    staged = child.stage(seal(content))
    try:
        staged.link(name)
    finally:
        staged.discard()
    child.sync_directory(name.rpartition("/")[0])
    return True


def remove_file(device: Device, name: str) -> Literal[True]:
    """Remove a file from a child."""
    device.unlink(name)
    return True


def put_strip(child: Device, name: str, strip: bytes) -> Literal[True]:
    """Give a child a strip in the place of the one it has."""
    # Nothing is ever written over: until the new file has the name, the units count as missing.
    staged = child.stage(strip)
    try:
        remove_file(child, name)
        staged.link(name)
    finally:
        staged.discard()
    child.sync_directory(name.rpartition("/")[0])
    return True
