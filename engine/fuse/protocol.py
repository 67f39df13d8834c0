"""Layouts of the messages between the kernel and a FUSE server, version 7 of the protocol.

Every request is a header and a body, every reply a header and a body; notifications are replies to
nothing. Numbers are in the machine's own order, without padding beyond what is named here.

Source: include/uapi/linux/fuse.h of Linux.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Buffer: TypeAlias = bytes | bytearray | memoryview

MAJOR: Final = 7
MINOR: Final = 36
"""The version that is told; the kernel keeps to what it and this have in common."""
MINOR_MIN: Final = 31
"""The first version with all that is relied on here: Linux 5.4."""
WRITE_BYTES_MAX: Final = 1 << 20
PAGES_MAX: Final = WRITE_BYTES_MAX // 4096
REQUEST_BYTES_MAX: Final = WRITE_BYTES_MAX + 4096
"""A WRITE of the largest size with its headers."""
_BACKGROUND_MAX: Final = 64
_CONGESTED_AT: Final = 48
"""Requests in the background (read-ahead, direct I/O) at a time, and when the kernel slows down."""
_U64: Final = (1 << 64) - 1


class Opcode(IntEnum):
    """What a request asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46


class Capability(IntFlag):
    """What kernel and server agree on in INIT."""

    ASYNC_READ = 1 << 0
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    EXPLICIT_INVAL_DATA = 1 << 25
    HANDLE_KILLPRIV_V2 = 1 << 28


