"""Running point queries in a session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pyarrow as pa

from ..files import path_run
from ..query import from_table, pin, unpin
from ..query import run as run_by_kernel
from ..statements.fast_insert import parameters_by_key
from .point_query import python_rows
from .rows_result import RowsResult

if TYPE_CHECKING:
    from types import FrameType

    from ...storage.snapshot import Snapshot
    from ..kernel import Parameters
    from ..plan_cache import Plan
    from ..result import Result, Timing
    from ..session import Session


def run(
    session: Session,
    plan: Plan,
    parameters: Parameters,
    frame: FrameType | None,
    *,
    begun: float,
    timing: Timing,
    cached: bool,
) -> Result:
    """Run a planned query: a point query here, any other by the kernel.

    Raises:
        Corrupt: A key run or a row group is damaged.
        SnapshotGone: The snapshot was reclaimed.
    """
    if plan.path_query is not None and not (session.has_kernel_state or session.kernel_settings):
        row = path_run.answer(session, plan, parameters, timing, cached=cached)
        if row is not None:
            return row
    # Settings of the kernel may change how constants compare and how values look.
    if plan.point_query is not None and not (session.has_kernel_state or session.kernel_settings):
        snapshot = session.snapshot()
        if snapshot.catalog_version == plan.catalog_version:
            result = _answer(session, plan, snapshot, parameters, timing, cached=cached)
            if result is not None:
                timing.total_ms += (time.perf_counter() - begun) * 1e3
                return result
    return run_by_kernel(
        session, plan, parameters, frame, begun=begun, timing=timing, cached=cached
    )


def _answer(
    session: Session,
    plan: Plan,
    snapshot: Snapshot,
    parameters: Parameters,
    timing: Timing,
    *,
    cached: bool,
) -> Result | None:
    """Answer a point query at a snapshot; None where the kernel must."""
    query, logical = plan.point_query, plan.logical
    assert query is not None
    assert logical is not None
    database = session.database
    state = snapshot.tables[query.definition.id]
    transaction = session.transactions.current
    pinned = pin(session, logical, snapshot)
    try:
        if transaction is not None:
            transaction.note_read(query.definition.id)
        found = query.find(state, database.keys, parameters_by_key(parameters))
        if found is None:
            return None
        columns = query.read(state, database.keys, found)
    finally:
        unpin(session, pinned)

    def by_kernel(start: int) -> Result:
        stored = {f"c{i}": column.slice(start) for i, column in enumerate(columns)}
        return from_table(session, pa.table(stored), query.restoring)

    entry = database.log.begin(plan.text, snapshot.version, plan_cached=cached, timing=timing)
    rows = python_rows(query, columns)
    if rows is None:
        result = by_kernel(0)
    else:
        names = [name for _, name in query.selected]
        types = [column.type for column, _ in query.selected]
        result = RowsResult(names, types, rows, by_kernel)
    result.timing = timing
    database.log.end(entry, int(found.keys.size), None)
    return result
