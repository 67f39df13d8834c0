"""A watch over a tree: fanotify where we may use it, else inotify.

Only directories matter: what is in one that somebody touched is found by listing it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ....errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Events:
    """What has happened since the watch was last asked.

    Args:
        dirty: Directories in which something was created, deleted, moved, written or changed.
        lost: The kernel has dropped events: anything may have happened.
    """

    dirty: set[bytes] = field(default_factory=set)
    lost: bool = False


class Watcher(Protocol):
    """A watch. Close it."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when there are events."""
        ...

    def read(self) -> Events:
        """Return what there is, without waiting."""
        ...

    def close(self) -> None:
        """End the watch."""
        ...


@dataclass(frozen=True, slots=True)
class Area:
    """The tree that is watched.

    Args:
        root: Its root, absolute.
        apart: Directories whose insides do not count: the store's own.
        one_file_system: Other file systems that are mounted in it do not count either.
    """

    root: bytes
    apart: tuple[bytes, ...] = ()
    one_file_system: bool = True

    def holds(self, directory: bytes) -> bool:
        """Tell whether a directory is part of it."""
        return is_below(directory, self.root) and not self.is_apart(directory)

    def is_apart(self, directory: bytes) -> bool:
        """Tell whether a directory does not count."""
        return any(is_below(directory, apart) for apart in self.apart)


def is_below(path: bytes, directory: bytes) -> bool:
    """Tell whether a path is a directory, or below it."""
    return path == directory or path.startswith(os.path.join(directory, b""))


def open_watcher(area: Area, ways: Sequence[str] = ("fanotify", "inotify")) -> Watcher:
    """Begin to watch a tree.

    Args:
        area: The tree.
        ways: What to try, in order.

    Raises:
        Unsupported: This system has none of them.
        Unavailable: There are more directories than may be watched.
    """
    if sys.platform == "linux":
        from .fanotify import FanotifyWatcher, NotPermitted
        from .inotify import InotifyWatcher

        for way in ways:
            if way == "inotify":
                return InotifyWatcher(area)
            try:
                return FanotifyWatcher(area)
            except NotPermitted:
                continue
    raise Unsupported(
        "a tree cannot be watched on this system", hint="scan it again from time to time"
    )