class SetAttribute(IntFlag):
    """Which fields of SETATTR are set."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    CTIME = 1 << 10
    KILL_SUIDGID = 1 << 11


WRITE_CACHE: Final = 1 << 0
"""A WRITE of pages that a mapping or the page cache had changed."""
WRITE_KILL_SUIDGID: Final = 1 << 2
OPEN_KILL_SUIDGID: Final = 1 << 0
OPEN_KEEP_CACHE: Final = 1 << 1
RENAME_NOREPLACE: Final = 1 << 0
RENAME_EXCHANGE: Final = 1 << 1
XATTR_CREATE: Final = 1
XATTR_REPLACE: Final = 2

_REQUEST: Final = struct.Struct("=IIQQIIIHH")
REPLY: Final = struct.Struct("=IiQ")
_ATTR: Final = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY: Final = struct.Struct("=QQQQII")
_ATTR_VALID: Final = struct.Struct("=QII")
_DIRENT: Final = struct.Struct("=QQII")
_INIT_IN: Final = struct.Struct("=IIII")
_INIT_OUT: Final = struct.Struct("=IIIIHHIIHHI28x")
_OPEN_OUT: Final = struct.Struct("=QII")
_STATFS: Final = struct.Struct("=QQQQQIIII24x")
_SETATTR: Final = struct.Struct("=IIQQQQQQIIIIIIII")
_ATTRIBUTES_BYTES: Final = _ATTR.size

FORGET: Final = struct.Struct("=Q")
BATCH: Final = struct.Struct("=II")
FORGET_ONE: Final = struct.Struct("=QQ")
MKNOD: Final = struct.Struct("=IIII")
MKDIR: Final = struct.Struct("=II")
RENAME: Final = struct.Struct("=Q")
RENAME2: Final = struct.Struct("=QII")
LINK: Final = struct.Struct("=Q")
OPEN: Final = struct.Struct("=II")
CREATE: Final = struct.Struct("=IIII")
READ: Final = struct.Struct("=QQIIQII")
WRITE: Final = struct.Struct("=QQIIQII")
WRITTEN: Final = struct.Struct("=II")
SETXATTR: Final = struct.Struct("=II")
GETXATTR: Final = struct.Struct("=II")
FALLOCATE: Final = struct.Struct("=QQQII")
LSEEK: Final = struct.Struct("=QQII")
LSEEK_OUT: Final = struct.Struct("=Q")
_INVAL_INODE: Final = struct.Struct("=Qqq")
_INVAL_ENTRY: Final = struct.Struct("=QII")
_NOTIFY_INVAL_INODE: Final = 2
_NOTIFY_INVAL_ENTRY: Final = 3

assert _ATTR.size == 88
assert _ENTRY.size == 40
assert _INIT_OUT.size == 64
assert _SETATTR.size == 88
assert _STATFS.size == 80


@dataclass(slots=True)
class Request:
    """One request of the kernel's.

    Attributes:
        opcode: What is asked for; not every number is an `Opcode`.
        unique: Names the request in its reply.
        node: The inode it is about.
        uid: Whose file-system rights it is made with.
        gid: Likewise.
        body: What follows the header; good until the next request is read.
    """

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    body: memoryview

    @staticmethod
    def of(message: memoryview) -> Request:
        """Read a request."""
        _, opcode, unique, node, uid, gid, _, _, _ = _REQUEST.unpack_from(message)
        return Request(opcode, unique, node, uid, gid, message[_REQUEST.size :])

    def names(self, skip: int = 0) -> list[bytes]:
        """The names that follow so many bytes of the body, each ended by NUL."""
        return bytes(self.body[skip:]).split(b"\0")[:-1]

    def name(self, skip: int = 0) -> bytes:
        """The first of them."""
        return self.names(skip)[0]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What `stat` tells of an inode: nanoseconds since 1970, `size` and `used` in bytes."""

    node: int
    mode: int
    size: int
    used: int
    atime: int
    mtime: int
    ctime: int
    nlinks: int
    uid: int
    gid: int
    device: int

    def packed(self) -> bytes:
        """As the kernel reads them."""
        atime, atime_ns = divmod(self.atime, 10**9)
        mtime, mtime_ns = divmod(self.mtime, 10**9)
        ctime, ctime_ns = divmod(self.ctime, 10**9)
        return _ATTR.pack(
            self.node, self.size, -(-self.used // 512), atime & _U64, mtime & _U64, ctime & _U64,
            atime_ns, mtime_ns, ctime_ns, self.mode, self.nlinks, self.uid, self.gid, self.device,
            4096, 0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SetAttributesRequest:
    """The body of SETATTR; `valid` tells which of the others count."""

    valid: int
    size: int
    atime: int
    mtime: int
    mode: int
    uid: int
    gid: int

    @staticmethod
    def of(body: memoryview) -> SetAttributesRequest:
        """Read one."""
        (
            valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid, _,
        ) = _SETATTR.unpack_from(body)  # fmt: skip
        return SetAttributesRequest(
            valid, size, _time(atime, atime_ns), _time(mtime, mtime_ns), mode, uid, gid
        )


def _time(seconds: int, nanoseconds: int) -> int:
    return (seconds - (1 << 64) if seconds >> 63 else seconds) * 10**9 + nanoseconds


def device_number(major: int, minor: int) -> int:
    """A device's number as the kernel packs it in 32 bits."""
    return minor & 0xFF | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12


def device_parts(number: int) -> tuple[int, int]:
    """Major and minor of such a number."""
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & ~0xFF & 0xFFFFFFFF


def entry_reply(attributes: Attributes, valid_ns: int) -> bytes:
    """A name's inode, good for so many nanoseconds."""
    seconds, rest = divmod(valid_ns, 10**9)
    head = _ENTRY.pack(attributes.node, 0, seconds, seconds, rest, rest)
    return head + attributes.packed()


def absent_reply(valid_ns: int) -> bytes:
    """Tell that there is nothing of a name, which the kernel may remember."""
    seconds, rest = divmod(valid_ns, 10**9)
    return _ENTRY.pack(0, 0, seconds, 0, rest, 0) + bytes(_ATTRIBUTES_BYTES)


def attributes_reply(attributes: Attributes, valid_ns: int) -> bytes:
    """Attributes, good for so many nanoseconds."""
    seconds, rest = divmod(valid_ns, 10**9)
    return _ATTR_VALID.pack(seconds, rest, 0) + attributes.packed()


def open_reply(handle: int, flags: int) -> bytes:
    """The number of an open file."""
    return _OPEN_OUT.pack(handle, flags, 0)


def statfs_reply(blocks: int, free: int, files: int, files_free: int) -> bytes:
    """Room on the file system, in blocks of 4 KiB, and inodes."""
    return _STATFS.pack(blocks, free, free, files, files_free, 4096, 255, 4096, 0)


def directory_entry(
    node: int, mode: int, name: bytes, position: int, *, entry: bytes | None = None
) -> bytes:
    """One entry of READDIR, or of READDIRPLUS when it carries what LOOKUP would answer.

    Args:
        node: Its inode.
        mode: The mode's bits of the kind are told.
        name: Its name.
        position: Where a later request is to go on from after this entry.
        entry: What `entry_reply` gives.
    """
    told = _DIRENT.pack(node, position, len(name), stat.S_IFMT(mode) >> 12) + name
    told += bytes(-len(told) % 8)
    return told if entry is None else entry + told


def directory_entry_bytes(name: bytes, *, plus: bool) -> int:
    """How long such an entry is."""
    size = -(-(_DIRENT.size + len(name)) // 8) * 8
    return size + _ENTRY.size + _ATTRIBUTES_BYTES if plus else size


def no_entry() -> bytes:
    """The part of a READDIRPLUS entry that tells nothing of the inode."""
    return bytes(_ENTRY.size + _ATTRIBUTES_BYTES)


def init_request(body: memoryview) -> tuple[int, int, int, int]:
    """Major and minor version of the kernel's, bytes of read-ahead, capabilities."""
    major, minor, ahead, flags = _INIT_IN.unpack_from(body)
    return int(major), int(minor), int(ahead), int(flags)


def init_reply(minor: int, readahead: int, capabilities: int) -> bytes:
    """Agree on a version, capabilities and sizes."""
    return _INIT_OUT.pack(
        MAJOR, min(minor, MINOR), readahead, capabilities, _BACKGROUND_MAX, _CONGESTED_AT,
        WRITE_BYTES_MAX, 1, PAGES_MAX, 0, 0,
    )  # fmt: skip


def reply(unique: int, error: int, parts: Sequence[Buffer] = ()) -> list[Buffer]:
    """A reply to a request: an errno, or a body in parts."""
    size = REPLY.size + sum(map(len, parts))
    return [REPLY.pack(size, -error, unique), *parts]


def forget_inode(node: int, offset: int, length: int) -> list[Buffer]:
    """Tell the kernel to drop an inode's attributes, and pages unless the offset is negative."""
    body = _INVAL_INODE.pack(node, offset, length)
    return [REPLY.pack(REPLY.size + len(body), _NOTIFY_INVAL_INODE, 0), body]


def forget_entry(parent: int, name: bytes) -> list[Buffer]:
    """Tell the kernel to drop what it knows of a name."""
    body = _INVAL_ENTRY.pack(parent, len(name), 0) + name + b"\0"
    return [REPLY.pack(REPLY.size + len(body), _NOTIFY_INVAL_ENTRY, 0), body]
