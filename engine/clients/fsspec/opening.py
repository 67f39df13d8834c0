"""Open stores that the file systems of a process share.

fsspec keeps one file system for each thread and set of options, so several of them are about one
store. A store is opened when a file is first asked for, and closed after the last file system has
gone. That is noticed by the garbage collector, in whatever thread and amid whatever work: it only
makes a note, and the closing is done by whoever uses a file system next, or at the end.

After a fork the child opens stores anew: what the parent has open is left alone.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...database import MEMORY, Database

if TYPE_CHECKING:
    from ....storage.files.files import Files

    Key = tuple[str, bool]
    """A store, and whether it is only read."""

_lock = threading.Lock()
_shared: dict[Key, _Shared] = {}
_given_back: deque[Key] = deque()
_inherited: list[_Shared] = []
"""What a child process has of its parent: kept, because to release it would reach the kernel."""


@dataclass(slots=True)
class _Shared:
    database: Database
    users: int = 0


class OpenStore:
    """One file system's share in an open store.

    Args:
        path: The store, or ``:memory:`` for one that lasts as long as a file system uses it.
        read_only: Whether to refuse changes and create nothing.

    Raises:
        Error: The store cannot be opened; see `Database`.
    """

    def __init__(self, path: str, *, read_only: bool) -> None:
        self.process = os.getpid()
        name = path if path == MEMORY else str(Path(path).expanduser().resolve())
        self._key = (name, read_only)
        with _lock:
            found = _shared.get(self._key)
            if found is None:
                found = _shared[self._key] = _Shared(Database(name, read_only=read_only))
            found.users += 1
        self.database = found.database

    @property
    def files(self) -> Files:
        """The files of the store."""
        if _given_back:
            close_unused()
        return self.database.files

    def give_back(self) -> None:
        """Note that nobody uses this share any more. For use at most once, and anywhere."""
        if os.getpid() == self.process:
            _given_back.append(self._key)


def close_unused() -> None:
    """Close the stores that no file system uses any more."""
    unused: list[_Shared] = []
    with _lock:
        while _given_back:
            key = _given_back.popleft()
            _shared[key].users -= 1
            if not _shared[key].users:
                unused.append(_shared.pop(key))
    for each in unused:
        each.database.close()


@atexit.register
def _close_all() -> None:
    for each in list(_shared.values()):
        each.database.close()


def _forget_parent() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may have held it
    _lock = threading.Lock()
    _inherited.extend(_shared.values())
    _shared.clear()
    _given_back.clear()


os.register_at_fork(after_in_child=_forget_parent)
