"""Small runs of the measures of contents: they measure, and versions share their bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.bench import content, versions

if TYPE_CHECKING:
    from pathlib import Path


def test_speeds_are_ratios(tmp_path: Path) -> None:
    found = content.run(os.urandom, 2 * content.MIB, 1, tmp_path)
    assert min(found.write, found.read, found.first_read, found.plain_read) > 0


@pytest.mark.parametrize("kind", ["4k-in-place", "whole-files"])
def test_versions_share_what_they_have_in_common(tmp_path: Path, kind: str) -> None:
    assert versions.run(versions.KINDS[kind], 4 * versions.MIB, 3, tmp_path / "s") < 1.25
