"""A file that programs have open: what it was when it was opened, and what was written since.

All that have it open share this, so that everyone in the mount sees every write at once. The others
see it when it is committed: at every close and fsync.
"""

from __future__ import annotations

import errno
import stat
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ...storage.files.file_error import FileError
from ...storage.files.operations import SetAttributes, Write
from .write_session import WriteSession, Writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...storage.content.content_reader import ContentReader
    from ...storage.files.element import Element
    from ...storage.files.files import Files
    from .protocol import Buffer
    from .views import HeldSnapshot, Views


class OpenFile:
    """One open file.

    Args:
        files: The store's files.
        writing: What bytes are written with.
        views: Where snapshots come from.
        handle: The file's.

    Attributes:
        opens: How many have it open; the registry of open files changes it.
        lock: Held by whoever reads or changes anything else here.
        element: The file as it was last committed, as far as is known.
        gone: It has no name any more: what is written is never committed.
    """

    def __init__(self, files: Files, writing: Writing, views: Views, handle: int) -> None:
        self._files = files
        self._writing = writing
        self._views = views
        self._held: HeldSnapshot | None = None
        self._reader: ContentReader | None = None
        self._session: WriteSession | None = None
        self._changes: dict[str, object] = {}
        self.handle = handle
        self.opens = 0
        self.lock = threading.RLock()
        self.element: Element | None = None
        self.gone = False

    # Reading

    def renew(self) -> Element:
        """Go on to the newest committed bytes, unless some were written here since.

        Raises:
            FileError: ESTALE: the file has been removed, and was not open here before.
        """
        with self.lock:
            held = self._views.hold()
            found = held.snapshot.by_handle(self.handle)
            if found is None:
                self._views.release(held)
                self.gone = True
                if self.element is None:
                    raise FileError(errno.ESTALE)
                return self.element
            if self._session is not None:
                # What was written lies over the bytes as they were; the rest may have changed.
                self._views.release(held)
                return found
            same = self.element is not None and self.element.version == found.version
            if not same:
                self._close_reader()
            if self._held is None or not same:
                held, self._held = self._held, held  # type: ignore[assignment]
            if held is not None:
                self._views.release(held)
            self.element = found
            return found

    def begin_with(self, element: Element) -> None:
        """Take over what has just been committed here, which needs no looking up."""
        with self.lock:
            held, self._held = self._held, self._views.hold()
            if held is not None:
                self._views.release(held)
            self._close_reader()
            self.element = element

    def move_on(self) -> None:
        """Let go of an old snapshot where a newer one has the same bytes: it keeps room taken."""
        with self.lock:
            if self._session is not None or self._held is None or self.element is None:
                return
            held = self._views.hold()
            found = held.snapshot.by_handle(self.handle)
            if found is not None and found.version == self.element.version:
                self._close_reader()
                held, self._held = self._held, held
            self._views.release(held)

    def read(self, offset: int, length: int) -> list[Buffer]:
        """Read bytes; fewer at the end."""
        with self.lock:
            if self._session is not None:
                return [self._session.read_at(offset, length)]
            assert self._held is not None
            assert self.element is not None
            if self._reader is None:
                self._reader = self._held.snapshot.read(self.element)
            return list(self._reader.slices(offset, length))

    def shown(self, committed: Element | None) -> Element:
        """The element as programs in this mount see it.

        Args:
            committed: What is committed now; None once it has been removed.
        """
        with self.lock:
            base = committed or self.element
            if base is None:
                raise FileError(errno.ESTALE)
            changes = dict(self._changes)
            if self._session is not None:
                size, mtime = self._session.size, self._session.mtime
                changes |= {"size": size, "used": size, "mtime": mtime, "ctime": mtime}
                changes |= self._changes
            if committed is None:
                changes["nlinks"] = 0
            return replace(base, **changes) if changes else base  # type: ignore[arg-type]

    # Writing

    def write(self, offset: int, piece: memoryview, *, clear_set_id: bool) -> None:
        """Write bytes."""
        with self.lock:
            self._session_for_write(clear_set_id=clear_set_id).write_at(offset, piece)

    def truncate(self, size: int, *, clear_set_id: bool) -> None:
        """Cut or lengthen the file."""
        with self.lock:
            session = self._session_for_write(clear_set_id=clear_set_id, emptied=size == 0)
            session.truncate(size)

    def clear(self, offset: int, length: int) -> None:
        """Make bytes zeros."""
        with self.lock:
            self._session_for_write(clear_set_id=False).clear(offset, length)

    @property
    def size(self) -> int:
        """Bytes it has now."""
        with self.lock:
            if self._session is not None:
                return self._session.size
            assert self.element is not None
            return self.element.size

    def keep(self, changes: Mapping[str, object]) -> bool:
        """Note changes of attributes, to be committed with the bytes.

        Returns:
            False when there are no bytes to commit: the caller commits the changes itself.
        """
        with self.lock:
            if self._session is None and not self.gone:
                return False
            self._changes |= changes
            self._changes["ctime"] = time.time_ns()
            return True

    def _session_for_write(self, *, clear_set_id: bool, emptied: bool = False) -> WriteSession:
        assert self.element is not None
        assert self._held is not None
        session = self._session
        if session is None:
            session = self._session = WriteSession(
                self._writing, self._held.snapshot.snapshot, self.element, emptied=emptied
            )
        session.mtime = time.time_ns()
        self._changes.pop("mtime", None)
        if clear_set_id:
            mode = int(self._changes.get("nfs_mode_bits", self.element.nfs_mode_bits))  # type: ignore[call-overload]
            if mode != without_set_id(mode):
                self._changes["nfs_mode_bits"] = without_set_id(mode)
        return session

    def commit(self) -> Element | None:
        """Commit what was written.

        Returns:
            The element as committed; None when there was nothing to commit.

        Raises:
            Error: It could not be done. What was written is lost, and the file is what it was.
        """
        with self.lock:
            session = self._session
            if session is None or self.gone:
                return None
            if self._is_gone():
                self.gone = True
                return None
            try:
                committed = self._commit(session)
            except BaseException:
                session.abort()
                self._forget()
                raise
            self._forget()
            if committed is not None:
                self.begin_with(committed)
            return committed

    def _is_gone(self) -> bool:
        with self._views.newest() as snapshot:
            return snapshot.by_handle(self.handle) is None

    def _commit(self, session: WriteSession) -> Element | None:
        content = session.finish()
        operations: list[Write | SetAttributes] = [Write(self.handle, content, session.mtime)]
        # The time of the change is the commit's own.
        changes = {name: value for name, value in self._changes.items() if name != "ctime"}
        if changes:
            operations.append(SetAttributes(self.handle, changes))
        return self._files.run(*operations)[-1]

    def _forget(self) -> None:
        self._session = None
        self._changes.clear()

    def close(self) -> None:
        """Let go of everything; what was not committed is lost."""
        with self.lock:
            if self._session is not None:
                self._session.abort()
            self._forget()
            self._close_reader()
            held, self._held = self._held, None
            if held is not None:
                self._views.release(held)

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


def without_set_id(mode: int) -> int:
    """A mode as a write or a change of owner leaves it."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode
