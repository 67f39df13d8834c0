"""The directory of hot segments: names, the byte budget and publishing."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.hot_directory import HotDirectory, HotFile, cover_hash
from tests.unit.storage.builders import column, definition, inline_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def device(store_path: Path) -> Iterator[LocalDevice]:
    opened = LocalDevice(store_path, create=True)
    yield opened
    opened.close()


def directory(device: LocalDevice, bytes_max: int = 100, **changes: object) -> HotDirectory:
    kernel = str(changes.get("kernel", "2.0.0"))
    read_only = bool(changes.get("read_only"))
    return HotDirectory(device, kernel=kernel, bytes_max=bytes_max, read_only=read_only)


def publish(hot: HotDirectory, cover: str, size: int = 40, age_s: int = 0) -> HotFile | None:
    staged = hot.staging_name(cover.encode())
    hot.staging_path(staged).write_bytes(b"x" * size)
    file = hot.publish(staged, "t", cover)
    hot.discard(staged)
    if file is not None and age_s:
        path = hot.path(file)
        assert path is not None
        then = os.stat(path).st_mtime - age_s
        os.utime(path, (then, then))
    return file


def test_a_segment_is_published_under_what_it_covers(device: LocalDevice) -> None:
    hot = directory(device)
    file = publish(hot, "c1")
    assert file == HotFile("t-c1-2.0.0-40.duckdb", "t", "c1", "2.0.0", 40)
    assert file is not None
    assert directory(device).files() == {"c1": file}
    path = hot.path(file)
    assert path is not None
    assert path.read_bytes() == b"x" * 40
    assert device.list("tmp") == []


def test_the_second_builder_of_the_same_segment_loses_quietly(device: LocalDevice) -> None:
    hot = directory(device)
    assert publish(hot, "c1") == publish(directory(device), "c1")
    assert hot.bytes_used() == 40


def test_the_budget_drops_what_was_used_longest_ago(device: LocalDevice) -> None:
    hot = directory(device)
    publish(hot, "old", age_s=100)
    publish(hot, "older", age_s=200)
    assert publish(hot, "new") is not None
    assert sorted(hot.files()) == ["new", "old"]
    file = hot.files()["old"]
    assert hot.path(file) is not None, "looking at it counts as use"
    hot.set_budget(50)
    assert sorted(hot.files()) == ["old"]
    assert hot.bytes_used() <= 50


def test_what_can_never_fit_drops_nothing(device: LocalDevice) -> None:
    hot = directory(device)
    publish(hot, "c1")
    assert publish(hot, "huge", size=101) is None
    assert sorted(hot.files()) == ["c1"]


def test_a_budget_of_nothing_switches_the_tier_off(device: LocalDevice) -> None:
    assert not directory(device, 0).enabled
    assert not HotDirectory(MemoryDevice(), kernel="2.0.0", bytes_max=100, read_only=False).enabled
    reader = directory(device, read_only=True)
    assert reader.enabled
    assert not reader.writable


def test_files_of_other_kernels_count_and_are_not_used(device: LocalDevice) -> None:
    publish(directory(device, kernel="1.9.9"), "c1", age_s=100)
    hot = directory(device)
    assert hot.files() == {}
    assert hot.bytes_used() == 40
    publish(hot, "c2")
    publish(hot, "c3")
    assert sorted(hot.files()) == ["c2", "c3"]


@pytest.mark.parametrize(
    "name",
    ["README", ".duckdb", "a-b-c-12.wal", "a-b-c.duckdb", "a-b-c-d-5.duckdb", "a-b-c-x.duckdb",
     "a-b-c-\N{SUPERSCRIPT TWO}.duckdb", "t-c-2.0.0--5.duckdb"],
)  # fmt: skip
def test_strange_files_are_passed_over(device: LocalDevice, store_path: Path, name: str) -> None:
    (store_path / "hot" / name).write_bytes(b"?")
    hot = directory(device)
    assert hot.files() == {}
    assert publish(hot, "c1") is not None


def test_a_file_of_the_wrong_size_is_dropped(device: LocalDevice) -> None:
    hot = directory(device)
    file = publish(hot, "c1")
    assert file is not None
    path = hot.path(file)
    assert path is not None
    os.truncate(path, 39)
    assert directory(device, read_only=True).path(file) is None
    assert path.exists(), "a reader drops nothing"
    assert hot.path(file) is None
    assert not path.exists()
    assert hot.files() == {}


def test_a_file_that_vanished_is_forgotten(device: LocalDevice, store_path: Path) -> None:
    hot = directory(device)
    file = publish(hot, "c1")
    assert file is not None
    for left in (store_path / "hot").iterdir():
        left.unlink()
    (store_path / "hot").rmdir()
    assert hot.path(file) is None
    assert hot.files() == {}
    hot.drop(file)
    assert publish(hot, "c1") == file, "the folder is made again"


def test_the_cover_tells_rows_and_columns_apart() -> None:
    table = definition()
    groups = [inline_group("g", [1]), inline_group("h", [1, 2])]
    covers = {
        cover_hash(table, groups, {}),
        cover_hash(table, groups, {"h": 1}),
        cover_hash(table, groups, {"g": 1}),
        cover_hash(table, groups[::-1], {}),
        cover_hash(table, groups[:1], {}),
        cover_hash(table, [groups[0], replace(groups[1], rows=3)], {}),
        cover_hash(replace(table, columns=(column(2),)), groups, {}),
        cover_hash(replace(table, columns=(replace(column(), type="TEXT"),)), groups, {}),
    }
    assert len(covers) == 8
    renamed = replace(table, columns=(column(1, "renamed"),))
    assert cover_hash(renamed, groups, {}) in covers, "names are not content"
