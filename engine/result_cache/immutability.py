"""Which statements have an answer that stays theirs as long as nothing they read changes.

The kernel's own parser gives the tree, which is walked against lists of what is known: stored
tables, functions that the kernel calls consistent, nodes that only put these together. Whatever
is on no list makes a statement one whose results are never kept.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ParseError
from ...sql.provider import RelationKind
from ...sql.tokens import TokenStream, tokenize
from ..kernel import kernel_version
from .identity import canonical_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...sql.logical import LogicalPlan
    from ...storage.snapshot import Snapshot
    from ..kernel import Kernel
    from ..session import Session

_MISLABELLED = frozenset(
    {
        "current_localtime", "current_localtimestamp",
        "json_serialize_plan",  # it binds what its argument names
        "reservoir_quantile",  # it samples
    }
)  # fmt: skip
"""Functions that the kernel calls consistent although they are not."""
_SPECIAL = frozenset({"unnest", "ifnull", "grouping", "grouping_id"})
"""Functions of the parser's own, which are in no list of the kernel."""
_TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row"}
)
"""Functions in the place of a table that read nothing but their arguments."""
_BY_NAME = frozenset({f"{kind}_{verb}" for kind in ("list", "array")
                      for verb in ("aggr", "aggregate")} | {"aggregate"})  # fmt: skip
"""Functions that call an aggregate which an argument names."""
_EXPRESSIONS = frozenset(
    {
        "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT",
        "FUNCTION", "LAMBDA", "LAMBDA_REF", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR",
        "SUBQUERY", "TYPE", "WINDOW",
    }
)  # fmt: skip
_NODES = frozenset(
    {
        "BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION",
        "CTE_NODE", "RECURSIVE_CTE_NODE", "SELECT_NODE", "SET_OPERATION_NODE",
        "DISTINCT_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER",
        "ORDER_DEFAULT", "ASCENDING", "DESCENDING",
    }
)  # fmt: skip
_WORDS = re.compile(r"current_\w+|local(time|timestamp)|session_user")
"""Names that are functions where no column has them."""
_ZONED_TIME = re.compile(r"\btimetz\b|\btime\s+with\s+time\s+zone\b", re.IGNORECASE)
"""A time of day with a zone: its offset may be that of the present day."""


class NotImmutable(Exception):
    """Why results of a statement are never kept."""


