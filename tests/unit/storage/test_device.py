"""The device contract, held by every implementation."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import NotAStore, OutcomeUnknown, StorageFull, Unavailable
from pagelake.storage.devices import local_device
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake.storage.devices.device import Device


@pytest.fixture(params=["local", "memory", "local without unnamed files"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    if request.param == "memory":
        opened: Device = MemoryDevice()
    else:
        if request.param != "local":
            request.getfixturevalue("monkeypatch").delattr(os, "O_TMPFILE", raising=False)
        opened = LocalDevice(tmp_path / "store", create=True)
    yield opened
    opened.close()


def test_a_staged_file_is_linked_to_a_free_name_only(device: Device) -> None:
    first, second = device.stage(b"one"), device.stage(b"two")
    assert first.link("log/1")
    assert not second.link("log/1")
    assert not first.link("log/1"), "not even for the file that has the name already"
    assert second.link("log/2"), "the same staged file may be offered again"
    assert (device.read("log/1"), device.read("log/2")) == (b"one", b"two")
    for staged in (first, second):
        staged.discard()
        staged.discard()
    assert device.read("log/1") == b"one"
    device.sync_directory("log")


def test_an_unlinked_staged_file_leaves_nothing(device: Device) -> None:
    device.stage(b"gone").discard()
    assert [device.list(folder) for folder in ("log/checkpoints", "tmp", "segments")] == [[]] * 3


def test_equal_content_does_not_make_a_name_free(device: Device) -> None:
    content = b"same"
    assert device.stage(content).link("log/1")
    assert not device.stage(content).link("log/1")


def test_appended_parts_are_read_back(device: Device) -> None:
    file = device.create("segments/a")
    assert file.size == 0
    assert file.append(b"ab", memoryview(b"cd"), b"") == 0
    assert file.append(b"ef") == 4
    assert file.size == 6
    file.sync()
    file.close()
    file.close()
    assert device.read("segments/a") == b"abcdef"
    assert device.size("segments/a") == 6
    with pytest.raises(FileExistsError):
        device.create("segments/a")


def test_an_append_of_very_many_parts(device: Device) -> None:
    file = device.create("segments/a")
    file.append(*[b"x"] * 3_000)
    assert device.read("segments/a") == b"x" * 3_000
    file.close()


def test_maps_are_views_that_outlive_growth_and_unlink(device: Device) -> None:
    file = device.create("segments/a")
    file.append(b"0123456789")
    early = device.map("segments/a", 2, 3)
    assert early.readonly
    file.append(b"abc")
    late = device.map("segments/a", 10, 3)
    device.unlink("segments/a")
    device.unlink("segments/a")
    file.close()
    assert (bytes(early), bytes(late)) == (b"234", b"abc")
    assert not device.exists("segments/a")
    with pytest.raises(FileNotFoundError):
        device.map("segments/a", 0, 1)


def test_a_short_file_is_noticed(device: Device) -> None:
    device.create("segments/a").append(b"0123")
    assert device.map("segments/a", 0, 0) == b""
    with pytest.raises(EOFError):
        device.map("segments/a", 2, 3)


def test_a_file_cut_short_before_it_is_mapped(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    device.create("segments/a").append(b"0123456789")
    os.truncate(tmp_path / "store/segments/a", 4)
    with pytest.raises(EOFError):
        device.map("segments/a", 0, 10)
    device.close()


def test_missing_names(device: Device) -> None:
    assert not device.exists("log/1")
    assert device.list("no such folder") == []
    for read in (device.read, device.size, device.modified_s):
        with pytest.raises(FileNotFoundError):
            read("log/1")
    device.touch("log/1")


def test_names_are_listed_by_folder_and_sorted(device: Device) -> None:
    for name in ("log/2", "log/10", "log/checkpoints/1", "segments/3"):
        device.stage(b"").link(name)
    assert [n for n in device.list("log") if n.isdigit()] == ["10", "2"]
    assert device.list("log/checkpoints") == ["1"]


def test_more_files_are_mapped_than_a_process_may_hold_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_device, "_MAPS_MAX", 3)
    device = LocalDevice(tmp_path / "store", create=True)
    before = len(os.listdir("/dev/fd"))
    for number in range(20):
        file = device.create(f"segments/{number}")
        file.append(b"%02d" % number)
        file.close()
    views = [device.map(f"segments/{number}", 0, 2) for number in range(20)]
    assert [bytes(view) for view in views] == [b"%02d" % number for number in range(20)]
    del views
    descriptors = len(os.listdir("/dev/fd")) - before
    device.close()
    assert descriptors <= 3 + 1, "one a mapping kept, and the folder of the staged probe"


def test_adopt_takes_a_foreign_file_once(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    made = tmp_path / "store/tmp/made"
    made.write_bytes(b"hot")
    (tmp_path / "store/hot").rmdir()
    assert device.adopt(made, "hot/a")
    assert not device.adopt(made, "hot/a")
    assert device.read("hot/a") == b"hot"
    assert device.local_path("hot/a") == tmp_path / "store/hot/a"
    device.close()


@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, StorageFull), (errno.EIO, Unavailable)], ids=["full", "bad"]
)
def test_a_failed_append_gives_up_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    file = device.create("segments/a")

    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", fail)
        with pytest.raises(error):
            file.append(b"x")
        with pytest.raises(error):
            device.stage(b"x")
    with pytest.raises(OutcomeUnknown):
        file.append(b"x")
    with pytest.raises(OutcomeUnknown):
        file.sync()
    device.close()


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    file = device.create("segments/a")
    real = os.writev

    def some(descriptor: int, views: list[memoryview]) -> int:
        return real(descriptor, [views[0][:3]])

    monkeypatch.setattr(os, "writev", some)
    file.append(b"0123456", b"", b"789", b"abcdef")
    assert device.read("segments/a") == b"0123456789abcdef"
    device.close()


def test_a_failed_sync_is_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    file = device.create("segments/a")
    file.append(b"x")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(local_device, "_datasync", fail)
        with pytest.raises(OutcomeUnknown):
            file.sync()
        with pytest.raises(Unavailable):
            device.stage(b"nobody can see this")
    with pytest.raises(OutcomeUnknown):
        file.sync()
    device.close()


def test_a_device_is_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for path in (file, file / "below", tmp_path / ("x" * 300)):
        with pytest.raises(NotAStore):
            LocalDevice(path, create=True)
    with pytest.raises(NotAStore):
        LocalDevice(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / ".hidden").write_text("mine")
    with pytest.raises(NotAStore, match=r"thesis\.txt"):
        LocalDevice(tmp_path, create=True)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "thesis.txt"]
    (tmp_path / "thesis.txt").unlink()
    LocalDevice(tmp_path, create=True).close()
