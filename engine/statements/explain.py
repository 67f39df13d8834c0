"""EXPLAIN: one tree of the kernel's operators with leaves of ours.

The kernel's plan is read as JSON; where it scans a hot segment, a delta or a stream, the tree
shows the relation instead, with the row groups that its zone maps leave over.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...errors import ParseError
from ...sql import statement as st
from ...sql.classify import classify
from ...sql.explain import Node, draw
from ...sql.provider import RelationKind
from ...sql.qualified_columns import without_database
from ...sql.tokens import TokenStream, tokenize
from ...storage.schema_path import dotted
from ..files.late_content import with_late_content
from ..files.statements import query_of
from ..keys.point_explain import explain_point_query
from ..leaves.catalog_leaf import narrowed
from ..leaves.pruned import is_wanted
from ..native.catalog_copy import catalog_copy
from ..native.decision import as_native
from ..native.objects import without_store
from ..query import bind_text, from_table, open_route
from ..result_cache.serving import explained
from .fast_insert import parameters_by_key
from .prepared import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ...sql.logical import Leaf, LogicalPlan
    from ...storage.snapshot import Snapshot
    from ..kernel import Parameters
    from ..leaves.route import Route
    from ..leaves.table_leaf import Part
    from ..result import Result
    from ..session import Session

_COLUMN_ID = re.compile(r'\bc(\d+)\b|"(\d+)"')
"""How native copies and streams name columns."""


def explain(
    session: Session,
    statement: st.Explain,
    parameters: Parameters,
    frame: FrameType | None,
) -> Result:
    """Run EXPLAIN or EXPLAIN ANALYZE."""
    inner = classify(statement.sql)
    if isinstance(inner, st.ExecutePrepared):
        statement = replace(statement, sql=text_of(session, inner))
        inner = classify(statement.sql)
    snapshot = session.snapshot()
    found = query_of(session, inner)
    if found is not None:  # what a change of files looks for
        if statement.analyze:
            session.execute(statement.sql, parameters, frame=frame).close()
        plain = replace(statement, sql=found, analyze=False)
        return explain(session, plain, parameters, frame)
    if not isinstance(as_native(session, inner, statement.sql, snapshot), st.Query):
        return _of_change(session, statement, parameters, frame)
    catalog = session.catalog(snapshot)
    sql = without_database(statement.sql, session.database.name, catalog)
    sql = with_late_content(sql, catalog)
    logical = bind_text(session, sql, snapshot)
    lookup = explain_point_query(session, sql, snapshot, parameters, analyze=statement.analyze)
    if lookup is not None:
        return _of_lookup(session, lookup, statement)
    opened = open_route(session, logical, frame, snapshot)
    drained = False
    try:
        executed_with = () if parameters is None else (parameters,)
        options = "ANALYZE, FORMAT json" if statement.analyze else "FORMAT json"
        narrower = narrowed(session, logical, sql, parameters, snapshot, opened.route)
        command = f"EXPLAIN ({options}) {narrower.sql}"
        if narrower.is_bound:
            executed_with = ()
        with session.guard.watch(opened.cursor):
            begun = time.perf_counter()
            rows = opened.cursor.execute(command, *executed_with).fetchall()
            elapsed_ms = (time.perf_counter() - begun) * 1e3
        drained = True
        given = parameters_by_key(parameters)
        kept = explained(session, logical, snapshot, parameters)
        kinds, plans, texts = [], [], []
        for kind, text in rows:  # several with explain_output = 'all'
            reader = _PlanReader(opened.route, logical, snapshot, given, elapsed_ms)
            raw = json.loads(text)
            kinds.append(kind)
            plan = reader.read(raw)
            paths = (f"paths: {condition}" for condition in narrower.conditions)
            plans.append(replace(plan, facts=(*plan.facts, *kept, *paths)))
            texts.append(reader.as_json(raw) if statement.json else draw(plans[-1], width=100))
        if not (logical.relations or kept or statement.analyze or statement.json):
            # Nothing in it is ours to explain: as the user's settings have the kernel draw it.
            told = opened.cursor.execute(f"EXPLAIN {sql}", *executed_with).fetchall()
            texts = [text for _, text in told]
    finally:
        opened.close(drained=drained)
    return _answer(session, kinds, texts, plans[-1])


def _answer(session: Session, kinds: list[str], texts: list[str], plan: Node) -> Result:
    """The rows that EXPLAIN gives."""
    table = pa.table({"explain_key": kinds, "explain_value": texts})
    result = from_table(session, table)
    result.plan = plan
    return result


def _of_lookup(session: Session, plan: Node, statement: st.Explain) -> Result:
    """A lookup by key, of which the kernel knows nothing."""
    kind = "analyzed_plan" if statement.analyze else "physical_plan"
    text = json.dumps([_plain(plan)], indent=4) if statement.json else draw(plan, width=100)
    return _answer(session, [kind], [text], plan)


def _of_change(
    session: Session, statement: st.Explain, parameters: Parameters, frame: FrameType | None
) -> Result:
    """EXPLAIN of a statement that changes something: the kernel's plan over empty tables.

    With ANALYZE the statement is run as well, and what it took is told.
    """
    snapshot = session.snapshot()
    plain = without_store(statement.sql, session.database.name, snapshot)
    words = frozenset(str(token.text).lower() for token in tokenize(plain))
    options = "(FORMAT json) " if statement.json else ""
    with catalog_copy(session, snapshot, session.schema, words) as copy:
        sql = f"EXPLAIN {options}{plain}"
        told = copy.cursor.execute(sql) if parameters is None else copy.cursor.execute(
            sql, parameters
        )  # fmt: skip
        rows = told.fetchall()
        scratch = re.compile(rf"{copy.database}(\S*)")
    keys, values = [row[0] for row in rows], [row[1] for row in rows]
    if not statement.json:
        store = session.database.name  # as wide as the copy's name, for the lines around it
        values = [
            scratch.sub(lambda found: f"{store}{found[1]}".ljust(len(found[0])), text)
            for text in values
        ]
    if statement.analyze:
        begun = time.perf_counter()
        session.execute(statement.sql, parameters, frame=frame).close()
        elapsed_ms = (time.perf_counter() - begun) * 1e3
        keys = ["analyzed_plan"] * len(keys)
        if not statement.json:
            values = [f"took {elapsed_ms:.1f} ms\n{text}" for text in values]
    return from_table(session, pa.table({"explain_key": keys, "explain_value": values}))


@dataclass(slots=True)
class _PlanReader:
    """Turns the kernel's JSON into the tree to draw."""

    route: Route
    logical: LogicalPlan
    snapshot: Snapshot
    parameters: Any
    elapsed_ms: float | None = None
    streamed: set[tuple[str, str]] = field(default_factory=set)

    def read(self, plan: Any) -> Node:
        """The root of the tree."""
        if isinstance(plan, dict):  # EXPLAIN ANALYZE
            roots = [self._node(n) for n in plan.get("operator") or plan.get("children") or []]
            roots = [node for root in roots for node in _unwrapped(root)]
            facts = () if self.elapsed_ms is None else (f"took {self.elapsed_ms:.1f} ms",)
            return Node("QUERY", facts, tuple(roots))
        roots = [self._node(n) for n in plan]
        return roots[0] if len(roots) == 1 else Node("PLAN", (), tuple(roots))

    def as_json(self, plan: Any) -> str:
        """The kernel's JSON, with the operators that read our leaves in our words."""
        self.streamed.clear()
        return json.dumps(self._replaced(plan), indent=4)

    def _replaced(self, raw: Any) -> Any:
        if isinstance(raw, list):
            return [self._replaced(item) for item in raw]
        if not isinstance(raw, dict):
            return raw
        leaf = None if "extra_info" not in raw else self._leaf_of(raw["extra_info"] or {})
        if leaf is not None:
            told = _plain(self._leaf(raw, *leaf))
            rows = {k: v for k, v in raw["extra_info"].items() if k == "Estimated Cardinality"}
            return {**raw, "name": told["name"], "extra_info": {**told["extra_info"], **rows}}
        # Below the outermost object of EXPLAIN ANALYZE, only operators hold operators.
        return {
            key: self._replaced(value) if key in {"operator", "children"} else value
            for key, value in raw.items()
        }

    def _leaf(self, raw: dict[str, Any], title: str, facts: tuple[str, ...]) -> Node:
        info = raw.get("extra_info") or {}
        pushed = tuple(
            f"{kind}: {self._named(_one_line(info[kind]), title)}"
            for kind in ("Filters", "Dynamic Filters")
            if info.get(kind)
        )
        children = tuple(self._node(child) for child in raw.get("children") or [])
        known = (*facts, *pushed, *_estimate(info), *_measured(raw))
        return Node(title, known, children, *_cost(raw))

    def _node(self, raw: dict[str, Any]) -> Node:
        info = raw.get("extra_info") or {}
        name = str(raw.get("name") or raw.get("type") or "OPERATOR")
        leaf = self._leaf_of(info)
        if leaf is not None:
            return self._leaf(raw, *leaf)
        children = tuple(self._node(child) for child in raw.get("children") or [])
        facts = tuple(
            f"{key}: {_one_line(value)}"
            for key, value in info.items()
            if key not in {"Estimated Cardinality", "Type"} and value not in ("", [], None)
        )
        return Node(name, (*facts, *_estimate(info), *_measured(raw)), children, *_cost(raw))

    def _leaf_of(self, info: dict[str, Any]) -> tuple[str, tuple[str, ...]] | None:
        """Title and facts when a node scans one of our leaves."""
        scanned = str(info.get("Table", "")).replace('"', "")
        if ".deleted." in scanned:
            return "DELETE_VECTOR", ()
        if str(info.get("Function", "")) == "PYTHON_ARROW_SCAN":
            return self._streamed(info)
        for leaf in self.logical.leaves:
            if leaf.relation.kind is RelationKind.TABLE and scanned:
                parts = self._parts(leaf)
                home = self.route.at(leaf.relation)
                empty = "" if parts else home.empty_name(leaf.relation.key)
                if empty.replace('"', "") == scanned:
                    return _title(leaf), ("no rows", *_pushed(leaf))
                for part in parts:
                    if part.source.replace('"', "") == scanned:
                        return self._table_leaf(leaf, part)
        return None

    def _named(self, filters: str, title: str) -> str:
        """Filters with the columns' own names instead of their ids."""
        for leaf in self.logical.leaves:
            relation = leaf.relation
            if relation.kind is RelationKind.TABLE and title == _title(leaf):
                definition = self.route.at(relation).snapshot.tables[relation.key].definition
                names = {str(c.id): c.name for c in definition.columns}
                return _renamed(filters, names)
        return filters

    def _streamed(self, info: dict[str, Any]) -> tuple[str, tuple[str, ...]] | None:
        """The leaf behind an Arrow scan, which the kernel does not name.

        It is told by its row count and columns; two leaves alike in both are told apart by the
        order in which they are read.
        """
        estimate = info.get("Estimated Cardinality")
        asked = {
            name.strip().strip('"') for name in _one_line(info.get("Projections", "")).split(",")
        }
        for leaf in self.logical.leaves:
            source = self.route.source(leaf.relation)
            if source is None or leaf.relation.identity in self.streamed:
                continue
            if estimate is not None and max(1, source.rows()) != max(1, int(estimate)):
                continue
            if not asked - {""} <= set(source.obj.schema().names):
                continue
            self.streamed.add(leaf.relation.identity)
            if leaf.relation.kind is RelationKind.SYSTEM:
                return _title(leaf), _pushed(leaf)
            if leaf.relation.kind is RelationKind.CHANGES:
                versions = f"versions: {leaf.relation.since} to {leaf.relation.version}"
                return _title(leaf), (versions,)
            parts = self._parts(leaf)
            return self._table_leaf(leaf, next(p for p in parts if p.kind == "stream"))
        return None

    def _parts(self, leaf: Leaf) -> tuple[Part, ...]:
        return self.route.at(leaf.relation).leaf(leaf.relation.key).parts

    def _table_leaf(self, leaf: Leaf, part: Part) -> tuple[str, tuple[str, ...]]:
        read = sum(is_wanted(self.route, leaf, group, self.parameters) for group in part.groups)
        columns = leaf.columns
        listed = "all" if columns is None else ", ".join(columns) or "none"
        source = {"hot": "hot segment", "delta": "memory", "stream": "pages"}[part.kind]
        facts = (
            f"from: {source}, {part.rows:,} rows",
            f"row groups: {read} of {len(part.groups)}",
            f"columns: {listed}",
            *_pushed(leaf),
        )
        return _title(leaf), facts


