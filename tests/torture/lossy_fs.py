"""A file system that loses what was not synced: ``python -m tests.torture.lossy_fs FOLDER SEED``.

For tests only; everything is in memory. What is written is seen at once and is durable after a sync
of its file; names are durable after a sync of their folder. At a crash each write and each name
that was not synced is kept, lost or (writes) torn at 512 bytes, as the seed decides, and every
later call fails until the file system is mounted again.

A sync can also fail as it does on Linux: the error is said once, the pages count as clean and
stay in the cache, and no later sync writes them.

Commands, one a line, on standard input; answers, one a line, on standard output:

    (nothing)           ``mounted`` once calls are answered
    ``crash N``         crash at the N-th call from now on; ``crashed`` when it happens
    ``fail N``          the N-th sync from now on fails and loses what it should have kept
    ``remount``         crash now if that has not happened, and mount what has survived

The file system ends with its mount: whoever started it unmounts.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import itertools
import os
import stat
import sys
import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import mfusepy

if TYPE_CHECKING:
    from collections.abc import Callable

SECTOR_BYTES = 512
_MNT_DETACH = 2


@dataclass(slots=True, eq=False)
class Inode:
    """A file: what is seen, what is durable, and the writes in between."""

    number: int
    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    links: int = 0
    time_ns: int = 0

    def write(self, offset: int, written: bytes) -> None:
        _put(self.content, offset, written)
        self.pending.append((offset, written))

    def sync(self) -> None:
        for offset, written in self.pending:
            _put(self.durable, offset, written)
        self.pending.clear()

    def survive(self, chance: Random) -> bytearray:
        """What a crash leaves."""
        keep = chance.random()
        for offset, written in self.pending:
            if chance.random() >= keep:
                continue
            if chance.random() < 0.7:
                _put(self.durable, offset, written)
                continue
            # Sectors reach the medium in any order.
            for at in range(0, len(written), SECTOR_BYTES):
                if chance.random() < 0.5:
                    _put(self.durable, offset + at, written[at : at + SECTOR_BYTES])
        return self.durable


@dataclass(slots=True, eq=False)
class Folder:
    """A folder: names as they are seen and as they are durable, and the changes in between."""

    names: dict[str, Inode | Folder] = field(default_factory=dict)
    durable: dict[str, Inode | Folder] = field(default_factory=dict)
    pending: list[tuple[str, Inode | Folder | None]] = field(default_factory=list)

    def change(self, name: str, target: Inode | Folder | None) -> None:
        _set(self.names, name, target)
        self.pending.append((name, target))

    def sync(self) -> None:
        for name, target in self.pending:
            _set(self.durable, name, target)
        self.pending.clear()

    def survive(self, chance: Random) -> dict[str, Inode | Folder]:
        """What a crash leaves."""
        keep = chance.random()
        for name, target in self.pending:
            if chance.random() < keep:
                _set(self.durable, name, target)
        return self.durable


def _put(content: bytearray, offset: int, written: bytes) -> None:
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(written)] = written


def _set(names: dict[str, Inode | Folder], name: str, target: Inode | Folder | None) -> None:
    if target is None:
        names.pop(name, None)
    else:
        names[name] = target


def survivors(folder: Folder, chance: Random) -> Folder:
    """The tree that a crash leaves, everything in it durable."""
    kept: dict[Inode, Inode] = {}

    def after(found: Inode | Folder) -> Inode | Folder:
        if isinstance(found, Folder):
            names = {name: after(target) for name, target in found.survive(chance).items()}
            return Folder(dict(names), dict(names))
        if found not in kept:
            content = found.survive(chance)
            kept[found] = Inode(found.number, bytearray(content), bytearray(content))
            kept[found].time_ns = found.time_ns
        kept[found].links += 1
        return kept[found]

    tree = after(folder)
    assert isinstance(tree, Folder)
    return tree


def _counted(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call of the operating system's: one at a time, and none after a crash."""

    @functools.wraps(call)
    def counted(self: LossyFileSystem, *arguments: Any) -> Any:
        with self.guard:
            if self.dead():
                raise mfusepy.FuseOSError(errno.EIO)
            return call(self, *arguments)

    return counted


