from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from pagelake.tpch.bars import BARS, MEASUREMENTS
from pagelake.tpch.cli import tpch
from pagelake.tpch.measure_queries import run_child
from pagelake.tpch.measure_store import inserts
from pagelake.tpch.workload import Workload

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", sorted(tpch.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    outcome = CliRunner().invoke(tpch, [name, "--help"])
    assert outcome.exit_code == 0
    assert f"  pagelake tpch {name}" in outcome.output


def test_every_measurement_can_be_asked_for() -> None:
    options = {name for param in tpch.commands["bench"].params for name in param.opts}
    assert {f"--{name}" for name in MEASUREMENTS if name != "warm"} <= options
    (only,) = (param for param in tpch.commands["bars"].params if "--only" in param.opts)
    assert isinstance(only, click.Option)
    offered = (only.help or "").partition(": ")[2].partition(" [")[0].strip().split(", ")
    assert set(offered) == {bar.measurement for bar in BARS}


def test_an_unknown_measurement_is_refused_before_any_work(tmp_path: Path) -> None:
    arguments = ["bars", "--only", "load,speed", "--cache", str(tmp_path)]
    outcome = CliRunner().invoke(tpch, arguments)
    assert outcome.exit_code == click.BadParameter.exit_code
    assert "speed" in outcome.output
    assert list(tmp_path.iterdir()) == []


def test_generate_prints_the_folder(tpch_cache: Path) -> None:
    arguments = ["generate", "--sf", "0.01", "--output", str(tpch_cache)]
    outcome = CliRunner().invoke(tpch, arguments)
    assert outcome.exit_code == 0
    assert outcome.stdout.strip() == str(tpch_cache / "sf0.01")


def test_a_child_reports_the_memory_of_its_own_program() -> None:
    ballast = bytearray(300 * 2**20)
    answer = run_child(
        task="peak",
        engine="duckdb",
        path=":memory:",
        threads=1,
        statements=["CREATE TABLE t AS SELECT range AS i FROM range(3000000)"],
    )
    # The parent's 300 MiB must not count, and 3 M 8-byte integers must.
    assert answer["before_bytes"] < len(ballast)
    assert answer["peak_bytes"] > answer["before_bytes"]


def test_the_child_answers_for_duckdb_too(database: Path) -> None:
    answer = run_child(
        task="fresh",
        engine="duckdb",
        preload=True,
        path=str(database),
        threads=1,
        queries=["SELECT count(*) FROM nation"],
    )
    assert answer["total_ms"] > 0


def test_the_demo_loads_both_engines_and_their_answers_agree(
    tpch_cache: Path, tmp_path: Path
) -> None:
    arguments = ["demo", "--sf", "0.01", "--rounds", "1", "--threads", "2"]
    arguments += ["--cache", str(tpch_cache), "--keep", str(tmp_path)]
    outcome = CliRunner().invoke(tpch, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert "22/22" in outcome.stdout
    assert "Q22" in outcome.stdout
    assert (tmp_path / "tpch-sf0.01.lake" / "store.json").exists()


def test_a_store_is_loaded_once_and_answers(tpch_cache: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "new.lake")
    load = ["load", store, "--sf", "0.01", "--cache", str(tpch_cache)]
    assert CliRunner().invoke(tpch, load).exit_code == 0
    again = CliRunner().invoke(tpch, load)
    assert again.exit_code == 1
    assert "lineitem" in again.output
    shown = CliRunner().invoke(tpch, ["run", store, "--query", "6", "--query", "1", "--answers"])
    assert shown.exit_code == 0, shown.output
    assert "revenue" in shown.stdout
    assert "Pricing summary" in shown.stdout


def test_bars_are_measured_and_judged(tpch_cache: Path, tmp_path: Path) -> None:
    names = ["answers", "bytes", "import"]
    arguments = ["bars", "--sf", "0.01", "--rounds", "1", "--only", ",".join(names)]
    arguments += ["--cache", str(tpch_cache), "--keep", str(tmp_path)]
    outcome = CliRunner().invoke(tpch, arguments)
    lines = outcome.stdout.splitlines()
    for name in names:
        assert any(line.split()[:1] == [name] for line in lines), outcome.output
    missed = sum(" MISSED " in line for line in lines)
    assert outcome.exit_code == (1 if missed else 0)
    # Times depend on the machine, answers do not.
    assert sum("Answers equal" in line and " met " in line for line in lines) == 4
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".duckdb", ".lake"]


def test_durable_inserts_are_counted_on_both_engines(tmp_path: Path, parquet: Path) -> None:
    workload = Workload(0.01, parquet, tmp_path / "no.lake", tmp_path / "no.duckdb", tmp_path, 2)
    one, many = inserts(workload, 1, lambda _step, _done, _total: None, seconds=0.2).figures
    assert (one.name, many.name) == ("inserts_one", "inserts_threads")
    assert one.value > 0
    assert many.value > 0
    assert list(tmp_path.iterdir()) == []
