"""A small run of the measure of creates: it runs, and every create is there once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import keyed_commits

if TYPE_CHECKING:
    from pathlib import Path


def test_the_measure_runs(tmp_path: Path) -> None:
    assert keyed_commits.of_processes(tmp_path / "p.lake", 2, True, 0.2, 0.05).per_s > 0
