"""A small run of the measure of keys: it runs, and the figures are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import keys

if TYPE_CHECKING:
    from pathlib import Path


def test_the_measure_runs(tmp_path: Path) -> None:
    figures = keys.run(tmp_path, 5_000, rounds=1, calls=5)
    names = [figure.name for figure in figures]
    assert "point SELECT by id" in names
    assert sum(name.startswith("load, key") for name in names) == len(keys.SHAPES)
    assert all(figure.ours > 0 and figure.peer > 0 for figure in figures)
