"""A store with files that have nothing but a handle and a content, for tests of contents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pagelake.errors import Conflict
from pagelake.storage.content.content_store import ContentStore
from pagelake.storage.content.tables import ELEMENTS, SCHEMA, creation
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import (
    Append,
    Column,
    CreateTable,
    Delete,
    DeleteVector,
    RowGroup,
    TableDefinition,
    serialize_type,
)
from pagelake.storage.environment import Environment
from pagelake.storage.row_group import read_columns
from pagelake.storage.store import Store

if TYPE_CHECKING:
    from pagelake.storage.content.content import Content
    from pagelake.storage.devices.device import Device
    from pagelake.storage.snapshot import Snapshot
    from pagelake.storage.transaction import Transaction

_COLUMNS = {
    "handle": pa.int64(),
    "size": pa.int64(),
    "used": pa.int64(),
    "etag": pa.string(),
    "checksum": pa.string(),
    "inline": pa.binary(),
    "extents": pa.binary(),
}


def _elements() -> TableDefinition:
    columns = tuple(
        Column(number, name, "", serialize_type(kind))
        for number, (name, kind) in enumerate(_COLUMNS.items(), 1)
    )
    return TableDefinition(ELEMENTS, SCHEMA, "elements", columns, len(columns) + 1)


@dataclass(frozen=True, slots=True)
class File:
    """A row of ``elements``, and where it stands."""

    handle: int
    size: int
    used: int
    etag: str
    checksum: str | None
    inline: bytes | None
    extents: bytes | None
    group: str
    position: int


class Shelf:
    """A store and its contents.

    Args:
        device: Where it lies; in memory by default.
        threads: Whether there may be some.
        environment: Clock and randomness.
    """

    def __init__(
        self,
        device: Device | None = None,
        *,
        threads: bool = False,
        environment: Environment | None = None,
    ) -> None:
        self.device = device or MemoryDevice()
        self.store = Store(self.device, environment=environment or Environment(threads=threads))
        self.contents = ContentStore(self.store)
        if ELEMENTS not in self.store.snapshot().tables:
            transaction = self.store.begin()
            transaction.add("CREATE", *creation(transaction.snapshot), CreateTable(_elements()))
            transaction.commit()

    def write(self, content: bytes, **options: object) -> Content:
        """Write a content."""
        with self.contents.write(**options) as writer:  # type: ignore[arg-type]
            writer.write(content)
            return writer.finish()

    def put(self, handle: int, content: bytes | Content) -> int:
        """Give a file a content; returns the version."""
        made = self.write(content) if isinstance(content, bytes) else content
        return self.commit({handle: made})

    def commit(self, made: dict[int, Content], *, before: object = None) -> int:
        """Commit contents together, again after a conflict, and release them."""
        version, committed = 0, False
        try:
            while not committed:
                transaction = self.store.begin()
                try:
                    self.stage(transaction, made)
                    if callable(before):
                        before, act = None, before
                        act()
                    version = transaction.commit()
                    committed = True
                except Conflict:
                    continue
                finally:
                    transaction.rollback()
        finally:
            for content in made.values():
                self.contents.release(content, committed=committed)
        return version

    def stage(self, transaction: Transaction, made: dict[int, Content]) -> None:
        """Put rows of files, and what must be committed with them, into a transaction."""
        files = self.files(transaction.snapshot)
        for handle, content in made.items():
            if handle in files:
                self._delete(transaction, files[handle])
            transaction.add("PUT", *self.contents.effects(transaction.snapshot, handle, content))
        rows = [
            [handle, c.size, c.used, c.etag, c.checksum, c.inline, c.extents]
            for handle, c in made.items()
        ]
        columns = [
            pa.array(column, kind)
            for column, kind in zip(zip(*rows, strict=True), _COLUMNS.values(), strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, names=[str(n + 1) for n in range(len(columns))])
        group = RowGroup(
            transaction.next_row_group_id(), batch.num_rows,
            inline=batch.serialize().to_pybytes(), inline_columns=tuple(range(1, len(columns) + 1)),
        )  # fmt: skip
        transaction.add("PUT", Append(ELEMENTS, (group,)))

    def _delete(self, transaction: Transaction, file: File) -> None:
        vector = DeleteVector.of(np.array([file.position], dtype=np.uint32))
        transaction.add("PUT", Delete(ELEMENTS, {file.group: vector}))

    def remove(self, handle: int) -> int:
        """Remove a file; returns the version."""
        transaction = self.store.begin()
        self._delete(transaction, self.files(transaction.snapshot)[handle])
        effects = self.contents.removed(transaction.snapshot, np.array([handle]))
        transaction.add("REMOVE", *effects)
        return transaction.commit()

    def files(self, snapshot: Snapshot | None = None) -> dict[int, File]:
        """The files of a snapshot by handle."""
        state = (snapshot or self.store.snapshot()).tables[ELEMENTS]
        found = {}
        for group in state.row_groups:
            columns = read_columns(
                self.store.pages, state.definition, group, state.definition.columns
            )
            gone = {
                position
                for vector in state.deletes.get(group.id, ())
                for position in vector.positions(self.store.pages).tolist()
            }
            for position, row in enumerate(zip(*(c.to_pylist() for c in columns), strict=True)):
                if position not in gone:
                    found[row[0]] = File(*row, group.id, position)
        return found

    def file(self, handle: int) -> File:
        """A file of the newest snapshot."""
        return self.files()[handle]

    def get(self, handle: int, snapshot: Snapshot | None = None) -> bytes:
        """The content of a file."""
        snapshot = snapshot or self.store.snapshot()
        reader = self.contents.read(snapshot, self.files(snapshot)[handle])
        try:
            return reader.read_at(0, reader.size)
        finally:
            reader.close()

    def rows(self, table: str) -> int:
        """Rows of a table."""
        return self.store.snapshot().tables[table].rows

    def close(self) -> None:
        """Close the store."""
        self.store.close()
