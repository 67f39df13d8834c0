"""Watching a session's queries: how far one is, and what it has read when it is over.

The kernel reports its progress in per cent and, when a query is over, the row groups and bytes
that it read of its own files; streamed leaves count what they decode (``leaves.read_counts``).
Shells and servers watch; a plain connection does not pay for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from ...errors import Error
from ...sql.provider import RelationKind
from ..leaves.pruned import is_wanted
from ..leaves.read_counts import STREAM_READS, column_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...sql.logical import Leaf
    from ..leaves.route import Route
    from ..leaves.table_leaf import Part
    from ..session import Session

_KERNEL_SETTINGS = (
    ("enable_progress_bar", "SET SESSION enable_progress_bar = true"),
    ("enable_progress_bar_print", "SET SESSION enable_progress_bar_print = false"),
    ("enable_profiling", "SET SESSION enable_profiling = 'no_output'"),
)

_READ_MAX = 0.99
"""As far as reading may get a statement: what was read may still be worked on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running query is.

    Attributes:
        fraction: Part of the work done, 0 to 1; None where the kernel cannot tell.
        rows: Rows read so far.
        rows_total: Rows to read, as far as they are stored tables'.
        stored_bytes: Bytes of column chunks read so far, as they are stored.
        bytes_total: Bytes of column chunks to read.
    """

    fraction: float | None = None
    rows: int = 0
    rows_total: int = 0
    stored_bytes: int = 0
    bytes_total: int = 0


@dataclass(frozen=True, slots=True)
class Reads:
    """What a finished query has read.

    Attributes:
        row_groups: Row groups read.
        row_groups_total: Row groups of the tables it scanned.
        read_bytes: Bytes read from files; what was in memory already does not count.
    """

    row_groups: int
    row_groups_total: int
    read_bytes: int


class Observer:
    """Watches the queries of one session, one at a time.

    Args:
        session: The session; its kernel cursors measure themselves from now on.
    """

    def __init__(self, session: Session) -> None:
        self._guard = session.guard
        self._guard.is_observed = True
        # As settings of the session they reach every kernel cursor that it uses.
        session._kernel_settings = (*session._kernel_settings, *_KERNEL_SETTINGS)
        if session._primary is not None:
            for _, sql in _KERNEL_SETTINGS:
                session._primary.execute(sql)
        self.begin()

    def begin(self) -> None:
        """Note that a statement is about to run."""
        self._guard.last = self._guard.reads = None
        self._before = STREAM_READS.copy()
        self._expected: _Expected | None = None

    def close(self) -> None:
        """Watch no longer, and hold nothing of the last statement."""
        self._guard.is_observed = False
        self._guard.last = self._guard.reads = None

    def progress(self) -> Progress:
        """How far the statement is; from any thread."""
        cursor = self._guard.last
        if cursor is None:
            return Progress()
        try:
            per_cent = float(cursor.query_progress())
        except duckdb.Error:
            per_cent = -1.0
        if self._expected is None:
            self._expected = self._expect()
        expected, streamed = self._expected, STREAM_READS.since(self._before)
        native = max(0.0, min(1.0, per_cent / 100))
        rows = streamed.rows + int(native * expected.native_rows)
        stored_bytes = streamed.stored_bytes + int(native * expected.native_bytes)
        rows_total = expected.native_rows + expected.stream_rows
        fraction = native if per_cent >= 0 else None
        if expected.stream_rows:  # the kernel does not know how long a stream is
            fraction = min(_READ_MAX, rows / rows_total)
        bytes_total = expected.native_bytes + expected.stream_bytes
        return Progress(fraction, rows, rows_total, stored_bytes, bytes_total)

    def reads(self) -> Reads | None:
        """What the statement has read; None when it was not read to its end, or read nothing."""
        if self._guard.last is None:
            return None
        try:
            profile = json.loads(self._guard.last.get_profiling_information(format="json"))
        except (duckdb.Error, ValueError):  # the cursor is closed: rows were left
            return None
        query: dict[str, Any] = profile.get("query") or {}
        streamed = STREAM_READS.since(self._before)
        total = streamed.row_groups + streamed.row_groups_skipped
        total += int(query.get("total_row_groups_to_scan") or 0)
        read = streamed.row_groups + int(query.get("total_row_groups_scanned") or 0)
        from_files = int((profile.get("io") or {}).get("total_bytes_read") or 0)
        return Reads(read, total, from_files + streamed.stored_bytes)

    def _expect(self) -> _Expected:
        """What the query has to read, by the zone maps of its leaves."""
        reads = self._guard.reads
        if reads is None:
            return _Expected()
        route, plan = reads
        rows = {True: 0, False: 0}
        stored_bytes = {True: 0, False: 0}
        try:
            for leaf, part in _table_parts(route, plan.leaves):
                definition = route.at(leaf.relation).snapshot.tables[leaf.relation.key].definition
                found = [definition.column(name) for name in leaf.columns or ()]
                ids = None if leaf.columns is None else {c.id for c in found if c is not None}
                streams = part.kind == "stream"
                for group in part.groups:
                    if is_wanted(route, leaf, group, {}):
                        rows[streams] += group.rows
                        stored_bytes[streams] += column_bytes(group, ids)
        except (Error, KeyError):
            return _Expected()  # the query failed meanwhile, and its route is gone
        return _Expected(rows[False], stored_bytes[False], rows[True], stored_bytes[True])


@dataclass(frozen=True, slots=True)
class _Expected:
    """Rows and bytes to read: what the kernel reads itself, and what streams into it."""

    native_rows: int = 0
    native_bytes: int = 0
    stream_rows: int = 0
    stream_bytes: int = 0


def _table_parts(route: Route, leaves: tuple[Leaf, ...]) -> Iterator[tuple[Leaf, Part]]:
    for leaf in leaves:
        if leaf.relation.kind is RelationKind.TABLE:
            for part in route.at(leaf.relation).leaf(leaf.relation.key).parts:
                yield leaf, part
