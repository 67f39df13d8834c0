"""`catalog_changes('proj', 3, 5)`: what was created, deleted, modified or moved between versions.

A call stands for a query over `pagelake.table_changes` of the catalog's entries. A row of before
and a row of after are one element where they have the same row id, which a scan lets an element
keep wherever it goes; where a scan has replaced all rows, those of one identity are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest
from ...extensions.catalog.columns import STORED
from ...extensions.catalog.relations import HIDDEN_SCHEMA, Relations
from ...sql.tokens import literal, quote
from ..constant import constant
from .listing import catalogs, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.snapshot import Snapshot
    from ..session import Session

CATALOG_CHANGES: Final = "catalog_changes"

_UNTOLD: Final = ("directory", "atime")
"""What may differ without anything having happened to an element: its directory's label, and when
somebody looked at it."""

_TOLD: Final = ("size", "mtime", "owner_name", "group_owner_name", "nfs_mode_bits")
"""Columns that are shown as they are and as they were."""

_QUERY: Final = """
WITH changes AS (
    SELECT *, CASE parent_path WHEN '/' THEN '' ELSE parent_path END || '/' || name AS path,
        change_type IN ('delete', 'update_preimage') AS is_before
    FROM pagelake.table_changes({table}, {first}, {last})
), edges AS (
    SELECT row_id, min(version) AS first_version, max(version) AS last_version
    FROM changes GROUP BY row_id
), ends AS (
    SELECT edges.row_id, last_version,
        any_value(b) FILTER (is_before AND version = first_version) AS b,
        any_value(b) FILTER (NOT is_before AND version = last_version) AS a
    FROM (SELECT row_id, version, is_before, {{'path': path, {packed}}} AS b FROM changes) AS packed
    JOIN edges ON packed.row_id = edges.row_id
    GROUP BY edges.row_id, last_version
), lost AS (
    SELECT last_version, b, row_number() OVER (
        PARTITION BY b.device, b.inode, b.creation_time, b.element_type ORDER BY b.path) AS n
    FROM ends WHERE a IS NULL AND b IS NOT NULL
), born AS (
    SELECT last_version, a, row_number() OVER (
        PARTITION BY a.device, a.inode, a.creation_time, a.element_type ORDER BY a.path) AS n
    FROM ends WHERE b IS NULL AND a IS NOT NULL
), pairs AS (
    SELECT last_version, b, a FROM ends WHERE a IS NOT NULL AND b IS NOT NULL
    UNION ALL
    SELECT coalesce(born.last_version, lost.last_version), b, a
    FROM lost FULL JOIN born ON lost.n = born.n AND b.device = a.device AND b.inode = a.inode
        AND b.creation_time IS NOT DISTINCT FROM a.creation_time
        AND b.element_type = a.element_type
)
SELECT last_version AS version,
    CASE WHEN b IS NULL THEN 'created' WHEN a IS NULL THEN 'deleted'
        WHEN b.path <> a.path THEN 'moved' ELSE 'modified' END AS change_type,
    a.path AS path, b.path AS old_path, coalesce(a.element_type, b.element_type) AS element_type,
    {told}, coalesce(a.device || ':' || a.inode, b.device || ':' || b.inode) AS handle
FROM pairs
WHERE a IS NULL OR b IS NULL OR {differs}"""


def changes_query(session: Session, arguments: Sequence[str], snapshot: Snapshot) -> str:
    """Return the query that a call stands for.

    Args:
        session: Computes the name.
        arguments: Texts of the arguments: the catalog's name, and two versions.
        snapshot: Where the catalog is looked for.

    Raises:
        UnknownName: There is no such catalog.
        InvalidRequest: There are more arguments, or fewer.
    """
    if len(arguments) != 3:
        raise InvalidRequest(
            f"{CATALOG_CHANGES} needs a catalog and two versions",
            hint=f"{CATALOG_CHANGES}('proj', 3, 5): what versions 3, 4 and 5 changed",
        )
    given = str(constant(session, arguments[0], "VARCHAR", meaning="name of a catalog"))
    known = {name.lower(): name for name in catalogs(snapshot)}
    folded = given.lower()
    name = known.get(folded) or known.get(folded.removeprefix("catalog."))
    if name is None:
        raise unknown(snapshot, given)
    table = f"{quote(HIDDEN_SCHEMA)}.{quote(Relations(name).entries.name)}"
    names = [field.name for field in STORED]
    differs = " OR ".join(
        f"a.{quote(column)} IS DISTINCT FROM b.{quote(column)}"
        for column in names
        if column not in _UNTOLD
    )
    return _QUERY.format(
        table=literal(table),
        first=arguments[1],
        last=arguments[2],
        packed=", ".join(f"{literal(column)}: {quote(column)}" for column in names),
        told=", ".join(f"a.{column} AS {column}, b.{column} AS old_{column}" for column in _TOLD),
        differs=f"({differs})",
    )
