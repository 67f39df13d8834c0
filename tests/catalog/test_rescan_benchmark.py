"""The programs that time rescans and watching do what they say, on a small tree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.catalog.rescan_benchmark import make, run
from tests.catalog.watch_latency import measure

if TYPE_CHECKING:
    from pathlib import Path


def test_rescans_are_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "tree", 200)
    run(tmp_path / "tree", tmp_path / "tree", rounds=1, share=0.1, settle_seconds=0)
    told = capsys.readouterr().out
    assert "round 1: 5 changes" in told
    assert "(bar 10x)" in told


@pytest.mark.skipif(sys.platform != "linux", reason="trees are watched on Linux")
def test_changes_of_a_watched_tree_are_timed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    assert len(measure(tmp_path / "tree", tmp_path, 3)) == 3
