"""Expected states, kept outside the store: what each version must hold, row id by row id.

A ``Run`` drives stores on one recorded device from a seed and remembers, for every version that it
tries to commit, the exact content. Its marks in the trace say what was promised and when::

    begun <version>          a commit is under way that will get this version
    acknowledged <version>   it was answered, or a reader was shown it
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from pagelake.storage import row_group, transaction
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import RecordingDevice
from pagelake.storage.effects import (
    ROW_ID_COLUMN,
    AlterTable,
    Append,
    CloneTable,
    Column,
    CreateTable,
    CreateTag,
    DropTable,
    RestoreTable,
    TableDefinition,
    serialize_type,
)
from pagelake.storage.environment import Environment
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_compaction
from pagelake.storage.page import PageKind
from pagelake.storage.row_group import (
    ROW_ID_FIELD,
    RowGroupWriter,
    read_row_group,
    read_row_ids,
    stored_schema,
)
from pagelake.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pagelake.storage.devices.recording_device import Trace
    from pagelake.storage.effects import RowGroup
    from pagelake.storage.snapshot import Snapshot, TableState

_TYPES = {"k": pa.int64(), "v": pa.string()}
"""Arrow types by the first letter of a column's name."""

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TableContent:
    """A table as it must be: column names, rows by row id, and the id that the next row gets."""

    columns: tuple[str, ...]
    rows: Mapping[int, Row] = field(default_factory=dict)
    next_row_id: int = 0


Content = dict[str, TableContent]


def _column(number: int, name: str) -> Column:
    return Column(number, name, name, serialize_type(_TYPES[name[0]]))


