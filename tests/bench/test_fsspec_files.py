"""The program that measures files: small runs of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fsspec")

from tests.bench.fsspec_files import large_file, make_tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_small_run_prints_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write, read = large_file(tmp_path, mebibytes=8, rounds=1, block_bytes=1 << 20)
    assert write > 0
    assert read > 0
    assert re.match(r"8 MiB: write [\d,]+ MiB/s, plain with fsync", capsys.readouterr().out)
    assert make_tree(tmp_path / "tree", files=120) > 0
    assert len(list((tmp_path / "tree").rglob("*.bin"))) == 120
    assert sorted(path.name for path in tmp_path.iterdir()) == ["8.lake", "tree"]
