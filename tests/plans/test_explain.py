"""EXPLAIN as JSON, of several stages, and with facts longer than a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import pagelake
from pagelake.sql.explain import Node, draw

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as opened:
        opened.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER)")
        opened.execute("INSERT INTO t SELECT range, range % 7 FROM range(100)")
        yield opened


def _operators(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, list):
        for item in plan:
            yield from _operators(item)
    elif isinstance(plan, dict):
        yield plan
        yield from _operators(plan.get("operator") or plan.get("children") or [])


@pytest.mark.parametrize("options", ["FORMAT json", "ANALYZE, FORMAT json"])
@pytest.mark.parametrize(
    ("query", "scan"),
    [
        ("SELECT sum(b) FROM t WHERE b > 3", "TABLE_SCAN main.t"),
        ("SELECT b FROM t WHERE a = 5", "KEY_LOOKUP main.t"),
    ],
)
def test_json_names_our_leaves(
    db: pagelake.Connection, options: str, query: str, scan: str
) -> None:
    ((_, text),) = db.execute(f"EXPLAIN ({options}) {query}").fetchall()
    names = [operator.get("name") for operator in _operators(json.loads(text))]
    assert scan in names


def test_every_stage_that_is_asked_for_is_told(db: pagelake.Connection) -> None:
    db.execute("PRAGMA explain_output = 'all'")
    told = db.execute("EXPLAIN SELECT sum(b) FROM t WHERE b > 3").fetchall()
    assert [kind for kind, _ in told] == ["logical_plan", "logical_opt", "physical_plan"]
    assert all("TABLE_SCAN main.t" in text for _, text in told)


def test_long_facts_take_several_lines_and_end_somewhere() -> None:
    fact = "Filters: " + " AND ".join(f"(column_{n} = {n})" for n in range(9))
    folded = draw(Node("SCAN", (fact,)), width=60).split("\n")
    assert max(map(len, folded)) <= 60
    assert "column_8" in folded[-1]
    endless = draw(Node("SCAN", (fact * 1000,)), width=60).split("\n")
    assert len(endless) < 10
    assert endless[-1].endswith("…")
