"""The bulk write path: one pipelined pass from the kernel's batches to durable row groups.

    kernel stream ─┬─► constraints ─► row groups: encode in parallel, append to pages
                   └─► hot segment, written by a kernel of its own while the stream runs

Memory is bounded by a few row groups, whatever the length of the stream.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ConstraintViolation
from ...storage.effects import ROW_ID_COLUMN, RowGroup, TableDefinition
from ...storage.row_group import ROW_ID_FIELD, RowGroupWriter, stored_schema
from ..leaves.hot_tier import HOT_ROWS_MAX, HOT_ROWS_MIN, HotTier, HotWriter
from .constraint_names import called

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...storage.store import Store
    from ...storage.transaction import Transaction
    from .key_check import KeyCheck

_QUEUE_BATCHES = 4
"""Batches between the stream and the hot writer: the slower of both sets the pace."""


@dataclass(slots=True)
class BulkWrite:
    """Writes one statement's rows to one table.

    Attributes:
        store: The store.
        transaction: Where the effects go.
        definition: The table.
        hot: The hot tier, or None to write only the truth.
        checks: Texts of the CHECK constraints, in the order of the stream's extra columns.
        keys: Watches the table's keys, where it has any.
        row_ids: True when the stream brings row ids as its last stored column.
        rows: Rows written.
    """

    store: Store
    transaction: Transaction
    definition: TableDefinition
    hot: HotTier | None
    checks: Sequence[str] = ()
    keys: KeyCheck | None = None
    row_ids: bool = False
    rows: int = 0

    def run(self, batches: Iterable[pa.RecordBatch]) -> tuple[RowGroup, ...]:
        """Write all batches.

        Args:
            batches: Stored columns in table order, the row ids if ``row_ids``, then one boolean
                column for each check.

        Returns:
            The row groups, for the caller to append to the table.

        Raises:
            ConstraintViolation: A row breaks a constraint.
            StorageFull: The device has no room.
        """
        columns = [c.id for c in self.definition.columns]
        if self.row_ids:
            columns.append(ROW_ID_COLUMN)
        writer = RowGroupWriter(self.store, self.transaction, columns)
        tee = _HotTee(self.hot, self.definition) if self._may_be_hot() else None
        if self.keys is not None:
            self.keys.use(self.store.executor)
        try:
            groups = writer.write(self._accepted(batches, tee))
            self.rows = writer.rows
            if tee is not None:
                tee.finish(groups)
        finally:
            if tee is not None:
                tee.close()
        return groups

    def _may_be_hot(self) -> bool:
        return self.hot is not None and self.hot.directory.writable

    def _accepted(
        self, batches: Iterable[pa.RecordBatch], tee: _HotTee | None
    ) -> Iterator[pa.RecordBatch]:
        """Batches that passed the constraints, in their stored schema."""
        schema = stored_schema(self.definition.columns)
        width = len(self.definition.columns)
        full = schema.append(ROW_ID_FIELD) if self.row_ids else schema
        for batch in batches:
            if not batch.num_rows:
                continue
            arrays = batch.columns[: len(full.names)]
            self._check(batch, len(full.names))
            stored = pa.RecordBatch.from_arrays(
                [as_stored(a, f.type) for a, f in zip(arrays, full, strict=True)], schema=full
            )
            self._refuse_nulls(stored)
            if self.keys is not None:
                self.keys.observe(stored)
            if tee is not None:
                tee.put(stored if not self.row_ids else stored.select(range(width)))
            yield stored

    def _refuse_nulls(self, batch: pa.RecordBatch) -> None:
        for column, array in zip(self.definition.columns, batch.columns, strict=False):
            if not column.nullable and array.null_count:
                raise ConstraintViolation(
                    f"NOT NULL constraint failed: {self.definition.name}.{column.name}",
                    hint="give the column a value, or a default",
                )

    def _check(self, batch: pa.RecordBatch, first: int) -> None:
        for index, text in enumerate(self.checks):
            if pc.all(batch.column(first + index), min_count=0).as_py() is False:
                check = [c for c in self.definition.constraints if c.kind == "check"][index]
                raise ConstraintViolation(
                    f"CHECK constraint{called(check)} failed on table "
                    f"{self.definition.name}: {text}"
                )


def as_stored(array: pa.Array, stored: pa.DataType) -> pa.Array:
    """An array from the kernel in its stored type.

    The kernel labels zoned timestamps with the session's zone, and fields of structs as the value
    spelled them. Fields are taken by place: a cast would look for them by their exact spelling.
    """
    if array.type.equals(stored):
        return array
    if pa.types.is_nested(stored):
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return array.view(stored)
    return array.cast(stored)


@dataclass(slots=True)
class _HotTee:
    """Feeds a hot writer in a thread of its own, once the stream has proved long enough."""

    tier: HotTier | None
    definition: TableDefinition
    _held: list[pa.RecordBatch] = field(default_factory=list)
    _rows: int = 0
    _queue: queue.Queue[pa.RecordBatch | None] = field(
        default_factory=lambda: queue.Queue(_QUEUE_BATCHES)
    )
    _writer: HotWriter | None = None
    _thread: threading.Thread | None = None
    _failed: bool = False

    def put(self, batch: pa.RecordBatch) -> None:
        """Pass one batch on."""
        self._rows += batch.num_rows
        if self._rows > HOT_ROWS_MAX:
            self._failed = True  # longer than a segment may be: built in pieces afterwards
        if self._failed:
            self._held.clear()
            return
        if self._thread is None:
            self._held.append(batch)
            if self._rows >= HOT_ROWS_MIN:
                self._start()
            return
        self._offer(batch)

    def _start(self) -> None:
        assert self.tier is not None
        self._writer = self.tier.writer(self.definition)
        self._thread = threading.Thread(target=self._feed, name="pagelake-hot", daemon=True)
        self._thread.start()
        for batch in self._held:
            self._offer(batch)
        self._held.clear()

    def _offer(self, batch: pa.RecordBatch | None) -> None:
        """Put into the queue unless the writer has given up meanwhile."""
        while not self._failed:
            with suppress(queue.Full):
                self._queue.put(batch, timeout=0.2)
                return

    def _feed(self) -> None:
        assert self._writer is not None
        try:
            self._writer.__enter__()
            self._writer.feed(self._batches())
        except Exception:  # noqa: BLE001 - a derived copy: whatever fails, the truth is written
            self._failed = True

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._queue.get()) is not None:
            yield batch

    def finish(self, groups: tuple[RowGroup, ...]) -> None:
        """Publish the segment for the row groups that the stream became."""
        if self._thread is None or self._writer is None:
            return
        self._offer(None)
        if self._gave_up():
            return  # the thread was offered no end and waits for batches: `close` ends it
        self._thread.join()
        if not self._gave_up() and self._rows == sum(g.rows for g in groups):
            with suppress(Exception):  # a derived copy may be missing
                self._writer.publish(groups)

    def _gave_up(self) -> bool:
        return self._failed

    def close(self) -> None:
        """Stop and clean up, also after a failure of the stream."""
        if self._thread is not None and self._thread.is_alive():
            self._failed = True
            with suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
            self._queue.put(None)
            self._thread.join()
        if self._writer is not None:
            self._writer.__exit__()
