"""Open stores that the file systems of a process share.

fsspec keeps one file system for each thread and set of options, so several of them are about one
store. A store is opened when a file is first asked for, and closed with the last file system. After
a fork the child opens it anew: what the parent has open is left alone, and never closed twice.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...database import MEMORY, Database

if TYPE_CHECKING:
    from ....storage.files.files import Files

_lock = threading.Lock()
_shared: dict[tuple[str, bool], _Shared] = {}
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
        return self.database.files

    def close(self) -> None:
        """Give the share back; the last one closes the store. For use at most once."""
        if os.getpid() != self.process:
            return
        with _lock:
            found = _shared[self._key]
            found.users -= 1
            if found.users:
                return
            del _shared[self._key]
        found.database.close()


def _forget_parent() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may have held it
    _lock = threading.Lock()
    _inherited.extend(_shared.values())
    _shared.clear()


os.register_at_fork(after_in_child=_forget_parent)
