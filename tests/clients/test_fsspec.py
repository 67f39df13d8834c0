"""The file system for fsspec beyond its suite: errors, streams, transactions, processes."""

from __future__ import annotations

import copy
import errno
import io
import multiprocessing
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fsspec")

import fsspec

from pagelake.engine.clients.fsspec import PagelakeFileSystem, opening
from pagelake.storage.files.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fsspec") / "my.lake"


@pytest.fixture
def fs(store: Path) -> Iterator[PagelakeFileSystem]:
    """A file system whose root is empty."""
    fs = fsspec.filesystem("pagelake", store=str(store))
    yield fs
    for path in fs.ls("/", detail=False):
        fs.rm(path, recursive=True)


def commits(fs: PagelakeFileSystem) -> int:
    """The newest version."""
    with fs.names() as names:
        return names.version


# URLs


def test_a_store_is_named_by_option_or_by_a_chained_url(
    store: Path, fs: PagelakeFileSystem
) -> None:
    fs.pipe("/a/b.txt", b"hello")
    with fsspec.open("pagelake://a/b.txt", store=str(store)) as file:
        assert file.read() == b"hello"
    with fsspec.open(f"pagelake://a/b.txt::file://{store}", "rt") as file:
        assert file.read() == "hello"
    with fsspec.open(f"pagelake:///a/c.txt::{store}", "wb") as file:
        file.write(b"other")
    assert fs.cat("a/c.txt") == b"other"
    assert fs.unstrip_protocol("/a") == "pagelake:///a"


def test_a_store_must_be_named_and_local() -> None:
    with pytest.raises(ValueError, match="needs a store"):
        fsspec.filesystem("pagelake")
    with pytest.raises(ValueError, match="local directory"):
        fsspec.open("pagelake://a::memory://my.lake")


# Errors


def refused(number: int, call: object, *arguments: object, **options: object) -> OSError:
    with pytest.raises(OSError) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    assert caught.value.errno == number, caught.value
    return caught.value


def test_errors_have_the_number_class_and_path_of_posix(fs: PagelakeFileSystem) -> None:
    fs.pipe("/d/f", b"x")
    assert isinstance(refused(errno.ENOENT, fs.open, "/d/none"), FileNotFoundError)
    assert refused(errno.ENOENT, fs.info, "/none").filename == "/none"
    assert isinstance(refused(errno.ENOTDIR, fs.open, "/d/f/g"), NotADirectoryError)
    refused(errno.ENOTDIR, fs.pipe, "/d/f/g", b"")
    refused(errno.ENOTDIR, fs.makedirs, "/d/f/g/h")
    assert isinstance(refused(errno.EISDIR, fs.open, "/d", "wb"), IsADirectoryError)
    refused(errno.EISDIR, fs.cat_file, "/d")
    refused(errno.EISDIR, fs.rm_file, "/d")
    refused(errno.EISDIR, fs.rm, "/d")
    assert isinstance(refused(errno.EEXIST, fs.mkdir, "/d"), FileExistsError)
    refused(errno.EEXIST, fs.open, "/d/f", "xb")
    refused(errno.EEXIST, fs.mkdir, "/")
    refused(errno.ENOTEMPTY, fs.rmdir, "/d")
    refused(errno.ENOTDIR, fs.rmdir, "/d/f")
    refused(errno.EINVAL, fs.mv, "/d", "/d/e/d")
    refused(errno.EINVAL, fs.pipe, "/d/../x", b"")
    refused(errno.EINVAL, fs.open, "/a\0b")
    refused(errno.ENAMETOOLONG, fs.pipe, "/" + "n" * 256, b"")
    refused(errno.ENAMETOOLONG, fs.info, "/" + "/".join(["n" * 100] * 41))
    with pytest.raises(ValueError, match="'w\\+b'"):
        fs.open("/d/f", "w+b")
    assert fs.find("/") == ["/d/f"]


def test_a_missing_store_and_a_read_only_one_are_refused(tmp_path: Path, store: Path) -> None:
    missing = fsspec.filesystem("pagelake", store=str(tmp_path / "none"), read_only=True)
    refused(errno.ENOENT, missing.ls, "/")
    assert not (tmp_path / "none").exists()
    read_only = fsspec.filesystem("pagelake", store=str(store), read_only=True)
    refused(errno.EROFS, read_only.mkdir, "/new")
    refused(errno.EROFS, read_only.pipe, "/new", b"x" * 100_000)


