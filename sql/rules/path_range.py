"""Tell where a statement asks views of files for paths, so that the range of rows can be narrowed.

Such a view computes ``path`` from two stored columns, by which its rows lie in order::

    CASE parent_path WHEN '/' THEN '' ELSE parent_path END || '/' || name AS "path"

A condition on the computed column would be tried on every row. What it means for the stored ones
is said beside it, in the same WHERE, when the statement runs and the paths are known; the user's
own condition stays. A condition counts where every row of the WHERE must meet it: there, and only
there, what follows from it changes nothing, whatever joins and groups the rows came through.

Example::

    SELECT size FROM catalog.proj WHERE path LIKE '/a/b/%' OR size > 9     no range
    SELECT size FROM catalog.proj WHERE path LIKE '/a/b/%' AND size > 9    behind WHERE: path
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from ..logical import PathRange, PathTerm
from ..parameters import markers
from ..path_views import PATH_COLUMNS, stored_files
from ..predicate import Constant
from ..provider import RelationKind
from ..tokens import dialect_of, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlglot.tokenizer_core import Token

    from ..logical import LogicalPlan
    from ..provider import Relation

_FUNCTIONS: Final = frozenset({"starts_with", "prefix"})
_TERMS_MAX: Final = 64
_LISTED_MAX: Final = 1_000


def path_range(plan: LogicalPlan) -> LogicalPlan:
    """Set the ranges of a plan."""
    named = {parts: view for parts, view in plan.named if stored_files(view) is not None}
    if not named:
        return plan
    macros = {r.name.lower() for r in plan.views if r.kind is RelationKind.ENTRY}
    try:
        found = _ranges(plan.sql, named, calls=not macros & _FUNCTIONS)
        if macros or "#" in plan.sql:  # which may name columns, or count them
            found = (replace(place, columns=None) for place in found)
        return replace(plan, ranges=tuple(found))
    except (SqlglotError, RecursionError):
        return plan


def _ranges(
    sql: str, named: Mapping[tuple[str, ...], Relation], *, calls: bool
) -> Iterator[PathRange]:
    text, shifts = _numbered(sql)
    tokens = tokenize(text)
    for tree in sqlglot.parse(text, dialect=dialect_of(text)):
        if tree is None:
            continue
        ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        for select in tree.find_all(exp.Select):
            for source, terms, at in _of_select(select, named, ctes, calls=calls):
                relation = named[_parts(source)]
                stored, behind = stored_files(relation), _behind_where(tokens, at)
                first, last = (source.parts[end].meta for end in (0, -1))
                if stored is None or behind is None or "start" not in first:
                    continue
                begin, end, behind = (
                    offset - sum(length for start, length in shifts if start < offset)
                    for offset in (first["start"], last["end"] + 1, behind)
                )
                yield PathRange(
                    relation, stored, source.alias_or_name, (begin, end), bool(source.alias),
                    behind, tuple(terms), _columns(select, source),
                    _looked_up(select, terms) if select is tree else frozenset(),
                )  # fmt: skip


def _looked_up(select: exp.Select, terms: Sequence[PathTerm]) -> frozenset[str]:
    """The columns of a SELECT that is a list of them for the rows at one path, and no more."""
    if {key for key, value in select.args.items() if value} != {"expressions", "from_", "where"}:
        return frozenset()
    columns = [node.unalias() for node in select.expressions]
    alone = isinstance(select.args["where"].this.unnest(), exp.EQ) and len(terms) == 1
    if not alone or (terms[0].column, terms[0].op) != ("path", "="):
        return frozenset()
    if not all(isinstance(column, exp.Column) for column in columns):
        return frozenset()
    return frozenset(part.name.lower() for column in columns for part in column.parts)


def _columns(select: exp.Select, source: exp.Table) -> frozenset[str] | None:
    """Names in a SELECT from one view, which may be those of columns; None where it takes all."""
    if select.args.get("joins") or select.args.get("laterals") or any(select.find_all(exp.Columns)):
        return None
    for star in select.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            return None
    columns = list(select.find_all(exp.Column))
    bare = {column.name.lower() for column in columns if not column.table}
    # A row as a value, or a column with the schema before it: both need the view itself.
    if source.alias_or_name.lower() in bare or any(len(c.parts) > 2 for c in columns):
        return None
    return frozenset(part.name.lower() for column in columns for part in column.parts)


def _numbered(sql: str) -> tuple[str, list[tuple[int, int]]]:
    """A text with numbers in place of ``?``, and by how much each has made it longer, and where."""
    shifts: list[tuple[int, int]] = []
    text, done, shifted = "", 0, 0
    for marker in markers(sql):
        if marker.positional:
            text += f"{sql[done : marker.start]}${marker.key}"
            shifts.append((marker.start + shifted, len(marker.key)))
            done, shifted = marker.end, shifted + len(marker.key)
    return text + sql[done:], shifts


def _of_select(
    select: exp.Select,
    named: Mapping[tuple[str, ...], Relation],
    ctes: set[str],
    *,
    calls: bool,
) -> Iterator[tuple[exp.Table, list[PathTerm], int]]:
    """Each view in a FROM, what is asked of its paths, and a place in the WHERE."""
    where = select.args.get("where")
    if where is None or next(select.find_all(exp.TableSample), None) or select.args.get("sample"):
        return
    sources = [
        node.this for node in (select.args.get("from_"), *(select.args.get("joins") or ())) if node
    ]
    aliases = [source.alias_or_name.lower() for source in sources]
    if len(set(aliases)) < len(aliases):
        return
    asked: dict[str, tuple[list[PathTerm], int]] = {}
    renamed = {node.alias.lower() for node in select.expressions if isinstance(node, exp.Alias)}
    for conjunct in _conjuncts(where.this):
        for column, term in _terms(conjunct, calls=calls):
            alone = aliases[0] if len(aliases) == 1 and not column.table else None
            alias = alone if alone is not None else column.table.lower()
            at = column.this.meta.get("start")
            if len(column.parts) > 2 or at is None or term.column in renamed:
                continue
            terms, _ = asked.setdefault(alias, ([], at))
            if len(terms) < _TERMS_MAX:
                terms.append(term)
    for source, alias in zip(sources, aliases, strict=True):
        if alias not in asked or not isinstance(source, exp.Table) or alias in PATH_COLUMNS:
            continue
        parts = _parts(source)
        is_cte = len(parts) == 1 and parts[0] in ctes
        if parts in named and not is_cte and _is_plain(source):
            yield source, *asked[alias]


def _parts(source: exp.Table) -> tuple[str, ...]:
    return tuple(part.name.lower() for part in source.parts)


def _is_plain(source: exp.Table) -> bool:
    """Tell whether a view's columns bear their own names where it is read."""
    if any(not isinstance(part, exp.Identifier) for part in source.parts):
        return False
    alias = source.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        return False
    return not any(source.args.get(key) for key in ("pivots", "laterals", "joins", "sample"))


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    else:
        yield condition


