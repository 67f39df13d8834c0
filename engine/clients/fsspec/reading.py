"""An element opened for reading: a buffered stream that touches only what is asked for."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ....storage.files.element import Element
    from ....storage.files.files_snapshot import FilesSnapshot
    from .filesystem import PagelakeFileSystem

BUFFER_BYTES = 256 << 10
"""Reads of this much and more go straight into the caller's memory."""
_FIRST_BYTES = 16 << 10
"""What the first read after a seek fetches at least; reads that go on fetch twice as much each."""


class _Range(io.RawIOBase):
    """The bytes of an element, unbuffered.

    A buffered reader fills its whole buffer, however little is wanted. Places that are jumped to,
    as in a Parquet file's footer, would cost the extents around them; so a read that does not go
    on from the one before it is short, and those behind it grow.
    """

    def __init__(self, snapshot: FilesSnapshot, element: Element) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._content = snapshot.read(element)
        self.size = element.size
        self._offset = 0
        self._expected = 0
        self._window = _FIRST_BYTES

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._offset = base + offset
        return self._offset

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any writable buffer
        if len(view) == BUFFER_BYTES:
            if self._offset != self._expected:
                self._window = _FIRST_BYTES
            view = view[: self._window]
            self._window = min(self._window * 2, BUFFER_BYTES)
        count = self._content.readinto_at(self._offset, view)
        self._offset += count
        self._expected = self._offset
        return count

    def readall(self) -> bytes:
        found = self._content.read_at(self._offset, max(self.size - self._offset, 0))
        self._offset += len(found)
        return found

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._content.close()
            self._snapshot.close()


class ElementReader(io.BufferedReader):
    """A file of the store, as it was when it was opened.

    Args:
        fs: The file system it belongs to.
        path: What it was opened by.
        snapshot: Names and bytes as they were; closed with the reader.
        element: The file.
    """

    def __init__(
        self, fs: PagelakeFileSystem, path: str, snapshot: FilesSnapshot, element: Element
    ) -> None:
        super().__init__(_Range(snapshot, element), BUFFER_BYTES)
        self.fs = fs
        self.path = path
        self.size = element.size
        self.blocksize = fs.blocksize

    @property
    def mode(self) -> str:
        """Always ``rb``."""
        return "rb"

    def info(self) -> dict[str, object]:
        """What the file system says of the path now."""
        return self.fs.info(self.path)

    @property
    def full_name(self) -> str:
        """The path with its protocol."""
        return str(self.fs.unstrip_protocol(self.path))

    def __reduce_ex__(self, protocol: object) -> tuple[Callable[..., object], tuple[object, ...]]:
        return _reopened, (self.fs, self.path, self.tell())


def _reopened(fs: PagelakeFileSystem, path: str, offset: int) -> ElementReader:
    """Open a file that was sent to another process where it stood."""
    reader: ElementReader = fs.open(path, "rb")
    reader.seek(offset)
    return reader
