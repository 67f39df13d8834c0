"""The first rows by one column, where they lie in several parts: the last of them comes first.

    SELECT * FROM catalog.proj ORDER BY size DESC LIMIT 100
    SELECT * FROM catalog.proj WHERE size >= 7340032 ORDER BY size DESC LIMIT 100

A table that was changed since its hot segment was built is read from several native tables, and the
kernel then reads every column of every row before it chooses (see ``sql/rules/top_rows.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np

from ...extensions.catalog.relations import VIEW_COLUMNS, entries_sql
from ...sql.path_views import stored_files
from ...sql.tokens import literal, quote
from ..kernel_errors import is_hot_damage
from .hot_tier import native_name
from .table_leaf import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...sql.logical import TopRows
    from ...storage.effects import Column
    from ...storage.snapshot import Snapshot
    from ..session import Session
    from .route import Route
    from .table_leaf import Part

_ORDERED: Final = frozenset({
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "TIMESTAMP", "TIMESTAMP_NS",
})  # fmt: skip
"""Types whose values come back from text, and compare as they are ordered."""
_DELETED_MAX: Final = 1_000
"""Deleted rows that may stand among the first."""
_ROWS_MIN: Final = 500_000
"""Reading all columns of fewer rows costs less than asking twice."""


def with_threshold(
    session: Session, top: TopRows, sql: str, snapshot: Snapshot, route: Route
) -> str:
    """Leave out rows that are behind the last one wanted.

    Args:
        session: The session.
        top: What it asks for.
        sql: Its text.
        snapshot: What is read.
        route: Where its names lead.

    Raises:
        duckdb.Error: A hot segment is damaged.
    """
    if session.has_kernel_state or session.kernel_settings:
        return sql
    files = stored_files(top.relation)
    if files is None or top.relation.version is not None:
        return sql
    stored = snapshot.table(files.schema, files.table)
    if stored is None or stored.rows < _ROWS_MIN or top.relation.sql != entries_sql(files.table):
        return sql
    column = stored.definition.column(top.column)
    if column is None or column.type not in _ORDERED:
        return sql
    if (top.column, top.column) not in VIEW_COLUMNS:
        return sql  # computed
    parts = route.leaf(stored.definition.id).parts
    if len(parts) == 1 and not parts[0].deleted.size:
        return sql
    key = f"{quote(top.alias)}.{quote(top.column)}"
    end = top.order
    try:
        value = _last_of_parts(route, top, parts, column) if top.behind_where is None else None
        value = value or _last(route, top, f"{key} AS k {sql[top.begin : end]}")
    except duckdb.Error as error:
        if is_hot_damage(error):
            raise
        return sql  # whatever is wrong with the statement, the kernel is to tell of it as it is
    if value is None:
        return sql
    condition = f"{key} {'>=' if top.descending else '<='} CAST({literal(value)} AS {column.type})"
    if top.behind_where is None:
        return f"{sql[:end]} WHERE {condition} {sql[end:]}"
    where = top.behind_where
    return f"{sql[:where]} ({sql[where:end]}) AND {condition} {sql[end:]}"


def _last(route: Route, top: TopRows, rows: str) -> str | None:
    """The last of the first values, None where there are fewer."""
    order, last = ("DESC", "min") if top.descending else ("ASC", "max")
    ((value, count),) = route.rows(
        f"SELECT {last}(k)::VARCHAR, count(k) FROM (SELECT {rows} ORDER BY k {order} NULLS LAST "
        f"LIMIT {top.rows})"
    )
    return str(value) if count == top.rows else None


def _last_of_parts(route: Route, top: TopRows, parts: Sequence[Part], column: Column) -> str | None:
    """The same, of each part by itself; None where that does not tell.

    Deleted rows are left out of the few that are found: the kernel would look up all rows of a part
    among those that are deleted.
    """
    if any(part.kind == "stream" or column.id not in _held(part, column) for part in parts):
        return None
    order = "DESC" if top.descending else "ASC"
    name = f"leaf.{native_name(column)}"
    rank = "epoch_ns(k)" if column.type.startswith("TIMESTAMP") else "k"
    found: list[tuple[int, str]] = []
    for part in parts:
        wanted = top.rows + min(part.deleted.size, _DELETED_MAX)
        where = guarded(part, native_name(column))
        rows = route.rows(
            f"SELECT position, {rank}, k::VARCHAR FROM (SELECT leaf.{part.position} AS position, "
            f"{name} AS k FROM {part.source} AS leaf{where} "
            f"ORDER BY k {order} NULLS LAST LIMIT {wanted})"
        )
        alive = np.isin([row[0] for row in rows], part.deleted, invert=True)
        kept = [(k, text) for (_, k, text), lives in zip(rows, alive, strict=True) if lives]
        if len(rows) == wanted and len(kept) < top.rows:
            return None
        found += [(k, text) for k, text in kept if k is not None]
    found.sort(reverse=top.descending)
    return found[top.rows - 1][1] if len(found) >= top.rows else None


def _held(part: Part, column: Column) -> frozenset[int]:
    return frozenset({column.id}) if part.columns is None else part.columns
