"""The binder: which relations a query reads, and of each which columns and rows can matter.

Names are bound here, on the sqlglot tree, against one snapshot's catalog. Where sqlglot cannot
read a text that the kernel's own parser accepts, binding falls back to the tokens: every name
in the text that is a relation's becomes a leaf, all columns, all rows.

What is found out may only ever be too much: a column too many costs time, a column too few
would be an error, so anything that is not understood widens the answer.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.optimizer.simplify import simplify
from sqlglot.tokenizer_core import TokenType

from ..errors import UnknownName
from ..storage.schema_path import SEPARATOR
from .logical import Leaf, LogicalPlan, Occurrence
from .path_views import stored_files
from .predicate import Constant, Predicate
from .provider import Catalog, Relation, RelationKind
from .tokens import dialect_of, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# It warns of each text that it cannot read, on the user's screen where nobody handles that.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())

VIEW_DEPTH_MAX = 64
"""Views nested deeper than this are taken for a cycle."""

INTROSPECTION = Relation(RelationKind.INTROSPECTION, "pagelake introspection", "functions", ())
"""Stands for the functions that tell about the catalog, in statements that use one."""
_ABOUT_CATALOG = re.compile(
    r"\b(duckdb_(tables|columns|views|constraints|indexes|sequences|types|functions|schemas"
    r"|databases)|information_schema|pg_\w+|sqlite_(master|schema|temp_master)|pragma_\w+"
    r"|current_(database|catalog)|PRAGMA\s+(table_info|show_tables|database_list))\b"
    r"|\(\s*SHOW\s",
    re.IGNORECASE,
)

_NAMES_IN_VALUES = re.compile(
    r"\b(query(_table)?|histogram(_values)?|json_execute_serialized_sql|json_serialize_plan)\s*\(",
    re.IGNORECASE,
)
"""Functions to which a relation's name, or SQL, is a value."""
_TOLD = re.compile(r"\(\s*(SHOW|DESC|DESCRIBE|SUMMARIZE)\s", re.IGNORECASE)
"""SHOW and the like as subqueries: sqlglot takes the word for a relation's name."""

