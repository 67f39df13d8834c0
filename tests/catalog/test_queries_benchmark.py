"""The benchmark of questions runs, and what it compares is equal; figures are not judged here."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.catalog.benchmark import Report
from tests.catalog.queries_benchmark import real, synthetic

if TYPE_CHECKING:
    from pathlib import Path


def test_a_synthetic_catalog_and_a_duckdb_table_answer_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic(tmp_path, 3_000, 1, Report())
    told = capsys.readouterr().out
    for line in ("bytes an entry, truth", "one path, in the text", "bytes of any subtree"):
        assert line in told


@pytest.mark.skipif(not (shutil.which("find") and shutil.which("du")), reason="find and du")
def test_a_real_tree_is_compared_with_find(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "file").touch()
    real(tmp_path, tmp_path / "tree", 1, Report())
    assert f"{tmp_path}/tree, 3 entries" in capsys.readouterr().out