class LossyFileSystem(mfusepy.Operations):
    """The file system.

    Args:
        root: Its tree.
        chance: Decides what a crash loses.
        numbers: Inode numbers, never used twice.
    """

    use_ns = True

    def __init__(self, root: Folder, chance: Random, numbers: itertools.count[int]) -> None:
        self.root = root
        self._chance = chance
        self._numbers = numbers
        self.guard = threading.Lock()
        self._open: dict[int, Inode] = {}
        self._handles = itertools.count(1)
        self._calls_left = -1
        self._syncs_left = -1
        self.crashed = False
        self.mounted = threading.Event()

    def init(self, path: str) -> None:
        self.mounted.set()

    # Commands

    def crash_after(self, calls: int) -> None:
        """Crash at one of the next calls."""
        with self.guard:
            self._calls_left = calls

    def fail_sync_after(self, syncs: int) -> None:
        """Let one of the next syncs fail."""
        with self.guard:
            self._syncs_left = syncs

    def crash(self) -> None:
        """Crash now; a second crash changes nothing."""
        with self.guard:
            self._crash()

    def _crash(self) -> None:
        if not self.crashed:
            self.crashed = True
            self.root = survivors(self.root, self._chance)
            say("crashed")

    def dead(self) -> bool:
        """Count a call; whether it comes too late."""
        if self._calls_left > 0:
            self._calls_left -= 1
            if self._calls_left == 0:
                self._crash()
        return self.crashed

    # The operating system's side

    def _find(self, path: str) -> Inode | Folder:
        found: Inode | Folder = self.root
        for part in path.split("/"):
            if not part:
                continue
            if not isinstance(found, Folder):
                raise mfusepy.FuseOSError(errno.ENOTDIR)
            if part not in found.names:
                raise mfusepy.FuseOSError(errno.ENOENT)
            found = found.names[part]
        return found

    def _parent(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        found = self._find(folder)
        assert isinstance(found, Folder)
        return found, name

    @_counted
    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        found = self._open[fh] if fh in self._open else self._find(path)  # type: ignore[index]
        if isinstance(found, Folder):
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2, "st_size": 4096}
        return {
            "st_mode": stat.S_IFREG | 0o600, "st_nlink": found.links, "st_ino": found.number,
            "st_size": len(found.content), "st_mtime": found.time_ns, "st_ctime": found.time_ns,
        }  # fmt: skip

    @_counted
    def readdir(self, path: str, fh: int) -> list[str]:
        found = self._find(path)
        assert isinstance(found, Folder)
        return [".", "..", *found.names]

    @_counted
    def mkdir(self, path: str, mode: int) -> int:
        folder, name = self._parent(path)
        if name in folder.names:
            raise mfusepy.FuseOSError(errno.EEXIST)
        folder.change(name, Folder())
        return 0

    @_counted
    def create(self, path: str, mode: int, fi: Any = None) -> int:
        folder, name = self._parent(path)
        if name in folder.names:
            raise mfusepy.FuseOSError(errno.EEXIST)
        made = Inode(next(self._numbers), links=1, time_ns=time.time_ns())
        folder.change(name, made)
        return self._opened(made)

    @_counted
    def open(self, path: str, flags: int) -> int:
        found = self._find(path)
        assert isinstance(found, Inode)
        return self._opened(found)

    def _opened(self, inode: Inode) -> int:
        handle = next(self._handles)
        self._open[handle] = inode
        return handle

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    @_counted
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._open[fh].content[offset : offset + size])

    @_counted
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._open[fh].write(offset, bytes(data))
        self._open[fh].time_ns = time.time_ns()
        return len(data)

    @_counted
    def link(self, target: str, source: str) -> int:
        found = self._find(source)
        folder, name = self._parent(target)
        if name in folder.names:
            raise mfusepy.FuseOSError(errno.EEXIST)
        assert isinstance(found, Inode)
        found.links += 1
        folder.change(name, found)
        return 0

    @_counted
    def unlink(self, path: str) -> int:
        found = self._find(path)
        folder, name = self._parent(path)
        assert isinstance(found, Inode)
        found.links -= 1
        folder.change(name, None)
        return 0

    @_counted
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        found = self._find(path)
        if isinstance(found, Inode):
            found.time_ns = time.time_ns() if times is None else times[1]
        return 0

    @_counted
    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_blocks": 1 << 20, "f_bavail": 1 << 19, "f_bfree": 1 << 19}

    @_counted
    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._sync(self._open[fh])
        return 0

    @_counted
    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        found = self._find(path)
        assert isinstance(found, Folder)
        self._sync(found)
        return 0

    def _sync(self, found: Inode | Folder) -> None:
        self._syncs_left = max(self._syncs_left - 1, -1)
        if self._syncs_left == 0:
            found.survive(self._chance)
            found.pending.clear()
            self._syncs_left = -1
            raise mfusepy.FuseOSError(errno.EIO)
        found.sync()


def say(word: str) -> None:
    """Answer whoever started this."""
    print(word, flush=True)


def unmount(mountpoint: str) -> None:
    """Take the mount away, whoever still has files of it open."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(mountpoint), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), mountpoint)


class Mounts:
    """One mount after another of what the last one left."""

    def __init__(self, mountpoint: str, seed: int) -> None:
        self._mountpoint = mountpoint
        self._chance = Random(seed)
        self._numbers = itertools.count(2)
        self._current = LossyFileSystem(Folder(), self._chance, self._numbers)
        self._again = True

    def obey(self) -> None:
        """Do what standard input says, until it ends; runs in a thread of its own."""
        for line in sys.stdin:
            match line.split():
                case ["crash", calls]:
                    self._current.crash_after(int(calls))
                    say("armed")
                case ["fail", syncs]:
                    self._current.fail_sync_after(int(syncs))
                    say("armed")
                case ["remount"]:
                    self._current.crash()
                    unmount(self._mountpoint)
        self._again = False
        unmount(self._mountpoint)

    def serve(self) -> None:
        """Answer the calls of one mount after another."""
        threading.Thread(target=self.obey, daemon=True).start()
        while self._again:
            current = self._current
            threading.Thread(target=self._tell_when_mounted, args=(current,), daemon=True).start()
            mfusepy.FUSE(
                current, self._mountpoint, foreground=True, nothreads=True,
                fsname="pagelake-lossy", attr_timeout=0, entry_timeout=0, negative_timeout=0,
                use_ino=True, hard_remove=True,
            )  # fmt: skip
            self._current = LossyFileSystem(current.root, self._chance, self._numbers)

    @staticmethod
    def _tell_when_mounted(file_system: LossyFileSystem) -> None:
        file_system.mounted.wait()
        say("mounted")


if __name__ == "__main__":
    Mounts(sys.argv[1], int(sys.argv[2])).serve()
