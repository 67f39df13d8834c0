"""Names: making, linking, renaming, removing, and what is refused."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from pagelake.engine.database import Database
from pagelake.storage.files.operations import MakeDirectory, MakeSymlink
from pagelake.storage.files.removal import RemoveTree

from .mounts import assert_soon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOREPLACE, EXCHANGE = 1, 2


def rename_with(old: Path, new: Path, flags: int) -> None:
    """renameat2(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = -100
    if libc.renameat2(here, os.fsencode(old), here, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def refused(number: int, call: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(OSError) as caught:
        call(*arguments)
    assert caught.value.errno == number, errno.errorcode.get(caught.value.errno or 0)


def test_rename_replaces_and_keeps_the_inode(place: Path) -> None:
    (place / "a").write_text("new")
    (place / "b").write_text("old")
    inode = (place / "a").stat().st_ino
    with open(place / "b") as held:
        os.rename(place / "a", place / "b")
        assert (place / "b").read_text() == "new"
        assert (place / "b").stat().st_ino == inode
        assert held.read() == "old", "who had it open keeps what was replaced"
        assert os.fstat(held.fileno()).st_nlink == 0
    assert os.listdir(place) == ["b"]


def test_rename_flags(place: Path) -> None:
    (place / "a").write_text("a")
    (place / "b").write_text("b")
    refused(errno.EEXIST, rename_with, place / "a", place / "b", NOREPLACE)
    rename_with(place / "a", place / "b", EXCHANGE)
    assert ((place / "a").read_text(), (place / "b").read_text()) == ("b", "a")
    rename_with(place / "a", place / "c", NOREPLACE)
    assert sorted(os.listdir(place)) == ["b", "c"]
    refused(errno.ENOENT, rename_with, place / "b", place / "none", EXCHANGE)


def test_rename_of_directories(place: Path) -> None:
    (place / "d/e").mkdir(parents=True)
    (place / "d/e/f").write_text("deep")
    (place / "full").mkdir()
    (place / "full/x").touch()
    (place / "file").touch()
    refused(errno.EINVAL, os.rename, place / "d", place / "d/e/d")
    refused(errno.ENOTEMPTY, os.rename, place / "d", place / "full")
    refused(errno.ENOTDIR, os.rename, place / "d", place / "file")
    refused(errno.EISDIR, os.rename, place / "file", place / "d")
    refused(errno.ENOENT, os.rename, place / "none", place / "other")
    held = os.open(place / "d/e", os.O_RDONLY)
    (place / "empty").mkdir()
    os.rename(place / "d", place / "empty")
    assert (place / "empty/e/f").read_text() == "deep"
    assert os.stat("f", dir_fd=held).st_size == 4, "a directory that moved is still that directory"
    os.close(held)


def test_removing(place: Path) -> None:
    (place / "d").mkdir()
    (place / "d/f").touch()
    refused(errno.ENOTEMPTY, os.rmdir, place / "d")
    refused(errno.ENOTDIR, os.rmdir, place / "d/f")
    refused(errno.EISDIR, os.unlink, place / "d")
    refused(errno.ENOTDIR, os.unlink, place / "d/f/g")
    os.unlink(place / "d/f")
    refused(errno.ENOENT, os.unlink, place / "d/f")
    held = os.open(place / "d", os.O_RDONLY)
    os.rmdir(place / "d")
    assert os.listdir(held) == []
    refused(errno.ENOENT, lambda: os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=held))
    os.close(held)


def test_making(place: Path) -> None:
    (place / "f").touch()
    refused(errno.EEXIST, os.mkdir, place / "f")
    refused(errno.EEXIST, os.symlink, "x", place / "f")
    refused(errno.EEXIST, os.link, place / "f", place / "f")
    refused(errno.EEXIST, os.open, place / "f", os.O_CREAT | os.O_EXCL)
    refused(errno.ENOENT, os.mkdir, place / "none/d")
    refused(errno.ENOTDIR, os.mkdir, place / "f/d")
    refused(errno.ENAMETOOLONG, os.mkdir, place / ("n" * 256))
    refused(errno.ENAMETOOLONG, os.stat, place / ("n" * 256))
    (place / ("n" * 255)).mkdir()
    refused(errno.EPERM, os.link, place / ("n" * 255), place / "l")
    os.symlink("loop", place / "loop")
    refused(errno.ELOOP, os.stat, place / "loop")


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", b"\xf4\x8f\xbc\x80", b" ", b"\xff" * 255])
def test_any_bytes_are_a_name(place: Path, name: bytes) -> None:
    root = os.fsencode(place)
    with open(os.path.join(root, name), "wb") as file:
        file.write(name)
    assert os.listdir(root) == [name]
    os.rename(os.path.join(root, name), os.path.join(root, b"plain"))
    assert os.listdir(root) == [b"plain"]


def test_hard_links(place: Path) -> None:
    (place / "a").write_text("one")
    os.link(place / "a", place / "b")
    assert os.stat(place / "a").st_ino == os.stat(place / "b").st_ino
    assert os.stat(place / "b").st_nlink == 2
    with open(place / "b", "a") as file:
        file.write(" two")
    assert (place / "a").read_text() == "one two"
    os.unlink(place / "a")
    assert os.stat(place / "b").st_nlink == 1
    assert (place / "b").read_text() == "one two"
    os.rename(place / "b", place / "a")
    assert (place / "a").read_text() == "one two"


def test_symbolic_links(place: Path) -> None:
    (place / "d").mkdir()
    (place / "d/f").write_text("there")
    os.symlink("d/f", place / "l")
    os.symlink(b"\xff/nowhere", os.fsencode(place / "broken"))
    assert (place / "l").read_text() == "there"
    assert os.readlink(os.fsencode(place / "broken")) == b"\xff/nowhere"
    assert os.lstat(place / "l").st_size == 3
    refused(errno.ENOENT, os.stat, place / "broken")


def test_special_files(place: Path) -> None:
    os.mkfifo(place / "pipe", 0o640)
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.append((place / "pipe").read_text()))
    reader.start()
    with open(place / "pipe", "w") as file:
        file.write("through")
    reader.join()
    assert told == ["through"]
    assert stat.filemode(os.stat(place / "pipe").st_mode) == "prw-r-----"
    if os.geteuid() == 0:
        os.mknod(place / "device", stat.S_IFBLK | 0o600, os.makedev(259, 300))
        found = os.stat(place / "device")
        assert (os.major(found.st_rdev), os.minor(found.st_rdev)) == (259, 300)


def test_listings_tell_every_name_once(place: Path, store: Path) -> None:
    """More names than a page of a listing, and than the kernel asks for at a time."""
    many = {f"file-{number:04}" for number in range(2_500)}
    directory = f"/{place.name}/many"
    database = Database(store)
    try:
        made = (MakeSymlink(f"{directory}/{name}", "x") for name in sorted(many))
        database.files.run(MakeDirectory(directory), *made)
        assert sorted(os.listdir(place / "many")) == sorted(many)
        with os.scandir(place / "many") as entries:
            assert all(entry.is_symlink() for entry in entries)
        database.files.run(RemoveTree(directory))
    finally:
        database.close()
    assert_soon(lambda: os.listdir(place) == [])


def test_a_tree_is_removed_while_it_is_listed(place: Path) -> None:
    for number in range(40):
        (place / f"d/{number % 3}").mkdir(parents=True, exist_ok=True)
        os.symlink("x", place / f"d/{number % 3}" / ("n" * 200 + str(number)))
    shutil.rmtree(place / "d")
    assert os.listdir(place) == []


def test_directories_tell_their_changes(place: Path) -> None:
    (place / "d").mkdir()
    before = (place / "d").stat()
    assert before.st_nlink == 2
    (place / "d/sub").mkdir()
    made = (place / "d").stat()
    assert (made.st_nlink, made.st_mtime_ns > before.st_mtime_ns) == (3, True)
    os.rmdir(place / "d/sub")
    removed = (place / "d").stat()
    assert (removed.st_nlink, removed.st_mtime_ns > made.st_mtime_ns) == (2, True)
    assert removed.st_ctime_ns == removed.st_mtime_ns
