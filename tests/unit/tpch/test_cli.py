from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from pagelake.tpch.bars import MEASUREMENTS
from pagelake.tpch.cli import tpch
from pagelake.tpch.measure_queries import run_child

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
    assert ", ".join(MEASUREMENTS) in (only.help or "")


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
