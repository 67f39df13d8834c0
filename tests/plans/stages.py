"""Plans as text: a bound query, what each rule made of it, and the physical plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pagelake.sql.binder import bind
from pagelake.sql.optimizer import RULES, optimize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.sql.logical import Leaf, LogicalPlan, Occurrence
    from pagelake.sql.predicate import Predicate
    from tests.slt.runner import PagelakeEngine

# Ids are random, and estimates are the kernel's affair.
_UNSTABLE = (
    (re.compile(r"\b[0-9a-f]{16}\b|_[0-9a-f]{16}\b"), "_ID"),
    (re.compile(r"~[\d,]+ rows?"), "~N rows"),
    (re.compile(r"\b\d+\.\d+ ms\b"), "N ms"),
)


def stage(engine: PagelakeEngine, name: str, sql: str) -> str:
    """Draw a stage of a query's plan.

    Args:
        engine: A store.
        name: ``rules`` or ``physical``.
        sql: The query.
    """
    engine.settle()
    if name == "rules":
        return "\n".join(_rules(engine, sql))
    assert name == "physical", f"there is no stage {name}"
    text = str(engine.connection.sql(f"EXPLAIN {sql}").fetchall()[0][1])
    for pattern, shown in _UNSTABLE:
        text = pattern.sub(shown, text)
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _rules(engine: PagelakeEngine, sql: str) -> Iterator[str]:
    session = engine.connection._session
    plan = bind(sql, session.catalog(session.snapshot()))
    yield from _block("bound", plan)
    changed: list[tuple[str, LogicalPlan]] = []
    best = optimize(plan, observe=lambda rule, after: changed.append((rule, after)))
    for rule, after in changed:
        yield from _block(f"after {rule}", after)
    for rule_of in RULES:
        assert rule_of(best) == best, f"{rule_of.__name__} is not idempotent"
    assert [leaf.relation for leaf in best.leaves] == [leaf.relation for leaf in plan.leaves]
    assert (best.views, best.foreign) == (plan.views, plan.foreign)


def _block(title: str, plan: LogicalPlan) -> Iterator[str]:
    yield title
    for leaf in plan.leaves:
        yield f"  {leaf.relation.schema}.{leaf.relation.name}"
        if title == "bound":
            yield from _readings(leaf)
        else:
            yield f"    columns: {_listed(leaf.columns)}"
            yield f"    rows: {' or '.join(map(_all_of, leaf.predicates)) or 'all'}"
    if title == "bound":
        yield from (f"  through view {view.schema}.{view.name}" for view in plan.views)
        yield from (f"  foreign {name}" for name in plan.foreign)


def _readings(leaf: Leaf) -> Iterator[str]:
    if not leaf.occurrences:
        yield "    read in ways that are not known"
    for occurrence in leaf.occurrences:
        yield f"    read: {_named(occurrence)} where {_all_of(occurrence.predicates) or 'true'}"


def _named(occurrence: Occurrence) -> str:
    return _listed(None if occurrence.columns is None else tuple(sorted(occurrence.columns)))


def _listed(columns: tuple[str, ...] | None) -> str:
    return "all columns" if columns is None else ", ".join(columns) or "no column"


def _all_of(predicates: tuple[Predicate, ...]) -> str:
    return " AND ".join(map(str, predicates))
