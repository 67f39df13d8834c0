"""Trees on disk for the tests of walks, and what a plain recursion says of them."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pagelake.extensions.catalog.block import Block, WalkOptions
from pagelake.extensions.catalog.coordinator import root_of
from pagelake.extensions.catalog.frontier import Frontier
from pagelake.extensions.catalog.rescan.crew import Found, found_in
from pagelake.extensions.catalog.walker import Walker

# A directory as nested dictionaries; bytes are a file's content, text is a link's target.
Tree = dict[bytes, "Tree | bytes | str"]

ODD_NAMES = [
    b"plain",
    b"new\nline",
    b"caf\xe9",
    b'\'; DROP "x" \\',
    b"\xff\xfe",
    b"\x01",
    b"a.b",
    b"a",
    b"a-b",
    b" ",
    b"-rf",
    b"\xed\xa0\x80",
    "日本".encode(),
    b"n" * 255,
]


def make(path: bytes, tree: Tree) -> bytes:
    """Make `tree` as the directory `path` and return its path."""
    os.mkdir(path)
    for name, content in tree.items():
        below = path + b"/" + name
        if isinstance(content, dict):
            make(below, content)
        elif isinstance(content, bytes):
            Path(os.fsdecode(below)).write_bytes(content)
        else:
            os.symlink(content, below)
    return path


def expected(path: bytes) -> Iterator[tuple[bytes, list[bytes], list[os.stat_result]]]:
    """Yield each directory with its names and their metadata, depth first."""
    names = sorted(os.listdir(path))
    found = [os.lstat(path + b"/" + name) for name in names]
    yield path, names, found
    for name, status in zip(names, found, strict=True):
        if stat.S_ISDIR(status.st_mode):
            yield from expected(path + b"/" + name)


def walk_here(
    root: bytes, options: WalkOptions, budget: int = 100, *, portable: bool = False
) -> list[Block]:
    """Walk in this process: what `walk` does with several, without them."""
    path, own = root_of(root, options)
    walker = Walker(path, int(own["device"]), options, portable=portable)
    frontier = Frontier()
    frontier.put([path], np.array([own], dtype=own.dtype))
    blocks = []
    while (task := frontier.take(0, 3)) is not None:
        answer = walker.task(task.paths, task.own, budget)
        frontier.put(answer.left, answer.left_own)
        frontier.finish(0, list(answer.blocks()))
        blocks += frontier.leave(1000)
    return blocks + frontier.leave(10**9)


def same(blocks: list[Block], root: bytes) -> None:
    """Assert that a walk found what a plain recursion finds."""
    listed = list(expected(root))
    assert [block.path for block in blocks] == [path for path, _, _ in listed]
    shown = {root: os.lstat(root)}
    for block, (path, names, found) in zip(blocks, listed, strict=True):
        assert block.names == names
        assert block.errors == ()
        assert int(block.own["inode"]) == shown[path].st_ino
        for name, entry, status in zip(names, block.entries, found, strict=True):
            shown[path + b"/" + name] = status
            check_entry(entry, status)
        links = {i: n for i, n in enumerate(names) if stat.S_ISLNK(found[i].st_mode)}
        assert block.targets == {i: os.readlink(path + b"/" + n) for i, n in links.items()}


def check_entry(entry: np.void, status: os.stat_result) -> None:
    assert {field: int(entry[field]) for field in FIELDS} == {
        field: getattr(status, name) for field, name in FIELDS.items()
    }
    assert int(entry["used"]) == 512 * status.st_blocks
    if stat.S_ISREG(status.st_mode):  # directories and links are accessed by reading them
        assert int(entry["atime"]) == status.st_atime_ns


FIELDS = {
    "mode": "st_mode",
    "nlink": "st_nlink",
    "uid": "st_uid",
    "gid": "st_gid",
    "inode": "st_ino",
    "device": "st_dev",
    "size": "st_size",
    "mtime": "st_mtime_ns",
    "ctime": "st_ctime_ns",
    "rdev": "st_rdev",
}


def walk_local(root: bytes, options: WalkOptions, *_: object) -> Iterator[Block]:
    """Walk as `coordinator.walk` does, in this process."""
    yield from walk_here(root, options)


class LocalCrew:
    """What `Crew` does, in this process."""

    def __init__(self, root: bytes, device: int, options: WalkOptions, *_: object) -> None:
        self._walker = Walker(root, device, options)

    def stat(self, paths: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        found, failures = self._walker.stat(paths)
        entries = np.zeros(len(paths), dtype=found.dtype)
        errnos = np.zeros(len(paths), dtype=np.int32)
        for index, number in failures:
            errnos[index] = number
        entries[errnos == 0] = found
        return entries, errnos

    def read(self, paths: Sequence[bytes], own: np.ndarray) -> Found:
        return found_in([self._walker.task(paths, own, 0)])

    def close(self) -> None:
        pass
