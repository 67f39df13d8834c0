"""`pagelake cp`, `mv`, `rm` and `cat`: between local directories and stores."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.transfer import batch
from pagelake.engine.transfer.copying import CopyOptions, copy
from pagelake.engine.transfer.place import parse_place
from pagelake.engine.transfer.stores import Stores
from pagelake.engine.transfer.watch import Watch
from pagelake.storage.content.content_reader import ContentReader

if TYPE_CHECKING:
    from pathlib import Path

Run = "Callable[..., tuple[int, str, str]]"

HOSTILE = [
    *(b"caf\xe9", b"new\nline", b"\xff\xfe", "\U0010ffe9".encode()),
    *(b"-rf", b"*", b"a:", b"\x1b["),
]
LARGE = os.urandom(5 << 20)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tree(here: Path) -> Path:
    """A tree with all kinds of entries."""
    top = here / "tree"
    (top / "sub/deep").mkdir(parents=True)
    (top / "empty").mkdir(mode=0o700)
    (top / "hello.txt").write_text("hello")
    (top / "sub/large").write_bytes(LARGE)
    (top / "sub/deep/script").write_bytes(b"#!")
    (top / "sub/deep/script").chmod(0o4751)
    (top / "sub/link").symlink_to("../hello.txt")
    (top / "dangling").symlink_to(b"nowhere-\xff".decode("utf-8", "surrogateescape"))
    os.mkfifo(top / "pipe")
    for number, name in enumerate(HOSTILE):
        with open(os.path.join(os.fsencode(top / "sub"), name), "wb") as file:
            file.write(b"%d" % number)
    os.utime(top / "hello.txt", ns=(10**18 + 1, 10**18 + 2))
    os.utime(top / "sub", ns=(10**18 + 3, 10**18 + 4))
    return top


def state(top: Path | str, *, times: bool) -> dict[bytes, tuple[object, ...]]:
    """What a tree is: types, permissions, contents and, where asked for, times."""
    found: dict[bytes, tuple[object, ...]] = {}
    root = os.fsencode(top)
    paths = [root]
    for directory, directories, files in os.walk(root):
        paths += [os.path.join(directory, name) for name in (*directories, *files)]
    for path in paths:
        told = os.lstat(path)
        what: object = None
        if stat.S_ISLNK(told.st_mode):
            what = os.readlink(path)
        elif stat.S_ISREG(told.st_mode):
            with open(path, "rb") as file:
                what = file.read()
        mode = told.st_mode if times else stat.S_IFMT(told.st_mode) | told.st_mode & 0o777
        found[os.path.relpath(path, root)] = (mode, what, told.st_mtime_ns if times else None)
    return found


def test_a_tree_comes_back_as_it_was(run: Run, tree: Path) -> None:
    assert run("cp", "-r", "-p", "tree", "my.lake:/") == (0, "", "")
    assert run("cp", "-r", "-p", "my.lake:/tree", "back") == (0, "", "")
    assert state("back", times=True) == state(tree, times=True)
    assert run("cp", "-r", "-p", "my.lake:/tree", "other.lake:/a/b") == (0, "", "")
    assert run("cp", "-r", "-p", "other.lake:/a/b", "other.lake:/c") == (0, "", "")
    assert run("cp", "-r", "--preserve", "other.lake:/c", "again") == (0, "", "")
    assert state("again", times=True) == state(tree, times=True)


def test_without_preserve_copies_are_new(run: Run, tree: Path) -> None:
    began = time.time_ns()
    run("cp", "-r", "tree", "my.lake:/")
    run("cp", "-r", "my.lake:/tree", "back")
    assert state("back", times=False) == state(tree, times=False)
    assert (tree.parent / "back/sub/deep/script").stat().st_mode & 0o7777 == 0o751
    assert (tree.parent / "back/hello.txt").stat().st_mtime_ns >= began - 10**9


def test_where_copies_go(run: Run, here: Path) -> None:
    (here / "a").write_text("A")
    (here / "b").write_text("B")
    assert run("cp", "a", "my.lake:/new/name")[0] == 0
    assert run("cp", "a", "b", "my.lake:/both/")[0] == 0
    assert run("cp", "a", "b", "my.lake:/both/a") == (
        65, "",
        "error: not a directory: my.lake:/both/a\nhint: end it with / to have it made\n",
    )  # fmt: skip
    assert run("cp", "a", "my.lake:/both")[0] == 0
    assert run("cp", "a", "my.lake:")[0] == 0
    assert run("ls", "-r", "my.lake:")[1].split() == [
        "/a", "/both/", "/both/a", "/both/b", "/new/", "/new/name",
    ]  # fmt: skip
    assert run("cp", "my.lake:/both/?", "out/")[0] == 0
    assert sorted(os.listdir("out")) == ["a", "b"]
    assert run("cp", "my.lake:/new/name", "out")[0] == 0
    assert (here / "out/name").read_text() == "A"
    assert run("cp", "my.lake:/new/name", "deep/er/c")[0] == 0
    assert (here / "deep/er/c").read_text() == "A"


def test_standard_streams(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = [sys.executable, "-m", "pagelake"]
    given = LARGE * 2
    subprocess.run([*program, "cp", "-", "my.lake:/in"], input=given, check=True)
    told = subprocess.run([*program, "cp", "my.lake:/in", "-"], capture_output=True, check=True)
    assert told.stdout == given
    assert run("cp", "my.lake:/in", "my.lake:/again") == (0, "", "")
    with pagelake.connect("my.lake") as db:
        found = db.sql("SELECT count(*), count(DISTINCT etag) FROM pagelake.files WHERE size > 0")
        assert found.fetchall() == [(2, 1)]


def test_what_is_at_the_target(run: Run, here: Path) -> None:
    (here / "f").write_text("first")
    (here / "d/f").mkdir(parents=True)
    (here / "d/g").write_text("G")
    run("cp", "f", "my.lake:/x/f")
    run("tag", "my.lake:/x/f", "kept=yes")
    (here / "f").write_text("second")
    run("cp", "-n", "f", "my.lake:/x/f")
    assert run("cat", "my.lake:/x/f")[1] == "first"
    run("cp", "f", "my.lake:/x/f")
    assert run("cat", "my.lake:/x/f")[1] == "second"
    assert run("tag", "my.lake:/x/f")[1] == "kept=yes\n"
    status, _, told = run("cp", "-r", "d/.", "my.lake:/x")
    assert (status, told) == (1, "error: what is at /x/f is no directory: d/./f\n")
    assert run("ls", "my.lake:/x")[1] == "f\ng\n"
    os.mkdir("out")
    os.mkdir("out/f")
    status, _, told = run("cp", "my.lake:/x/f", "out")
    assert (status, told) == (1, "error: what is there is a directory: my.lake:/x/f\n")


def test_no_byte_goes_outside_of_the_target(run: Run, here: Path) -> None:
    (here / "in/d").mkdir(parents=True)
    (here / "in/d/f").write_text("new")
    (here / "in/g").write_text("new")
    run("cp", "-r", "in", "my.lake:/")
    (here / "elsewhere").mkdir()
    (here / "elsewhere/f").write_text("old")
    (here / "out").mkdir()
    (here / "out/d").symlink_to("../elsewhere")
    (here / "out/g").symlink_to("../elsewhere/f")
    status, _, told = run("cp", "-r", "my.lake:/in/.", "out")
    why = "what is there is a link or no directory; links are not followed"
    assert (status, told) == (1, f"error: {why}: my.lake:/in/d\n")
    assert (here / "elsewhere/f").read_text() == "old"
    assert os.listdir("elsewhere") == ["f"]
    assert (here / "out/g").read_text() == "new"
    assert not (here / "out/g").is_symlink()
    (here / "chosen").symlink_to("elsewhere")
    assert run("cp", "-r", "my.lake:/in/d", "chosen/")[0] == 0
    assert (here / "elsewhere/d/f").read_text() == "new", "a target may lead through links"


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["cp", "none", "my.lake:/"], 1, "error: No such file or directory: none\n"),
        (["cp", "my.lake:/none", "."], 1, "error: No such file or directory: my.lake:/none\n"),
        (["cp", "d", "my.lake:/"], 1, "error: Is a directory: d\n"),
        (["cp", "my.lake:/d", "."], 1, "error: Is a directory: my.lake:/d\n"),
        (["cp", "f", "g"], 65, "error: neither is in a store: f, g\n"),
        (["cp", "f", "my.lake:x"], 65, "hint: write my.lake:/x or file://my.lake:x\n"),
        (["cp", "f", "s3://b/x"], 65, "hint: a path in a store is written STORE:/path\n"),
        (["cp", "f", "my.lake:/a/../b"], 65, "error: Invalid argument: my.lake:/a/../b\n"),
        (["cp", "f", f"my.lake:/{'n' * 256}"], 65, "error: File name too long"),
        (["cp", "", "my.lake:/"], 65, "error: a path is empty"),
        (["cp", "-r", "my.lake:/d", "my.lake:/d/e"], 65, "cannot be copied into itself\n"),
        (["cp", "my.lake:/f", "my.lake:/f"], 65, "cannot be copied into itself\n"),
        (["mv", "my.lake:/d", "my.lake:/d/e"], 1, "Invalid argument"),
        (["cp", "f", "my.lake:/f/g"], 1, "Not a directory"),
        (["rm", "my.lake:/d"], 1, "is a directory; --recursive removes it with all in it"),
        (["rm", "-r", "my.lake:/"], 1, "is the root"),
        (["rm", "my.lake:/none"], 1, "error: No such file or directory: my.lake:/none\n"),
        (["rm", "f"], 65, "error: not in a store: f\n"),
        (["cat", "my.lake:/d"], 1, "error: Is a directory: my.lake:/d\n"),
        (["ls", "no.lake:/"], 66, "does not exist"),
        (["cp", "f"], 2, "Missing argument"),
    ],
)
def test_refusals(run: Run, here: Path, arguments: list[str], status: int, told: str) -> None:
    (here / "f").write_text("f")
    (here / "d").mkdir()
    run("cp", "-r", "f", "d", "my.lake:")
    before = run("ls", "-r", "my.lake:")
    found, _, error = run(*arguments)
    assert (found, told in error) == (status, True), error
    assert run("ls", "-r", "my.lake:") == before
    assert not (here / "no.lake").exists()


def test_one_that_fails_keeps_no_other_from_being_copied(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "d").mkdir()
    for name in ("a", "b", "c"):
        (here / "d" / name).write_text(name)
    opened = os.open

    def refuse(path: object, *arguments: object, **options: object) -> int:
        if isinstance(path, bytes) and path.endswith(b"d/b"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    status, _, told = run("cp", "-r", "d", "my.lake:/")
    assert (status, told) == (1, f"error: Permission denied: {os.path.join('d', 'b')}\n")
    assert run("ls", "my.lake:/d")[1] == "a\nc\n"
    status, _, _ = run("mv", "d", "my.lake:/e")
    assert status == 1
    assert sorted(os.listdir("d")) == ["a", "b", "c"], "nothing of it is removed"


def test_a_damaged_file_keeps_no_other_from_being_copied(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {name: os.urandom(30_000) for name in ("a", "bad", "c")}
    (here / "d").mkdir()
    for name, content in contents.items():
        (here / "d" / name).write_bytes(content)
    os.link(here / "d/c", here / "d/further")
    run("cp", "-r", "d", "my.lake:/")
    slices = ContentReader.slices

    def damaged(self: ContentReader, offset: int, length: int) -> list[memoryview]:
        found = slices(self, offset, length)
        if b"".join(found) == contents["bad"]:
            raise pagelake.Corrupt("page 7 is damaged")
        return found

    monkeypatch.setattr(ContentReader, "slices", damaged)
    for target in ("out", "other.lake:/d"):
        status, _, told = run("cp", "-r", "my.lake:/d", target)
        assert (status, told) == (1, "error: page 7 is damaged: my.lake:/d/bad\n")
    assert {p.name: p.read_bytes() for p in (here / "out").iterdir()} == {
        "a": contents["a"], "c": contents["c"], "further": contents["c"],
    }  # fmt: skip
    assert run("ls", "other.lake:/d")[1] == "a\nc\nfurther\n"


def test_moves(run: Run, here: Path) -> None:
    (here / "d/sub").mkdir(parents=True)
    (here / "d/sub/f").write_text("f")
    (here / "d/link").symlink_to("sub")
    assert run("mv", "d", "my.lake:/in") == (0, "", "")
    assert not (here / "d").exists()
    handle = run("ls", "--json", "my.lake:/in/sub")[1]
    assert run("mv", "my.lake:/in", "my.lake:/a/b") == (0, "", "")
    assert run("ls", "-r", "my.lake:/")[1].split() == [
        "/a/", "/a/b/", "/a/b/link", "/a/b/sub/", "/a/b/sub/f",
    ]  # fmt: skip
    assert run("ls", "--json", "my.lake:/a/b/sub")[1] == handle.replace("/in/", "/a/b/")
    assert run("mv", "my.lake:/a/b", "other.lake:/") == (0, "", "")
    assert run("ls", "my.lake:/a") == (0, "", "")
    assert run("mv", "other.lake:/b/sub", "other.lake:/b/link", ".") == (0, "", "")
    assert ((here / "sub/f").read_text(), os.readlink("link")) == ("f", "sub")
    assert run("ls", "-r", "other.lake:")[1] == "/b/\n"
    run("cp", "sub/f", "my.lake:/x")
    run("cp", "sub/f", "my.lake:/y")
    (here / "other").write_text("other")
    run("cp", "other", "my.lake:/y")
    run("mv", "-n", "my.lake:/x", "my.lake:/y")
    assert run("cat", "my.lake:/x", "my.lake:/y")[1] == "fother"
    run("mv", "my.lake:/x", "my.lake:/y")
    assert run("cat", "my.lake:/y")[1] == "f"


def test_removals(run: Run, here: Path) -> None:
    for name in ("a.tmp", "b.tmp", "c.txt", ".d.tmp"):
        (here / name).write_text(name)
    run("cp", "a.tmp", "b.tmp", "c.txt", ".d.tmp", "my.lake:/x/")
    assert run("rm", "my.lake:/x/*.tmp") == (0, "", "")
    assert run("ls", "my.lake:/x")[1] == ".d.tmp\nc.txt\n"
    assert run("rm", "-f", "my.lake:/none", "my.lake:/x/c.txt") == (0, "", "")
    assert run("rm", "-r", "my.lake:/x", "my.lake:/x/.d.tmp") == (0, "", "")
    assert run("ls", "my.lake:") == (0, "", "")


def test_a_store_in_what_is_copied_into_it_is_left_out(run: Run, here: Path) -> None:
    (here / "d").mkdir()
    (here / "d/f").write_text("f")
    status, _, told = run("cp", "-r", "d", "d/my.lake:/")
    assert (status, "a store in use" in told) == (1, True)
    assert run("ls", "-r", "d/my.lake:")[1] == "/d/\n/d/f\n"


def test_many_files_take_few_transactions(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "OPERATIONS_MAX", 20)
    (here / "d").mkdir()
    for number in range(50):
        (here / "d" / str(number)).write_bytes(b"%d" % number * 10_000)
    target = parse_place("my.lake:/d")
    with Stores([target]) as stores:
        files, watch = stores.files(target), Watch()
        before = files.store.snapshot().version
        copy(stores, [parse_place("d")], target, CopyOptions(recursive=True), watch)
        assert (watch.files, watch.directories, watch.failures) == (50, 1, [])
        assert files.store.snapshot().version - before == 3
        with files.snapshot() as names:
            for number in range(50):
                reader = names.read(names.get(f"/d/{number}"))
                assert reader.read_at(0, 1 << 20) == b"%d" % number * 10_000


def test_ctrl_c_leaves_whole_files_only(here: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pagelake", "cp", "-", "my.lake:/in"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    ended = threading.Event()

    def feed() -> None:
        # More than pipes and buffers hold, so that all has begun when it is interrupted.
        try:
            for _ in range(12):
                process.stdin.write(os.urandom(1 << 20))  # type: ignore[union-attr]
            process.send_signal(signal.SIGINT)
            while not ended.is_set():
                process.stdin.write(os.urandom(1 << 20))  # type: ignore[union-attr]
        except BrokenPipeError:
            pass
        with suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert process.wait(60) == 130
    ended.set()
    feeder.join()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b"error: cancelled\n"
    with pagelake.connect("my.lake") as db:
        assert db.sql("SELECT count(*) FROM pagelake.files WHERE size > 0").fetchall() == [(0,)]
