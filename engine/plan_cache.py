"""Plans by statement text: a statement that comes again is not planned again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sql.logical import LogicalPlan
    from ..sql.statement import Statement
    from .files.path_query import PathQuery
    from .keys.point_query import PointQuery
    from .result_cache.immutability import Verdict
    from .statements.fast_insert import FastInsert


@dataclass(slots=True)
class Plan:
    """What is known of a statement's text.

    Attributes:
        text: The statement.
        statement: What it asks for.
        catalog_version: Version of the names it was planned against.
        logical: The bound plan of a query.
        sql: The text for the kernel, the store's own name taken out.
        fast_insert: The compiled form of a simple INSERT.
        point_query: The compiled form of a query for rows of one table by their key.
        cacheable: False where it depends on more than text and catalog.
        verdict: Whether results of a query may be kept, once that was asked.
        path_query: The compiled form of a query for the row of one path.
        files: The view of files that an INSERT, UPDATE or DELETE is about; None for a table.
    """

    text: str
    statement: Statement
    catalog_version: int
    logical: LogicalPlan | None = None
    sql: str = ""
    fast_insert: FastInsert | None = None
    point_query: PointQuery | None = None
    cacheable: bool = True
    verdict: Verdict | None = None
    path_query: PathQuery | None = None
    files: str | None = None

    @property
    def verb(self) -> str:
        """What the statement does, in one word."""
        return type(self.statement).__name__.upper()

    @property
    def blind(self) -> bool:
        """True for an INSERT that reads no row of any table."""
        return self.fast_insert is not None and self.fast_insert.blind


class PlanCache:
    """The least recently used plans go first.

    Args:
        entries_max: Plans kept.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries: OrderedDict[tuple[str, str], Plan] = OrderedDict()
        self._lock = threading.Lock()
        self.entries_max = entries_max

    def get(self, text: str, schema: str) -> Plan | None:
        """The plan of a text in a current schema."""
        with self._lock:
            plan = self._entries.get((text, schema))
            if plan is not None:
                self._entries.move_to_end((text, schema))
            return plan

    def put(self, schema: str, plan: Plan) -> None:
        """Remember a plan."""
        with self._lock:
            self._entries[plan.text, schema] = plan
            while len(self._entries) > self.entries_max:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all plans."""
        with self._lock:
            self._entries.clear()
