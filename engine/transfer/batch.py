"""Many operations on files, and the contents written for them, as one transaction.

A commit takes a sync of the device, whatever it holds: trees of small files are copied some hundred
files at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from ...storage.content.content import INLINE_BYTES_MAX
from ...storage.files.operations import MakeDirectory
from ...storage.files.removal import RemoveTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from ...storage.content.content import Content
    from ...storage.content.content_store import ContentStore
    from ...storage.content.content_writer import ContentWriter
    from ...storage.files.namespace import Operation

    Run = Callable[[Sequence[Operation]], object]
    Make = Callable[[Content], Operation]

OPERATIONS_MAX: Final = 1000
"""Operations of a transaction: enough that its sync costs each of them little."""
BYTES_MAX: Final = 64 << 20
"""Bytes of contents after which a transaction is committed, so that work is not lost by much."""
INLINED_BYTES_MAX: Final = 64 << 10
"""Bytes of contents that stand in their rows, which makes them part of the commit record."""


class Batch:
    """Operations that are run together, a bounded number at a time.

    Leaving its `with` block runs what is left, or drops it after an error.

    Args:
        store: Where contents go.
        run: Runs operations in one transaction, and releases the contents in them.
    """

    def __init__(self, store: ContentStore, run: Run) -> None:
        self._store = store
        self._run = run
        self._writer: ContentWriter | None = None
        self._last: tuple[int, Make] | None = None
        self._forget()

    def _forget(self) -> None:
        self._operations: list[Operation] = []
        self._directories: set[object] = set()
        self._contents: list[Content] = []
        self._bytes = 0
        self._inlined = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self.drop()

    def write(self, whole: bytes | memoryview, make: Make) -> None:
        """Add the operation for a small file.

        Args:
            whole: Its content.
            make: Gives the operation when the content is written.
        """
        size = len(whole)
        if size <= min(INLINE_BYTES_MAX, INLINED_BYTES_MAX - self._inlined):
            self._inlined += size
            self.keep(self._store.inline(bytes(whole)), make)
            return
        if self._writer is None:
            self._writer = self._store.write(inline_bytes_max=0)
        else:
            self._end_last(self._writer.next())
        self._writer.write(whole)
        # Its place among the operations, until what comes next tells that it is not the last.
        self._last = len(self._operations), make
        self._operations.append(_PLACEHOLDER)
        self._bytes += size
        self._run_if_much()

    def _end_last(self, content: Content) -> None:
        assert self._last is not None
        place, make = self._last
        self._operations[place] = make(content)
        self._contents.append(content)
        self._last = None

    def keep(self, content: Content, make: Make) -> None:
        """Add the operation for a content that is written already."""
        self._contents.append(content)
        self._operations.append(make(content))
        self._bytes += content.size
        self._run_if_much()

    def add(self, *operations: Operation) -> None:
        """Add operations without contents."""
        for operation in operations:
            if isinstance(operation, MakeDirectory) and operation.exist_ok:
                # Whoever copies a tree asks for a directory once for each file in it.
                if operation.place in self._directories:
                    continue
                self._directories.add(operation.place)
            self._operations.append(operation)
        self._run_if_much()

    def _run_if_much(self) -> None:
        if len(self._operations) >= OPERATIONS_MAX or self._bytes >= BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Run what there is."""
        try:
            if self._writer is not None:
                self._end_last(self._writer.finish())
        except BaseException:
            self.drop()
            raise
        self._writer = None
        operations = self._operations
        self._forget()
        if operations:
            self._run(operations)

    def drop(self) -> None:
        """Give everything up that was not run."""
        writer, self._writer = self._writer, None
        contents = self._contents
        self._last = None
        self._forget()
        if writer is not None:
            writer.abort()
        for content in contents:
            self._store.release(content, committed=False)


_PLACEHOLDER: Final = RemoveTree("/")
"""Stands where an operation is to come, and would be refused."""