def test_an_exclusive_create_holds_until_it_is_committed(fs: PagelakeFileSystem) -> None:
    first, second = fs.open("/x", "xb"), fs.open("/x", "xb")
    first.write(b"first")
    second.write(b"second")
    first.close()
    refused(errno.EEXIST, second.close)
    assert fs.cat("/x") == b"first"
    refused(errno.EEXIST, fs.pipe_file, "/x", b"third", mode="create")


# Streams


CONTENT = b"".join(n.to_bytes(4, "little") for n in range(1_500_000))


def test_a_file_is_read_in_every_way(fs: PagelakeFileSystem) -> None:
    fs.pipe("/big", CONTENT)
    with fs.open("/big") as file:
        assert (file.size, file.path, file.mode, file.readable()) == (
            len(CONTENT),
            "/big",
            "rb",
            True,
        )
        assert file.read(10) == CONTENT[:10]
        assert file.read(3_000_000) == CONTENT[10:3_000_010]
        buffer = bytearray(1_000_000)
        assert file.readinto(buffer) == len(buffer)
        assert buffer == CONTENT[3_000_010:4_000_010]
        assert file.seek(-8, io.SEEK_END) == len(CONTENT) - 8
        assert file.read() == CONTENT[-8:]
        assert file.read() == b""
        assert file.seek(5) == 5
        assert file.read() == CONTENT[5:]
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
    assert fs.cat_file("/big", 100, 200) == CONTENT[100:200]
    assert fs.cat_file("/big", -200, -100) == CONTENT[-200:-100]
    ranges = fs.cat_ranges(["/big", "/none", "/big"], [0, 0, -4], [4, 4, None])
    assert ranges[0] == CONTENT[:4]
    assert isinstance(ranges[1], FileNotFoundError)
    assert ranges[2] == CONTENT[-4:]
    assert fs.head("/big", 3) + fs.tail("/big", 3) == CONTENT[:3] + CONTENT[-3:]
    fs.pipe("/lines", b"a\nbb\n\nccc")
    with fs.open("/lines") as file:
        assert list(file) == [b"a\n", b"bb\n", b"\n", b"ccc"]
    assert fs.read_block("/lines", 1, 3, delimiter=b"\n") == b"bb\n"


