"""Local files as entries to copy."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from ...storage.files.name import text_of
from .entry import local_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .entry import Entry, Pieces
    from .watch import Watch

BLOCK_BYTES: Final = 4 << 20
"""What is read of a file at once."""


def local_tree(
    top: bytes, watch: Watch, *, recursive: bool, skip: frozenset[bytes]
) -> Iterator[Entry]:
    """Give a local file, or a directory and what is in it: each directory before its entries.

    Links are entries themselves when trees are copied, and otherwise followed.

    Args:
        top: A path.
        watch: Is told what cannot be read; the rest goes on.
        recursive: Whether to go into directories.
        skip: Real paths of directories that are left out: stores that are in use.

    Raises:
        OSError: There is nothing at the path.
    """
    found = os.lstat(top) if recursive else os.stat(top)
    yield local_entry((), top, found, lambda: read_pieces(top, follow=not recursive))
    if recursive and stat.S_ISDIR(found.st_mode):
        yield from _below(top, (), watch, skip)


def _below(
    directory: bytes, names: tuple[str, ...], watch: Watch, skip: frozenset[bytes]
) -> Iterator[Entry]:
    """What is below a directory. Directories wait on a list: trees may be deeper than the stack."""
    waiting = [(directory, names)]
    while waiting:
        directory, names = waiting.pop()
        try:
            with os.scandir(directory) as listing:
                found = sorted(listing, key=lambda each: each.name)
        except OSError as error:
            watch.fail_by(error, os.fsdecode(directory))
            continue
        deeper = []
        for each in found:
            path = each.path
            below = (*names, text_of(each.name))
            try:
                state = each.stat(follow_symlinks=False)
                entry = local_entry(below, path, state, _reading(path))
            except OSError as error:
                watch.fail_by(error, os.fsdecode(path))
                continue
            if entry.is_directory:
                if skip and os.path.realpath(path) in skip:
                    watch.fail(errno.EBUSY, os.fsdecode(path), "left out: it is a store in use")
                    continue
                deeper.append((path, below))
            yield entry
        waiting += reversed(deeper)


def _reading(path: bytes) -> Pieces:
    return lambda: read_pieces(path, follow=False)


def read_pieces(path: bytes, *, follow: bool) -> Iterator[memoryview]:
    """Give the content of a local file, each piece until the next is asked for.

    Raises:
        OSError: It cannot be read, or is no file any more.
    """
    # Something else may stand there by now: a pipe would wait for ever, a link lead elsewhere.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no file any more", os.fsdecode(path))
        block = memoryview(bytearray(max(1, min(state.st_size + 1, BLOCK_BYTES))))
        while count := os.readv(descriptor, [block]):
            yield block[:count]
    finally:
        os.close(descriptor)
