"""Every .slt file of this folder: plans of queries, and the rows that they give."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plans.stages import stage
from tests.slt.runner import run_file

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.slt"))


@pytest.mark.parametrize("path", FILES, ids=[p.name for p in FILES])
def test_file(path: Path, tmp_path: Path, rewrite_goldens: bool) -> None:
    __tracebackhide__ = True
    run_file(path, tmp_path, rewrite=rewrite_goldens, stage=stage)