def _terms(condition: exp.Expr, *, calls: bool) -> Iterator[tuple[exp.Column, PathTerm]]:
    """What a condition says of a path, if it says just that."""
    column: exp.Expr | None = None
    constants: Sequence[exp.Expr] = ()
    op = ""
    match condition:
        case exp.EQ():
            column, constants, op = condition.left.unnest(), [condition.right], "="
            if not isinstance(column, exp.Column):
                column, constants = condition.right.unnest(), [condition.left]
        case exp.In() if not condition.args.get("query") and not condition.args.get("field"):
            column, constants, op = condition.this.unnest(), condition.expressions, "in"
        case exp.Like() if not condition.args.get("escape"):
            column, constants, op = condition.this.unnest(), [condition.expression], "like"
        case exp.StartsWith() if calls:
            column, constants, op = condition.this.unnest(), [condition.expression], "starts with"
        case exp.Anonymous() if calls and condition.name.lower() == "prefix":
            if len(condition.expressions) == 2:
                column, constants, op = (
                    condition.expressions[0].unnest(),
                    condition.expressions[1:],
                    "starts with",
                )
    if not isinstance(column, exp.Column) or not isinstance(column.this, exp.Identifier):
        return
    name = column.name.lower()
    known = [constant for item in constants if (constant := _constant(item)) is not None]
    if name in PATH_COLUMNS and known and len(known) == len(constants) <= _LISTED_MAX:
        yield column, PathTerm(name, op, tuple(known))


def _constant(node: exp.Expr) -> Constant | None:
    node = node.unnest()
    if isinstance(node, exp.Placeholder | exp.Parameter):
        return Constant(node.name, "parameter") if node.name else None
    if isinstance(node, exp.Literal) and node.is_string:
        return Constant(node.name, "string")
    return None


def _behind_where(tokens: Sequence[Token], at: int) -> int | None:
    """The offset behind the WHERE that a column belongs to."""
    closed = 0
    for token in reversed([token for token in tokens if token.end < at]):
        kind = token.token_type
        if kind is TokenType.R_PAREN:
            closed += 1
        elif kind is TokenType.L_PAREN:
            closed = max(0, closed - 1)  # one that is open around the column counts for nothing
        elif kind is TokenType.WHERE and not closed:
            return int(token.end) + 1
    return None