_OPERATORS = {exp.EQ: "=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.NEQ: "!="}
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!="}
_PLAIN_JOINS = {"", "INNER", "CROSS", "OUTER", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI"}


@dataclass(slots=True)
class _Found:
    """What binding collects."""

    relations: dict[tuple[str, str], Relation] = field(default_factory=dict)
    occurrences: dict[tuple[str, str], list[Occurrence]] = field(default_factory=dict)
    opaque: set[tuple[str, str]] = field(default_factory=set)
    views: dict[tuple[str, str], Relation] = field(default_factory=dict)
    entries: dict[tuple[str, str], Relation] = field(default_factory=dict)
    made: list[Relation] = field(default_factory=list)
    any_word: bool = False
    visiting: set[tuple[str, str]] = field(default_factory=set)
    foreign: dict[str, None] = field(default_factory=dict)
    named: dict[tuple[str, ...], Relation] = field(default_factory=dict)

    def note(self, relation: Relation, occurrence: Occurrence | None) -> None:
        key = relation.identity
        self.relations.setdefault(key, relation)
        if occurrence is None:
            self.opaque.add(key)
        else:
            self.occurrences.setdefault(key, []).append(occurrence)

    def note_made(self, relation: Relation) -> None:
        """Note what is to be made in the kernel, after what it needs for that."""
        kept = self.views if relation.kind is RelationKind.VIEW else self.entries
        if relation.identity not in kept:
            kept[relation.identity] = relation
            self.made.append(relation)


def bind(sql: str, catalog: Catalog) -> LogicalPlan:
    """Bind a query.

    Args:
        sql: A statement that reads, valid for the kernel.
        catalog: Names at the snapshot to read.

    Raises:
        UnknownName: A view refers to a relation that is gone.
    """
    found = _Found()
    _bind_text(sql, catalog, found, depth=0)
    leaves = tuple(
        Leaf(relation, () if key in found.opaque else tuple(found.occurrences.get(key, ())))
        for key, relation in found.relations.items()
    )
    named = tuple(found.named.items())
    return LogicalPlan(sql, leaves, tuple(found.made), tuple(found.foreign), named)


def _bind_text(sql: str, catalog: Catalog, found: _Found, depth: int) -> None:
    if depth > VIEW_DEPTH_MAX:
        raise UnknownName(f"views nested deeper than {VIEW_DEPTH_MAX}, or in a circle")
    _note_entries(sql, catalog, found, depth)
    if found.any_word:
        # A relation's name may be a value here, or an argument that a macro hands on as one.
        for token in tokenize(sql):
            for word in re.findall(rf'[\w."{SEPARATOR}]+', str(token.text)):
                _note_chain(word.replace('"', "").split("."), catalog, found, depth)
    try:
        if _TOLD.search(sql):
            raise SqlglotError("a subquery that describes")
        trees = [tree for tree in sqlglot.parse(sql, dialect=dialect_of(sql)) if tree is not None]
        if any(isinstance(tree, exp.Command) for tree in trees):
            raise SqlglotError("a command")
        for tree in trees:
            _bind_tree(tree, catalog, found, depth)
    except (SqlglotError, RecursionError):
        _bind_tokens(sql, catalog, found, depth)


def _note_entries(sql: str, catalog: Catalog, found: _Found, depth: int) -> None:
    """Count in what a text may use that is no relation: macros, types, and the catalog itself."""
    if _ABOUT_CATALOG.search(sql):
        found.note_made(INTROSPECTION)
    entries = catalog.entries()
    if _NAMES_IN_VALUES.search(sql):
        found.any_word = True
    if not entries:
        return
    for word in {str(token.text).lower() for token in tokenize(sql)}:
        for entry in entries.get(word, ()):
            if entry.identity in found.entries or entry.identity in found.visiting:
                continue
            # What is in a macro may be anywhere in it; a macro may use others, which are to be
            # made before it, or itself.
            found.visiting.add(entry.identity)
            _note_entries(entry.sql, catalog, found, depth + 1)
            _bind_tokens(entry.sql, catalog, found, depth + 1)
            found.note_made(entry)


def _bind_tokens(sql: str, catalog: Catalog, found: _Found, depth: int) -> None:
    """Take every name in a text for a relation if there is one."""
    parts: list[str] = []
    expecting_part = False
    for token in [*tokenize(sql), None]:
        is_dot = token is not None and token.token_type is TokenType.DOT
        if is_dot:
            expecting_part = True
            continue
        if not expecting_part:
            _note_chain(parts, catalog, found, depth)
            parts = []
        expecting_part = False
        if token is not None and token.token_type is not TokenType.STRING:
            parts.append(token.text)


def _note_chain(parts: list[str], catalog: Catalog, found: _Found, depth: int) -> None:
    for length in range(1, len(parts) + 1):
        relation = catalog.resolve(parts[:length])
        if relation is None:
            continue
        if relation.identity in found.views or relation.identity not in found.visiting:
            _note_relation(relation, None, catalog, found, depth)


def _note_relation(
    relation: Relation, occurrence: Occurrence | None, catalog: Catalog, found: _Found, depth: int
) -> None:
    """Count a relation in; a view leads on to what it reads."""
    if relation.kind is RelationKind.TEMPORARY:
        if relation.sql and relation.identity not in found.visiting:
            found.visiting.add(relation.identity)
            _bind_text(relation.sql, catalog, found, depth + 1)
            found.visiting.discard(relation.identity)
        return
    if relation.kind is not RelationKind.VIEW:
        found.note(relation, occurrence)
        return
    files = stored_files(relation)
    if files is not None:  # what it reads is known without reading its long text
        inner = catalog.for_view(relation).resolve((files.schema, files.table))
        if inner is not None:
            found.note(inner, None)
            found.note_made(relation)
            return
    key = relation.identity
    if key in found.visiting and key not in found.views:
        raise UnknownName(f'infinite recursion: the view "{relation.name}" reads itself')
    if key not in found.views:
        found.visiting.add(key)
        text = relation.reads or relation.sql
        _bind_text(text, catalog.for_view(relation), found, depth + 1)
        found.note_made(relation)


def _bind_tree(tree: exp.Expr, catalog: Catalog, found: _Found, depth: int) -> None:
    occurrences = _occurrences(tree, catalog)
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        parts = _parts(table)
        if not parts:
            continue  # a table function
        relation = catalog.resolve(parts)
        if relation is not None and _is_cte(parts, ctes) and relation.identity in found.visiting:
            continue  # CREATE RECURSIVE VIEW: a CTE of the view's own name
        if relation is not None:
            if relation.kind is RelationKind.VIEW and not depth:
                found.named[tuple(part.lower() for part in parts)] = relation
            _note_relation(relation, occurrences.get(id(table)), catalog, found, depth)
        elif not _is_cte(parts, ctes):
            found.foreign[".".join(parts)] = None


def _is_cte(parts: list[str], ctes: set[str]) -> bool:
    """Tell whether a name is that of a CTE, or of all rows that a recursive one has so far."""
    recurring = len(parts) == 2 and parts[0].lower() == "recurring"
    return (len(parts) == 1 or recurring) and parts[-1].lower() in ctes


def _parts(table: exp.Table) -> list[str]:
    """The dotted name of a table, empty for table functions."""
    if not isinstance(table.this, exp.Identifier):
        return []
    return [part.name for part in table.parts if isinstance(part, exp.Identifier)]


def _occurrences(tree: exp.Expr, catalog: Catalog) -> dict[int, Occurrence]:
    """What is known of each place where a table is read, by identity of its node."""
    known: dict[int, Occurrence] = {}
    try:
        scopes = traverse_scope(tree)
    except SqlglotError:
        return known
    inner: list[_ScopeReading] = []
    for scope in scopes:
        reading = _ScopeReading.of(scope, catalog)
        if reading is None:
            return {}
        inner.append(reading)
    # A column that its own scope does not explain may belong to any scope around it.
    loose = {name for reading in inner for name in reading.loose}
    for reading in inner:
        for alias, (node, relation) in reading.tables.items():
            named = reading.columns[alias]
            every = None if named is None else frozenset(
                named | {c.name.lower() for c in relation.columns if c.name.lower() in loose}
            )  # fmt: skip
            known[id(node)] = Occurrence(every, tuple(reading.predicates[alias]))
    return known


@dataclass(slots=True)
class _ScopeReading:
    """What one SELECT wants of the tables in its FROM."""

    tables: dict[str, tuple[exp.Table, Relation]]
    columns: dict[str, set[str] | None]
    predicates: dict[str, list[Predicate]]
    loose: set[str]

    @classmethod
    def of(cls, scope: Scope, catalog: Catalog) -> _ScopeReading | None:
        tables: dict[str, tuple[exp.Table, Relation]] = {}
        for alias, source in scope.sources.items():
            if isinstance(source, exp.Table):
                relation = catalog.resolve(_parts(source)) if _parts(source) else None
                if relation is not None and relation.columns:
                    tables[alias.lower()] = (source, relation)
        reading = cls(tables, {a: set() for a in tables}, {a: [] for a in tables}, set())
        select = scope.expression
        if not isinstance(select, exp.Select):
            # Set operations read through their branches; anything else is not understood.
            return reading if isinstance(select, exp.SetOperation) or not tables else None
        if _has_star(select) or any(node.args.get("pivots") for node, _ in tables.values()):
            reading.columns = dict.fromkeys(tables)
        for join in select.args.get("joins") or []:
            if join.args.get("method"):
                reading.columns = dict.fromkeys(tables)  # NATURAL joins on names it does not list
            for identifier in join.args.get("using") or []:
                reading._want(identifier.name, "")
        for column in scope.columns:
            reading._want(column.name, column.table)
        if _is_plain(select):
            reading._collect_predicates(select)
        return reading

    def _want(self, name: str, qualifier: str) -> None:
        folded = name.lower()
        explained = False
        for alias, (_, relation) in self.tables.items():
            wanted = self.columns[alias]
            if folded == alias:
                self.columns[alias] = None  # the row itself, as a value
                explained = True
            elif qualifier.lower() in {"", alias} and any(
                c.name.lower() == folded for c in relation.columns
            ):
                if wanted is not None:
                    wanted.add(folded)
                explained = explained or bool(qualifier)
        if not explained:
            self.loose.add(folded)
            # A qualifier may also be a column whose field is taken.
            self.loose.add(qualifier.lower())

    def _collect_predicates(self, select: exp.Select) -> None:
        where = select.args.get("where")
        if where is None:
            return
        outer = any(join.args.get("side") for join in select.args.get("joins") or [])
        for conjunct in _conjuncts(where.this):
            for column, op, constants in _simple(conjunct):
                # An outer join makes NULLs of its own: the rows behind them are wanted too.
                target = None if outer and op == "is null" else self._table_of(column)
                if target is not None:
                    alias, name = target
                    self.predicates[alias].append(Predicate(name, op, constants))

    def _table_of(self, column: exp.Column) -> tuple[str, str] | None:
        """The one table of this scope that a column can belong to."""
        folded, qualifier = column.name.lower(), column.table.lower()
        if len(column.parts) > 2:
            return None
        hits = [
            (alias, c.name)
            for alias, (_, relation) in self.tables.items()
            if not qualifier or qualifier == alias
            for c in relation.columns
            if c.name.lower() == folded
        ]
        return hits[0] if len(hits) == 1 else None


def _has_star(select: exp.Select) -> bool:
    if isinstance(select.parent, exp.Exists):
        return False  # what EXISTS selects does not matter
    for node in select.expressions:
        if any(
            isinstance(found, exp.Star) and not isinstance(found.parent, exp.Count)
            for found in node.find_all(exp.Star)
        ):
            return True
    return next(select.find_all(exp.Columns), None) is not None


def _is_plain(select: exp.Select) -> bool:
    """Tell whether a WHERE conjunct on a table filters that table's rows and nothing before it.

    Not so where a join pairs rows by position or nearness, or where rows are sampled first.
    """
    if next(select.find_all(exp.TableSample), None) is not None:
        return False
    for join in select.args.get("joins") or []:
        words = {str(join.args.get(key) or "").upper() for key in ("method", "kind", "side")}
        if words - _PLAIN_JOINS - {"NATURAL"} or isinstance(join.this, exp.Lateral):
            return False
    return True


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    else:
        yield condition


def _simple(
    condition: exp.Expr,
) -> Iterable[tuple[exp.Column, str, tuple[Constant, ...]]]:
    """Comparisons of a column with constants that a condition amounts to."""
    if isinstance(condition, exp.Binary) and type(condition) in _OPERATORS:
        op = _OPERATORS[type(condition)]
        left, right = condition.left.unnest(), condition.right.unnest()
        if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
            left, right, op = right, left, _MIRRORED[op]
        constant = _constant(right)
        if isinstance(left, exp.Column) and constant is not None:
            yield left, op, (constant,)
    elif isinstance(condition, exp.Between) and isinstance(condition.this, exp.Column):
        for bound, comparison in (("low", ">="), ("high", "<=")):
            constant = _constant(condition.args[bound])
            if constant is not None and not condition.args.get("symmetric"):
                yield condition.this, comparison, (constant,)
    elif isinstance(condition, exp.In) and isinstance(condition.this, exp.Column):
        constants = [_constant(item) for item in condition.expressions]
        known = tuple(c for c in constants if c is not None)
        if known and len(known) == len(constants):
            yield condition.this, "in", known
    elif isinstance(condition, exp.Is) and isinstance(condition.this, exp.Column):
        if isinstance(condition.expression, exp.Null):
            yield condition.this, "is null", ()
    elif isinstance(condition, exp.Not):
        inner = condition.this.unnest()
        if (
            isinstance(inner, exp.Is)
            and isinstance(inner.this, exp.Column)
            and isinstance(inner.expression, exp.Null)
        ):
            yield inner.this, "is not null", ()


def _constant(node: exp.Expr) -> Constant | None:
    node = node.unnest()
    if isinstance(node, exp.Placeholder):
        return Constant(node.name, "parameter") if node.name else None
    if isinstance(node, exp.Parameter):
        return Constant(node.name, "parameter")
    if isinstance(node, exp.Boolean):
        return Constant(str(node.this).lower(), "boolean")
    if isinstance(node, exp.Literal):
        return Constant(node.name, "string" if node.is_string else "number")
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return Constant(f"-{node.this.name}", "number") if not node.this.is_string else None
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
        plain = node.to.this in {exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TEXT}
        return Constant(node.this.name, "string") if plain and node.this.is_string else None
    if isinstance(node, exp.Add | exp.Sub) and not any(node.find_all(exp.Column, exp.Query)):
        folded = simplify(node.copy(), dialect="duckdb")
        if not isinstance(folded, exp.Add | exp.Sub):
            return _constant(folded)
    return None
