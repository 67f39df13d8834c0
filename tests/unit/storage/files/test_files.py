"""What files are like: names, times, links, listings, versions, refusals."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Conflict, Corrupt, Denied, OutcomeUnknown, StorageFull
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.files import combiner
from pagelake.storage.files.definition import TOUCHES
from pagelake.storage.files.file_error import FileError, errno_of
from pagelake.storage.files.name import bytes_of, text_of
from pagelake.storage.files.operations import (
    Copy,
    Create,
    MakeDirectory,
    MakeLink,
    MakeSpecial,
    MakeSymlink,
    SetAttributes,
    Write,
)
from pagelake.storage.files.removal import RemoveDirectory, RemoveTree, Unlink
from pagelake.storage.files.renaming import Rename
from pagelake.storage.transaction import Transaction
from tests.unit.storage.files.stores import content, opened, paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.storage.files.element import Element
    from pagelake.storage.files.files import Files
    from pagelake.storage.files.namespace import Operation


@pytest.fixture
def files() -> Iterator[Files]:
    with opened(MemoryDevice()) as files:
        yield files


def done(files: Files, operation: Operation) -> Element:
    (element,) = files.run(operation)
    assert element is not None
    return element


def number(files: Files, *operations: Operation) -> str:
    with pytest.raises(FileError) as caught:
        files.run(*operations)
    return errno.errorcode[caught.value.errno]


def get(files: Files, path: str) -> Element:
    with files.snapshot() as snapshot:
        return snapshot.get(path)


# Names


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "EINVAL"),
        ("relative", "EINVAL"),
        ("/", "EEXIST"),
        ("/a/../b", "EINVAL"),
        ("/.", "EINVAL"),
        ("/..", "EINVAL"),
        ("/nul\0", "EINVAL"),
        ("/\ud800", "EINVAL"),
        ("/slash\U0010ff2f", "EINVAL"),
        ("/\U0010ff2e\U0010ff2e", "EINVAL"),
        ("/" + "x" * 256, "ENAMETOOLONG"),
        ("/" + "é" * 128, "ENAMETOOLONG"),
        ("/x" * 2049, "ENAMETOOLONG"),
        ("/" + "y" * 255, "ENOENT"),
        ("/file/below", "ENOTDIR"),
        ("/missing/below", "ENOENT"),
    ],
)
def test_names_that_cannot_be(files: Files, path: str, expected: str) -> None:
    files.run(Create("/file"))
    if expected == "ENOENT" and path.startswith("/y"):
        assert done(files, Create(path)).path == path
        return
    assert number(files, Create(path)) == expected
    assert number(files, MakeDirectory(path)) == expected
    assert paths(files) == ["/file"]


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9", b"\xff\xfe", b"new\nline", b"-rf", b"'; DROP TABLE", b"caf\xc3\xa9", b"%2f"],
)
def test_any_bytes_are_a_name(files: Files, name: bytes) -> None:
    made = done(files, Create("/" + text_of(name)))
    assert bytes_of(made.name) == name
    surrogates = name.decode("utf-8", "surrogateescape")
    assert number(files, Create("/" + surrogates)) == "EEXIST"
    with files.snapshot() as snapshot:
        (listed,) = snapshot.children(1)
        assert bytes_of(listed.name) == name
        assert snapshot.child(1, made.name) == snapshot.get("/" + surrogates)


def test_paths_are_normalised(files: Files) -> None:
    files.run(MakeDirectory("/a"))
    assert done(files, Create("//a///b/")).path == "/a/b"


def test_a_name_that_is_the_beginning_of_another(files: Files) -> None:
    files.run(MakeDirectory("/d"), MakeDirectory("/da"), Create("/d/x"), Create("/da/x"))
    files.run(Rename("/d", "/e"))
    assert paths(files) == ["/da", "/da/x", "/e", "/e/x"]
    files.run(RemoveTree("/e"))
    assert paths(files) == ["/da", "/da/x"]


def test_the_root_stays(files: Files) -> None:
    files.run(MakeDirectory("/d"))
    assert number(files, RemoveDirectory("/")) == "EBUSY"
    assert number(files, RemoveTree("/")) == "EBUSY"
    assert number(files, Unlink("/")) == "EISDIR"
    assert number(files, Rename("/", "/x")) == "EBUSY"
    assert number(files, Rename("/d", "/")) == "EBUSY"
    assert number(files, Rename("/d", "/", no_replace=True)) == "EEXIST"
    assert done(files, SetAttributes("/", {"nfs_mode_bits": 0o1777})).nfs_mode_bits == 0o1777


def test_handles_that_are_gone(files: Files) -> None:
    file = done(files, Create("/f"))
    directory = done(files, MakeDirectory("/d"))
    files.run(Unlink("/f"), RemoveDirectory("/d"))
    assert number(files, Write(file.handle, files.content.inline(b""))) == "ESTALE"
    assert number(files, Create((directory.handle, "x"))) == "ENOENT"
    with files.snapshot() as snapshot:
        assert snapshot.by_handle(file.handle) is None
        assert snapshot.children(directory.handle) == []


def test_other_refusals(files: Files) -> None:
    files.run(Create("/f"), MakeDirectory("/d"), MakeSymlink("/s", "f"))
    assert number(files, MakeSymlink("/x", "")) == "ENOENT"
    assert number(files, MakeSymlink("/x", "a" * 5000)) == "ENAMETOOLONG"
    assert number(files, MakeSpecial("/x", "FILE")) == "EINVAL"
    assert number(files, MakeLink("/d", "/x")) == "EPERM"
    assert number(files, Write("/d", files.content.inline(b""))) == "EISDIR"
    assert number(files, Write("/s", files.content.inline(b""))) == "EINVAL"
    assert number(files, SetAttributes("/f", {"size": 3})) == "EINVAL"
    assert number(files, Rename("/f", "/d", no_replace=True, exchange=True)) == "EINVAL"
    assert number(files, Copy("/d", "/x")) == "EISDIR"
    assert number(files, Create("/x"), Create("/f")) == "EEXIST"
    assert paths(files) == ["/d", "/f", "/s"]


def test_numbers_of_errors_of_the_store() -> None:
    assert errno_of(StorageFull("")) == errno.ENOSPC
    assert errno_of(Denied("")) == errno.EROFS
    assert errno_of(Corrupt("")) == errno_of(Conflict("")) == errno.EIO
    assert errno_of(FileError(errno.EXDEV)) == errno.EXDEV


# Times


def test_times_of_directories(files: Files) -> None:
    directory = done(files, MakeDirectory("/d"))
    made = done(files, Create("/d/x"))
    assert get(files, "/d").mtime == get(files, "/d").ctime == made.linked_time
    assert get(files, "/d").atime == directory.atime
    before = get(files, "/d").mtime or 0
    files.run(Write("/d/x", files.content.inline(b"more")))
    assert get(files, "/d").mtime == before
    files.run(Unlink("/d/x"))
    assert (get(files, "/d").mtime or 0) > before
    files.run(SetAttributes("/d", {"mtime": 5}))
    assert get(files, "/d").mtime == 5
    files.run(SetAttributes("/d", {"nfs_mode_bits": 0o700}))
    assert get(files, "/d").mtime == 5
    made = done(files, Create("/d/y"))
    files.run(SetAttributes("/d", {"uid": 7}))
    assert get(files, "/d").mtime == made.linked_time
    assert (get(files, "/d").ctime or 0) > (made.linked_time or 0)
    files.run(Rename("/d", "/e"))
    assert get(files, "/e").mtime == made.linked_time


def test_times_of_both_directories_of_a_rename(files: Files) -> None:
    files.run(MakeDirectory("/a"), MakeDirectory("/b"), Create("/a/x"))
    before = get(files, "/a").mtime or 0, get(files, "/b").mtime or 0
    files.run(Rename("/a/x", "/b/y"))
    assert (get(files, "/a").mtime or 0) > before[0]
    assert (get(files, "/b").mtime or 0) > before[1]


def test_moments_that_later_ones_hide_are_dropped(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(combiner, "THIN_EVERY", 10)
    files.run(MakeDirectory("/a"), MakeDirectory("/b"), Create("/b/y"))
    files.run(Unlink("/b/y"))
    before = get(files, "/b").mtime
    for _ in range(12):
        files.run(Create("/a/x"))
        files.run(Unlink("/a/x"))
    assert files.store.snapshot().tables[TOUCHES].rows < 6
    created = done(files, Create("/a/z")).linked_time or 0
    with opened(files.store.device) as again:
        assert get(again, "/b").mtime == before
        assert get(again, "/a").mtime == created
        again.run(Unlink("/a/z"))
        assert (get(again, "/a").mtime or 0) > created


def test_setgid_directories_pass_their_group_on(files: Files) -> None:
    files.run(MakeDirectory("/d", mode=0o2755, gid=77))
    assert done(files, Create("/d/f", gid=1)).gid == 77
    below = done(files, MakeDirectory("/d/e", gid=1))
    assert (below.gid, below.nfs_mode_bits) == (77, 0o2755)


# Content, attributes, links


def test_attributes_and_content(files: Files) -> None:
    tags = {"project": "x", "empty": ""}
    made = done(
        files,
        Create(
            "/f",
            files.content.inline(b"abc"),
            uid=4294967294,
            attributes={"user_tags": tags, "content_type": "text/plain", "mtime": 9},
        ),
    )
    assert get(files, "/f") == made
    assert (made.user_tags, made.content_type, made.mtime, made.uid) == (
        tags,
        "text/plain",
        9,
        4294967294,
    )
    again = done(files, Create("/f", files.content.inline(b"z"), exclusive=False))
    assert (again.handle, again.user_tags, again.size) == (made.handle, tags, 1)
    assert (again.version or "") > (made.version or "")
    assert done(files, SetAttributes("/f", {"user_tags": None})).user_tags is None


def test_long_contents(files: Files) -> None:
    body = bytes(range(256)) * 4096
    with files.content.write() as writer:
        writer.write(body)
        files.run(Create("/long", writer.finish()))
    assert content(files, "/long") == body
    files.run(MakeDirectory("/d"), Copy("/long", "/d/copy"), Rename("/d", "/e"))
    files.run(Copy("/e/copy", "/e/other"), Unlink("/long"))
    assert content(files, "/e/copy") == content(files, "/e/other") == body
    files.run(Write("/e/copy", files.content.inline(b"short")))
    assert content(files, "/e/copy") == b"short"
    assert content(files, "/e/other") == body


def test_copies(files: Files) -> None:
    files.run(Create("/f", files.content.inline(b"abc"), attributes={"user_tags": {"a": "b"}}))
    copied = done(files, Copy("/f", "/g"))
    assert copied.handle != get(files, "/f").handle
    assert copied.user_tags == {"a": "b"}
    assert content(files, "/g") == b"abc"
    files.run(Create("/h", files.content.inline(b"other")))
    done(files, Copy("/f", "/h"))
    assert content(files, "/h") == b"abc"


def test_symbolic_links(files: Files) -> None:
    files.run(
        MakeDirectory("/a/b", parents=True),
        Create("/a/f"),
        MakeSymlink("/a/b/up", "../f"),
        MakeSymlink("/abs", "/a/b"),
        MakeSymlink("/loop", "loop2"),
        MakeSymlink("/loop2", "loop"),
        MakeSymlink("/out", "../../../a/f"),
    )
    with files.snapshot() as snapshot:
        assert snapshot.resolve("/abs/up").path == "/a/f"
        assert snapshot.resolve("/out").path == "/a/f"
        assert snapshot.get("/abs").is_symlink
        with pytest.raises(FileError) as caught:
            snapshot.resolve("/loop")
        assert caught.value.errno == errno.ELOOP
        with pytest.raises(FileError) as caught:
            snapshot.resolve("/a/b/up/x")
        assert caught.value.errno == errno.ENOTDIR


def test_buckets(files: Files) -> None:
    bucket = done(files, MakeDirectory("/bucket", bucket=True))
    inside = done(files, Create("/bucket/key/with/slashes", parents=True))
    assert inside.bucket_id == bucket.handle == get(files, "/bucket/key").bucket_id
    files.run(Rename("/bucket/key", "/key"))
    assert get(files, "/key/with/slashes").bucket_id is None


# Looking


def test_listings_piece_by_piece(files: Files) -> None:
    names = ["a", "B", "é", "z", "\U0010ffff", "\U0010fffe", "日"]
    files.run(*(Create(f"/{name}") for name in names))
    with files.snapshot() as snapshot:
        listed = [element.name for element in snapshot.children(1)]
        assert listed == sorted(map(text_of, map(bytes_of, names)), key=bytes_of)
        after, pieces = "", []
        while piece := snapshot.children(1, after, 2):
            pieces += [element.name for element in piece]
            after = piece[-1].name
        assert pieces == listed
        assert next(e.name for e in snapshot.children(1, "b")) == "z"


def test_usage_counts_an_element_once(files: Files) -> None:
    files.run(
        MakeDirectory("/d/e", parents=True),
        Create("/d/x", files.content.inline(bytes(10))),
        MakeLink("/d/x", "/d/e/l"),
        MakeLink("/d/x", "/l"),
        Create("/d/e/y", files.content.inline(bytes(5))),
    )
    with files.snapshot() as snapshot:
        usage = snapshot.usage("/d")
        assert (usage.files, usage.directories, usage.bytes) == (2, 2, 15)
        assert snapshot.usage("/l").bytes == 10
        assert snapshot.usage().files == 2
    files.run(Unlink("/d/x"), RemoveTree("/d/e"))
    with files.snapshot() as snapshot:
        whole = snapshot.usage()
        assert (whole.files, whole.directories, whole.bytes) == (1, 2, 10)
        assert snapshot.usage() == whole


def test_versions_stay(files: Files) -> None:
    files.run(MakeDirectory("/d"), Create("/d/x", files.content.inline(b"old")))
    with files.snapshot() as then:
        assert files.own(then.version)
        files.run(Write("/d/x", files.content.inline(b"new")), Rename("/d", "/e"), Create("/e/y"))
        assert not files.own(then.version + 2)
        assert then.read(then.get("/d/x")).read_at(0, 9) == b"old"
        with files.at(then.version) as again:
            assert [e.path for e in again.children(again.get("/d").handle)] == ["/d/x"]
            assert again.find("/e") is None
    assert content(files, "/e/x") == b"new"


def test_a_store_that_is_read_only() -> None:
    device = MemoryDevice()
    with opened(device) as files:
        files.run(Create("/x"))
    with opened(device, read_only=True) as files:
        assert paths(files) == ["/x"]
        assert number(files, Unlink("/x")) == "EROFS"
        assert number(files, Create("/y")) == "EROFS"


def test_before_the_first_file(files: Files) -> None:
    with files.snapshot() as snapshot:
        assert snapshot.get("/").is_directory
        assert snapshot.children(1) == []
        assert snapshot.find("/x") is None
        assert snapshot.usage().files == 0
    assert number(files, Unlink("/x")) == "ENOENT"
    assert not files.store.snapshot().tables


def test_an_outcome_that_is_unknown_is_told_and_nothing_done_again(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.run(MakeDirectory("/d"), Create("/d/a"))
    files.run(Create("/d/b"))
    commit = Transaction.commit

    def committed(transaction: Transaction) -> int:
        commit(transaction)
        raise OutcomeUnknown("the disk has gone")

    monkeypatch.setattr(Transaction, "commit", committed)
    for operation in (Create("/d/x"), Rename("/d/a", "/d/c")):
        with pytest.raises(OutcomeUnknown):
            files.run(operation)
    assert paths(files) == ["/d", "/d/b", "/d/c", "/d/x"]


# Many callers


def test_many_threads_at_the_same_names() -> None:
    with opened(MemoryDevice(), threads=True) as files:
        outcomes: list[str] = []

        def create() -> None:
            for name in range(30):
                try:
                    files.run(Create(f"/{name}"))
                    outcomes.append("")
                except FileError as error:
                    outcomes.append(errno.errorcode[error.errno])

        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(set(outcomes)) == ["", "EEXIST"]
        assert outcomes.count("") == 30
        assert len(paths(files)) == 30


def test_a_great_many_at_once(files: Files) -> None:
    body = files.content.inline(bytes(4096))
    files.run(MakeDirectory("/d"), *(Create(f"/d/{n}", body) for n in range(300)))
    files.run(Rename("/d", "/e"), *(Unlink(f"/e/{n}") for n in range(0, 300, 2)))
    with files.snapshot() as snapshot:
        assert snapshot.usage("/e").bytes == 150 * 4096
        listed = {e.name: e.handle for e in snapshot.children(snapshot.get("/e").handle)}
        assert listed["7"] == snapshot.get("/e/7").handle
