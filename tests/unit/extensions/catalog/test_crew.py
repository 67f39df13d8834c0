"""Processes that look at directories when asked, and those that hang or die over it."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pagelake.errors import Interrupted
from pagelake.extensions.catalog import worker
from pagelake.extensions.catalog.block import WalkOptions
from pagelake.extensions.catalog.coordinator import root_of
from pagelake.extensions.catalog.rescan.crew import Crew
from pagelake.extensions.catalog.rescan.differ import _IDENTITY, paired
from tests.unit.extensions.catalog.test_coordinator import SABOTAGE

if TYPE_CHECKING:
    from pathlib import Path


def crew_of(root: Path, cancelled: object = None, *, here: bool = False) -> tuple[Crew, bytes]:
    path, own = root_of(os.fsencode(root), WalkOptions())
    options = WalkOptions(processes=2, timeout_seconds=2)
    return Crew(path, int(own["device"]), options, cancelled, here), path  # type: ignore[arg-type]


@pytest.mark.parametrize("here", [False, True])
def test_directories_are_looked_at_by_path(tmp_path: Path, here: bool) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    made, root = crew_of(tmp_path, here=here)
    paths = [root, root + b"/a", root + b"/none", root + b"/a/b", root + b"/link"]
    with closing(made) as crew:
        entries, errnos = crew.stat(paths)
        assert errnos.tolist() == [0, 0, errno.ENOENT, 0, 0]
        for at in (0, 1, 3, 4):
            assert int(entries["inode"][at]) == os.lstat(paths[at]).st_ino
        found = crew.read([root, root + b"/a"], entries[:2])
    assert [block.names for block in found.blocks] == [[b"a", b"link"], [b"b"]]
    assert sorted(found.entered) == [root + b"/a", root + b"/a/b"]


def test_a_directory_that_ends_its_process_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "START", SABOTAGE)
    for name in ("a", "die", "z"):
        (tmp_path / name / "inside").mkdir(parents=True)
    made, root = crew_of(tmp_path)
    with closing(made) as crew:
        paths = [root + b"/a", root + b"/die", root + b"/z"]
        entries, _ = crew.stat(paths)
        found = crew.read(paths, entries)
    assert [block.path for block in found.blocks] == paths
    assert [block.names for block in found.blocks] == [[b"inside"], [], [b"inside"]]
    (error,) = found.blocks[1].errors
    assert (error.path, error.operation, error.errno) == (root + b"/die", "scan", errno.EIO)


def test_a_crew_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "START", SABOTAGE)
    (tmp_path / "busy").mkdir()
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    made, root = crew_of(tmp_path, cancelled)
    with closing(made) as crew, pytest.raises(Interrupted):
        crew.read([root + b"/busy"], crew.stat([root + b"/busy"])[0])


def test_elements_are_paired_one_to_one() -> None:
    random = np.random.default_rng(7)
    for _ in range(100):
        gone, fresh = (np.zeros(random.integers(0, 25), _IDENTITY) for _ in range(2))
        for side in (gone, fresh):
            side["inode"] = random.integers(-3, 6, len(side))
            side["born"] = random.integers(0, 2, len(side))
        left, right = paired(gone, fresh)
        assert (gone[left] == fresh[right]).all()
        assert len(set(left.tolist())) == len(set(right.tolist())) == len(left)
        both = [[tuple(row) for row in side.tolist()] for side in (gone, fresh)]
        wanted = sum(min(both[0].count(one), both[1].count(one)) for one in set(both[0]))
        assert len(left) == wanted
