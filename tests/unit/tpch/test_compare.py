from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from pagelake.tpch.compare import WARM_UP_PASSES, geometric_mean, race
from pagelake.tpch.query import queries
from pagelake.tpch.sides import DataFusion, DuckDB, DuckDBParquet, Polars, Side

if TYPE_CHECKING:
    from pathlib import Path


class Scripted:
    """A side whose clock is a script: every run takes what the script says next."""

    def __init__(self, name: str, clock: list[float], runs: list[str], cost: float) -> None:
        self.name = name
        self.answer = pa.table({"revenue": [1]})
        self.fails: set[str] = set()
        self._clock, self._runs, self._cost = clock, runs, cost

    def setup(self) -> None: ...

    def close(self) -> None: ...

    def run(self, sql: str) -> pa.Table:
        self._runs.append(self.name)
        self._clock[0] += self._cost
        if sql in self.fails:
            raise ArithmeticError("too\nmuch")
        return self.answer


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Scripted], list[str]]:
    clock, runs = [0.0], list[str]()
    monkeypatch.setattr("pagelake.tpch.compare.time.perf_counter", lambda: clock[0])
    costs = {"A": 0.003, "B": 0.002, "C": 0.004}
    return [Scripted(name, clock, runs, cost) for name, cost in costs.items()], runs


def test_the_pair_takes_turns_in_alternating_order(
    sides: tuple[list[Scripted], list[str]],
) -> None:
    scripted, runs = sides
    race(scripted[:2], queries((6, 14)), rounds=2)
    assert "".join(runs) == "ABAB" + "BABA" + "ABAB" + "BABA"


def test_peers_run_after_the_pair(sides: tuple[list[Scripted], list[str]]) -> None:
    scripted, runs = sides
    race(scripted, queries((6, 14)), rounds=1)
    assert "".join(runs) == "ABABCC" + "BABACC" + "ABABCC"


def test_medians_and_ratios_leave_the_warming_passes_out(
    sides: tuple[list[Scripted], list[str]],
) -> None:
    scripted, _ = sides
    outcome = race(scripted, queries((6, 14)), rounds=3)
    assert len(outcome.samples_ms["A"][6]) == 3
    assert outcome.median_ms("A", 6) == pytest.approx(3.0)
    assert outcome.ratio("A", 6) == pytest.approx(1.5)
    assert outcome.geometric_mean("C") == pytest.approx(2.0)
    assert outcome.total_ms("B") == pytest.approx(4.0)
    assert outcome.equal_answers("A") == 2


def test_a_failing_query_is_a_failure_and_is_not_repeated(
    sides: tuple[list[Scripted], list[str]],
) -> None:
    scripted, runs = sides
    q6, q14 = queries((6, 14))
    scripted[0].fails = {q14.sql}
    outcome = race(scripted[:2], (q6, q14), rounds=2)
    assert outcome.failures["A"] == {14: "ArithmeticError: too much"}
    assert outcome.ratio("A", 14) is None
    assert outcome.ratios("A").keys() == {6}
    assert outcome.equal_answers("A") == 1
    assert runs.count("A") == (WARM_UP_PASSES + 2) + 1


def test_a_different_answer_is_reported(sides: tuple[list[Scripted], list[str]]) -> None:
    scripted, _ = sides
    scripted[0].answer = pa.table({"revenue": [2]})
    outcome = race(scripted[:2], queries((6,)), rounds=1)
    assert "2 instead of 1" in outcome.differences["A"][6]
    assert outcome.equal_answers("A") == 0


def test_a_race_needs_two_sides_and_a_round(sides: tuple[list[Scripted], list[str]]) -> None:
    scripted, _ = sides
    with pytest.raises(ValueError, match="two sides"):
        race(scripted[:1], queries((6,)), rounds=1)
    with pytest.raises(ValueError, match="one round"):
        race(scripted, queries((6,)), rounds=0)


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert math.isnan(geometric_mean([]))


@pytest.mark.parametrize(
    ("kind", "package"),
    [(DuckDBParquet, "duckdb"), (Polars, "polars"), (DataFusion, "datafusion")],
)
def test_the_peers_answer_as_duckdb_does(
    kind: type[DuckDBParquet | Polars | DataFusion], package: str, parquet: Path, database: Path
) -> None:
    pytest.importorskip(package)
    pair: list[Side] = [kind(parquet, 2), DuckDB(database, 2)]
    for side in pair:
        side.setup()
    outcome = race(pair, queries((1, 3, 6, 12, 14, 18)), rounds=1)
    for side in pair:
        side.close()
    assert outcome.failures[kind.name] == {}
    # Other dialects name an unnamed expression in other words; the values must still agree.
    values = {why for why in outcome.differences[kind.name].values() if "columns" not in why}
    assert values == set()