@dataclass(frozen=True, slots=True)
class Functions:
    """What the kernel has.

    Attributes:
        known: Names of all its functions.
        immutable: Names whose every function gives the same for the same arguments.
    """

    known: frozenset[str]
    immutable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be known of a planned statement before its results are kept.

    Attributes:
        reason: Why they never are; empty where they may be.
        text: What its results are found by: its text without what means nothing.
        dotted: Folded names before a dot and a function: columns, unless a database that was
            attached meanwhile has such a name.
    """

    reason: str = ""
    text: str = ""
    dotted: frozenset[str] = frozenset()


def judge(session: Session, logical: LogicalPlan, schema: str, snapshot: Snapshot) -> Verdict:
    """Tell whether a query's answer depends on nothing but the state of the tables it reads.

    Args:
        session: For the kernel and for earlier versions.
        logical: The bound query.
        schema: The current schema that it was bound in.
        snapshot: What it was bound against.
    """
    kernel = session.database.kernel
    relations = frozenset(relation.identity for relation in logical.relations)
    macros = frozenset(
        relation.name.lower()
        for relation in logical.views
        if relation.kind is RelationKind.ENTRY and relation.key != "type"
    )
    walk = _Walk(functions(kernel), relations, macros)
    try:
        _require_stored(session, logical, snapshot)
        for text, search in _texts(session, logical, schema, snapshot):
            walk.schemas = (search.lower(), "main")
            walk.visit(_tree(kernel, text), frozenset())
    except NotImmutable as reason:
        return Verdict(str(reason))
    return Verdict("", canonical_text(logical.sql), frozenset(walk.dotted))


def _require_stored(session: Session, logical: LogicalPlan, snapshot: Snapshot) -> None:
    if logical.foreign:
        raise NotImmutable(f"it reads {logical.foreign[0]}, which is no stored table")
    for leaf in logical.leaves:
        if leaf.relation.kind is not RelationKind.TABLE:
            raise NotImmutable(f"it reads {leaf.relation.name}, which is no stored table")
        if any(_ZONED_TIME.search(column.type) for column in leaf.relation.columns):
            raise NotImmutable("it reads a time of day with a zone")
    for relation in logical.views:
        if relation.kind not in {RelationKind.VIEW, RelationKind.ENTRY}:
            raise NotImmutable(f"it asks {relation.name}")
        if relation.key == "type" and _ZONED_TIME.search(relation.sql):
            raise NotImmutable("it reads a time of day with a zone")


def _texts(
    session: Session, logical: LogicalPlan, schema: str, snapshot: Snapshot
) -> Iterator[tuple[str, str]]:
    """Every query that takes part, with the schema in which its names are looked up."""
    yield logical.sql, schema
    for relation in logical.views:
        if relation.kind is RelationKind.VIEW:
            yield relation.sql, relation.key or schema
        elif relation.key != "type":
            for body in macro_bodies(relation.sql):
                yield body, relation.schema
    for leaf in logical.leaves:
        version = leaf.relation.version
        there = snapshot if version is None else session.database.store.snapshot_at(version)
        for column in there.tables[leaf.relation.key].definition.generated:
            yield f"SELECT {column.expression}", leaf.relation.schema


def macro_bodies(sql: str) -> Iterator[str]:
    """The bodies of a macro's statement, as queries.

    Raises:
        NotImmutable: It is not understood.
    """
    stream = TokenStream(sql)
    try:
        stream.expect("CREATE", "MACRO")
        stream.name()
        while True:
            start = stream.offset
            stream.skip_balanced()
            words = [str(token.text) for token in tokenize(sql[start : stream.behind])[1:]]
            if "(" in words or any(_WORDS.fullmatch(word.lower()) for word in words):
                raise NotImmutable("a macro has parameters that are not understood")
            stream.expect("AS")
            is_query = stream.accept("TABLE")
            body = stream.text_until(",")
            if is_query:  # in which commas do not end it
                body += stream.rest()
            yield body if is_query else f"SELECT {body}"
            if not stream.accept(","):
                break
    except ParseError as error:
        raise NotImmutable("a macro is not understood") from error


def _tree(kernel: Kernel, sql: str) -> Any:
    """The kernel's syntax tree of a query."""
    rows = kernel.execute("SELECT json_serialize_sql($1::VARCHAR)", [sql])
    tree = json.loads(rows[0][0])
    if tree["error"] or len(tree["statements"]) != 1:
        raise NotImmutable("the kernel does not tell what is in it")
    return tree["statements"][0]["node"]


