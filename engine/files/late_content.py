"""The content of those rows only that ORDER BY … LIMIT leaves over.

The kernel computes a view's columns below the sort: for five rows of a million it would read a
million files. So a query of the form

    SELECT a, content FROM files AS f WHERE c ORDER BY k LIMIT n

is run as

    SELECT a, content FROM (
        SELECT * EXCLUDE (route), content(route, handle) AS content FROM (
            SELECT * FROM "files without content" AS f WHERE c ORDER BY k LIMIT n
        )
    ) AS f ORDER BY k

where neither the condition nor the order asks for the content, and each row of the answer is one
row of the files. What is not surely so is left as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import duckdb
from sqlglot.tokenizer_core import TokenType

from ...errors import ParseError
from ...extensions.files.relations import (
    COLUMNS,
    FILES,
    LATE_CONTENT,
    MACROS,
    OBJECTS,
    ROUTE,
    SCHEMA,
    WITHOUT_CONTENT,
)
from ...sql.tokens import TokenStream, quote, tokenize

if TYPE_CHECKING:
    from ..catalog import SessionCatalog

_POSSIBLE: Final = re.compile(
    r"^\s*SELECT\b.*(\bcontent\b|\*).*\bFROM\b.*\b(files|objects)\b.*\bORDER\s+BY\b.*\bLIMIT\b",
    re.IGNORECASE | re.DOTALL,
)
_CLAUSES: Final = ("WHERE", "ORDER BY", "LIMIT", "OFFSET")
_LATER: Final = (
    *("GROUP BY", "HAVING", "QUALIFY", "WINDOW", "UNION", "EXCEPT", "INTERSECT", "FETCH", ";"),
)
_BEHIND_NAME: Final = frozenset(
    {
        *_CLAUSES,
        *_LATER,
        *(",", "(", "NATURAL", "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "SEMI", "ANTI"),
        *("ASOF", "POSITIONAL", "USING", "TABLESAMPLE", "PIVOT", "UNPIVOT", "AT", "SELECT", "FROM"),
    }
)
"""Words behind a relation's name that are no alias of it."""
_IN_KEYS: Final = frozenset({"asc", "desc", "nulls", "first", "last", "collate", "nocase"})
_NAMES: Final = frozenset(name for name, _, _ in COLUMNS)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The texts of a query's clauses."""

    items: str
    name: tuple[str, ...]
    alias: str
    condition: str
    keys: str
    limit: str


def with_late_content(sql: str, catalog: SessionCatalog) -> str:
    """A query as it is run: the same, or with the content of the rows that are left over only."""
    if not _POSSIBLE.match(sql):
        return sql
    try:
        parts = _parts(sql)
    except ParseError:
        return sql
    if parts is None or not _is_plain(parts, catalog):
        return sql
    relation = catalog.resolve(parts.name)
    if relation is None or relation.name not in {FILES, OBJECTS}:
        return sql
    if not catalog.is_built_in(relation):
        return sql
    schema, alias = replace(relation, schema=SCHEMA).routed_schema, quote(parts.alias)
    bare = f"{quote(schema)}.{quote(relation.name + WITHOUT_CONTENT)}"
    inner = f"SELECT * FROM {bare} AS {alias}{parts.condition}{parts.keys}{parts.limit}"
    late = f"{LATE_CONTENT}({quote(ROUTE)}, handle) AS content"
    outer = f"SELECT * EXCLUDE ({quote(ROUTE)}), {late} FROM ({inner}\n)"
    return f"SELECT {parts.items} FROM ({outer}) AS {alias}{parts.keys}"


def _parts(sql: str) -> _Parts | None:
    """Take a query apart; None for one of another kind."""
    stream = TokenStream(sql)
    stream.at += 1
    if stream.word() in {"DISTINCT", "ALL"}:
        return None
    items = stream.text_until("FROM")
    if not stream.accept("FROM"):
        return None
    name = stream.name()
    alias = name.last
    if stream.accept("AS") or stream.word() not in _BEHIND_NAME:
        alias = stream.identifier()
    texts: dict[str, str] = {}
    for clause in _CLAUSES:
        if stream.word() != clause:
            continue
        start = stream.offset
        stream.at += 1
        stream.text_until(*_CLAUSES, *_LATER)
        texts[clause] = f" {sql[start : stream.behind]}"
    stream.accept(";")
    if not stream.at_end() or "ORDER BY" not in texts or "LIMIT" not in texts:
        return None
    limit = texts["LIMIT"] + texts.get("OFFSET", "")
    return _Parts(items, name.parts, alias, texts.get("WHERE", ""), texts["ORDER BY"], limit)


def _is_plain(parts: _Parts, catalog: SessionCatalog) -> bool:
    """Tell whether the rows are rows of the files, in an order that has nothing of the content."""
    if "content" in parts.condition.lower() or parts.alias.lower() in _NAMES:
        return False
    for text in (parts.items, parts.condition, parts.keys):
        tokens = tokenize(text)
        dots = [index for index, t in enumerate(tokens) if t.token_type is TokenType.DOT]
        if any(later - earlier == 2 for earlier, later in pairwise(dots)):
            return False  # a column with the schema of its relation before it
    return _are_scalar(parts.items, catalog) and _are_columns(parts)


def _are_scalar(items: str, catalog: SessionCatalog) -> bool:
    """Tell whether no item is an aggregate, a window function or a subquery."""
    tokens = [str(token.text).lower() for token in tokenize(items)]
    if {"over", "select", "unnest", "columns", "?"} & set(tokens):
        return False
    called = {name for name, behind in pairwise(tokens) if behind == "("}
    return not called & (_aggregates() | (catalog.entries().keys() - MACROS.keys()))


def _are_columns(parts: _Parts) -> bool:
    """Tell whether rows are ordered by plain columns, which mean the same above and below."""
    words = [str(token.text).lower() for token in tokenize(parts.items)]
    kinds = [token.token_type for token in tokenize(parts.items)]
    # `a AS b`, and `a b` too; what follows an operator is none, but does no harm.
    renamed = {
        words[at]
        for at in range(1, len(words))
        if kinds[at] in _WORDS and kinds[at - 1] not in {TokenType.COMMA, TokenType.DOT}
    }
    allowed = _NAMES - {"content"} - renamed
    others = {*_IN_KEYS, parts.alias.lower(), ",", "."}
    keys = (str(token.text).lower() for token in tokenize(parts.keys)[1:])
    return all(word in allowed or word in others for word in keys)


_WORDS: Final = frozenset({TokenType.VAR, TokenType.IDENTIFIER})


@lru_cache(maxsize=1)
def _aggregates() -> frozenset[str]:
    """Names that aggregate functions have."""
    with duckdb.connect() as kernel:
        found = kernel.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE function_type IN ('aggregate', 'table')"
        ).fetchall()
    return frozenset(row[0] for row in found)
