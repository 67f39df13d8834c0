"""The bytes of an open file that were written and are not committed yet.

    held      in memory: files up to some size, and new ones while they are short
    stream    new files written from beginning to end: straight to where they will lie
    edited    everything else: blocks over the old content, which bounds what is in memory

A stream that is read, or written anywhere but at its end, becomes an edited file: copied once.
"""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...storage.content.content import INLINE_BYTES_MAX, Content
from ...storage.files.file_error import FileError

if TYPE_CHECKING:
    from ...storage.content.content_editor import ContentEditor
    from ...storage.content.content_store import ContentStore
    from ...storage.content.content_writer import ContentWriter
    from ...storage.files.element import Element
    from ...storage.snapshot import Snapshot
    from ...storage.store import Store

LOADED_BYTES_MAX: Final = 64 << 10
"""Files up to this size are read into memory when they are written to."""
HELD_BYTES_MAX: Final = 4 << 20
"""New files are held in memory up to this size: few of them are read or patched beyond it."""
HELD_IN_ALL_MAX: Final = 128 << 20
"""What all files of a mount may hold together; beyond it they hold as little as loaded ones do."""
FILE_BYTES_MAX: Final = 1 << 46
"""64 TiB: beyond it a size is taken for a mistake."""
_COPY_BYTES: Final = 1 << 20
_ZEROS: Final = memoryview(bytes(_COPY_BYTES))


class Budget:
    """How much memory the open files of a mount hold together; thread-safe."""

    def __init__(self) -> None:
        self._held = 0
        self._lock = threading.Lock()

    def allows(self, size: int) -> bool:
        """Tell whether one file may hold so much."""
        return size <= LOADED_BYTES_MAX or (
            size <= HELD_BYTES_MAX and self._held <= HELD_IN_ALL_MAX
        )

    def add(self, change: int) -> None:
        """Note that more is held, or less."""
        with self._lock:
            self._held += change


class Writing:
    """What sessions of a mount write with.

    Args:
        store: The store.
        contents: Its contents.
    """

    def __init__(self, store: Store, contents: ContentStore) -> None:
        self.store = store
        self.contents = contents
        self.budget = Budget()


