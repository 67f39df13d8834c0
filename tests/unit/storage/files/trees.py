"""Random operations, done in a real directory and in a store, and what is there afterwards."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pagelake.errors import Error
from pagelake.storage.files.file_error import FileError
from pagelake.storage.files.name import bytes_of
from pagelake.storage.files.operations import (
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pagelake.storage.files.files import Files
    from pagelake.storage.files.files_snapshot import FilesSnapshot
    from pagelake.storage.files.namespace import Operation

NAMES = ["a", "b", "c.txt", "dé", "e" * 40]
_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)

Tree = dict[str, tuple[object, ...]]


@dataclass(frozen=True)
class Step:
    """One operation: in a store, and in a directory."""

    told: str
    operation: Operation
    real: Callable[[], None]


def renameat2(old: str, new: str, flags: int) -> None:
    at = ctypes.c_int(_AT_FDCWD)
    arguments = (at, os.fsencode(old), at, os.fsencode(new), ctypes.c_uint(flags))
    if _libc.renameat2(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Steps:
    """Makes random operations.

    Args:
        seed: Of the random numbers.
        root: The real directory.
        files: The store's files, which make contents.
    """

    def __init__(self, seed: int, root: Path, files: Files) -> None:
        self.random = random.Random(seed)
        self.root = os.fspath(root)
        self.files = files

    def path(self) -> str:
        """A path of one to three names; half of the time one of something that exists."""
        if self.random.random() < 0.5:
            known = [
                os.path.join(at, name)[len(self.root) :]
                for at, directories, others in os.walk(self.root)
                for name in (*directories, *others)
            ]
            if known:
                return self.random.choice(sorted(known))
        names = self.random.choices(NAMES, k=self.random.choice((1, 1, 2, 2, 3)))
        return "".join(f"/{name}" for name in names)

    def clear(self, path: str) -> bool:
        """Tell whether no symbolic link is on the way: those are followed in directories only."""
        names = path.split("/")[1:-1]
        return not any(
            os.path.islink(self.root + "/" + "/".join(names[:count]))
            for count in range(1, len(names) + 1)
        )

    def step(self) -> Step:
        while True:
            one, other = self.path(), self.path()
            if self.clear(one) and self.clear(other):
                break
        kinds = [self.creation, self.removal, self.renaming, self.alteration]
        return self.random.choices(kinds, (5, 2, 5, 2))[0](one, other)

    def creation(self, one: str, other: str) -> Step:
        there = self.root + one
        body = self.random.randbytes(self.random.choice((0, 1, 100)))
        content = self.files.content.inline(body)
        match self.random.randrange(7):
            case 0:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
                made = Create(one, content, mode=0o640)
                return Step(f"create {one}", made, lambda: written(there, flags, 0o640, body))
            case 1:
                flags = os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_WRONLY
                made = Create(one, content, mode=0o600, exclusive=False)
                if stat.S_ISFIFO(mode_of(there)):
                    return self.step()
                return Step(f"write {one}", made, lambda: written(there, flags, 0o600, body))
            case 2 | 3:
                return Step(f"mkdir {one}", MakeDirectory(one), lambda: os.mkdir(there, 0o755))
            case 4:
                target = other[1:]
                return Step(
                    f"symlink {one}", MakeSymlink(one, target), lambda: os.symlink(target, there)
                )
            case 5:
                return Step(
                    f"link {other} {one}",
                    MakeLink(other, one),
                    lambda: os.link(self.root + other, there, follow_symlinks=False),
                )
            case _:
                special = MakeSpecial(one, "FIFO", 0o644)
                return Step(f"mkfifo {one}", special, lambda: os.mkfifo(there, 0o644))

    def removal(self, one: str, _other: str) -> Step:
        there = self.root + one
        match self.random.randrange(5):
            case 0 | 1:
                return Step(f"unlink {one}", Unlink(one), lambda: os.unlink(there))
            case 2 | 3:
                return Step(f"rmdir {one}", RemoveDirectory(one), lambda: os.rmdir(there))
            case _:
                return Step(f"rm -r {one}", RemoveTree(one), lambda: removed(there))

    def renaming(self, one: str, other: str) -> Step:
        old, new = self.root + one, self.root + other
        match self.random.randrange(6):
            case 0:
                made = Rename(one, other, no_replace=True)
                return Step(
                    f"rename -n {one} {other}", made, lambda: renameat2(old, new, _NOREPLACE)
                )
            case 1:
                made = Rename(one, other, exchange=True)
                return Step(f"exchange {one} {other}", made, lambda: renameat2(old, new, _EXCHANGE))
            case _:
                return Step(
                    f"rename {one} {other}", Rename(one, other), lambda: os.rename(old, new)
                )

    def alteration(self, one: str, _other: str) -> Step:
        there = self.root + one
        bits = self.random.choice((0o600, 0o755, 0o711))
        body = self.random.randbytes(7)
        if self.random.random() < 0.5 and not os.path.islink(there):
            made = SetAttributes(one, {"nfs_mode_bits": bits})
            return Step(f"chmod {one}", made, lambda: os.chmod(there, bits))
        if os.path.islink(there) or stat.S_ISFIFO(mode_of(there)):
            return self.step()
        return Step(
            f"overwrite {one}",
            Write(one, self.files.content.inline(body)),
            lambda: written(there, os.O_WRONLY | os.O_TRUNC, 0, body),
        )


def mode_of(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def written(path: str, flags: int, mode: int, body: bytes) -> None:
    fresh = not os.path.lexists(path)
    descriptor = os.open(path, flags, mode)
    try:
        if fresh:
            os.fchmod(descriptor, mode)  # whatever the umask is
        os.write(descriptor, body)
    finally:
        os.close(descriptor)


def removed(path: str) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for name in os.listdir(path):
            removed(f"{path}/{name}")
        os.rmdir(path)
    else:
        os.unlink(path)


def outcome(call: Callable[[], object]) -> str:
    """What came of it: the errno's name, or nothing."""
    try:
        call()
    except FileError as error:
        return errno.errorcode[error.errno]
    except Error:
        raise
    except OSError as error:
        assert error.errno is not None
        return errno.errorcode[error.errno]
    return ""


