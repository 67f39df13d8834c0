from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pagelake.tpch.bars import BARS, MEASUREMENTS, Bar, judge
from pagelake.tpch.compare import Race, race
from pagelake.tpch.figures import Figure, Measurement, race_figures
from pagelake.tpch.machine import describe
from pagelake.tpch.query import queries
from pagelake.tpch.report import document, markdown, read, write
from pagelake.tpch.sides import DuckDB, DuckDBParquet, Side

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def outcome(parquet: Path, database: Path) -> Race:
    pair: list[Side] = [DuckDBParquet(parquet, 2), DuckDB(database, 2)]
    for side in pair:
        side.setup()
    found = race(pair, queries((1, 6, 13)), rounds=1)
    for side in pair:
        side.close()
    return found


def test_the_three_files_are_written_and_can_be_made_again(outcome: Race, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figures = [*race_figures(outcome, "warm", "Warm"), Figure("odd", "Odd", float("nan"), "ms")]
    content = document(outcome, figures, describe(2), 0.01)
    paths = write(content, tmp_path / "new")
    assert [path.name for path in paths] == ["tpch.json", "tpch.md", "tpch.png"]
    assert read(paths[0]) == json.loads(json.dumps(content))
    assert paths[1].read_text(encoding="utf-8") == markdown(read(paths[0]))
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    assert paths[2].stat().st_size > 20_000


def test_the_markdown_shows_every_query_and_the_machine(outcome: Race) -> None:
    text = markdown(document(outcome, [], describe(2), 0.01))
    assert all(f"| {query.label} {query.title} |" in text for query in outcome.queries)
    assert "2 threads" in text
    assert "Failures" not in text


def test_failures_and_differences_are_shown(outcome: Race) -> None:
    content = document(outcome, [], describe(2), 0.01)
    cells = content["queries"][0]["sides"]
    cells[outcome.subject]["difference"] = "row 0, column 1: 2 instead of 1"
    cells[outcome.base]["failure"] = "Error: why"
    text = markdown(content)
    assert "Q1: row 0, column 1: 2 instead of 1" in text
    assert f"{outcome.base}, Q1: Error: why" in text
    assert "**no**" in text


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"format": 999}')
    with pytest.raises(ValueError, match="not a TPC-H report"):
        read(other)


def test_every_bar_has_a_measurement_and_only_one_measurement_has_no_bar() -> None:
    assert set(MEASUREMENTS) - {bar.measurement for bar in BARS} == {"hot-off"}
    assert {bar.measurement for bar in BARS} <= set(MEASUREMENTS)


def test_a_bar_is_a_ceiling_or_a_floor_and_nan_meets_neither() -> None:
    ceiling, floor = Bar("load", "load_ratio", 1.5), Bar("load", "load_ratio", 1.5, at_least=True)
    low, high = (Figure("load_ratio", "", value, "×") for value in (1.4, 1.6))
    nothing = Figure("load_ratio", "", float("nan"), "×")
    assert [ceiling.is_met(each) for each in (low, high, nothing)] == [True, False, False]
    assert [floor.is_met(each) for each in (low, high, nothing)] == [False, True, False]
    assert ceiling.text("×") == "≤ 1.50×"


def test_figures_meet_the_bars_of_their_name() -> None:
    figures = (Figure("bytes_ratio", "", 9.0, "×"),)
    (verdict,) = judge("bytes", Measurement(figures))
    assert not verdict.met


def test_a_figure_reads_well() -> None:
    assert Figure("", "", 1370.4, "/s").text() == "1,370/s"
    assert Figure("", "", 22, "queries").text() == "22 queries"
    assert Figure("", "", 0.1234, "ms").text() == "0.123 ms"
    assert Figure("", "", 12.34, "ms").text() == "12.3 ms"
    assert Figure("", "", float("nan"), "ms").text() == "–"