@contextmanager
def _on_pages() -> Iterator[None]:
    """Small batches and delete vectors go to pages too, so that states stay small."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(row_group, "INLINE_ROWS_MAX", 0))
        stack.enter_context(patch.object(transaction, "DELETE_INLINE_BYTES_MAX", 0))
        yield


class Work:
    """One transaction, and what it must have done to whatever version it meets."""

    def __init__(self, run: Run, store: Store) -> None:
        self._run = run
        self._store = store
        self._changes: list[Callable[[Content], Content]] = []
        self.transaction = store.begin()

    def _state(self, table: str) -> TableState:
        state = self.transaction.snapshot.table("main", table)
        assert state is not None, table
        return state

    def create(self, table: str, *columns: str) -> Work:
        numbered = tuple(_column(i, name) for i, name in enumerate(columns, 1))
        table_id = self._run.environment.random_bytes(16).hex()
        definition = TableDefinition(table_id, "main", table, numbered, len(numbered) + 1)
        self.transaction.add("CREATE TABLE", CreateTable(definition))
        self._changes.append(lambda content: content | {table: TableContent(columns)})
        return self

    def append(self, table: str, rows: int, *, pages: bool = False) -> Work:
        definition = self._state(table).definition
        values = [self._run.row([c.name for c in definition.columns]) for _ in range(rows)]
        columns = [c.id for c in definition.columns]
        batch = _batch(definition.columns, values)
        self._write("INSERT", definition.id, columns, batch, pages=pages)

        def change(content: Content) -> Content:
            before = content[table]
            added = dict(enumerate(values, before.next_row_id))
            after = replace(
                before, rows=before.rows | added, next_row_id=before.next_row_id + len(values)
            )
            return content | {table: after}

        self._changes.append(change)
        return self

    def delete(self, table: str, row_ids: Sequence[int], *, pages: bool = False) -> Work:
        self._delete("DELETE", table, row_ids, pages=pages)

        def change(content: Content) -> Content:
            before = content[table]
            kept = {i: row for i, row in before.rows.items() if i not in set(row_ids)}
            return content | {table: replace(before, rows=kept)}

        self._changes.append(change)
        return self

    def update(self, table: str, row_ids: Sequence[int], *, pages: bool = False) -> Work:
        self._delete("UPDATE", table, row_ids, pages=pages)
        definition = self._state(table).definition
        values = [self._run.row([c.name for c in definition.columns]) for _ in row_ids]
        batch = _batch(definition.columns, values)
        batch = batch.append_column(ROW_ID_FIELD, pa.array(row_ids, pa.int64()))
        columns = [*(c.id for c in definition.columns), ROW_ID_COLUMN]
        self._write("UPDATE", definition.id, columns, batch, pages=pages)

        def change(content: Content) -> Content:
            before = content[table]
            updated = dict(zip(row_ids, values, strict=True))
            after = replace(
                before, rows=before.rows | updated, next_row_id=before.next_row_id + len(row_ids)
            )
            return content | {table: after}

        self._changes.append(change)
        return self

    def add_column(self, table: str, name: str) -> Work:
        definition = self._state(table).definition
        number = definition.next_column_id
        columns = (*definition.columns, _column(number, name))
        altered = replace(definition, columns=columns, next_column_id=number + 1)
        self.transaction.add("ALTER TABLE", AlterTable(altered))

        def change(content: Content) -> Content:
            before = content[table]
            rows = {i: (*row, None) for i, row in before.rows.items()}
            return content | {table: replace(before, columns=(*before.columns, name), rows=rows)}

        self._changes.append(change)
        return self

    def drop_column(self, table: str, name: str) -> Work:
        definition = self._state(table).definition
        gone = definition.column(name)
        assert gone is not None
        columns = tuple(c for c in definition.columns if c is not gone)
        altered = replace(definition, columns=columns, dropped=(*definition.dropped, gone))
        self.transaction.add("ALTER TABLE", AlterTable(altered))

        def change(content: Content) -> Content:
            before = content[table]
            at = before.columns.index(name)
            rows = {i: row[:at] + row[at + 1 :] for i, row in before.rows.items()}
            kept = before.columns[:at] + before.columns[at + 1 :]
            return content | {table: replace(before, columns=kept, rows=rows)}

        self._changes.append(change)
        return self

    def rename(self, table: str, name: str) -> Work:
        definition = self._state(table).definition
        self.transaction.add("ALTER TABLE", AlterTable(replace(definition, name=name)))
        self._changes.append(
            lambda content: {name if t == table else t: c for t, c in content.items()}
        )
        return self

    def drop(self, table: str) -> Work:
        self.transaction.add("DROP TABLE", DropTable(self._state(table).definition.id))
        self._changes.append(lambda content: {t: c for t, c in content.items() if t != table})
        return self

    def clone(self, source: str, version: int, name: str) -> Work:
        then = self._store.snapshot_at(version).table("main", source)
        assert then is not None
        table_id = self._run.environment.random_bytes(16).hex()
        definition = replace(then.definition, id=table_id, name=name)
        self.transaction.add("CLONE", CloneTable(definition, then.definition.id, version))
        begins = self._run.expected[version][source]
        self._changes.append(lambda content: content | {name: begins})
        return self

    def restore(self, table: str, version: int) -> Work:
        self.transaction.add("RESTORE", RestoreTable(self._state(table).definition.id, version))
        then = self._run.expected[version][table]

        def change(content: Content) -> Content:
            next_row_id = max(content[table].next_row_id, then.next_row_id)
            return content | {table: replace(then, next_row_id=next_row_id)}

        self._changes.append(change)
        return self

    def tag(self, name: str, version: int) -> Work:
        self.transaction.add("TAG", CreateTag(name, version))
        return self

    def commit(self) -> int:
        """Commit; the version must be the next one, and its content what was done to the last."""
        content = self._run.expected[self._run.version]
        for change in self._changes:
            content = change(content)
        return self._run.commit(content, self.transaction.commit)

    def _write(
        self, operation: str, table: str, columns: list[int], batch: pa.RecordBatch, *, pages: bool
    ) -> None:
        writer = RowGroupWriter(self._store, self.transaction, columns)
        with _on_pages() if pages else ExitStack():
            groups = writer.write([batch])
        assert all((group.inline is None) == pages for group in groups)
        self.transaction.add(operation, Append(table, groups))

    def _delete(self, operation: str, table: str, row_ids: Sequence[int], *, pages: bool) -> None:
        state = self._state(table)
        wanted, positions = set(row_ids), {}
        for group, ids, gone in stored_rows(self._store, state):
            hit = [p for p, i in enumerate(ids) if i in wanted and p not in gone]
            wanted.difference_update(ids[p] for p in hit)
            positions[group.id] = positions_of(hit)
        assert not wanted, f"rows {wanted} are not in {table}"
        with _on_pages() if pages else ExitStack():
            self.transaction.delete(operation, state.definition.id, positions)


def _batch(columns: Sequence[Column], rows: Sequence[Row]) -> pa.RecordBatch:
    arrays = [
        pa.array([row[i] for row in rows], column.arrow_type) for i, column in enumerate(columns)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=stored_schema(columns))


class PathDevice(MemoryDevice):
    """Memory that pretends to have paths, so that hot segments can be adopted."""

    def local_path(self, name: str) -> Path:
        return Path(name)

    def adopt(self, path: Path, name: str) -> bool:
        return self.stage(self.read(str(path))).link(name)


class Run:
    """A workload under way, and its expected states.

    Args:
        seed: Decides everything: values, identifiers, times.
        trace: A trace to continue; by default a new one.
        files: What the trace has led to, when it has calls already.
        before: The run of which the device is a later state.
        version: The version that the device must be at, when it is.
    """

    def __init__(
        self,
        seed: str,
        *,
        trace: Trace | None = None,
        files: Mapping[str, bytes] | None = None,
        before: Run | None = None,
        version: int = 0,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        files = files if trace is None or files is not None else trace.initial
        self.device = RecordingDevice(PathDevice(files), trace=trace)
        self.version = version
        self.expected: dict[int, Content] = {0: {}} if before is None else dict(before.expected)
        self._clock = 1_000_000 if before is None else before._clock
        self._stores: list[Store] = []
        self.environment = Environment(
            now_us=self._tick, random_bytes=self.random.randbytes, threads=False
        )

    def _tick(self) -> int:
        self._clock += self.random.randrange(1_000)
        return self._clock

    def row(self, columns: Sequence[str]) -> Row:
        """A random row; numbers are large, so that a few of them fill sectors."""
        return tuple(
            self.random.getrandbits(62) if name[0] == "k" else f"text {self.random.getrandbits(99)}"
            for name in columns
        )

    def open(self) -> Store:
        """Open another store on the device; what it shows counts as promised from here on."""
        store = Store(self.device, environment=self.environment)
        self._stores.append(store)
        assert store.snapshot().version == self.version
        self.device.mark(f"acknowledged {self.version}")
        return store

    def begin(self, store: Store) -> Work:
        """Begin a transaction."""
        return Work(self, store)

    def commit(self, content: Content, commit: Callable[[], int]) -> int:
        """Commit something that makes this the content of the next version."""
        version = self.version + 1
        self.expected[version] = content
        self.device.mark(f"begun {version}")
        assert commit() == version
        self.version = version
        self.device.mark(f"acknowledged {version}")
        return version

    def compact(self, store: Store, table: str) -> None:
        """Rewrite a table's row groups, where that pays; its rows stay."""
        state = store.snapshot().table("main", table)
        assert state is not None
        steps = plan_compaction(state, eager=True)
        if steps:
            content = self.expected[self.version]
            self.commit(content, lambda: rewrite(store, state.definition.id, steps).version)

    def pick(self, table: str, most: int) -> list[int]:
        """Ids of up to so many rows of a table."""
        ids = list(self.expected[self.version][table].rows)
        return sorted(self.random.sample(ids, min(most, len(ids))))

    def close(self) -> None:
        """Close the stores."""
        for store in self._stores:
            store.close()
        self._stores.clear()


