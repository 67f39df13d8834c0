"""What a walk of a directory tree yields: one block a directory, its entries as columns.

A `Block` holds the names in one directory and what the file system says of each. Blocks come in
depth-first pre-order of path components: a directory before what is below it, siblings in the order
of their names' bytes (`order_key`). Names are bytes, exactly as the file system has them.

This module imports numpy only: the processes that walk load it, and should start fast.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

ENTRY: Final = np.dtype(
    [
        ("mode", "<u4"),  # type and permission bits, as st_mode
        ("nlink", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("inode", "<u8"),
        ("device", "<u8"),
        ("size", "<i8"),
        ("used", "<i8"),  # bytes on the device: 512 times st_blocks
        ("atime", "<i8"),  # nanoseconds since 1970, as are the next three
        ("mtime", "<i8"),
        ("ctime", "<i8"),
        ("birth", "<i8"),  # UNKNOWN_TIME where the file system does not say
        ("rdev", "<u8"),
    ]
)
"""What is known of one entry, besides its name: 88 bytes."""

_RAW: Final = np.dtype((np.void, ENTRY.itemsize))

UNKNOWN_TIME: Final = -(2**63)

TYPE_MASK: Final = 0o170000
"""The bits of `mode` that hold the type: what `stat.S_IFDIR` and its like are compared with."""

EntryArray: TypeAlias = "NDArray[np.void]"
"""A one-dimensional array of `ENTRY`."""


def joined(parts: Sequence[EntryArray]) -> EntryArray:
    """Return arrays of `ENTRY` as one.

    As plain bytes: numpy compares the fields of structured types one by one, in Python, for each
    part, which takes longer than all else that is done to an entry.
    """
    if not parts:
        return np.empty(0, dtype=ENTRY)
    return np.concatenate([part.view(_RAW) for part in parts]).view(ENTRY)


def order_key(path: bytes) -> bytes:
    """Return the bytes by which `path` sorts among others in the order of blocks.

    `/` becomes NUL, the only byte that no name holds, so that `a/b` comes before `a.b`.
    """
    return path.replace(b"/", b"\0")


def child_path(directory: bytes, name: bytes) -> bytes:
    """Return the path of the entry `name` of `directory`."""
    return directory + name if directory.endswith(b"/") else directory + b"/" + name


@dataclass(frozen=True, slots=True)
class WalkError:
    """One place that could not be read.

    Args:
        path: The absolute path concerned.
        operation: What was tried: open, list, stat, readlink, xattr, or scan for a directory that
            took too long or whose process died.
        errno: The error number of the operating system.
    """

    path: bytes
    operation: str
    errno: int


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The entries of one directory.

    Args:
        path: The directory, absolute, without a slash at the end (but `/` itself).
        own: One `ENTRY`: the directory itself, as its parent's block shows it.
        names: The names in it, sorted by their bytes.
        entries: Array of `ENTRY`, shape (len(names),), in the order of `names`.
        targets: What symbolic links point to, by index into `names`.
        errors: Places in this directory that could not be read, or the directory itself.
        xattrs: Extended attributes of the `user.` name space, by index into `names`; the keys
            come without `user.`. Only where it was asked for.
    """

    path: bytes
    own: np.void
    names: list[bytes]
    entries: EntryArray
    targets: Mapping[int, bytes] = field(default_factory=dict)
    errors: tuple[WalkError, ...] = ()
    xattrs: Mapping[int, Mapping[bytes, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.entries), self.path


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """How to walk.

    Args:
        one_file_system: Do not enter directories of another device than the root's. Their own
            entries are there.
        exclude: Globs of what to leave out, with all that is below. One without a slash is matched
            on names, one with a slash on paths relative to the root: `*`, `?` and `[…]` match
            within a component, `**` matches any number of components.
        processes: How many processes walk; None: as many as there are CPUs for us, 8 at most.
        xattrs: Read extended attributes too.
        timeout_seconds: A directory during which nothing is heard of its process for so long is
            given up, and an error.
        skip: Directories to leave out by (device, inode): the store's own, above all.
    """

    one_file_system: bool = True
    exclude: tuple[str, ...] = ()
    processes: int | None = None
    xattrs: bool = False
    timeout_seconds: float = 60.0
    skip: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class WalkProgress:
    """How far a walk is.

    Args:
        entries: Entries found so far, the root itself among them.
        directories: Directories listed so far.
        total_bytes: The sum of the entries' sizes.
        errors: Places that could not be read.
        path: Where it is: the directory of the last block that left.
    """

    entries: int = 0
    directories: int = 0
    total_bytes: int = 0
    errors: int = 0
    path: bytes = b""
