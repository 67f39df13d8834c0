"""A small run of the measure of space, with holes in files and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pagelake.storage.devices.local_device import LocalDevice
from tests.bench import space

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("holes", [True, False], ids=["holes", "whole segments"])
def test_space_stays_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holes: bool
) -> None:
    monkeypatch.setattr(space, "SINGLE_COMMITS", 10)
    monkeypatch.setattr(space, "KILLED_EVERY", 2)
    if not holes:
        monkeypatch.setattr(LocalDevice, "punch", lambda *_: None)
    path = tmp_path / "space.lake"
    workload = space.Workload(path, 60_000, 1 if holes else space.WHOLE_TURNS)
    assert space.run(workload, path, rounds=2) <= space.RATIO_MAX