def stored_rows(store: Store, state: TableState) -> Iterator[tuple[RowGroup, list[int], set[int]]]:
    """Row groups of a table, each with its rows' ids and its deleted positions."""
    for group in state.row_groups:
        ids = read_row_ids(store, state.definition, group).to_pylist()
        yield group, ids, _deleted(store, state, group)


def _deleted(store: Store, state: TableState, group: RowGroup) -> set[int]:
    vectors = [v.positions(store.pages) for v in state.deletes.get(group.id, ())]
    return set(np.concatenate(vectors).tolist()) if vectors else set()


class Reader:
    """Reads whole snapshots and decodes equal row groups only once.

    Pages are fetched, and so verified, every time; their decoding is a function of the reference,
    which holds their checksum.
    """

    def __init__(self) -> None:
        self._rows: dict[object, list[tuple[int, Row]]] = {}

    def content(self, store: Store, snapshot: Snapshot) -> Content:
        """All tables of a snapshot.

        Raises:
            Corrupt: Something that it refers to is damaged.
        """
        return {s.definition.name: self._table(store, s) for s in snapshot.tables.values()}

    def _table(self, store: Store, state: TableState) -> TableContent:
        columns = tuple(c.name for c in state.definition.columns)
        rows: dict[int, Row] = {}
        for group in state.row_groups:
            gone = _deleted(store, state, group)
            for position, (row_id, row) in enumerate(self._group(store, state, group)):
                if position not in gone:
                    assert row_id not in rows, f"row id {row_id} twice in {columns}"
                    rows[row_id] = row
        assert len(rows) == state.rows, "the manifest's row count is wrong"
        return TableContent(columns, rows, state.next_row_id)

    def _group(self, store: Store, state: TableState, group: RowGroup) -> list[tuple[int, Row]]:
        for column, chunk in group.chunks.items():
            kind = PageKind.ROW_IDS if column == ROW_ID_COLUMN else PageKind.COLUMN_CHUNK
            store.pages.get(chunk.page, kind)
        columns = state.definition.columns
        pages = tuple(chunk.page for chunk in group.chunks.values())
        key = (tuple(c.id for c in columns), group.id, group.first_row_id, group.inline, pages)
        known = self._rows.get(key)
        if known is None:
            batch = read_row_group(store, state.definition, group, columns, row_ids=True)
            *values, ids = (column.to_pylist() for column in batch.columns)
            known = list(zip(ids, zip(*values, strict=True), strict=True))
            self._rows[key] = known
        return known
