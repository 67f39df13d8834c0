"""Names with more before them than the kernel knows: a table's schema, or the store's own name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

from .tokens import TokenStream, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlglot.tokenizer_core import Token

    from .provider import Catalog

_ITS_DATABASE = re.compile(
    r"\bpg_catalog\s*\.\s*(?=current_(database|catalog)\s*\()", re.IGNORECASE
)
"""Qualified, these would tell the name of a route."""


def without_schema(sql: str, schema: str, table: str) -> str:
    """Take the schema out of ``schema.table.column``: the table alone is what rows come from.

    A relation's own name, of two parts, keeps it.

    Args:
        sql: The statement.
        schema: The schema of the table that it changes.
        table: The table's name.
    """
    if schema.lower() not in sql.lower():
        return sql
    tokens = TokenStream(sql).tokens
    wanted = [schema.lower(), table.lower()]
    for chain in reversed(list(dotted_names(tokens))):
        if len(chain) > 2 and [str(tokens[place].text).lower() for place in chain[:2]] == wanted:
            sql = sql[: tokens[chain[0]].start] + sql[tokens[chain[1]].start :]
    return sql


def dotted_names(tokens: Sequence[Token]) -> Iterator[list[int]]:
    """Dotted names, as the places of their parts among the tokens."""
    index = 0
    while index < len(tokens):
        chain = [index]
        if _is_name(tokens[index]) and not (index and tokens[index - 1].text == "."):
            while (
                index + 2 < len(tokens)
                and tokens[index + 1].token_type is TokenType.DOT
                and _is_name(tokens[index + 2])
            ):
                index += 2
                chain.append(index)
            yield chain
        index += 1


def _is_name(token: Token) -> bool:
    if token.token_type is TokenType.IDENTIFIER:
        return True
    text = str(token.text)
    return token.token_type is not TokenType.STRING and (text[:1].isalpha() or text[:1] == "_")


def without_database(sql: str, database: str, catalog: Catalog) -> str:
    """Take the store's own name out of three-part names; the kernel knows it by another."""
    sql = _ITS_DATABASE.sub("", sql)
    if database.lower() not in sql.lower():
        return sql
    tokens = tokenize(sql)
    cuts: list[tuple[int, int]] = []
    for index in range(len(tokens) - 2):
        first, dot, second = tokens[index : index + 3]
        before = tokens[index - 1].text if index else ""
        if first.text.lower() != database.lower() or dot.text != "." or before == ".":
            continue
        third = tokens[index + 4].text if index + 4 < len(tokens) else ""
        dotted = index + 4 < len(tokens) and tokens[index + 3].text == "."
        parts = [first.text, second.text, third] if dotted else [first.text, second.text]
        if catalog.resolve(parts) is not None:
            cuts.append((first.start, dot.end + 1))
    for start, end in reversed(cuts):
        sql = sql[:start] + sql[end:]
    return sql
