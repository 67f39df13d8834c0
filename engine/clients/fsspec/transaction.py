"""fsspec's transactions: everything that is changed within one is one transaction of the store."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from fsspec.transaction import Transaction

from .errors import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....storage.content.content_store import ContentStore
    from ....storage.files.namespace import Operation


class Change(Protocol):
    """Part of a transaction: a written file, or operations on names."""

    def operations(self) -> list[Operation]:
        """What is to be run."""

    def end(self, *, ran: bool) -> None:
        """Drop what was not run."""


class NameChange:
    """Operations, put off until the transaction ends.

    Args:
        store: Where their contents are.
        operations: What is to be run.
    """

    def __init__(self, store: ContentStore, operations: Sequence[Operation]) -> None:
        self._store = store
        self._operations = list(operations)

    def operations(self) -> list[Operation]:
        """What is to be run."""
        return self._operations

    def end(self, *, ran: bool) -> None:
        """Let go of contents: what ran has done so, and nobody will refer to the others."""
        operations, self._operations = self._operations, []
        for operation in operations:
            content = getattr(operation, "content", None)
            if content is not None and not ran:
                self._store.release(content, committed=False)


class FilesTransaction(Transaction):  # type: ignore[misc]  # fsspec has no types
    """Changes in the order in which they were asked for, committed together or not at all.

    Files are read as they were before, until it ends.
    """

    fs: Any
    files: deque[Change]

    def complete(self, commit: bool = True) -> None:
        """Commit everything, or nothing.

        Raises:
            OSError: Something in it cannot be done, so nothing was.
        """
        changes: list[Change] = list(self.files)
        fs = self.fs
        self.files = deque()
        ran = False
        try:
            operations = [o for change in changes for o in change.operations()] if commit else []
            if operations:
                ran = True  # whether it was of use or not
                with translated(None):
                    fs.files.run(*operations)
        finally:
            fs._intrans = False
            fs._transaction = None
            self.fs = None
            for change in changes:
                change.end(ran=ran)