def _plain(node: Node) -> dict[str, Any]:
    """A node as the kernel writes its own in JSON."""
    return {
        "name": node.title,
        "children": [_plain(child) for child in node.children],
        "extra_info": dict(fact.split(": ", 1) for fact in node.facts if ": " in fact),
    }


def _renamed(text: str, names: dict[str, str]) -> str:
    """A text with column ids replaced by names."""
    return _COLUMN_ID.sub(lambda match: names.get(match[1] or match[2], match[0]), text)


def _unwrapped(node: Node) -> Iterator[Node]:
    """Operators without the kernel's own wrappers around them."""
    if node.title in {"RESULT_COLLECTOR", "EXPLAIN_ANALYZE"}:
        for child in node.children:
            yield from _unwrapped(child)
    else:
        yield node


def _title(leaf: Leaf) -> str:
    """What a leaf is called: how it is read, what, and at which version."""
    relation = leaf.relation
    if relation.kind is RelationKind.CHANGES:
        return f"CHANGES_SCAN {dotted(relation.schema)}.{relation.name}"
    verb = "SYSTEM_SCAN" if relation.kind is RelationKind.SYSTEM else "TABLE_SCAN"
    version = "" if relation.version is None else f" AT VERSION {relation.version}"
    return f"{verb} {dotted(relation.schema)}.{relation.name}{version}"