def test_a_read_at_a_place_touches_only_what_is_around_it(
    fs: PagelakeFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagelake.storage.content.content_reader import ContentReader

    fs.pipe("/big", CONTENT)
    lengths: list[int] = []
    slices = ContentReader.slices

    def counted(self: ContentReader, offset: int, length: int) -> list[memoryview]:
        lengths.append(length)
        return slices(self, offset, length)

    monkeypatch.setattr(ContentReader, "slices", counted)
    with fs.open("/big") as file:
        for place in (5_900_000, 100_000, 3_000_000):
            file.seek(place)
            assert file.read(8) == CONTENT[place : place + 8]
    assert max(lengths) <= 16 << 10
    lengths.clear()
    with fs.open("/big") as file:
        while file.read(1000):
            pass
    assert max(lengths) == 256 << 10, "reads that go on fetch more"
    assert len(lengths) < 40


def test_a_file_is_seen_whole_and_only_when_it_is_closed(fs: PagelakeFileSystem) -> None:
    before = commits(fs)
    with fs.open("/new/file", "wb") as file:
        for start in range(0, len(CONTENT), 700_001):
            file.write(CONTENT[start : start + 700_001])
        assert file.tell() == len(CONTENT)
        assert not fs.exists("/new/file")
    assert commits(fs) == before + 1
    with fs.open("/new/file") as old:
        fs.pipe("/new/file", b"short")
        assert old.read() == CONTENT, "what is open stays as it was"
    assert fs.cat("/new/file") == b"short"


def test_a_write_that_is_given_up_leaves_nothing(fs: PagelakeFileSystem) -> None:
    file = fs.open("/gone", "wb")
    file.write(CONTENT)
    file.discard()
    assert file.closed
    file.close()
    assert not fs.exists("/gone")


def test_files_are_appended_to_and_changed_in_place(fs: PagelakeFileSystem) -> None:
    fs.pipe("/big", CONTENT)
    with fs.open("/big", "ab") as file:
        assert file.tell() == len(CONTENT)
        file.write(b"end")
    with fs.open("/big", "r+b") as file:
        file.seek(3_000_000)
        file.write(b"middle")
        file.seek(0)
        assert file.read(4) == CONTENT[:4]
    with fs.open("/big", "r+b") as file:
        assert file.read(4) == CONTENT[:4]
    expected = bytearray(CONTENT + b"end")
    expected[3_000_000:3_000_006] = b"middle"
    assert fs.cat("/big") == expected
    with fs.open("/big", "r+b") as file:
        file.truncate(10)
    assert fs.cat("/big") == CONTENT[:10]
    refused(errno.ENOENT, fs.open, "/none", "r+b")
    with fs.open("/log", "at") as text:
        text.write("one\n")
    with fs.open("/log", "a") as text:
        text.write("two\n")
    assert fs.read_text("/log") == "one\ntwo\n"


# Names


def test_what_is_told_of_a_file(fs: PagelakeFileSystem) -> None:
    began = datetime.now(UTC)
    tags = {"owner": "ops"}
    fs.pipe("/d/f.csv", b"12345", user_tags=tags, content_type="text/csv")
    told = fs.info("/d/f.csv")
    assert {key: told[key] for key in ("name", "size", "type")} == {
        "name": "/d/f.csv", "size": 5, "type": "file",
    }  # fmt: skip
    assert (told["extension"], told["user_tags"], told["content_type"]) == ("csv", tags, "text/csv")
    assert told["mode"] == 0o100644
    assert (told["uid"], told["islink"], told["nlink"]) == (os.getuid(), False, 1)
    assert fs.ls("/d") == [told]
    assert fs.ls("/d/f.csv", detail=False) == ["/d/f.csv"]
    made, changed = fs.created("/d/f.csv"), fs.modified("/d/f.csv")
    assert began - timedelta(seconds=1) <= made == changed <= datetime.now(UTC)
    checksum, key = fs.checksum("/d/f.csv"), fs.ukey("/d/f.csv")
    fs.touch("/d/f.csv", truncate=False)
    assert fs.modified("/d/f.csv") > changed
    assert fs.created("/d/f.csv") == made
    assert fs.checksum("/d/f.csv") == checksum
    assert fs.ukey("/d/f.csv") != key
    fs.pipe("/d/f.csv", b"54321")
    assert fs.checksum("/d/f.csv") != checksum
    assert fs.info("/d/f.csv")["handle"] == told["handle"]
    assert fs.info("/d")["type"] == "directory"


def test_a_directory_is_moved_by_one_rename(fs: PagelakeFileSystem) -> None:
    for number in range(20):
        fs.pipe(f"/old/sub/{number}", b"x")
    handle = fs.info("/old/sub/3")["handle"]
    before = commits(fs)
    fs.mv("/old", "/deep/new", recursive=True)
    assert commits(fs) == before + 1
    assert fs.info("/deep/new/sub/3")["handle"] == handle
    fs.mkdir("/into")
    fs.mv("/deep/new/sub/*", "/into")
    fs.mv("/into/3", "/into/4")
    assert len(fs.ls("/into")) == 19
    assert fs.find("/deep", withdirs=True) == ["/deep", "/deep/new", "/deep/new/sub"]


def test_trees_are_copied_and_removed_by_one_transaction(
    fs: PagelakeFileSystem, tmp_path: Path
) -> None:
    for number in range(30):
        (tmp_path / f"in/{number % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"in/{number % 3}/{number}").write_bytes(b"%d" % number * 1000)
    before = commits(fs)
    fs.put(str(tmp_path / "in"), "/tree", recursive=True)
    assert commits(fs) == before + 1
    fs.cp("/tree", "/copy", recursive=True)
    assert commits(fs) == before + 2
    assert fs.cat("/copy/1/16") == b"16" * 1000
    assert fs.du("/copy") == fs.du("/tree") == sum(fs.du("/tree", total=False).values()) == 50_000
    fs.rm(["/copy", "/tree"], recursive=True)
    assert commits(fs) == before + 3
    assert fs.ls("/") == []


def test_find_and_walk_agree(fs: PagelakeFileSystem) -> None:
    for path in ("/t/a/1", "/t/a/b/2", "/t/c/3", "/t/4", "/t-not/5"):
        fs.touch(path)
    walked = [
        f"{directory}/{name}" for directory, _, files in fs.walk("/t") for name in sorted(files)
    ]
    assert sorted(walked) == fs.find("/t") == ["/t/4", "/t/a/1", "/t/a/b/2", "/t/c/3"]
    assert fs.find("/t", maxdepth=1) == ["/t/4"]
    assert fs.find("/t", maxdepth=2, withdirs=True, detail=True).keys() == {
        "/t", "/t/4", "/t/a", "/t/a/1", "/t/a/b", "/t/c", "/t/c/3",
    }  # fmt: skip
    assert fs.find("/t/4") == ["/t/4"]
    assert fs.find("/none") == []
    assert len(fs.find("/")) == 5
    assert fs.glob("/t/*/?") == ["/t/a/1", "/t/a/b", "/t/c/3"]
    pruned = []
    for directory, directories, _ in fs.walk("/t"):
        pruned.append(directory)
        directories[:] = [name for name in directories if name != "a"]
    assert pruned == ["/t", "/t/c"]
    assert list(fs.walk("/t", maxdepth=1)) == [("/t", ["a", "c"], ["4"])]
    assert [directory for directory, _, _ in fs.walk("/t", topdown=False)] == [
        "/t/a/b", "/t/a", "/t/c", "/t",
    ]  # fmt: skip
    assert next(fs.walk("/t", detail=True))[2]["4"] == fs.info("/t/4")
    assert list(fs.walk("/t/4")) == [("/t/4", [], [""])]
    assert list(fs.walk("/none")) == []
    with pytest.raises(FileNotFoundError):
        next(fs.walk("/none", on_error="raise"))


def test_links_are_followed_but_for_walks(fs: PagelakeFileSystem) -> None:
    fs.pipe("/d/f", b"through")
    fs.symlink("/d", "/link")
    fs.symlink("d/f", "/file")
    fs.symlink("nowhere", "/broken")
    fs.symlink("../round", "/d/round")
    assert fs.cat("/link/f") == fs.cat("/file") == b"through"
    assert fs.isdir("/link")
    assert fs.islink("/link")
    assert fs.info("/file")["type"] == "file"
    assert (fs.info("/file")["size"], fs.info("/file")["destination"]) == (7, "d/f")
    assert [told["type"] for told in fs.ls("/")] == ["other", "directory", "file", "other"]
    assert fs.find("/link", detail=False) == ["/link/f", "/link/round"]
    assert (fs.exists("/broken"), fs.lexists("/broken")) == (False, True)
    fs.pipe("/link/g", b"new")
    assert fs.cat("/d/g") == b"new"
    fs.pipe("/file", b"changed")
    assert fs.cat("/d/f") == b"changed"
    fs.link("/d/f", "/hard")
    assert fs.info("/hard")["ino"] == fs.info("/d/f")["ino"]
    fs.rm("/link")
    assert fs.cat("/d/f") == b"changed"


def test_names_are_bytes_on_both_sides(fs: PagelakeFileSystem, tmp_path: Path) -> None:
    hostile = [b"caf\xe9", "café".encode(), b"new\nline", b"\xff\xfe", "\U0010ffe9".encode(), b"*"]
    source = os.fsencode(tmp_path / "in")
    os.mkdir(source)
    for number, name in enumerate(hostile):
        with open(os.path.join(source, name), "wb") as file:
            file.write(b"%d" % number)
    fs.put(str(tmp_path / "in") + "/", "/names/", recursive=True)
    fs.get("/names", str(tmp_path / "out"), recursive=True)
    found = os.listdir(os.fsencode(tmp_path / "out"))
    assert sorted(found) == sorted(hostile)
    for number, name in enumerate(hostile):
        with open(os.path.join(os.fsencode(tmp_path / "out"), name), "rb") as file:
            assert file.read() == b"%d" % number
    assert fs.cat("/names/caf\udce9") == b"0", "as Python spells local names"


# Transactions


def test_a_transaction_is_one_of_the_store(fs: PagelakeFileSystem) -> None:
    fs.pipe("/old", b"old")
    before = commits(fs)
    with fs.transaction:
        with fs.open("/a/1", "wb") as file:
            file.write(CONTENT)
        fs.pipe("/a/2", b"two")
        fs.mkdir("/b")
        fs.rm("/old")
        with fs.open("/late", "wb") as late:
            late.write(b"late")
        assert fs.find("/") == ["/old"]
    assert commits(fs) == before + 1
    assert fs.find("/", withdirs=True) == ["/a", "/a/1", "/a/2", "/b", "/late"]
    fs.start_transaction()
    with fs.open("/a/2", "r+b") as file:
        file.write(b"TWO")
    assert fs.cat("/a/2") == b"two"
    fs.end_transaction()
    assert fs.cat("/a/2") == b"TWO"


def test_a_transaction_that_fails_does_nothing(fs: PagelakeFileSystem) -> None:
    before = commits(fs)
    with pytest.raises(ZeroDivisionError), fs.transaction:
        fs.pipe("/a", CONTENT)
        unclosed = fs.open("/b", "wb")
        unclosed.write(CONTENT)
        raise ZeroDivisionError
    with pytest.raises(FileExistsError), fs.transaction:
        fs.pipe("/a", CONTENT)
        file = fs.open("/c", "xb")
        other = PagelakeFileSystem(store=fs.store, skip_instance_cache=True)
        other.pipe("/c", b"before it")
    assert file.closed
    assert commits(fs) == before + 1
    assert fs.find("/") == ["/c"]
    fs.pipe("/after", b"")
    assert fs.exists("/after")


# The past, other threads and processes


def test_files_are_read_as_of_a_version_or_a_tag(fs: PagelakeFileSystem, store: Path) -> None:
    import pagelake

    fs.pipe("/f", b"old")
    version = commits(fs)
    with pagelake.connect(store) as db:
        db.execute("CREATE TAG then")
    fs.pipe("/f", b"new")
    for at in (version, "then"):
        past = fsspec.filesystem("pagelake", store=str(store), at=at)
        assert past.cat("/f") == b"old"
        refused(errno.EROFS, past.rm, "/f")
        refused(errno.EROFS, past.open, "/f", "wb")
    refused(errno.ENOENT, fsspec.filesystem("pagelake", store=str(store), at="no").ls, "/")


def test_a_change_is_seen_at_once_everywhere(fs: PagelakeFileSystem, store: Path) -> None:
    other = PagelakeFileSystem(store=str(store), skip_instance_cache=True)
    assert other.ls("/") == []
    fs.pipe("/here", b"x")
    assert other.ls("/", detail=False) == ["/here"]
    script = (
        "import fsspec, sys; fs = fsspec.filesystem('pagelake', store=sys.argv[1]);"
        "print(fs.ls('/', detail=False)); fs.pipe('/there', b'y')"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(store)], capture_output=True, text=True, check=True
    )
    assert told.stdout == "['/here']\n"
    assert fs.cat("/there") == b"y"


def test_it_travels_as_its_options(fs: PagelakeFileSystem, store: Path) -> None:
    fs.pipe("/f", b"0123456789")
    copied = copy.copy(fs)
    assert copied is fs, "the instance cache knows it"
    assert fs.__reduce__()[1][1:] == ((), {"store": str(store)})
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()).cat("/f") == b"0123456789"
    with fs.open("/f") as file:
        file.seek(4)
        with copy.copy(file) as again:
            assert again.read() == b"456789"
    opened = fsspec.open("pagelake://f", store=str(store))
    with copy.copy(opened) as file:
        assert file.read() == b"0123456789"


