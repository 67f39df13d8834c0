"""The hot tier: native copies of row groups, built, attached and chosen.

A hot segment holds some row groups of one table, laid end to end, in the kernel's own format:
queries over it run at native speed and with native statistics. It is derived: whoever does
not find one reads the truth instead, and whoever has one attached keeps reading it after it
was deleted. ``storage/hot_directory.py`` keeps names and budget; this module knows the kernel.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from ...sql.column_types import column_type
from ...storage.content.tables import NEVER_SCANNED
from ...storage.hot_directory import HotDirectory, HotFile, cover_hash
from ...storage.row_group import read_row_group, stored_schema, without
from .cold_columns import cold_columns, hot_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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
HOT_LIVE_MIN = 0.1
"""A segment of which less than this share lies in the table's row groups costs more than it
saves; until then it serves while maintenance replaces its row groups, some at a time."""
HOT_WORTH_MIN = 0.5
"""A segment of which less than this share is left is built anew from what is left."""
HOT_STALE_MAX = 0.05
"""A segment with more than this share of deleted rows is built anew without them: leaving them
out of every scan costs more than building once."""
HOT_FILES_MAX = 4
"""More segments than this on one table are merged: each costs planning time."""
HOT_MERGE_FANOUT = 4
"""A segment is merged with newer rows once those are more than this part of it: a large one is
not built anew for every few rows that come."""
HOT_CODECS = frozenset({"uncompressed", "zstd"})
"""Codecs that a table's definition may choose; the kernel chooses for all other columns."""
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
        row_counts: Rows of each row group, folded ones included.
        folded: How many rows of each row group were deleted when it was built, and left out.
        rows: Rows of its row groups in all.
        columns: Type text by column id, of the columns that it holds.
        cold: The same of those that it leaves out.
        committed: Version that had last changed the table when it was built; older states of
            the table may still have the rows that were left out.
        positioned: True when a column ``position`` tells where a row lies, because rows were left
            out; otherwise it is the row's number.
    """

    file: HotFile
    database: str
    offsets: dict[str, int]
    row_counts: dict[str, int]
    folded: dict[str, int]
    rows: int
    columns: dict[int, str]
    cold: dict[int, str]
    committed: int
    positioned: bool

    def unfolded(self, state: TableState) -> int:
        """Number of its rows that a table has deleted since."""
        return sum(
            max(0, sum(v.count for v in state.deletes[group]) - self.folded.get(group, 0))
            for group in self.offsets
            if group in state.deletes
        )

    def rows_in(self, groups: set[str]) -> int:
        """Rows of those of its row groups that are among some."""
        return sum(self.row_counts[group] for group in self.offsets if group in groups)

    def is_true_of(self, state: TableState) -> bool:
        """Tell whether all rows that were left out are deleted in a state of the table."""
        if self.committed > state.committed:
            return False
        return not self.folded or self.committed >= state.rebased

    def serves(self, definition: TableDefinition) -> bool:
        """Tell whether its columns still are the table's.

        Columns with higher ids than it knows were added later and are filled in.
        """
        known = self.columns | self.cold
        newest = max(known, default=0)
        return all(
            known.get(c.id) == c.type if c.id <= newest else True for c in definition.columns
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
    _doomed: list[HotSegment] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def segments(self, state: TableState) -> list[HotSegment]:
        """The attached segments to read a table with: largest first, none overlapping."""
        if not self.directory.enabled or state.rows < HOT_ROWS_MIN:
            return []
        table = state.definition.id
        files = [f for f in self.directory.files(rescan=True).values() if f.table == table]
        candidates = [
            s
            for s in map(self._attach, files)
            if s and s.serves(state.definition) and s.is_true_of(state)
        ]
        present = {group.id for group in state.row_groups}
        chosen: list[HotSegment] = []
        taken: set[str] = set()
        for segment in sorted(candidates, key=lambda s: (-s.rows, s.unfolded(state))):
            live = segment.rows_in(present)
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
                    f"SELECT id, rows, folded FROM {database}.main.row_groups ORDER BY ordinal"
                )
                built = self.kernel.execute(f"SELECT committed FROM {database}.main.built")
                columns = self.kernel.execute(f"SELECT id, type, cold FROM {database}.main.columns")
                found = self.kernel.execute(f"SELECT count(*) FROM {database}.main.rows")
            except duckdb.Error:
                # Damaged, or written by a kernel that only looked the same: rebuilt when needed.
                self._broken.add(file.cover)
                self.directory.drop(file)
                return None
            offsets: dict[str, int] = {}
            rows = 0
            for group, count, _ in groups:
                offsets[group] = rows
                rows += count
            folded = {group: left_out for group, _, left_out in groups if left_out}
            if found[0][0] != rows - sum(folded.values()):
                self._broken.add(file.cover)
                self.directory.drop(file)
                return None
            segment = HotSegment(
                file,
                database,
                offsets,
                {group: count for group, count, _ in groups},
                folded,
                rows,
                {column: kind for column, kind, cold in columns if not cold},
                {column: kind for column, kind, cold in columns if cold},
                built[0][0],
                bool(folded),
            )
            self._attached[file.cover] = segment
            return segment

    def sweep(self, in_use: Callable[[], set[str]]) -> None:
        """Detach segments whose file is gone and which no route reads any more.

        Args:
            in_use: Tells the kernel names of the databases that some route reads.
        """
        read = in_use()
        with self._lock:
            # A route that is being built may have chosen a segment that no leaf shows yet, so
            # what is found unused now is detached the next time.
            for segment in [s for s in self._doomed if s.database not in read]:
                self._doomed.remove(segment)
                self.kernel.detach(segment.database)
            present = self.directory.files(rescan=True)
            for cover in [c for c in self._attached if c not in present]:
                self._doomed.append(self._attached.pop(cover))

    def condemn(self) -> None:
        """Stop using every attached segment: one of them was found damaged while it was read."""
        with self._lock:
            for cover, segment in self._attached.items():
                self._broken.add(cover)
                self.directory.drop(segment.file)
            self._doomed.extend(self._attached.values())
            self._attached.clear()

    def restored(self, cover: str) -> None:
        """Trust a segment again that was found damaged: it has been built anew."""
        with self._lock:
            self._broken.discard(cover)

    def candidates(self, state: TableState) -> list[RowGroup]:
        """Row groups of a table for which a segment should be built, in order; none if few."""
        if not self.directory.writable or state.rows < HOT_ROWS_MIN:
            return []
        if state.definition.id in NEVER_SCANNED:
            return []
        chosen = self.segments(state)
        covered = {group for segment in chosen for group in segment.offsets}
        cold = [g for g in state.row_groups if g.id not in covered]
        fresh = sum(g.rows for g in cold) - sum(
            v.count for g in cold for v in state.deletes.get(g.id, ())
        )
        if fresh < HOT_ROWS_MIN:
            present = {g.id for g in state.row_groups}
            stale = [
                s
                for s in chosen
                if s.unfolded(state) > HOT_STALE_MAX * s.rows
                or s.rows_in(present) < HOT_WORTH_MIN * s.rows
            ]
            if stale:
                return [g for g in state.row_groups if g.id in stale[0].offsets]
            # Loads that came with segments of their own; two that are half full need no merging.
            small = [s for s in chosen if s.rows <= HOT_ROWS_MAX // 2]
            if len(small) <= HOT_FILES_MAX:
                return []
            merged = {group for segment in small for group in segment.offsets}
            return _first_rows(g for g in state.row_groups if g.id in merged)
        if len(chosen) >= HOT_FILES_MAX:
            merged = {group.id for group in cold}
            rows = fresh
            for segment in sorted(chosen, key=lambda s: s.rows):
                if segment.rows > HOT_MERGE_FANOUT * rows:
                    break
                merged |= segment.offsets.keys()
                rows += segment.rows
            cold = [g for g in state.row_groups if g.id in merged]
        return _first_rows(cold)

    def writer(self, definition: TableDefinition) -> HotWriter:
        """A writer of one new segment."""
        return HotWriter(self, definition)

    def fill(
        self,
        writer: HotWriter,
        state: TableState,
        groups: Sequence[RowGroup],
        pace: Callable[[int], None] | None = None,
    ) -> None:
        """Write row groups of a table to a new segment, without their deleted rows.

        Args:
            writer: The segment.
            state: The table.
            groups: The row groups.
            pace: Called with each number of bytes decoded; may wait.
        """
        folded = any(group.id in state.deletes for group in groups)
        rows = self._live_rows(state, groups, pace, positioned=folded)
        writer.feed(rows, positioned=folded)

    def _live_rows(
        self,
        state: TableState,
        groups: Sequence[RowGroup],
        pace: Callable[[int], None] | None,
        *,
        positioned: bool,
    ) -> Iterator[pa.RecordBatch]:
        definition, start = state.definition, 0
        columns = hot_columns(definition)
        for group in groups:
            batch = read_row_group(self.store, definition, group, columns)
            if pace is not None:
                pace(batch.nbytes)
            if positioned:
                position = np.arange(start, start + group.rows, dtype=np.int64)
                batch = batch.append_column("position", pa.array(position))
            start += group.rows
            vectors = [v.positions(self.store.pages) for v in state.deletes.get(group.id, ())]
            yield without(batch, np.concatenate(vectors)) if vectors else batch

    def drop_superseded(self, state: TableState, file: HotFile) -> None:
        """Remove the segments of a table whose row groups all lie in a newer one."""
        newer = self._attach(file)
        if newer is None:
            return
        present = {group.id for group in state.row_groups}
        for segment in list(self._attached.values()):
            mine = segment is not newer and segment.file.table == state.definition.id
            if mine and (segment.offsets.keys() & present) <= newer.offsets.keys():
                self.directory.drop(segment.file)

    def drop_unused(self, state: TableState) -> bool:
        """Remove the segments of a table none of whose row groups are left in it.

        Returns:
            True when there were any.
        """
        table = state.definition.id
        present = {group.id for group in state.row_groups}
        unused = [
            segment
            for segment in list(self._attached.values())
            if segment.file.table == table and present.isdisjoint(segment.offsets)
        ]
        for segment in unused:
            self.directory.drop(segment.file)
        return bool(unused)

    def detach_all(self) -> None:
        """Forget the attached segments; the kernel is about to close."""
        with self._lock:
            self._attached.clear()


def _first_rows(groups: Iterable[RowGroup]) -> list[RowGroup]:
    """Row groups from the first on, as many as one segment may hold."""
    picked: list[RowGroup] = []
    rows = 0
    for group in groups:
        if rows + group.rows > HOT_ROWS_MAX and picked:
            break
        picked.append(group)
        rows += group.rows
    return picked


class HotWriter:
    """Writes one hot segment through a kernel instance of its own.

    Args:
        tier: Where it will be published.
        definition: The table.
    """

    def __init__(self, tier: HotTier, definition: TableDefinition) -> None:
        self._tier = tier
        self._columns = hot_columns(definition)
        cold = tuple(c.id for c in cold_columns(definition))
        self._definition = replace(definition, cold=cold)
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

    def feed(self, batches: Iterable[pa.RecordBatch], *, positioned: bool = False) -> None:
        """Write the rows, in order; batches have the hot columns in their stored form.

        Args:
            batches: The rows; other columns are left out.
            positioned: True when a last column ``position`` tells where each row lies.
        """
        assert self._connection is not None
        schema = stored_schema(self._columns)
        if positioned:
            schema = schema.append(pa.field("position", pa.int64()))
        chosen = (batch.select(schema.names) for batch in batches)
        reader = pa.RecordBatchReader.from_batches(schema, chosen)
        self._connection.register("s", reader)
        select = native_select(self._columns)
        if positioned:
            select += ", position"
        create = f"CREATE TABLE rows AS SELECT {select} FROM s"
        if self._definition.hot_codecs:
            self._connection.execute(f"CREATE TABLE rows ({self._columns_sql(positioned)})")
            create = f"INSERT INTO rows SELECT {select} FROM s"
        self._connection.execute(create)
        self._connection.unregister("s")

    def _columns_sql(self, positioned: bool) -> str:
        """The columns of `rows`, with the codecs that some are to have."""
        codecs = {c: f" USING COMPRESSION {codec}" for c, codec in self._definition.hot_codecs
                  if codec in HOT_CODECS}  # fmt: skip
        listed = [
            f"{native_name(c)} {c.type}{f' COLLATE {c.collation}' if c.collation else ''}"
            f"{codecs.get(c.id, '')}"
            for c in self._columns
        ]
        return ", ".join([*listed, "position BIGINT"] if positioned else listed)

    def interrupt(self) -> None:
        """Stop ``feed`` from another thread."""
        if self._connection is not None:
            self._connection.interrupt()

    def publish(
        self, groups: Sequence[RowGroup], state: TableState | None = None
    ) -> HotFile | None:
        """Record what the segment covers, close it and give it its name.

        Args:
            groups: The row groups that were fed.
            state: The table whose deleted rows were left out; None where nothing was.
        """
        assert self._connection is not None
        deletes = {} if state is None else state.deletes
        folded = {g.id: sum(v.count for v in deletes.get(g.id, ())) for g in groups}
        rebased = 0 if state is None else state.rebased
        built = pa.table(
            {"committed": [0 if state is None else state.committed], "rebased": [rebased]}
        )
        described = pa.table(
            {
                "ordinal": pa.array(range(len(groups)), pa.int64()),
                "id": pa.array([g.id for g in groups], pa.string()),
                "rows": pa.array([g.rows for g in groups], pa.int64()),
                "folded": pa.array([folded[g.id] for g in groups], pa.int64()),
            }
        )
        columns = pa.table(
            {
                "id": pa.array([c.id for c in self._definition.columns], pa.int64()),
                "type": pa.array([c.type for c in self._definition.columns], pa.string()),
                "cold": pa.array(
                    [c.id in self._definition.cold for c in self._definition.columns], pa.bool_()
                ),
            }
        )
        for name, content in (
            ("row_groups", described),
            ("columns", columns),
            ("built", built),
        ):
            self._connection.register("content", content)
            self._connection.execute(f"CREATE TABLE {name} AS SELECT * FROM content")
            self._connection.unregister("content")
        self._connection.execute("CHECKPOINT")
        self._connection.close()
        self._connection = None
        cover = cover_hash(self._definition, groups, folded, rebased)
        published = self._tier.directory.publish(self._staged, self._definition.id, cover)
        if published is not None:
            self._tier.restored(cover)
        return published
