"""Sums by the directory at a depth, for reports that add up what lies below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InvalidRequest
from .report import Parameter

if TYPE_CHECKING:
    from .report import Arguments

DEPTH = Parameter("depth", "INTEGER", "how many levels below the path", "1")


def depth_of(given: Arguments) -> int:
    """The depth that is asked for.

    Raises:
        InvalidRequest: It is none.
    """
    depth = int(given.values["depth"] or 0)
    if depth < 1:
        raise InvalidRequest("depth begins at 1: the directories in the path itself")
    return depth


def by_ancestor(given: Arguments, condition: str) -> str:
    """A query of files, bytes and newest mtime by the directory at a depth below the path.

    Args:
        given: The report's arguments, `depth` among them.
        condition: Which entries count.

    What lies less deep counts for the directory that it lies in. Sums by parent come first: there
    are many more entries than directories, and only the latter's paths are cut.
    """
    depth = depth_of(given)
    # The path '/a' and depth 1 keep the parts '', 'a' and one more; '/' is '' as a base.
    kept = f"len(string_split({given.base}, '/')) + {depth}"
    return f"""
        WITH by_parent AS (
            SELECT parent_path, count(*) AS files, sum(size) AS bytes, sum(used) AS used,
                   max(mtime) AS newest_mtime
            FROM {given.source.entries}
            WHERE element_type = 'FILE' AND {condition} AND {given.below}
            GROUP BY parent_path),
        base AS (SELECT {kept} AS parts)
        SELECT coalesce(nullif(array_to_string(string_split(parent_path, '/')[:parts], '/'), ''),
                        '/') AS directory,
               sum(files)::BIGINT AS files, sum(bytes)::BIGINT AS bytes, sum(used)::BIGINT AS used,
               max(newest_mtime) AS newest_mtime
        FROM by_parent, base
        GROUP BY ALL ORDER BY used DESC, 1"""
