"""Several simulated processes lose nothing, and a seed repeats its run to the byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.simulate import Simulation

ROOT = Path(__file__).resolve().parents[2]


# 42 and 73 once made a process fold records that another had just reclaimed.
@pytest.mark.parametrize("seed", [*range(8), 42, 73])
def test_processes_that_are_killed_and_lose_power_keep_what_they_were_promised(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run(5)
    assert simulation.commits > 0


def test_a_seed_repeats_its_run_in_another_process() -> None:
    command = [sys.executable, "-m", "tests.crash.simulate", "--seed", "3", "--lives", "2"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert Simulation(3).run(2) in printed


def test_seeds_differ() -> None:
    assert Simulation(1).run(1) != Simulation(2).run(1)
