"""`.explain`: the plan of a query as a tree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ....errors import InvalidRequest
from .command import Command

if TYPE_CHECKING:
    from ..repl import Shell

_ANALYZE = re.compile(r"analy[sz]e\b\s*", re.IGNORECASE)


def _explain(shell: Shell, arguments: list[str]) -> None:
    rest = arguments[0] if arguments else ""
    analyze = _ANALYZE.match(rest)
    query = rest[analyze.end() :] if analyze else rest
    query = query or shell.last_query
    if not query.strip(" ;"):
        raise InvalidRequest("there is no query yet", hint="say .explain QUERY")
    shell.show(f"EXPLAIN {'ANALYZE ' if analyze else ''}{query}")
    shell.last_query = query


COMMANDS = (
    Command(
        ".explain",
        "[analyze] [QUERY]",
        "Draw the plan of a query, the last one by default; analyze runs and measures it.",
        (".explain SELECT count(*) FROM lineitem", ".explain analyze"),
        _explain,
        takes="query",
        is_raw=True,
    ),
)
