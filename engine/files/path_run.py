"""Answering a query for one path; see `path_query`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ...extensions.catalog.columns import OwnerNames
from ...extensions.files.relations import COLUMNS, OBJECTS
from ...sql.tokens import quote
from ...storage.files.definition import ELEMENTS
from ...storage.files.file_error import FileError
from ...storage.files.name import bytes_of
from ...storage.files.path import normal, prefix_of
from ..keys.rows_result import RowsResult
from ..query import from_table, pin, unpin
from .path_query import TYPES
from .stored_content import StoredContents

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...storage.files.element import Element
    from ...storage.snapshot import Snapshot
    from ..kernel import Parameters
    from ..plan_cache import Plan
    from ..result import Result, Timing
    from ..session import Session
    from .path_query import PathQuery

_OWNERS: Final = OwnerNames()
_TIMES: Final = frozenset({"atime", "mtime", "ctime", "creation_time"})
_EPOCH: Final = datetime(1970, 1, 1)  # as the kernel's client gives them, in UTC
_COMPUTED: Final[dict[str, Callable[[Element], object]]] = {
    "owner_name": lambda e: _OWNERS.user(e.uid),
    "login_name": lambda e: _OWNERS.user(e.uid),
    "group_owner_name": lambda e: _OWNERS.group(e.gid),
    "phandle": lambda e: {"clone_id": None, "handle_id": e.handle},
    "search_path": lambda e: prefix_of(e.parent_path),
    "user_tags_count": lambda e: len(e.user_tags or ()),
    "name_bytes": lambda e: bytes_of(e.name),
    "user_tags": lambda e: None if e.user_tags is None else dict(e.user_tags),
    "user_metadata": lambda e: None if e.user_metadata is None else dict(e.user_metadata),
}
_NULL: Final = frozenset(name for name, _, sql in COLUMNS if sql.startswith("NULL::"))
_ARROW: Final = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "UINTEGER": pa.uint32(),
    "BOOLEAN": pa.bool_(),
    "BLOB": pa.binary(),
    "TIMESTAMP_NS": pa.timestamp("ns"),
    "MAP(VARCHAR, VARCHAR)": pa.map_(pa.string(), pa.string()),
    TYPES["phandle"]: pa.struct([("clone_id", pa.int32()), ("handle_id", pa.int64())]),
    TYPES["s3_locks_retention"]: pa.struct([("mode", pa.string()), ("timeout", pa.int64())]),
}


def answer(
    session: Session, plan: Plan, parameters: Parameters, timing: Timing, *, cached: bool
) -> Result | None:
    """Answer a query for one path; None where the kernel must.

    Raises:
        Corrupt: What it reads is damaged.
        LimitExceeded: The content is too large for a value.
    """
    query, logical = plan.path_query, plan.logical
    snapshot = session.snapshot()
    assert query is not None
    assert logical is not None
    path = query.given(parameters)
    if path is None or snapshot.catalog_version != plan.catalog_version:
        return None
    database = session.database
    transaction = session.transactions.current
    pinned = pin(session, logical, snapshot)
    begun = time.perf_counter()
    try:
        if transaction is not None:
            transaction.note_read(ELEMENTS)
        element = _find(session, snapshot, path, query.view)
        rows = [] if element is None else [_row(session, snapshot, query, element)]
    finally:
        unpin(session, pinned)
    names = [label for _, label in query.selected]
    types = [TYPES[column] for column, _ in query.selected]

    def by_kernel(start: int) -> Result:
        stored = [
            pa.array([_stored(row[at]) for row in rows[start:]], _ARROW[sql_type])
            for at, sql_type in enumerate(types)
        ]
        table = pa.Table.from_arrays(stored, names=[f"c{at}" for at in range(len(stored))])
        listed = ", ".join(f"c{at} AS {quote(name)}" for at, name in enumerate(names))
        return from_table(session, table, f"SELECT {listed} FROM rows")

    entry = database.log.begin(plan.text, snapshot.version, plan_cached=cached, timing=timing)
    shown = [tuple(_shown(value) for value in row) for row in rows]
    result = RowsResult(names, types, shown, by_kernel)
    timing.total_ms += (time.perf_counter() - begun) * 1e3
    result.timing = timing
    database.log.end(entry, len(rows), None)
    return result


def _find(session: Session, snapshot: Snapshot, path: str, view: str) -> Element | None:
    """The element whose row has a path in a view."""
    try:
        if normal(path) != path:
            return None
        element = session.database.files.view(snapshot).find(path)
    except FileError:
        return None  # no row has such a path
    if element is None or element.link is not None:
        return None
    if snapshot.tables.get(ELEMENTS) is None:
        return None  # the root is a row when there are any
    if view == OBJECTS and (not element.is_file or element.bucket_id is None):
        return None
    return element


@dataclass(frozen=True, slots=True)
class _Nanoseconds:
    """A time, until it is known in which form it is wanted."""

    value: int


def _row(
    session: Session, snapshot: Snapshot, query: PathQuery, element: Element
) -> tuple[object, ...]:
    row: list[object] = []
    for column, _ in query.selected:
        if column in _NULL:
            row.append(None)
        elif column in _COMPUTED:
            row.append(_COMPUTED[column](element))
        elif column == "content":
            contents = StoredContents(session.database.files)
            row.append(contents.of_handles(snapshot, pa.array([element.handle]))[0].as_py())
        else:
            value = getattr(element, column)
            is_time = column in _TIMES and value is not None
            row.append(_Nanoseconds(value) if is_time else value)
    return tuple(row)


def _shown(value: object) -> object:
    if isinstance(value, _Nanoseconds):
        microseconds = abs(value.value) // 1000  # towards 1970, as the kernel's client cuts them
        return _EPOCH + timedelta(microseconds=microseconds if value.value >= 0 else -microseconds)
    return value


def _stored(value: object) -> Any:
    return value.value if isinstance(value, _Nanoseconds) else value
