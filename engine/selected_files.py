"""Files that a query chooses: ``read_parquet((SELECT path FROM catalog.proj WHERE …))``.

The kernel's readers take constant lists of paths. The query is run when the statement around it is
planned, in the same snapshot, and its rows become that list.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import InvalidRequest, LimitExceeded
from ..sql.binder import bind
from ..sql.optimizer import optimize
from ..sql.tokens import literal

if TYPE_CHECKING:
    from .catalog import SessionCatalog
    from .session import Session

FILES_MAX: Final = 100_000
"""Files that one reader may be given: each is a part of the statement's text."""
_PATTERN: Final = re.compile(r"[*?\[]")


def selected_paths(session: Session, query: str, catalog: SessionCatalog) -> str:
    """Run a query and write the paths that it gives as a list in SQL.

    Args:
        session: Whose statement it is; the query sees its own changes, and can be interrupted.
        query: Text of the query: one column, of paths or lists of them.
        catalog: What the statement sees.

    Raises:
        InvalidRequest: There is no path, or the query gives something else.
        LimitExceeded: There are more than `FILES_MAX`.
    """
    from .query import open_route  # which asks for this while it makes a plan

    logical = optimize(bind(query, catalog))
    opened = open_route(session, logical, None, catalog.snapshot)
    try:
        with session.guard.watch(opened.cursor):
            found = opened.cursor.execute(query).fetchmany(FILES_MAX + 1)
    finally:
        opened.close(drained=False)
    paths = [path for row in found for path in _paths_of(row)]
    if len(paths) > FILES_MAX:
        raise LimitExceeded(
            f"the query chooses more than {FILES_MAX:,} files",
            hint="choose fewer, or read them in several statements",
        )
    if not paths:
        raise InvalidRequest("the query chooses no files", hint=f"run it by itself: {query}")
    return f"[{', '.join(map(_as_path, paths))}]"


def _paths_of(row: tuple[object, ...]) -> list[str]:
    given = row[0] if len(row) == 1 else None
    listed = given if isinstance(given, list) else [given]
    paths = [path for path in listed if isinstance(path, str)]
    if len(paths) < len(listed):
        raise InvalidRequest(
            "a query that chooses files gives one column, of paths", hint="SELECT path FROM …"
        )
    return paths


def _as_path(path: str) -> str:
    """A path as a literal, in which no letter stands for others."""
    return literal(_PATTERN.sub(lambda found: f"[{found[0]}]", path))