def real_tree(root: Path) -> Tree:
    """Everything below a directory: type, permissions, names, size or target, content."""
    found: Tree = {}
    for at, directories, others in sorted(os.walk(os.fsencode(root))):
        for name in sorted((*directories, *others)):
            path = os.path.join(at, name)
            is_ = os.lstat(path)
            content: object = None
            if stat.S_ISREG(is_.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(is_.st_mode):
                content = os.readlink(path)
            told = path[len(os.fsencode(root)) :]
            # Links of directories are counted differently by some file systems.
            links = is_.st_nlink if not stat.S_ISDIR(is_.st_mode) else 0
            bits = 0o777 if stat.S_ISLNK(is_.st_mode) else stat.S_IMODE(is_.st_mode)
            kind = stat.S_IFMT(is_.st_mode)
            found[os.fsdecode(told)] = (kind, bits, links, content, is_.st_ino)
    return _named(found)


def _named(found: Tree) -> Tree:
    """A tree with the first name of each element in place of its number."""
    first: dict[object, str] = {}
    for path in sorted(found):
        first.setdefault(found[path][-1], path)
    return {path: (*told, first[number]) for path, (*told, number) in found.items()}


_KINDS = {
    "FILE": stat.S_IFREG,
    "DIR": stat.S_IFDIR,
    "SYMLINK": stat.S_IFLNK,
    "FIFO": stat.S_IFIFO,
}


def stored_tree(snapshot: FilesSnapshot) -> Tree:
    """The same of a store, as its names lead there; whatever else it tells must agree."""
    found: Tree = {}
    waiting = [snapshot.get("/")]
    listed: dict[str, None] = {"/": None}
    while waiting:
        directory = waiting.pop(0)
        below = snapshot.children(directory.handle)
        subdirectories = sum(element.is_directory for element in below)
        assert snapshot.get(directory.path).nlinks == 2 + subdirectories
        for element in below:
            path = os.fsdecode(bytes_of(element.path))
            listed[element.path] = None
            assert element.parent_path == directory.path
            assert snapshot.find(element.path) == _whole(snapshot, element.path)
            content: object = None
            if element.is_file:
                content = snapshot.read(element).read_at(0, element.size)
            elif element.is_symlink:
                content = element.symlink_path and element.symlink_path.encode()
            if element.is_directory:
                waiting.append(element)
            links = 0 if element.is_directory else element.nlinks
            told = (_KINDS[element.element_type], element.nfs_mode_bits, links, content)
            found[path] = (*told, element.handle)
    batches = list(snapshot.subtree("/", ["path"]))
    assert sorted(p for b in batches for p in b.column(0).to_pylist()) == sorted(listed)
    return _named(found)


def _whole(snapshot: FilesSnapshot, path: str) -> object:
    element = snapshot.get(path)
    assert snapshot.child(element.parent_handle, element.name) == element
    return element
