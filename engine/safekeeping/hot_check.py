"""Check hot segments: the kernel can read them, and they hold what the row groups hold.

Of every row group that a segment covers and its table still has, the rows that are alive are
compared by their number and by a sum of hashes over position and values, computed by the kernel
on both sides. A damaged segment is derived: it may be dropped at any time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from ...errors import Corrupt, Error
from ...sql.tokens import literal
from ...storage.effects import Column, RowGroup, TableDefinition
from ...storage.hot_directory import FOLDER, HotDirectory, cover_hash
from ...storage.maintenance.finding import damage, information, no_progress, relation_name
from ...storage.row_group import read_row_group, without
from ..kernel import kernel_version
from ..leaves.hot_tier import native_name, native_select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ...storage.hot_directory import HotFile
    from ...storage.maintenance.finding import Finding, Progress
    from ...storage.snapshot import TableState
    from ...storage.store import Store

_MEMORY = "1GB"


class _Wrong(Exception):
    """A segment is not what it should be."""


def check_hot(store: Store, progress: Progress = no_progress) -> Iterator[Finding]:
    """Check all hot segments of a store against its newest version.

    Args:
        store: The store.
        progress: Told what is being looked at, the bytes done and the bytes in all.
    """
    tables = store.snapshot().tables
    files: list[tuple[str, HotFile | None, int]] = []
    for name in store.device.list(FOLDER):
        # It may be dropped at this moment.
        with suppress(FileNotFoundError):
            size = store.device.size(f"{FOLDER}/{name}")
            files.append((f"{FOLDER}/{name}", HotDirectory.parse(name), size))
    total, done = sum(size for _, _, size in files), 0
    for name, file, size in files:
        state = None if file is None else tables.get(file.table)
        path = store.device.local_path(name)
        affects = () if state is None else (f"the speed of {relation_name(state)}",)
        if file is None:
            yield information(name, "it is no hot segment", bytes=size, derived=True)
        elif file.kernel != kernel_version():
            what = f"written by version {file.kernel} of the kernel, not used by this one"
            yield information(name, what, bytes=size, derived=True)
        elif file.bytes != size:
            what = f"it has {size} bytes instead of {file.bytes}"
            yield damage(name, what, *affects, derived=True)
        elif state is None:
            yield information(name, "its table was dropped", bytes=size, derived=True)
        elif path is not None and (wrong := _wrong(store, state, file, path)):
            yield damage(name, wrong, *affects, derived=True)
        done += size
        progress("hot segments", done, total)


def _wrong(store: Store, state: TableState, file: HotFile, path: Path) -> str | None:
    """What is wrong with a segment, None when nothing is."""
    # An instance of its own: damage can make one useless for everything else.
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": _MEMORY,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    try:
        connection.execute(f"ATTACH {literal(str(path))} AS hot (READ_ONLY)")
        _Comparison(store, state, file, connection).run()
    except _Wrong as wrong:
        return str(wrong)
    except (duckdb.Error, RuntimeError, ValueError, MemoryError) as error:
        if not path.exists():
            return None  # dropped meanwhile
        return f"the kernel cannot read it: {str(error).splitlines()[0]}"
    finally:
        with suppress(duckdb.Error):
            connection.close()
    return None


class _Comparison:
    """One segment against the truth."""

    def __init__(
        self,
        store: Store,
        state: TableState,
        file: HotFile,
        connection: duckdb.DuckDBPyConnection,
    ) -> None:
        self._store = store
        self._state = state
        self._file = file
        self._connection = connection

    def run(self) -> None:
        covered = self._rows("SELECT id, rows, folded FROM hot.main.row_groups ORDER BY ordinal")
        columns = self._rows("SELECT id, type, cold FROM hot.main.columns")
        self._require_name(covered, columns)
        ((stored,),) = self._rows("SELECT count(*) FROM hot.main.rows")
        expected = sum(rows - folded for _, rows, folded in covered)
        if stored != expected:
            raise _Wrong(f"it has {stored} rows instead of {expected}")
        types = {number: kind for number, kind, cold in columns if not cold}
        present = [c for c in self._state.definition.columns if types.get(c.id) == c.type]
        groups = {group.id: group for group in self._state.row_groups}
        positioned = any(folded for _, _, folded in covered)
        ((committed,),) = self._rows("SELECT committed FROM hot.main.built")
        if positioned and committed < self._state.rebased:
            return  # made before a restore: nobody reads it
        start = 0
        for group, rows, _ in covered:
            truth = groups.get(group)
            if truth is not None:
                if truth.rows != rows:
                    raise _Wrong(f"it has {rows} rows of row group {group}, not {truth.rows}")
                self._compare(truth, present, start, "position" if positioned else "rowid")
            start += rows

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def _require_name(self, covered: list[tuple[Any, ...]], columns: list[tuple[Any, ...]]) -> None:
        """The name says what is inside, so that it is found by whoever needs just that."""
        described = tuple(Column(number, "", str(type), b"") for number, type, _ in columns)
        cold = tuple(number for number, _, is_cold in columns if is_cold)
        definition = TableDefinition(self._file.table, "", "", described, 0, cold=cold)
        groups = [RowGroup(str(group), rows) for group, rows, _ in covered]
        folded = {str(group): left_out for group, _, left_out in covered}
        ((rebased,),) = self._rows("SELECT rebased FROM hot.main.built")
        if cover_hash(definition, groups, folded, rebased) != self._file.cover:
            raise _Wrong("it covers other row groups or columns than its name says")

    def _compare(self, group: RowGroup, columns: list[Column], start: int, position: str) -> None:
        try:
            batch = read_row_group(self._store, self._state.definition, group, columns)
            vectors = self._state.deletes.get(group.id, ())
            gone = [vector.positions(self._store.pages) for vector in vectors]
        except (Corrupt, Error):
            return  # the truth itself is damaged, which its own check tells
        deleted = np.concatenate(gone) if gone else np.zeros(0, dtype=np.uint32)
        places = pa.array(np.arange(start, start + group.rows, dtype=np.int64))
        batch = pa.RecordBatch.from_arrays(
            [*(batch.columns if columns else ()), places],
            names=[*(batch.schema.names if columns else ()), "place"],
        )
        select = ", ".join([*([native_select(columns)] if columns else []), "s.place AS place"])
        self._connection.register("s", without(batch, deleted))
        self._connection.register("gone", pa.table({"place": deleted.astype(np.int64) + start}))
        truth = f"(SELECT {select} FROM s)"
        native = (
            f"(SELECT *, {position} AS place FROM hot.main.rows WHERE {position} >= {start} "
            f"AND {position} < {start + group.rows} "
            f"AND {position} NOT IN (SELECT place FROM gone))"
        )
        names = [native_name(c) for c in columns]
        if self._sum(truth, names) != self._sum(native, names):
            raise _Wrong(f"its rows of row group {group.id} are not the row group's")
        self._connection.unregister("s")
        self._connection.unregister("gone")

    def _sum(self, source: str, names: list[str]) -> tuple[Any, ...]:
        values = ", ".join(["place", *names])
        ((count, total),) = self._rows(
            f"SELECT count(*), sum(hash({values})::HUGEINT) FROM {source}"
        )
        return count, total
