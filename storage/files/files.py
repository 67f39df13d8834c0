"""Files of a store: the door to names, one object a store.

operations -> combiner -> a view of the newest names -> effects -> one durable commit
snapshot() -> FilesSnapshot, to look at
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final

from ...errors import Conflict, SnapshotGone, StorageFull
from ..content.content_store import ContentStore
from ..keys.key_index import KeyIndexes
from .changes import HandleTaken, write
from .combiner import Combiner
from .definition import ELEMENTS
from .file_error import FileError
from .files_snapshot import FilesSnapshot
from .handle import Handles
from .namespace import NamespaceView, apply_all
from .stored import ElementReader, StoredElements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..content.content import Content
    from ..snapshot import Snapshot
    from ..store import Store
    from ..transaction import Transaction
    from .element import Element
    from .namespace import Operation

OWN_MAX: Final = 4096
"""Versions that are known to be this process's."""
_VERSION_BYTES: Final = 8


class Files:
    """Files, directories and objects of a store. Thread-safe.

    Args:
        store: The store.
        keys: Its key indexes; own ones by default.

    Attributes:
        store: The store.
        content: Where contents lie.
        combiner: Makes the changes.
        on_commit: Called after each commit of `run`; must be quick.
    """

    def __init__(self, store: Store, keys: KeyIndexes | None = None) -> None:
        self.store = store
        keys = keys or KeyIndexes(store)
        self.content = ContentStore(store, keys)
        self._reader = ElementReader(store, keys)
        self._handles = Handles(store.environment.random_bytes)
        self._own: OrderedDict[int, bool] = OrderedDict()
        self._latest = 0
        self.combiner = Combiner(self)
        self.on_commit: Callable[[], None] | None = None

    # Looking

    def snapshot(self) -> FilesSnapshot:
        """The newest committed files, of whichever process, kept readable until it is closed."""
        pins = self.store.pins
        while True:
            snapshot = self.store.snapshot()
            pins.pin(snapshot.version)
            try:
                self.store.require_kept(snapshot.version)
            except SnapshotGone:
                pins.unpin(snapshot.version)
                continue
            except BaseException:
                pins.unpin(snapshot.version)
                raise
            return self._kept(snapshot)

    def at(self, version: int) -> FilesSnapshot:
        """The files of a version, kept readable until they are closed.

        Raises:
            SnapshotGone: It was reclaimed, or is not committed yet.
        """
        snapshot = self.store.snapshot_at(version)
        self.store.pins.pin(version)
        try:
            self.store.require_kept(version)
        except BaseException:
            self.store.pins.unpin(version)
            raise
        return self._kept(snapshot)

    def _kept(self, snapshot: Snapshot) -> FilesSnapshot:
        stored = StoredElements(self._reader, snapshot)
        return FilesSnapshot(stored, self.content, self.store.pins)

    def view(self, snapshot: Snapshot) -> FilesSnapshot:
        """The files of any snapshot, that of an open transaction too; somebody else keeps it."""
        return FilesSnapshot(StoredElements(self._reader, snapshot), self.content)

    # Changing

    def run(self, *operations: Operation) -> list[Element | None]:
        """Do all of some operations in one durable commit, or none.

        Returns:
            What each made or changed; None of those that remove.

        Raises:
            FileError: One is refused.
            StorageFull: There is no room.
            OutcomeUnknown: It may have happened or not.
            Conflict: Others were faster again and again.
        """
        if self.store.read_only:
            raise FileError(errno.EROFS)
        # Whatever else goes wrong, an interrupt too, may do so after the commit.
        committed: bool | None = None
        try:
            answers = self.combiner.submit(operations)
            committed = True
        except (FileError, Conflict, StorageFull):
            committed = False
            raise
        finally:
            for content in _contents(operations):
                self.content.release(content, committed=committed)
        return answers

    def apply(self, transaction: Transaction, *operations: Operation) -> list[Element | None]:
        """Do all of some operations in an open transaction, or none.

        Their contents are released by whoever ends the transaction.

        Raises:
            FileError: One is refused, as the transaction sees the files.
            StorageFull: There is no room.
        """
        if self.store.read_only:
            raise FileError(errno.EROFS)
        while True:
            transaction.note_read(ELEMENTS)
            view = self.view_to_change(transaction.snapshot)
            answers = apply_all(view, operations)
            self.release_with(transaction, view)
            try:
                if view.changed:
                    write(view, transaction, self.content, blind=False)
            except HandleTaken:
                self._handles.renew()
                continue
            return answers

    def view_to_change(self, snapshot: Snapshot) -> NamespaceView:
        """A view of a snapshot's files to which operations are applied."""
        # Later than whatever this process did before: the clock may stand still, or go back.
        self._latest = max(self.store.environment.now_us() * 1000, self._latest + 1)
        stored = StoredElements(self._reader, snapshot)
        return NamespaceView(stored, self._handles, self._latest, self._new_version, self.content)

    def release_with(self, transaction: Transaction, view: NamespaceView) -> None:
        """Release what copies share when a transaction has ended."""
        for content in view.shares:
            transaction.on_end.append(partial(self._release, content))

    def _release(self, content: Content, committed: bool | None) -> None:
        self.content.release(content, committed=committed)

    def _new_version(self, now: int) -> str:
        self._latest = max(self._latest, now)
        return f"{now:016x}{self.store.environment.random_bytes(_VERSION_BYTES).hex()}"

    def new_handles(self, count: int) -> list[int]:
        """Handles that were not given out here before."""
        return [self._handles.next() for _ in range(count)]

    def renew_handles(self) -> None:
        """Give other numbers to new elements from now on."""
        self._handles.renew()

    def note_own(self, version: int) -> None:
        """Note that this process has committed files in a version."""
        self._own[version] = True
        if self.on_commit is not None:
            self.on_commit()
        while len(self._own) > OWN_MAX:
            self._own.popitem(last=False)

    def own(self, version: int) -> bool:
        """Tell whether `run` of this process has committed something in a version, lately."""
        return version in self._own

    def close(self) -> None:
        """Finish the operations that wait. Closing twice is allowed."""
        self.combiner.close()


def _contents(operations: Iterable[Operation]) -> list[Content]:
    found = (getattr(operation, "content", None) for operation in operations)
    return [content for content in found if content is not None]
