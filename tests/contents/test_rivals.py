"""Some writers against a sweep; ``python -m tests.contents.rivals`` goes on for longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contents import rivals

if TYPE_CHECKING:
    from pathlib import Path


def test_no_sweep_takes_what_is_written_again(tmp_path: Path) -> None:
    said = rivals.run(tmp_path, seconds=0.6, writers=2, seed=1)
    print(said)
    assert not said.startswith("0 steps")
