"""The time that an explicit transaction shows: that of its beginning, whichever statement asks.

The kernel runs each statement in a transaction of its own, and would tell a later time each
time. Macros on the cursor of a statement that asks hide the functions that tell the time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ...sql.tokens import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...sql.logical import LogicalPlan
    from ...storage.snapshot import Snapshot
    from ..kernel import Cursor

_ASKED = re.compile(
    r"\b(now|today|transaction_timestamp|get_current_time(stamp)?|localtime(stamp)?"
    r"|current_(date|time|timestamp|localtime|localtimestamp))\b",
    re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FUNCTIONS = {
    "now": "{time}",
    "get_current_timestamp": "{time}",
    "transaction_timestamp": "{time}",
    "today": "CAST({time} AS DATE)",
    "current_date": "CAST({time} AS DATE)",
    "get_current_time": "CAST({time} AS TIMETZ)",
    "current_localtimestamp": "CAST({time} AS TIMESTAMP)",
    "current_localtime": "CAST(CAST({time} AS TIMESTAMP) AS TIME)",
}
"""What tells the time, and how it follows from a point in time; the session's zone decides."""


def asks_time(logical: LogicalPlan, snapshot: Snapshot) -> bool:
    """Tell whether a plan, or a default that it may meet, asks for the time.

    Args:
        logical: The plan.
        snapshot: Where defaults of columns are.
    """
    return any(_ASKED.search(text) for text in _texts(logical, snapshot))


def _texts(logical: LogicalPlan, snapshot: Snapshot) -> Iterable[str]:
    yield logical.sql
    for relation in logical.relations:
        if relation.sql:
            yield relation.sql
    for state in snapshot.tables.values():
        for column in state.definition.columns:
            if column.default:
                yield column.default


def stop_clock(cursor: Cursor, begun_us: int) -> None:
    """Let a cursor tell the time at which its transaction began.

    Args:
        cursor: A kernel cursor.
        begun_us: The time, in microseconds since 1970-01-01 UTC.
    """
    time = f"TIMESTAMPTZ '{(_EPOCH + timedelta(microseconds=begun_us)).isoformat(sep=' ')}'"
    made = (
        f"CREATE OR REPLACE TEMP MACRO {quote(name)}() AS {text.format(time=time)}"
        for name, text in _FUNCTIONS.items()
    )
    cursor.execute("; ".join(made))


def start_clock(cursor: Cursor) -> None:
    """Let a cursor tell the present time again."""
    dropped = (f"DROP MACRO IF EXISTS temp.main.{quote(name)}" for name in _FUNCTIONS)
    cursor.execute("; ".join(dropped))
