"""A small run of processes that create and remove in the same directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.multiprocess import creators

if TYPE_CHECKING:
    from pathlib import Path


def test_who_meets_in_a_directory_is_told_the_truth(tmp_path: Path) -> None:
    answered, versions, found = creators.run(tmp_path / "store", processes=4, seconds=0.6)
    assert 1 < versions <= found
    # The one that is killed may have committed something that nobody heard of; maintenance, too.
    assert 1 < answered < found
