"""A mount from its making to its end: store, kernel, handlers, the follower of changes."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import Error, Unavailable
from ..database import MEMORY
from . import mounting
from .channel import Channel
from .handlers.attributes import AttributeRequests
from .handlers.contents import Contents
from .handlers.directories import Directories
from .handlers.extended import ExtendedAttributes
from .handlers.names import Names
from .invalidation import Follower
from .mounting import MountOptions
from .server import Server
from .state import CACHE_NS_DEFAULT, UNCHANGING_CACHE_NS, MountState, report
from .views import Views

if TYPE_CHECKING:
    from ...storage.files.files_snapshot import FilesSnapshot
    from ..database import Database

PATIENCE_S: Final = 5.0
"""How long a mount that is told to end waits for programs that still use it."""


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What is to be mounted how.

    Attributes:
        directory: Where.
        version: A version of the store to show, as it was and read-only; None for the newest.
        read_only: Refuse changes.
        allow_other: Let other users use it.
        writeback: Let the kernel hold writes back and join them; for a single writer.
        cache_ns: How long the kernel may answer for names and attributes without asking.
    """

    directory: Path
    version: int | None = None
    read_only: bool = False
    allow_other: bool = False
    writeback: bool = False
    cache_ns: int = CACHE_NS_DEFAULT


class Mounted:
    """A store's files, mounted. Ends by `stop`, or when somebody unmounts it.

    Args:
        database: The store; stays open as long as the mount.
        request: What is to be mounted how.

    Raises:
        Error: It cannot be mounted; the message tells what to do.
    """

    def __init__(self, database: Database, request: MountRequest) -> None:
        self.directory = request.directory
        self._past = request.version is not None
        read_only = request.read_only or self._past or database.read_only
        mounting.require_mountable(request.directory, Path(database.path))
        self._views = _views(database, request.version)
        try:
            options = MountOptions(f"pagelake:{database.path}", read_only, request.allow_other)
            self._channel = Channel(mounting.mount(request.directory, options))
        except BaseException:
            self._views.close()
            raise
        cache_ns = UNCHANGING_CACHE_NS if self._past else request.cache_ns
        self.state = MountState(
            database.files, database.store, self._views, self._channel, cache_ns=cache_ns
        )
        store = None if database.path == MEMORY else database.path
        groups = [
            Names(self.state),
            Contents(self.state),
            AttributeRequests(self.state, store),
            ExtendedAttributes(self.state),
            Directories(self.state),
        ]
        self._server = Server(self._channel, self.state, groups, writeback=request.writeback)
        self._follower = None if self._past else Follower(self.state, database.store)
        self._stopped = threading.Lock()
        try:
            self._server.start()
        except BaseException:
            self.abort()
            raise
        if self._follower is not None:
            self._follower.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is unmounted; False when that takes longer."""
        return self._server.wait(seconds)

    def stop(self, patience_s: float = PATIENCE_S) -> bool:
        """Unmount, and wait a while for programs that still use it.

        What they have written is committed before they lose it.

        Returns:
            False when programs still used it, and were cut off.
        """
        with self._stopped:
            self.state.commit_all()
            if not self._server.wait(0):
                try:
                    mounting.unmount(self.directory)
                except Unavailable:
                    with suppress(Error):
                        mounting.unmount(self.directory, lazy=True)
                except Error as error:
                    report(error)
            return self._server.wait(patience_s)

    def close(self) -> None:
        """Let go of everything, once it is unmounted. The store stays open."""
        if self._follower is not None:
            self._follower.stop()
        self._server.join(1.0)
        self.state.commit_all()
        for opened in self.state.open_files():
            opened.close()
        self._channel.close()
        self._views.close()

    def abort(self) -> None:
        """Unmount at once and let go of everything."""
        with suppress(Error):
            mounting.unmount(self.directory, lazy=True)
        self._channel.close()
        self._views.close()


def _views(database: Database, version: int | None) -> Views:
    files, store = database.files, database.store
    if version is None:
        return Views(files.snapshot, lambda: store.snapshot().version)
    past: int = version

    def at() -> FilesSnapshot:
        return files.at(past)

    return Views(at, None)
