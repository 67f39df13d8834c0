"""The hot tier: native copies of row groups, built, attached and chosen.

A hot segment holds some row groups of one table, laid end to end, in the kernel's own format:
queries over it run at native speed and with native statistics. It is derived: whoever does
not find one reads the truth instead, and whoever has one attached keeps reading it after it
was deleted. ``storage/hot_directory.py`` keeps names and budget; this module knows the kernel.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ...sql.column_types import column_type
from ...storage.hot_directory import HotDirectory, HotFile, cover_hash
from ...storage.row_group import stored_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ...storage.effects import Column, RowGroup, TableDefinition
    from ...storage.environment import Environment
    from ...storage.snapshot import TableState
    from ...storage.store import Store
    from ..kernel import Kernel
    from ..settings import Settings

HOT_ROWS_MIN = 65_536
"""Smaller runs of rows are copied into memory in no time; a file would cost more to attach."""
HOT_ROWS_MAX = 16_000_000
"""Rows a hot segment may have: few and large files plan fast, but must be rebuilt whole."""
HOT_LIVE_MIN = 0.7
"""A segment of which less than this share is alive costs more than it saves."""
HOT_FILES_MAX = 4
"""More segments than this on one table are merged: each costs planning time."""
_BUILD_MEMORY = "1GB"
"""Memory of the kernel instance that writes a hot segment; it spills nothing, it flushes."""


def native_name(column: Column) -> str:
    """Name of a column in native copies: by id, so that renaming costs nothing."""
    return f"c{column.id}"


def native_select(columns: Sequence[Column]) -> str:
    """The select list that turns stored columns into native ones."""
    return ", ".join(
        f'{column_type(c.type, collation=c.collation).from_storage(f"""s."{c.id}" """.strip())} '
        f"AS {native_name(c)}"
        for c in columns
    )


@dataclass(frozen=True, slots=True)
class HotSegment:
    """An attached hot segment.

    Attributes:
        file: The file.
        database: Its name in the kernel.
        offsets: Position of each row group's first row, by row group id, in order.
        row_counts: Rows of each row group.
        rows: Rows in all.
        columns: Type text by column id.
    """

    file: HotFile
    database: str
    offsets: dict[str, int]
    row_counts: dict[str, int]
    rows: int
    columns: dict[int, str]

    def serves(self, definition: TableDefinition) -> bool:
        """Tell whether its columns still are the table's.

        Columns with higher ids than it knows were added later and are filled in.
        """
        newest = max(self.columns, default=0)
        return all(
            self.columns.get(c.id) == c.type if c.id <= newest else True for c in definition.columns
        )


@dataclass(slots=True)
class HotTier:
    """Finds, attaches and builds hot segments.

    Attributes:
        directory: Names and budget.
    """

    kernel: Kernel
    store: Store
    settings: Settings
    environment: Environment
    directory: HotDirectory
    _attached: dict[str, HotSegment] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def segments(self, state: TableState) -> list[HotSegment]:
        """The attached segments to read a table with: largest first, none overlapping."""
        if not self.directory.enabled or state.rows < HOT_ROWS_MIN:
            return []
        table = state.definition.id
        files = [f for f in self.directory.files(rescan=True).values() if f.table == table]
        candidates = [s for s in map(self._attach, files) if s and s.serves(state.definition)]
        present = {group.id for group in state.row_groups}
        chosen: list[HotSegment] = []
        taken: set[str] = set()
        for segment in sorted(candidates, key=lambda s: -s.rows):
            live = sum(segment.row_counts[g] for g in segment.offsets if g in present)
            live -= sum(v.count for g in segment.offsets for v in state.deletes.get(g, ()))
            if live < HOT_LIVE_MIN * segment.rows or taken & segment.offsets.keys():
                continue
            chosen.append(segment)
            taken |= segment.offsets.keys()
        return chosen

    def attached(self) -> dict[str, HotSegment]:
        """Attached segments by cover hash."""
        return dict(self._attached)

    def _attach(self, file: HotFile) -> HotSegment | None:
        """Attach a file once; None when it is gone or damaged."""
        with self._lock:
            known = self._attached.get(file.cover)
            if known is not None:
                return known
            path = self.directory.path(file)
            if path is None or file.cover in self._broken:
                return None
            try:
                database = self.kernel.attach_file(str(path), "hot")
                groups = self.kernel.execute(
                    f"SELECT id, rows FROM {database}.main.row_groups ORDER BY ordinal"
                )
                columns = self.kernel.execute(f"SELECT id, type FROM {database}.main.columns")
                found = self.kernel.execute(f"SELECT count(*) FROM {database}.main.rows")
            except duckdb.Error:
                # Damaged, or written by a kernel that only looked the same: rebuilt when needed.
                self._broken.add(file.cover)
                self.directory.drop(file)
                return None
            offsets, row_counts, rows = {}, {}, 0
            for group, count in groups:
                offsets[group], row_counts[group] = rows, count
                rows += count
            if found[0][0] != rows:
                self._broken.add(file.cover)
                self.directory.drop(file)
                return None
            segment = HotSegment(file, database, offsets, row_counts, rows, dict(columns))
            self._attached[file.cover] = segment
            return segment

    def sweep(self, in_use: Callable[[], set[str]]) -> None:
        """Detach segments whose file is gone and which no route reads any more.

        Args:
            in_use: Tells the kernel names of the databases that some route reads.
        """
        read = in_use()
        with self._lock:
            present = self.directory.files(rescan=True)
            for cover in [c for c in self._attached if c not in present]:
                segment = self._attached[cover]
                if segment.database not in read:
                    del self._attached[cover]
                    self.kernel.detach(segment.database)

    def condemn(self) -> None:
        """Stop using every attached segment: one of them was found damaged while it was read."""
        with self._lock:
            for cover, segment in self._attached.items():
                self._broken.add(cover)
                self.directory.drop(segment.file)
            self._attached.clear()

    def candidates(self, state: TableState) -> list[RowGroup]:
        """Row groups of a table for which a segment should be built, in order; none if few."""
        if not self.directory.writable or state.rows < HOT_ROWS_MIN:
            return []
        chosen = self.segments(state)
        covered = {group for segment in chosen for group in segment.offsets}
        cold = [g for g in state.row_groups if g.id not in covered]
        fresh = sum(g.rows for g in cold) - sum(
            v.count for g in cold for v in state.deletes.get(g.id, ())
        )
        if fresh < HOT_ROWS_MIN:
            return []
        if len(chosen) >= HOT_FILES_MAX:
            cold = list(state.row_groups)  # merge: read everything into new, larger segments
        picked: list[RowGroup] = []
        rows = 0
        for group in cold:
            if rows + group.rows > HOT_ROWS_MAX and picked:
                break
            picked.append(group)
            rows += group.rows
        return picked

    def writer(self, definition: TableDefinition) -> HotWriter:
        """A writer of one new segment."""
        return HotWriter(self, definition)

    def detach_all(self) -> None:
        """Forget the attached segments; the kernel is about to close."""
        with self._lock:
            self._attached.clear()


class HotWriter:
    """Writes one hot segment through a kernel instance of its own.

    Args:
        tier: Where it will be published.
        definition: The table.
    """

    def __init__(self, tier: HotTier, definition: TableDefinition) -> None:
        self._tier = tier
        self._definition = definition
        self._staged = tier.directory.staging_name(tier.environment.random_bytes(8))
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> HotWriter:
        path = self._tier.directory.staging_path(self._staged)
        self._connection = duckdb.connect(
            str(path),
            config={
                "memory_limit": _BUILD_MEMORY,
                "threads": self._tier.settings.integer("threads"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
            },
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
        self._tier.directory.discard(self._staged)

    def feed(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Write the rows, in order; batches have all columns in their stored form."""
        assert self._connection is not None
        schema = stored_schema(self._definition.columns)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        self._connection.register("s", reader)
        select = native_select(self._definition.columns)
        self._connection.execute(f"CREATE TABLE rows AS SELECT {select} FROM s")
        self._connection.unregister("s")

    def interrupt(self) -> None:
        """Stop ``feed`` from another thread."""
        if self._connection is not None:
            self._connection.interrupt()

    def publish(self, groups: Sequence[RowGroup]) -> HotFile | None:
        """Record what the segment covers, close it and give it its name."""
        assert self._connection is not None
        described = pa.table(
            {
                "ordinal": pa.array(range(len(groups)), pa.int64()),
                "id": pa.array([g.id for g in groups], pa.string()),
                "rows": pa.array([g.rows for g in groups], pa.int64()),
            }
        )
        columns = pa.table(
            {
                "id": pa.array([c.id for c in self._definition.columns], pa.int64()),
                "type": pa.array([c.type for c in self._definition.columns], pa.string()),
            }
        )
        for name, content in (("row_groups", described), ("columns", columns)):
            self._connection.register("content", content)
            self._connection.execute(f"CREATE TABLE {name} AS SELECT * FROM content")
            self._connection.unregister("content")
        self._connection.execute("CHECKPOINT")
        self._connection.close()
        self._connection = None
        cover = cover_hash(self._definition, groups)
        return self._tier.directory.publish(self._staged, self._definition.id, cover)