class WriteSession:
    """What was written to a file since its last commit. Not thread-safe.

    Args:
        writing: What to write with.
        snapshot: What the element was read from; stays pinned as long as the session.
        element: The file as it was committed.
        emptied: Its bytes do not matter: it begins empty.
    """

    def __init__(
        self, writing: Writing, snapshot: Snapshot, element: Element, *, emptied: bool
    ) -> None:
        self._writing = writing
        self._snapshot = snapshot
        self._element = element
        self._emptied = emptied or not element.size
        self._held: bytearray | None = None
        self._noted = 0
        self._writer: ContentWriter | None = None
        self._editor: ContentEditor | None = None
        self.mtime = element.mtime or 0
        if self._emptied:
            self._held = bytearray()
        elif element.size <= LOADED_BYTES_MAX:
            reader = writing.contents.read(snapshot, element)
            try:
                self._hold(bytearray(reader.read_at(0, element.size)))
            finally:
                reader.close()

    @property
    def size(self) -> int:
        """Bytes the file has."""
        if self._held is not None:
            return len(self._held)
        if self._writer is not None:
            return self._writer.size
        return self._edited().size

    def read_at(self, offset: int, length: int) -> bytes:
        """Read bytes; fewer at the end."""
        if self._held is not None:
            return bytes(self._held[offset : offset + length])
        return self._edited().read_at(offset, length)

    def write_at(self, offset: int, piece: memoryview) -> None:
        """Write bytes; what lies between the end and the offset becomes zeros.

        Raises:
            FileError: EFBIG.
        """
        end = offset + len(piece)
        if end > FILE_BYTES_MAX:
            raise FileError(errno.EFBIG)
        held = self._held
        if held is not None and self._writing.budget.allows(max(end, len(held))):
            if offset > len(held):
                held.extend(bytes(offset - len(held)))
            held[offset:end] = piece
            self._note_held()
        elif offset == self.size and self._streams():
            self._streamed().write(piece)
        else:
            self._edited().write_at(offset, piece)

    def truncate(self, size: int) -> None:
        """Cut the file, or lengthen it with zeros.

        Raises:
            FileError: EFBIG.
        """
        if size > FILE_BYTES_MAX:
            raise FileError(errno.EFBIG)
        if size == self.size:
            return
        if size == 0:
            self.abort()
            self._emptied = True
            self._hold(bytearray())
        elif self._held is not None and self._writing.budget.allows(size):
            held = self._held
            del held[size:]
            held.extend(bytes(size - len(held)))
            self._note_held()
        else:
            self._edited().truncate(size)

    def clear(self, offset: int, length: int) -> None:
        """Make bytes zeros, without lengthening the file."""
        end = min(offset + length, self.size)
        while offset < end:
            count = min(len(_ZEROS), end - offset)
            self.write_at(offset, _ZEROS[:count])
            offset += count

    def finish(self) -> Content:
        """End the session; its bytes are safe and wait for a commit that names them."""
        held = self._held
        if held is not None:
            if len(held) <= INLINE_BYTES_MAX:
                content = self._writing.contents.inline(bytes(held))
            else:
                content = self._streamed().finish()
            self.abort()
            return content
        if self._writer is not None:
            return self._writer.finish()
        return self._edited().finish()

    def abort(self) -> None:
        """Forget what was written."""
        if self._writer is not None:
            self._writer.abort()
        if self._editor is not None:
            self._editor.abort()
        self._writer = self._editor = self._held = None
        self._note_held()

    # Held

    def _hold(self, content: bytearray) -> None:
        self._held = content
        self._note_held()

    def _note_held(self) -> None:
        held = 0 if self._held is None else len(self._held)
        self._writing.budget.add(held - self._noted)
        self._noted = held

    # Stream

    def _streams(self) -> bool:
        """Tell whether all there is was written in order, and nothing of the old content stays."""
        return self._writer is not None or (self._held is not None and self._emptied)

    def _streamed(self) -> ContentWriter:
        if self._writer is None:
            previous = self._element if self._element.size else None
            writer = self._writing.contents.write(previous=previous)
            held, self._held = self._held, None
            self._note_held()
            self._writer = writer
            if held:
                writer.write(held)
        return self._writer

    # Edited

    def _edited(self) -> ContentEditor:
        """The editor over the old content; what was held or streamed goes there."""
        if self._editor is None:
            contents = self._writing.contents
            base = self._element
            if self._emptied:
                base = replace(base, size=0, inline=b"", extents=None)
            editor = contents.edit(self._snapshot, base)
            try:
                if self._held is not None:
                    editor.truncate(len(self._held))
                    editor.write_at(0, self._held)
                elif self._writer is not None:
                    self._copy(self._writer, editor)
            except BaseException:
                editor.abort()
                raise
            self._held = self._writer = None
            self._note_held()
            self._editor = editor
        return self._editor

    def _copy(self, writer: ContentWriter, editor: ContentEditor) -> None:
        """Write what a stream has taken into an editor.

        The stream's rows are not committed, and never will be: a transaction that is rolled back
        sees them.
        """
        contents = self._writing.contents
        content = writer.finish()
        transaction = self._writing.store.begin()
        try:
            effects = contents.effects(transaction.snapshot, self._element.handle, content)
            transaction.add("read back", *effects)
            told = replace(
                self._element, size=content.size, inline=content.inline, extents=content.extents
            )
            reader = contents.read(transaction.snapshot, told)
            try:
                for offset in range(0, content.size, _COPY_BYTES):
                    editor.write_at(offset, reader.read_at(offset, _COPY_BYTES))
            finally:
                reader.close()
        finally:
            transaction.rollback()
            contents.release(content, committed=False)
