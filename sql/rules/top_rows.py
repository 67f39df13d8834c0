"""Tell of a statement for the first rows of a view of files by one of its columns.

    SELECT path, size FROM catalog.proj WHERE uid = 0 ORDER BY size DESC LIMIT 100

The kernel reads the other columns of the rows it has chosen afterwards, but only where they lie in
one table of its own. Where newer rows lie in another one, it reads all columns of all rows. So the
engine asks for the hundredth size first, by that column alone, and leaves out what is smaller.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from ..logical import TopRows
from ..parameters import markers
from ..path_views import stored_files
from ..provider import RelationKind
from ..tokens import dialect_of, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokenizer_core import Token

    from ..logical import LogicalPlan
    from ..provider import Relation

ROWS_MAX: Final = 1_000
"""A threshold leaves few rows over for few only."""
_CLAUSES: Final = {"expressions", "from_", "where", "order", "limit", "offset"}
_PLAIN: Final = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.And, exp.Or, exp.Not,
    exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Like,
    exp.ILike, exp.Is, exp.Neg, exp.Cast, exp.DataType, exp.StartsWith, exp.Where,
)  # fmt: skip
"""What a condition may consist of that says the same of a row each time."""


def top_rows(plan: LogicalPlan) -> LogicalPlan:
    """Set the threshold that a plan's rows have to reach."""
    named = {parts: view for parts, view in plan.named if stored_files(view) is not None}
    if not named or any(r.kind is RelationKind.ENTRY for r in plan.views):
        return plan
    try:
        return replace(plan, top=_top(plan.sql, named))
    except (SqlglotError, RecursionError):
        return plan


def _top(sql: str, named: dict[tuple[str, ...], Relation]) -> TopRows | None:
    trees = [tree for tree in sqlglot.parse(sql, dialect=dialect_of(sql)) if tree is not None]
    if len(trees) != 1 or not isinstance(trees[0], exp.Select) or markers(sql):
        return None
    select = trees[0]
    if {key for key, value in select.args.items() if value} - _CLAUSES:
        return None
    source = select.args["from_"].this if select.args.get("from_") else None
    rows = _count(select.args.get("limit"), 0)
    skipped = _count(select.args.get("offset"), 0) if select.args.get("offset") else 0
    key = _key(select)
    if key is None or rows is None or skipped is None or not 0 < rows + skipped <= ROWS_MAX:
        return None
    if not isinstance(source, exp.Table) or source.alias_or_name.lower() == key[0]:
        return None
    if any(source.args.get(name) for name in ("pivots", "laterals", "joins", "sample")):
        return None
    alias = source.args.get("alias")
    relation = named.get(tuple(part.name.lower() for part in source.parts))
    if relation is None or (alias is not None and alias.args.get("columns")):
        return None
    where = select.args.get("where")
    if where is not None and not all(isinstance(node, _PLAIN) for node in where.walk()):
        return None
    places = _clauses(tokenize(sql))
    if places is None or "%" in sql[places[2] :] or "percent" in sql[places[2] :].lower():
        return None
    if (places[1] is None) != (where is None):
        return None
    column, descending = key
    return TopRows(
        relation, source.alias_or_name, column, descending, rows + skipped, places[0], places[1],
        places[2],
    )  # fmt: skip


def _count(node: exp.Expr | None, least: int) -> int | None:
    """The number of a LIMIT or OFFSET."""
    plain = isinstance(node, exp.Limit | exp.Offset) and not node.args.get("limit_options")
    value = node.args.get("expression") if plain and node is not None else None
    if not isinstance(value, exp.Literal) or value.is_string or not value.name.isdecimal():
        return None
    return max(least, int(value.name))


def _key(select: exp.Select) -> tuple[str, bool] | None:
    """The column that rows are ordered by first, and whether from the greatest down."""
    order = select.args.get("order")
    first = order.expressions[0] if order is not None and order.expressions else None
    if not isinstance(first, exp.Ordered) or first.args.get("nulls_first"):
        return None
    if first.args.get("with_fill") or not isinstance(first.this, exp.Column):
        return None
    column = first.this
    named = [node for node in select.expressions if isinstance(node, exp.Alias)]
    if len(column.parts) > 1 or any(node.alias.lower() == column.name.lower() for node in named):
        return None
    for node in select.expressions:
        plain = node.unalias()
        if not isinstance(plain, exp.Column | exp.Star) or plain.args.get("replace"):
            return None
    return column.name.lower(), bool(first.args.get("desc"))


def _clauses(tokens: Sequence[Token]) -> tuple[int, int | None, int] | None:
    """Offsets of FROM, behind WHERE, and of ORDER, each of which is to stand there once."""
    found: dict[TokenType, list[Token]] = {}
    kinds = {TokenType.FROM, TokenType.WHERE, TokenType.ORDER_BY}
    for token in tokens:
        if token.token_type in kinds:
            found.setdefault(token.token_type, []).append(token)
    if any(len(several) > 1 for several in found.values()):
        return None
    if TokenType.FROM not in found or TokenType.ORDER_BY not in found:
        return None
    where = found.get(TokenType.WHERE)
    begin, order = found[TokenType.FROM][0].start, found[TokenType.ORDER_BY][0].start
    return None if begin > order else (begin, where[0].end + 1 if where else None, order)
