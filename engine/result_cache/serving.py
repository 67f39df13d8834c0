"""Where a query meets the result cache: whether its answer is there, or is to be kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...sql.statement import Query
from ..plan_cache import Plan
from .cache import ENTRY_BYTES, Entry
from .identity import (
    NoIdentity,
    copied,
    parameters_identity,
    state_identity,
)
from .immutability import judge
from .recorded_result import RecordedResult
from .rows import Restorer
from .stored_result import StoredResult

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pyarrow as pa

    from ...sql.logical import LogicalPlan
    from ...storage.snapshot import Snapshot
    from ..kernel import Parameters
    from ..result import Execution, Result, Timing
    from ..session import Session
    from .cache import ResultCache


@dataclass(slots=True)
class Recording:
    """A query whose answer may be kept.

    Attributes:
        cache: The cache.
        key: Its key.
        epoch: The cache's epoch when the key was made.
        plan: Its plan.
        parameters: Its parameters, as they were then.
        restorer: Turns Arrow rows into the kernel's.
        bytes_max: The largest result that is kept.
    """

    cache: ResultCache
    key: Hashable
    epoch: int
    plan: Plan
    parameters: Parameters
    restorer: Restorer
    bytes_max: int

    def result(self, execution: Execution, timing: Timing) -> Result:
        """A result of the kernel that is kept once it was read to its end."""
        return RecordedResult(execution, timing, self)

    def keep(
        self, rows: pa.Table, columns: Sequence[str], types: Sequence[str], restoring: str
    ) -> None:
        """Keep a whole result."""
        size = rows.get_total_buffer_size() + ENTRY_BYTES + len(self.plan.sql)
        entry = Entry(rows, tuple(columns), tuple(types), restoring, size)
        self.cache.put(self.key, entry, self.epoch)

    def refuse(self) -> None:
        """Remember that the result is not one to keep: too large, or of types that are not kept.

        The statement may have others: the types of its columns may be those of its parameters.
        """
        self.cache.note_unfit(self.key)


def recall(
    session: Session,
    plan: Plan,
    snapshot: Snapshot,
    parameters: Parameters,
    timing: Timing,
    *,
    cached: bool,
) -> Result | Recording | None:
    """Look a query up.

    Args:
        session: Who asks.
        plan: The query, planned for the snapshot's names.
        snapshot: What it reads.
        parameters: Its parameters.
        timing: Where its time is noted.
        cached: Whether the plan was there already.

    Returns:
        The answer; or what is to be done to keep it; or None where it is none that is kept.

    Raises:
        SnapshotGone: It reads a version that was reclaimed.
    """
    begun = time.perf_counter()
    if why_not(session, plan, snapshot):
        return None
    cache = session.database.results
    epoch = cache.epoch
    try:
        key = _key(session, plan, snapshot, parameters, epoch)
    except NoIdentity:
        return None
    entry = cache.get(key)
    if entry is not None:
        _note_reads(session, plan)
        log = session.database.log.begin(
            plan.text, snapshot.version, plan_cached=cached, timing=timing
        )
        result = StoredResult(entry, Restorer(session))
        timing.total_ms += timing.planning_ms + (time.perf_counter() - begun) * 1e3
        result.timing = timing
        session.database.log.end(log, entry.rows.num_rows, None)
        return result
    if cache.is_unfit(key):
        return None
    kept: Parameters = copied(parameters)  # type: ignore[assignment]
    restorer = Restorer(session)
    return Recording(cache, key, epoch, plan, kept, restorer, cache.entry_bytes_max)


def explained(
    session: Session, logical: LogicalPlan, snapshot: Snapshot, parameters: Parameters
) -> tuple[str, ...]:
    """What EXPLAIN says of a query and the result cache; nothing where there is none."""
    cache = session.database.results
    if not cache.bytes_max:
        return ()
    plan = Plan(logical.sql, Query(logical.sql), snapshot.catalog_version, logical, logical.sql)
    reason = why_not(session, plan, snapshot)
    if not reason:
        try:
            key = _key(session, plan, snapshot, parameters, cache.epoch)
        except NoIdentity as unknown:
            reason = str(unknown)
        else:
            if cache.contains(key):
                return ("result cache: the answer is there",)
            if not cache.is_unfit(key):
                return ("result cache: the answer is kept once it is read",)
            reason = "it is too large or of types that are not kept"
    return (f"result cache: the answer is not kept, {reason}",)


def why_not(session: Session, plan: Plan, snapshot: Snapshot) -> str:
    """Why a query's result is not kept; empty where it is."""
    if session.private:
        return "the transaction has changes of its own"
    if session.has_kernel_state or session.temporary:
        return "the connection has temporary objects"
    assert plan.logical is not None
    verdict = plan.verdict
    if verdict is None:
        verdict = plan.verdict = judge(session, plan.logical, session.schema, snapshot)
    if not verdict.reason and not verdict.dotted.isdisjoint(session.database.attached):
        return "it may call a function of an attached database"
    return verdict.reason


def _note_reads(session: Session, plan: Plan) -> None:
    """What reading the tables would have checked and noted.

    Raises:
        SnapshotGone: A version was reclaimed.
    """
    assert plan.logical is not None
    transaction = session.transactions.current
    for leaf in plan.logical.leaves:
        if leaf.relation.version is not None:
            session.database.store.require_kept(leaf.relation.version)
        elif transaction is not None:
            transaction.note_read(leaf.relation.key)


def _key(
    session: Session, plan: Plan, snapshot: Snapshot, parameters: Parameters, epoch: int
) -> Hashable:
    assert plan.logical is not None
    assert plan.verdict is not None
    return (
        plan.verdict.text,
        session.schema,
        session.kernel_settings,
        state_identity(plan.logical, snapshot),
        parameters_identity(parameters),
        epoch,
    )