def _pushed(leaf: Leaf) -> tuple[str, ...]:
    if not leaf.predicates:
        return ()
    places = [" AND ".join(map(str, place)) for place in leaf.predicates]
    return (
        f"zone maps: {' OR '.join(f'({p})' for p in places) if len(places) > 1 else places[0]}",
    )


def _estimate(info: dict[str, Any]) -> tuple[str, ...]:
    estimate = info.get("Estimated Cardinality")
    return () if estimate is None else (f"~{_rows(int(estimate))}",)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _cost(raw: dict[str, Any]) -> tuple[int | None, float | None]:
    """Rows and seconds of an operator: measured, or rows alone as they are expected."""
    rows = raw.get("intermediate_rows", raw.get("operator_cardinality"))
    timing = raw.get("timing", raw.get("operator_timing"))
    if timing is not None:
        return (None if rows is None else int(rows)), float(timing)
    estimate = (raw.get("extra_info") or {}).get("Estimated Cardinality")
    return (None if estimate is None else int(estimate)), None


def _measured(raw: dict[str, Any]) -> Iterator[str]:
    rows = raw.get("intermediate_rows", raw.get("operator_cardinality"))
    timing = raw.get("timing", raw.get("operator_timing"))
    if rows is not None and timing is not None:
        yield f"{_rows(int(rows))} in {float(timing) * 1e3:.2f} ms"
    if raw.get("total_row_groups_to_scan"):
        scanned = raw.get("row_groups_scanned", 0)
        yield f"native row groups read: {scanned} of {raw['total_row_groups_to_scan']}"


def _one_line(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_one_line(item) for item in value)
    text = " ".join(str(value).split())
    return text[1:-1] if _is_enclosed(text) else text


def _is_enclosed(text: str) -> bool:
    """Tell whether one pair of parentheses is around a whole expression."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    try:
        stream = TokenStream(text)
    except ParseError:  # not every name that the kernel shows is quoted
        return False
    stream.skip_balanced()
    return stream.at_end()