def test_threads_share_a_store(fs: PagelakeFileSystem, store: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            own = fsspec.filesystem("pagelake", store=str(store))
            for turn in range(3):
                own.pipe(f"/t/{number}/{turn}", b"%d" % number * 20_000)
                assert fs.cat(f"/t/{number}/{turn}") == b"%d" % number * 20_000
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(fs.find("/t")) == 12
    assert len([key for key in opening._shared if key == (str(store), False)]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_the_store_anew(fs: PagelakeFileSystem) -> None:
    fs.pipe("/f", b"parent")
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)

    def child() -> None:
        fs.pipe("/child", fs.cat("/f") + b" and child")
        sending.send(fs.ls("/", detail=False))

    process = context.Process(target=child)
    process.start()
    assert receiving.poll(60)
    assert receiving.recv() == ["/child", "/f"]
    process.join(60)
    assert process.exitcode == 0
    assert fs.cat("/child") == b"parent and child"


def test_the_last_file_system_closes_the_store(tmp_path: Path) -> None:
    path = tmp_path / "own.lake"
    one = PagelakeFileSystem(store=str(path), skip_instance_cache=True)
    two = PagelakeFileSystem(store=path, read_only=False, skip_instance_cache=True)
    one.pipe("/f", b"x")
    assert two.cat("/f") == b"x"
    files, database = two.files, opening._shared[str(path.resolve()), False].database
    assert files is one.files
    assert isinstance(files, Files)
    del one
    assert two.cat("/f") == b"x"
    with opening._lock:
        del two  # as the garbage collector may find it while a store is being opened
    opening.close_unused()
    assert database.closed
    assert (str(path.resolve()), False) not in opening._shared
