"""Handlers without a kernel: requests in, replies out, over a store in memory."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from pagelake import Conflict, Corrupt, Denied, StorageFull
from pagelake.engine.database import Database
from pagelake.engine.fuse import protocol
from pagelake.engine.fuse.changed_rows import changed_rows
from pagelake.engine.fuse.errnos import errno_of, is_expected
from pagelake.engine.fuse.handlers.attributes import AttributeRequests
from pagelake.engine.fuse.handlers.contents import Contents
from pagelake.engine.fuse.handlers.directories import PAGE_ENTRIES, Directories
from pagelake.engine.fuse.handlers.extended import ExtendedAttributes
from pagelake.engine.fuse.handlers.names import Names
from pagelake.engine.fuse.invalidation import Follower
from pagelake.engine.fuse.protocol import Opcode, Request
from pagelake.engine.fuse.state import MountState
from pagelake.engine.fuse.views import Views
from pagelake.storage.files.file_error import FileError
from pagelake.storage.files.operations import Create, MakeDirectory, SetAttributes, Write
from pagelake.storage.files.removal import Unlink

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


class Kernel:
    """What the mount tells without being asked, and a way to ask it."""

    def __init__(self, database: Database) -> None:
        self.told: list[tuple[object, ...]] = []
        self.files = database.files
        self.store = database.store
        self.views = Views(self.files.snapshot, lambda: self.store.snapshot().version)
        self.state = MountState(
            self.files,
            self.store,
            self.views,
            self,
            cache_ns=10**9,  # type: ignore[arg-type]
        )
        self.handlers = {}
        for group in (Names, Contents, ExtendedAttributes, Directories):
            self.handlers |= group(self.state).handlers()
        self.handlers |= AttributeRequests(self.state, None).handlers()

    def forget_inode(self, node: int, *, pages: bool) -> None:
        self.told.append(("inode", node, pages))

    def forget_entry(self, parent: int, name: bytes) -> None:
        self.told.append(("entry", parent, name))

    def ask(self, opcode: int, node: int, body: bytes = b"") -> bytes:
        request = Request(opcode, 1, node, 0, 0, memoryview(body))
        answer = self.handlers[opcode](request)
        return b"" if answer is None else b"".join(answer)

    def create(self, name: bytes, parent: int = 1) -> int:
        head = protocol.CREATE.pack(os.O_CREAT, 0o644, 0, 0)
        return int(
            struct.unpack_from("=Q", self.ask(Opcode.CREATE, parent, head + name + b"\0"))[0]
        )

    def write(self, node: int, offset: int, piece: bytes) -> None:
        head = protocol.WRITE.pack(0, offset, len(piece), 0, 0, 0, 0)
        assert self.ask(Opcode.WRITE, node, head + piece) == protocol.WRITTEN.pack(len(piece), 0)

    def read(self, node: int, offset: int, size: int) -> bytes:
        return self.ask(Opcode.READ, node, protocol.READ.pack(0, offset, size, 0, 0, 0, 0))

    def size(self, node: int) -> int:
        return int(struct.unpack_from("=QQ", self.ask(Opcode.GETATTR, node), 16)[1])

    def stored(self, path: str) -> bytes:
        with self.files.snapshot() as snapshot:
            element = snapshot.get(path)
            return snapshot.read(element).read_at(0, element.size)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    database = Database(settings={"background_maintenance": False})
    kernel = Kernel(database)
    yield kernel
    for opened in kernel.state.open_files():
        opened.close()
    kernel.views.close()
    database.close()


def test_a_stream_that_is_patched_becomes_an_edited_file(kernel: Kernel) -> None:
    node = kernel.create(b"f")
    pieces = [os.urandom(MIB) for _ in range(6)]
    for number, piece in enumerate(pieces):
        kernel.write(node, number * MIB, piece)
    session = kernel.state.opened(node)._session
    assert session is not None
    assert session._writer is not None, "it streams"
    expected = bytearray(b"".join(pieces))
    assert kernel.read(node, 3 * MIB - 5, 10) == expected[3 * MIB - 5 : 3 * MIB + 5]
    kernel.write(node, 10, b"patched")
    expected[10:17] = b"patched"
    kernel.write(node, len(expected), b"tail")
    expected += b"tail"
    assert kernel.size(node) == len(expected)
    assert kernel.stored("/f") == b"", "nothing is committed before the file is closed"
    kernel.ask(Opcode.FLUSH, node)
    assert kernel.stored("/f") == expected
    assert kernel.read(node, 0, 20) == expected[:20]


def test_all_files_together_hold_no_more_than_they_may(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pagelake.engine.fuse.write_session.HELD_IN_ALL_MAX", MIB)
    nodes = [kernel.create(b"f%d" % number) for number in range(3)]
    for offset in range(0, MIB, MIB // 2):
        for node in nodes:
            kernel.write(node, offset, bytes([offset >> 18]) * (MIB // 2))
    writing = kernel.state._writing
    assert writing.budget._held <= 2 * MIB
    for number, node in enumerate(nodes):
        kernel.ask(Opcode.FLUSH, node)
        assert kernel.stored(f"/f{number}") == b"\0" * (MIB // 2) + b"\2" * (MIB // 2)
    assert writing.budget._held == 0


def test_a_commit_that_fails_leaves_the_file_as_it_was(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = kernel.create(b"f")
    kernel.write(node, 0, b"before")
    kernel.ask(Opcode.FLUSH, node)
    kernel.write(node, 0, b"never!")

    def full(*_operations: object) -> None:
        raise StorageFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(kernel.files, "run", full)
        with pytest.raises(StorageFull):
            kernel.ask(Opcode.FLUSH, node)
    assert kernel.state.cached_version(node) is None, "the kernel's pages are of what was lost"
    kernel.ask(Opcode.FLUSH, node)
    assert kernel.read(node, 0, 10) == kernel.stored("/f") == b"before"


def test_listings_go_on_where_they_were_whatever_is_removed(kernel: Kernel) -> None:
    (directory,) = kernel.files.run(MakeDirectory("/d"))
    assert directory is not None
    count = 2 * PAGE_ENTRIES + 10
    kernel.files.run(*(Create(f"/d/{number:05}") for number in range(count)))
    handle = struct.unpack_from("=Q", kernel.ask(Opcode.OPENDIR, directory.handle))[0]

    def names(position: int, room: int = 4096, opcode: int = Opcode.READDIR) -> list[bytes]:
        body = protocol.READ.pack(handle, position, room, 0, 0, 0, 0)
        told, found, at = kernel.ask(opcode, directory.handle, body), [], 0
        while at < len(told):
            at += 128 if opcode == Opcode.READDIRPLUS else 0
            length = struct.unpack_from("=QQI", told, at)[2]
            found.append(told[at + 24 : at + 24 + length])
            at += -(-(24 + length) // 8) * 8
        return found

    seen = names(0)
    kernel.files.run(Unlink("/d/00001"), Unlink(f"/d/{count - 1:05}"))
    while more := names(len(seen)):
        seen += more
    everything = [b".", b"..", *(b"%05d" % number for number in range(count - 1))]
    assert seen == everything
    assert names(1_500) == everything[1_500 : 1_500 + len(names(1_500))], "seekdir goes back"
    plus = names(0, 1 << 16, Opcode.READDIRPLUS)
    assert plus[:4] == [b".", b"..", b"00000", b"00002"], "from the beginning, what is there now"


def test_the_kernel_is_told_of_others_changes_and_not_of_its_own(kernel: Kernel) -> None:
    follower = Follower(kernel.state, kernel.store)
    mine = kernel.create(b"mine")
    kernel.write(mine, 0, b"mine")
    kernel.ask(Opcode.FLUSH, mine)
    kernel.ask(Opcode.RELEASE, mine, bytes(24))
    follower.look()
    assert kernel.told == []
    kernel.files.run(Write(mine, kernel.files.content.inline(b"theirs")))
    follower.look()
    assert ("inode", mine, False) in kernel.told
    kernel.told.clear()
    kernel.files.run(SetAttributes(mine, {"nfs_mode_bits": 0o600}), Create("/new"))
    follower.look()
    assert {("inode", mine, False), ("entry", 1, b"new")} <= set(kernel.told)
    kernel.told.clear()
    kernel.files.run(Unlink("/mine"))
    follower.look()
    assert ("entry", 1, b"mine") in kernel.told


def test_an_open_file_goes_on_to_what_others_wrote(kernel: Kernel) -> None:
    follower = Follower(kernel.state, kernel.store)
    node = kernel.create(b"f")
    kernel.files.run(Write(node, kernel.files.content.inline(b"theirs")))
    assert kernel.read(node, 0, 10) == b""
    follower.look()
    assert kernel.read(node, 0, 10) == b"theirs"
    assert ("inode", node, True) in kernel.told
    kernel.files.run(Unlink("/f"))
    follower.look()
    assert kernel.read(node, 0, 10) == b"theirs"
    kernel.write(node, 0, b"mine")
    kernel.ask(Opcode.FLUSH, node)
    assert kernel.read(node, 0, 10) == b"miners"
    with pytest.raises(FileError):
        kernel.stored("/f")


def test_rows_that_differ_are_told(kernel: Kernel) -> None:
    kernel.files.run(MakeDirectory("/d"), Create("/d/a"), Create("/d/b"))
    before = kernel.store.snapshot()
    assert changed_rows(kernel.store, before, before) == set()
    kernel.files.run(Unlink("/d/a"), Create("/d/c"))
    after = kernel.store.snapshot()
    found = changed_rows(kernel.store, before, after)
    assert found is not None
    assert {row.name for row in found} == {"a", "c"}
    kernel.files.run(*(Create(f"/d/x{number}") for number in range(10_001)))
    assert changed_rows(kernel.store, after, kernel.store.snapshot()) is None


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (FileError(errno.ENOTEMPTY), errno.ENOTEMPTY),
        (StorageFull("full"), errno.ENOSPC),
        (Denied("read-only"), errno.EROFS),
        (Conflict("again"), errno.EBUSY),
        (Corrupt("bits"), errno.EIO),
        (MemoryError(), errno.ENOMEM),
        (KeyError(1), errno.EIO),
        (OSError(errno.EDQUOT, ""), errno.EDQUOT),
    ],
)
def test_errors_have_numbers(error: Exception, number: int) -> None:
    assert errno_of(error) == number
    assert is_expected(error) is (number != errno.EIO)
