"""Messages against the layouts that the kernel's header has."""

from __future__ import annotations

import struct

from pagelake.engine.fuse import protocol
from pagelake.engine.fuse.protocol import Attributes, Request, SetAttributesRequest

ATTRIBUTES = Attributes(
    node=7, mode=0o100644, size=1000, used=513, atime=-1, mtime=1_500_000_000, ctime=5,
    nlinks=2, uid=3, gid=4, device=0,
)  # fmt: skip


def test_attributes_are_laid_out_as_the_kernel_reads_them() -> None:
    found = struct.unpack("=6Q10I", ATTRIBUTES.packed())
    assert found[:3] == (7, 1000, 2), "blocks are of 512 bytes, the last one begun"
    assert found[3:6] == (2**64 - 1, 1, 0), "a moment before 1970 is the second before, and a rest"
    assert found[6:9] == (999_999_999, 500_000_000, 5)
    assert found[9:15] == (0o100644, 2, 3, 4, 0, 4096)


def test_requests_are_read() -> None:
    body = struct.pack("=II", 0o755, 0o22) + b"first\0second\0"
    head = struct.pack("=IIQQIIIHH", 40 + len(body), 9, 11, 12, 13, 14, 15, 0, 0)
    request = Request.of(memoryview(head + body))
    assert (request.opcode, request.unique, request.node) == (9, 11, 12)
    assert (request.uid, request.gid) == (13, 14)
    assert request.names(8) == [b"first", b"second"]
    assert request.name(8) == b"first"


def test_moments_that_are_set_may_lie_before_1970() -> None:
    body = struct.pack(
        "=IIQQQQQQ8I", 0x3F, 0, 0, 99, 0, 2**64 - 6, 8, 0, 5, 6, 0, 0o600, 0, 21, 22, 0
    )
    asked = SetAttributesRequest.of(memoryview(body))
    assert (asked.atime, asked.mtime) == (-6 * 10**9 + 5, 8 * 10**9 + 6)
    assert (asked.valid, asked.size, asked.mode, asked.uid, asked.gid) == (0x3F, 99, 0o600, 21, 22)


def test_directory_entries_are_padded_and_as_long_as_told() -> None:
    entry = protocol.entry_reply(ATTRIBUTES, 1_500_000_000)
    assert len(entry) == len(protocol.no_entry()) == 128
    assert struct.unpack_from("=QQQQII", entry) == (7, 0, 1, 1, 500_000_000, 500_000_000)
    for name in (b"a", b"exactly8", b"n" * 255):
        plain = protocol.directory_entry(7, 0o040755, name, 3)
        assert len(plain) % 8 == 0
        assert len(plain) == protocol.directory_entry_bytes(name, plus=False)
        assert struct.unpack_from("=QQII", plain) == (7, 3, len(name), 4)
        assert plain[24 : 24 + len(name)] == name
        plus = protocol.directory_entry(7, 0o040755, name, 3, entry=entry)
        assert len(plus) == protocol.directory_entry_bytes(name, plus=True)


def test_device_numbers_come_back() -> None:
    for parts in ((8, 1), (259, 300), (4095, 1_048_575)):
        assert protocol.device_parts(protocol.device_number(*parts)) == parts


def test_replies_tell_their_length() -> None:
    head, *parts = protocol.reply(9, 0, [b"ab", memoryview(b"cde")])
    assert struct.unpack("=IiQ", head) == (21, 0, 9)
    assert b"".join(parts) == b"abcde"
    assert struct.unpack("=IiQ", protocol.reply(9, 2)[0]) == (16, -2, 9)
    told = b"".join(protocol.forget_entry(1, b"name"))
    assert struct.unpack_from("=IiQQII", told) == (len(told), 3, 0, 1, 4, 0)
    assert told.endswith(b"name\0")