@dataclass(slots=True)
class _Walk:
    """Walks syntax trees and raises at the first thing that is not known to be immutable.

    Attributes:
        functions: The kernel's.
        relations: Identities of the relations that the plan goes through.
        macros: Folded names of the macros among them.
        schemas: Folded schemas in which a bare name is looked up.
        dotted: What was found before a dot and a function.
    """

    functions: Functions
    relations: frozenset[tuple[str, str]] = frozenset()
    macros: frozenset[str] = frozenset()
    schemas: tuple[str, ...] = ()
    dotted: set[str] = field(default_factory=set)

    def visit(self, node: Any, ctes: frozenset[str]) -> None:
        """Walk a node; ``ctes`` are the folded names of the common tables that it may read."""
        if isinstance(node, list):
            for item in node:
                self.visit(item, ctes)
            return
        if not isinstance(node, dict):
            return
        if "class" in node:
            self._expression(node)
        elif isinstance(node.get("type"), str):
            self._relation(node, ctes)
        if (node.get("sample") or {"repeatable": True}).get("repeatable") is not True:
            raise NotImmutable("it samples rows without REPEATABLE")
        for entry in (node.get("cte_map") or {"map": []})["map"]:
            ctes |= {str(entry["key"]).lower()}
            self.visit(entry["value"], ctes)
        for key, value in node.items():
            if key == "function" and node.get("type") == "TABLE_FUNCTION":
                self.visit(value["arguments"], ctes)
            elif key != "cte_map" and node.get("class") != "CONSTANT":
                self.visit(value, ctes)

    def _expression(self, node: dict[str, Any]) -> None:
        kind = node["class"]
        if kind not in _EXPRESSIONS:
            raise NotImmutable(f"it has an expression of the kind {kind}")
        if "function_name" in node:
            self._function(node)
        elif kind == "COLUMN_REF":
            names = node["column_names"]
            if len(names) == 1 and _WORDS.fullmatch(names[0].lower()):
                raise NotImmutable(f"it names {names[0]}")
        elif kind == "TYPE" and _ZONED_TIME.search(node["type_name"]):
            raise NotImmutable("it has a time of day with a zone")

    def _function(self, node: dict[str, Any]) -> None:
        name = self._name(node)
        arguments: Sequence[Any] = node["arguments"]
        if name not in self.functions.known | _SPECIAL:
            if name not in self.macros:
                raise NotImmutable(f"it calls {name}(), which is not known")
        elif name not in self.functions.immutable or (name == "age" and len(arguments) < 2):
            raise NotImmutable(f"it calls {name}()")
        elif name in _BY_NAME:
            called = arguments[1]["expression"] if len(arguments) > 1 else {}
            text = str((called.get("literal") or called.get("value") or {}).get("text"))
            if text.lower() not in self.functions.immutable:
                raise NotImmutable(f"it calls {name}() of a name")

    def _name(self, node: dict[str, Any]) -> str:
        """The folded name of a function that is called."""
        *prefix, name = (str(part).lower() for part in node["qualified_name"]["path"])
        if prefix != ["main"]:
            self.dotted.update(prefix)
        return name

    def _relation(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        kind = node["type"]
        if kind not in _NODES:
            raise NotImmutable(f"it has a part of the kind {kind}")
        if kind == "TABLE_FUNCTION":
            name = self._name(node["function"])
            is_known = name in self.functions.known
            if name not in _TABLE_FUNCTIONS and (is_known or name not in self.macros):
                raise NotImmutable(f"it reads {name}()")
        elif kind == "BASE_TABLE":
            self._table(node, ctes)

    def _table(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        *prefix, name = (str(part).lower() for part in node["qualified_name"]["path"])
        if node["at_clause"] is not None or len(prefix) > 1:
            raise NotImmutable(f"it reads {name} in a way that is not understood")
        if not prefix and name in ctes:
            return
        if not any((schema, name) in self.relations for schema in prefix or self.schemas):
            raise NotImmutable(f"it reads {name}, which is no stored table")


_FUNCTIONS: dict[str, Functions] = {}


def functions(kernel: Kernel) -> Functions:
    """What the kernel has of functions; found out once, as it takes some milliseconds."""
    found = _FUNCTIONS.get(kernel_version())
    if found is None:
        found = _FUNCTIONS[kernel_version()] = _read_functions(kernel)
    return found


def _read_functions(kernel: Kernel) -> Functions:
    rows = kernel.execute(
        "SELECT lower(function_name), function_type, stability, macro_definition "
        "FROM system.main.duckdb_functions() WHERE internal"
    )
    known = frozenset(name for name, *_ in rows)
    called = [row for row in rows if row[1] in {"scalar", "aggregate", "window", "macro"}]
    sound = {name for name, _, stability, _ in called if stability == "CONSISTENT"}
    unsound = {n for n, _, stability, _ in called if stability not in {None, "CONSISTENT"}}
    unsound |= _MISLABELLED
    sound = (sound | _SPECIAL) - unsound
    macros: dict[str, list[Any]] = {}
    for name, kind, _, definition in called:
        if kind == "macro" and name not in unsound:
            macros.setdefault(name, []).append(_tree(kernel, f"SELECT {definition}"))
            sound.discard(name)
    settled = False
    while not settled:  # macros are made of others
        walk = _Walk(Functions(known, frozenset(sound)))
        added = {name for name, trees in macros.items() if _is_sound(walk, trees)} - sound
        sound |= added
        settled = not added
    return Functions(known, frozenset(sound))


def _is_sound(walk: _Walk, trees: Sequence[Any]) -> bool:
    try:
        for tree in trees:
            walk.visit(tree, frozenset())
    except NotImmutable:
        return False
    return True
