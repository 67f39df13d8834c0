"""TPC-H: schema, generation, the 22 queries, and comparisons with other engines.

It stands on the public API alone, as any user's program would. The command line is
``pagelake tpch``, mounted from `cli`; as a library, start at `generate.generate`,
`runner.load_pagelake` and `query.queries`.
"""

from __future__ import annotations

from .query import Query, queries, query
from .schema import FOREIGN_KEYS, TABLES

__all__ = ["FOREIGN_KEYS", "TABLES", "Query", "queries", "query"]
