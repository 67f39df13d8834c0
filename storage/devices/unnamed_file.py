"""Files that get their name last, complete, by ``link(2)`` and never by ``rename(2)``.

Link fails when the name exists, rename replaces silently. On Linux such a file has no name at
all at first (``O_TMPFILE``), elsewhere an unguessable temporary one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
from typing import TYPE_CHECKING

from ...errors import OutcomeUnknown
from .file_calls import INTERRUPTS_MAX, write_failure

if TYPE_CHECKING:
    from .file_calls import FileCalls

STAGING = "tmp"
"""The folder for files that have no name of their own yet."""
_NO_UNNAMED_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT})


class Folders:
    """Descriptors of a store's folders, opened once: they are synced with every commit."""

    def __init__(self, calls: FileCalls, root: str) -> None:
        self._calls = calls
        self._root = root
        self._open: dict[str, int] = {}
        self._poisoned: set[str] = set()
        self._lock = threading.Lock()

    def descriptor(self, folder: str) -> int:
        """Descriptor of a folder, valid until ``close``."""
        with self._lock:
            known = self._open.get(folder)
            if known is None:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                known = self._calls.open(f"{self._root}/{folder}", flags, 0)
                self._open[folder] = known
            return known

    def sync(self, folder: str) -> None:
        """Make the names in a folder durable; once that failed it fails for good."""
        try:
            if folder in self._poisoned:
                raise OSError(errno.EIO, "an earlier sync of it failed")
            descriptor = self.descriptor(folder)
            try:
                self._calls.fsync(descriptor)
            except BaseException:
                # The kernel reports a loss once. The next sync would succeed and mean nothing.
                self._poisoned.add(folder)
                raise
        except OSError as error:
            raise OutcomeUnknown(
                f"syncing the directory {folder or 'of the store'} failed ({error.strerror})",
                hint="reconnect: a fresh read of the store decides",
            ) from error

    def close(self) -> None:
        """Release the descriptors."""
        with self._lock:
            for descriptor in self._open.values():
                with contextlib.suppress(OSError):
                    self._calls.close(descriptor)
            self._open.clear()


class UnnamedFile:
    """A new file open for reading and writing that has no name yet.

    Args:
        calls: The operating system.
        root: Directory of the store.
        folders: Its folders.

    Raises:
        OSError: The file cannot be made.
    """

    __slots__ = ("_calls", "_folders", "_root", "_temporary", "descriptor")

    def __init__(self, calls: FileCalls, root: str, folders: Folders) -> None:
        self._calls = calls
        self._root = root
        self._folders = folders
        self._temporary: str | None = None
        flags = os.O_RDWR | os.O_CLOEXEC
        unnamed = getattr(os, "O_TMPFILE", 0)
        if unnamed:
            try:
                self.descriptor = calls.open(f"{root}/{STAGING}", flags | unnamed, 0o600)
                return
            except OSError as error:
                if error.errno not in _NO_UNNAMED_FILES:
                    raise
        self._temporary = f"{root}/{STAGING}/{secrets.token_hex(16)}"
        self.descriptor = calls.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, 0o600)

    def link(self, name: str, verb: str) -> bool:
        """Give the file a name, atomically; False when the name is taken.

        Args:
            name: The name below the root.
            verb: What this is for, in error messages.

        Raises:
            Unavailable: It failed, and the file has not got the name.
            OutcomeUnknown: It failed, and whether the file has the name cannot be told.
        """
        folder, _, base = name.rpartition("/")
        interrupts = 0
        while True:
            try:
                if self._temporary is None:
                    self._calls.link_unnamed(
                        self.descriptor, self._folders.descriptor(folder), base
                    )
                else:
                    self._calls.link(self._temporary, f"{self._root}/{name}")
                return True
            except FileExistsError:
                # After an interruption the name may be taken by the first attempt.
                return interrupts > 0 and self._has(name)
            except OSError as error:
                if self._has(name):
                    return True
                interrupts += 1
                if not isinstance(error, InterruptedError) or interrupts > INTERRUPTS_MAX:
                    raise write_failure(error, verb) from error

    def _has(self, name: str) -> bool:
        """Whether a name is this file's."""
        try:
            found = self._calls.stat(f"{self._root}/{name}")
            return os.path.samestat(found, self._calls.fstat(self.descriptor))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise OutcomeUnknown(
                f"naming {name} failed, and so did looking it up ({error.strerror})",
                hint="reconnect: a fresh read of the store decides",
            ) from error

    def drop_temporary(self) -> None:
        """Remove the temporary name, where the file has one."""
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._calls.unlink(self._temporary)
            self._temporary = None

    def discard(self) -> None:
        """Release the file, and drop it if it has no name. Calling twice is allowed."""
        if self.descriptor >= 0:
            # Nothing hangs on whether it fails: what matters was synced before.
            with contextlib.suppress(OSError):
                self._calls.close(self.descriptor)
            self.descriptor = -1
        self.drop_temporary()
