"""A small run of the measure of the result cache: it runs, and the figures are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import result_cache

if TYPE_CHECKING:
    from pathlib import Path


def test_the_measure_runs(tmp_path: Path) -> None:
    figures = result_cache.run(tmp_path, 2_000, calls=5)
    assert len(figures) == 3 * len(result_cache.FORMS) + 2
    assert all(figure.ms > 0 for figure in figures)
