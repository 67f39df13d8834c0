"""An element opened for writing: bytes go to pages as they come, the name appears at the end."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from ....storage.files.operations import Create, MakeDirectory, Write
from .errors import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ....storage.content.content import Content
    from ....storage.content.content_editor import ContentEditor
    from ....storage.content.content_writer import ContentWriter
    from ....storage.files.element import Element
    from ....storage.files.namespace import Operation
    from .filesystem import PagelakeFileSystem

BUFFER_BYTES = 1 << 20
"""Writes of this much and more are taken from the caller's memory."""


class Sink(io.RawIOBase):
    """New content, written from its beginning to its end.

    Args:
        writer: Where the bytes go.
    """

    def __init__(self, writer: ContentWriter) -> None:
        super().__init__()
        self._writer = writer
        self._over = False

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def tell(self) -> int:
        """Return the place in bytes."""
        return self._writer.size

    def write(self, buffer: object) -> int:
        """Take bytes; returns how many they were."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any buffer
        if not self._over:  # a buffer is emptied once more after an error
            self._writer.write(view)
        return len(view)

    def finish(self) -> Content:
        """Return the content, whose pages are durable. Nothing follows but `close`."""
        self._over = True
        return self._writer.finish()

    def abort(self) -> None:
        """Forget everything."""
        self._over = True
        self._writer.abort()


class Edit(io.RawIOBase):
    """Content over that of an element: read, overwritten, appended to, cut.

    Args:
        editor: Of the element's content.
        appending: Whether writes go to the end, wherever it was read.
    """

    def __init__(self, editor: ContentEditor, *, appending: bool) -> None:
        super().__init__()
        self._editor = editor
        self._appending = appending
        self._offset = editor.size if appending else 0
        self._changed = False
        self._over = False

    def readable(self) -> bool:
        """Tell whether it can be read."""
        return not self._appending

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def seekable(self) -> bool:
        """Tell whether one can move in it."""
        return not self._appending

    def tell(self) -> int:
        """Return the place in bytes."""
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place; returns it."""
        size = self._editor.size
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._offset = base + offset
        return self._offset

    def readinto(self, buffer: object) -> int:
        """Read into a buffer; returns how many bytes that were."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any writable buffer
        found = self._editor.read_at(self._offset, len(view))
        view[: len(found)] = found
        self._offset += len(found)
        return len(found)

    def write(self, buffer: object) -> int:
        """Take bytes; returns how many they were."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any buffer
        if not self._over:
            self._editor.write_at(self._offset, view)
            self._changed = True
        self._offset += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen it."""
        size = self._offset if size is None else size
        self._editor.truncate(size)
        self._changed = True
        return size

    def finish(self) -> Content | None:
        """Return the content, whose pages are durable; None where it is the old one."""
        if not self._changed:
            self.abort()
            return None
        self._over = True
        return self._editor.finish()

    def abort(self) -> None:
        """Forget everything."""
        if not self._over:
            self._editor.abort()
        self._over = True


def creation(
    path: str, content: Content, *, exclusive: bool, attributes: Mapping[str, object]
) -> Create:
    """Return the operation that makes or replaces a file, and makes the directories it lies in."""
    return Create(path, content, exclusive=exclusive, attributes=attributes, parents=True)


def directory(path: str, *, parents: bool = True, exist_ok: bool = True) -> MakeDirectory:
    """Return the operation that makes a directory."""
    return MakeDirectory(path, parents=parents, exist_ok=exist_ok)


class Staging:
    """What a written file becomes in the store, once its bytes are complete.

    Args:
        fs: The file system.
        path: The file's.
        element: What is changed; None for a file that is made, or replaced.
        exclusive: Whether it must not exist, when it is committed.
        attributes: Columns of the element besides its content.
    """

    def __init__(
        self,
        fs: PagelakeFileSystem,
        path: str,
        *,
        element: Element | None = None,
        exclusive: bool = False,
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        self._fs = fs
        self._element = element
        self._exclusive = exclusive
        self._attributes = dict(attributes or {})
        self.path = path
        self.content: Content | None = None

    def operations(self) -> list[Operation]:
        """What is to be run; nothing for what was discarded."""
        if self.content is None:
            return []
        if self._element is not None:
            return [Write(self._element.handle, self.content)]
        return [
            creation(
                self.path, self.content, exclusive=self._exclusive, attributes=self._attributes
            )
        ]

    def commit(self) -> None:
        """Make it true, in a transaction of its own."""
        operations = self.operations()
        if operations:
            self.content = None
            with translated(self.path):
                self._fs.files.run(*operations)

    def end(self, *, ran: bool) -> None:
        """Let go of the pages: what ran has done so, and nobody will refer to the others."""
        content, self.content = self.content, None
        if content is not None and not ran:
            self._fs.files.content.release(content, committed=False)


class _Written(io.IOBase):
    """A file that is written. It appears when it is closed, whole, or with its transaction.

    Args:
        fs: The file system it belongs to.
        mode: As it was asked for.
        raw: Where the bytes go.
        staging: What becomes of them.
        autocommit: Whether closing commits.
    """

    def __init__(
        self,
        fs: PagelakeFileSystem,
        mode: str,
        raw: Sink | Edit,
        staging: Staging,
        *,
        autocommit: bool,
    ) -> None:
        self._mode = mode
        self._under = raw
        self._staging = staging
        self._autocommit = autocommit
        self.fs = fs
        self.path = staging.path
        self.blocksize = fs.blocksize
        super().__init__(raw, BUFFER_BYTES)  # type: ignore[call-arg]  # the buffer's, see below

    @property
    def mode(self) -> str:
        """As it was asked for."""
        return self._mode

    def close(self) -> None:
        """Finish the file; closing twice is allowed.

        Raises:
            OSError: It could not be written, and was not.
        """
        if self.closed:
            return
        try:
            with translated(self.path):
                self.flush()
                self._staging.content = self._under.finish()
        except BaseException:
            self._under.abort()
            raise
        finally:
            super().close()
        if self._autocommit:
            self._staging.commit()

    def commit(self) -> None:
        """Close it and make it true, outside of a transaction."""
        self.close()
        self._staging.commit()

    def discard(self) -> None:
        """Drop it."""
        self.end(ran=False)

    def operations(self) -> list[Operation]:
        """Close it and return what a transaction is to run."""
        self.close()
        return self._staging.operations()

    def end(self, *, ran: bool) -> None:
        """Drop what was not run."""
        if not self.closed:
            self._under.abort()
            super().close()
        self._staging.end(ran=ran)


class ElementWriter(_Written, io.BufferedWriter):
    """A file that is written from its beginning (`wb`, `xb`), or behind its end (`ab`)."""


class ElementEditor(_Written, io.BufferedRandom):  # type: ignore[override]  # `mode`, see above
    """A file that is read and overwritten in place (`r+b`)."""
