"""A small run of the measure of creates: it runs, and every create is there once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import keyed_commits

if TYPE_CHECKING:
    from pathlib import Path


def test_the_measure_runs(tmp_path: Path) -> None:
    together = keyed_commits.of_processes(tmp_path / "p.lake", 2, True, 0.2, 0.05)
    alone = keyed_commits.of_threads(tmp_path / "t.lake", 2, False, 0.1, 0.05)
    assert together.per_s > 0
    assert alone.per_s > 0
