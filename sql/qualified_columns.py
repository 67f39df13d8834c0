"""Columns that a statement that changes a table names with the table's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

from .tokens import TokenStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlglot.tokenizer_core import Token


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
