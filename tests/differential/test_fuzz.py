"""A sample of the generated statements, and the generator, the comparison and shrinking proper.

``make fuzz`` runs many more; see ``fuzz``.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from pagelake.engine.result import Result
from tests.differential.answers import Answer, compare
from tests.differential.changes import make_change
from tests.differential.fuzz import Plan, Report, main, run_world, summary
from tests.differential.grammar import TRANSACTIONS, Maker, features
from tests.differential.queries import make_query
from tests.differential.scenes import make_scene
from tests.differential.shrink import shrink
from tests.differential.world import make_world

if TYPE_CHECKING:
    from collections import Counter

SEED = int(os.environ.get("PAGELAKE_SEED", "20260101"))
QUERIES = int(os.environ.get("PAGELAKE_QUERIES", "20"))


@pytest.mark.parametrize("world", [0, 2])
def test_a_sample(world: int) -> None:
    report = run_world(Plan(SEED, world, QUERIES, shrink_s=5.0))
    assert report.differences == [], "\n".join(report.differences)
    assert report.queries >= QUERIES or report.faults
    assert report.failed < 0.15 * report.queries
    assert report.empty < 0.5 * report.queries


def statements(seed: str, count: int) -> tuple[list[str], Counter[str]]:
    random = Random(seed)
    maker = Maker(random, make_world(random, large=True, temporary=True).tables)
    made = [make_query(maker).sql for _ in range(count)]
    made += [make_change(maker)[0] for _ in range(count // 4)]
    made += [str(said) for _ in range(count // 20) for said in make_scene(maker)]
    return made, maker.hits


def test_a_seed_repeats_itself() -> None:
    first, second = statements("7", 60)[0], statements("7", 60)[0]
    assert first == second
    assert len(set(first)) > 60
    assert statements("8", 60)[0] != first


def test_every_production_is_used() -> None:
    hits = statements("1", 4_000)[1]
    made = [name for name in features() if name not in TRANSACTIONS]
    assert [name for name in made if not hits[name]] == []


def test_a_broken_engine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Result.fetchall
    monkeypatch.setattr(Result, "fetchall", lambda result: exact(result)[:1])
    report = run_world(Plan(SEED, 0, 4, shrink_s=1.0))
    assert report.differences
    assert "smaller: " in report.differences[0]


def answer(*rows: tuple[object, ...], types: tuple[str, ...] = ("DOUBLE",)) -> Answer:
    return Answer(("a",), types, rows)


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (answer((1.0,)), answer((1.0,)), None),
        (answer((float("nan"),)), answer((float("nan"),)), None),
        (answer((1,)), answer((1.0,)), "rows"),
        (answer((1,)), answer((True,)), "rows"),
        (answer((1.0,)), answer((1.1,)), "rows"),
        (answer((1.0,), (1.0,)), answer((1.0,)), "rows"),
        (answer((1.0,), types=("FLOAT",)), answer((1.0,)), "types"),
        (Answer(("b",), ("DOUBLE",)), answer(), "names"),
        (Answer(error="name"), answer(), "error"),
        (Answer(error="name"), Answer(error="value"), "error"),
        (Answer(error="name", message="x"), Answer(error="name", message="y"), None),
    ],
)
def test_comparison(ours: Answer, theirs: Answer, kind: str | None) -> None:
    found, is_exact = compare(ours, theirs, is_ordered=False)
    assert (found and found.kind) == kind
    assert is_exact


def test_order_counts_where_it_is_said() -> None:
    ours, theirs = answer((1.0,), (2.0,)), answer((2.0,), (1.0,))
    assert compare(ours, theirs, is_ordered=False)[0] is None
    found, _ = compare(ours, theirs, is_ordered=True)
    assert found is not None
    assert found.kind == "order"


@pytest.mark.parametrize(("ours", "theirs"), [(0.1 + 0.2, 0.3), (-0.0, 0.0)])
def test_last_bits_of_floats_are_told_apart(ours: float, theirs: float) -> None:
    assert compare(answer((ours,)), answer((theirs,)), is_ordered=False) == (None, False)


def test_shrinking_keeps_what_is_wrong() -> None:
    sql = "SELECT a, (b + 1) FROM (SELECT 'x(' AS a, bad(2, [3]) AS b FROM t WHERE c) WHERE d = 'e'"

    def still(text: str) -> bool:
        return "bad" in text and text.count("(") == text.count(")") + ("'x('" in text)

    small = shrink(sql, still)
    assert small == "bad"
    assert shrink("SELECT 1", lambda _: False) == "SELECT 1"


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seed", "5", "--count", "5", "--hot", "on", "--plan-cache", "off"]
    assert main(arguments) == 0
    assert "5 queries and" in capsys.readouterr().out


def test_what_a_report_tells() -> None:
    report = Report(statements=3, queries=2, failed=1, differences=["one"])
    told = summary(report, 1.0, hits_min=1)
    assert "2 queries and 1 other statements" in told
    assert "1 differences" in told
    assert "used fewer than 1 times: query: PIVOT" in told
