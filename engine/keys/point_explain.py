"""EXPLAIN of point queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sql.explain import Node
from ...storage.schema_path import dotted
from ..statements.fast_insert import parameters_by_key
from .point_query import compile_point_query, measure

if TYPE_CHECKING:
    from ...storage.effects import Constraint, TableDefinition
    from ...storage.snapshot import Snapshot
    from ..kernel import Parameters
    from ..session import Session


def explain_point_query(
    session: Session,
    sql: str,
    snapshot: Snapshot,
    parameters: Parameters,
    *,
    analyze: bool,
) -> Node | None:
    """The plan of a point query, None where the statement is none or the kernel must run it.

    Raises:
        Corrupt: A key run or a row group is damaged.
    """
    if session.has_kernel_state or session.kernel_settings:
        return None
    point = compile_point_query(sql, session.catalog(snapshot).resolve, snapshot)
    if point is None:
        return None
    query, _ = point
    definition = query.definition
    state = snapshot.tables[definition.id]
    facts = ["Type: Index Scan", f"by: {_described(query.key, definition)}"]
    facts.append(f"keys: {max(len(term.items) for term in query.lookup)}")
    facts.append(f"columns: {', '.join(dict.fromkeys(c.name for c, _ in query.selected))}")
    if query.residual:
        facts.append(f"Filters: {', '.join(term.column.name for term in query.residual)}")
    given = parameters_by_key(parameters)
    if query.parameters <= given.keys() and query.find(state, session.database.keys, given) is None:
        return None
    title = f"KEY_LOOKUP {dotted(definition.schema)}.{definition.name}"
    if not analyze:
        facts.append(f"row groups: at most {len(state.row_groups)}")
        return Node(title, tuple(facts))
    done = measure(query, state, session.database.keys, given)
    if done is None:
        return None
    facts.append(f"row groups: {done.row_groups} of {done.total}")
    rows = "1 row" if done.rows == 1 else f"{done.rows:,} rows"
    facts.append(f"{rows} in {done.seconds * 1e3:.2f} ms")
    lookup = Node(title, tuple(facts), (), done.rows, done.seconds)
    return Node("QUERY", (f"took {done.seconds * 1e3:.1f} ms",), (lookup,))


def _described(key: Constraint, definition: TableDefinition) -> str:
    """A key as people say it: ``PRIMARY KEY (id)``, ``index by_name (name)``."""
    names = {c.id: c.name for c in definition.columns}
    columns = ", ".join(names[c] for c in key.columns)
    kinds = {"primary_key": "PRIMARY KEY", "unique": "UNIQUE"}
    kind = kinds.get(key.kind) or f"{key.kind.replace('_', ' ')} {key.name}"
    return f"{kind} ({columns})"
