from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import pagelake
from pagelake.tpch.cli import tpch
from pagelake.tpch.compare import race
from pagelake.tpch.measure_queries import run_child
from pagelake.tpch.query import queries, query
from pagelake.tpch.runner import load_pagelake, loaded_tables, run_queries, wait_until_hot
from pagelake.tpch.schema import TABLES
from pagelake.tpch.sides import DuckDB, Pagelake, Side

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


@pytest.fixture(scope="module")
def store(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tpch-store") / "tpch.lake"
    with pagelake.connect(path) as connection:
        load_pagelake(connection, parquet)
        assert loaded_tables(connection) == {entry.name for entry in TABLES}
        wait_until_hot(connection)
    return path


def test_all_22_answers_equal_duckdbs(store: Path, database: Path) -> None:
    pair: list[Side] = [Pagelake(store, 2), DuckDB(database, 2)]
    for side in pair:
        side.setup()
    outcome = race(pair, queries(), rounds=1)
    for side in pair:
        side.close()
    assert outcome.failures["Pagelake"] == {}
    assert outcome.differences["Pagelake"] == {}
    assert outcome.equal_answers("Pagelake") == 22


def test_queries_run_in_the_order_asked_and_report_progress(store: Path) -> None:
    side = Pagelake(store, 2)
    side.setup()
    seen: list[tuple[str, int, int]] = []
    answers = run_queries(
        side.run, queries((6, 1)), lambda label, done, total: seen.append((label, done, total))
    )
    side.close()
    assert [answer.query.number for answer in answers] == [6, 1]
    assert [answer.rows.num_rows for answer in answers] == [1, 4]
    assert seen == [("Q6", 0, 2), ("Q1", 1, 2), ("done", 2, 2)]


def test_the_run_command_prints_rows_and_answers(store: Path) -> None:
    outcome = CliRunner().invoke(tpch, ["run", str(store), "--query", "6", "--answers"])
    assert outcome.exit_code == 0, outcome.output
    assert "Forecasting revenue change" in outcome.output
    assert "revenue" in outcome.output


def test_the_load_command_refuses_a_store_that_has_the_tables(
    store: Path, tpch_cache: Path
) -> None:
    arguments = ["load", str(store), "--sf", "0.01", "--cache", str(tpch_cache)]
    outcome = CliRunner().invoke(tpch, arguments)
    assert outcome.exit_code == 1
    assert "has these tables already: customer" in outcome.output


def test_the_demo_ends_with_equal_answers(tpch_cache: Path) -> None:
    arguments = ["demo", "--sf", "0.01", "--rounds", "1", "--cache", str(tpch_cache)]
    outcome = CliRunner().invoke(tpch, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert "22/22" in outcome.output
    assert "Load into Pagelake" in outcome.stderr


def test_the_demo_fails_when_an_answer_differs(
    tpch_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Pagelake.run

    def wrong(side: Pagelake, sql: str) -> pa.Table:
        answer = original(side, sql)
        return answer.slice(1) if sql == query(4).sql else answer

    monkeypatch.setattr(Pagelake, "run", wrong)
    arguments = ["demo", "--sf", "0.01", "--rounds", "1", "--cache", str(tpch_cache)]
    outcome = CliRunner().invoke(tpch, [*arguments, "--keep", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "21/22" in outcome.output
    assert "Q4: 4 rows instead of 5" in outcome.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "tpch-sf0.01.lake",
        "tpch-sf0.01.duckdb",
    }


def test_a_fresh_process_answers_and_reports_its_parts(store: Path) -> None:
    texts = [each.sql for each in queries((1, 6))]
    for preload in (False, True):
        answer = run_child(
            task="fresh",
            engine="pagelake",
            preload=preload,
            path=str(store),
            threads=2,
            queries=texts,
        )
        assert 0 < answer["open_ms"] < answer["total_ms"]
        assert answer["total_ms"] == pytest.approx(answer["open_ms"] + answer["pass_ms"])


def test_a_failing_process_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No module named 'nowhere'"):
        run_child(task="import", module="nowhere")
