"""The device contract, held by every implementation."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import NotAStore, OutcomeUnknown, StorageFull, Unavailable
from pagelake.storage.devices import local_device
from pagelake.storage.devices.device import HOLD_BYTES_MAX
from pagelake.storage.devices.file_calls import SYSTEM_CALLS, FileCalls
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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


def test_punched_parts_read_as_zeros(device: Device) -> None:
    file = device.create("segments/a")
    file.append(b"x" * (64 << 10))
    file.sync()
    parts = [(4096, 4096), (16 << 10, 40 << 10)]
    assert device.punch("segments/a", parts) == 44 << 10
    expected = b"x" * 4096 + bytes(4096) + b"x" * 8192 + bytes(40 << 10) + b"x" * 8192
    assert device.read("segments/a") == bytes(device.map("segments/a", 0, 64 << 10)) == expected
    assert device.punch("segments/a", parts) == 0, "there is nothing left to give back"
    assert file.append(b"more") == device.size("segments/a") - 4 == 64 << 10
    assert device.punch("segments/none", [(0, 4096)]) == 0
    file.close()


def test_large_views_stay_as_they_are(device: Device) -> None:
    file = device.create("segments/a")
    file.append(b"x" * (1 << 20))
    file.sync()
    file.close()
    large = device.map("segments/a", 4096, 512 << 10)
    small = device.map("segments/a", 4096, 100)
    half = large[: 256 << 10]
    del large
    freed = device.punch("segments/a", [(0, 1 << 20)])
    assert bytes(half) == b"x" * (256 << 10) and bytes(small) == b"x" * 100
    if not freed:
        del half
        assert device.punch("segments/a", [(0, 1 << 20)]) == 1 << 20
    assert bytes(device.map("segments/a", 0, 1 << 20)) == bytes(1 << 20)


def test_a_large_part_is_copied_while_its_file_is_punched(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    other = LocalDevice(tmp_path / "store", create=True)
    device.create("segments/a").append(b"x" * (1 << 20))
    seen: list[memoryview] = []

    def punch(descriptor: int, offset: int, length: int) -> None:
        seen.append(other.map("segments/a", 0, 1 << 20))
        SYSTEM_CALLS.punch(descriptor, offset, length)

    punching = LocalDevice(
        tmp_path / "store", create=True, calls=replace(SYSTEM_CALLS, punch=punch)
    )
    assert punching.punch("segments/a", [(0, 1 << 20)]) == 1 << 20
    assert bytes(seen[0]) == b"x" * (1 << 20)
    for opened in (device, other, punching):
        opened.close()


def test_a_punch_that_frees_no_block_is_not_repeated(tmp_path: Path) -> None:
    asked: list[int] = []
    calls = replace(SYSTEM_CALLS, punch=lambda _, offset, length: asked.append(offset))
    device = LocalDevice(tmp_path / "store", create=True, calls=calls)
    device.create("segments/a").append(b"x" * (1 << 20))
    for _ in range(2):
        assert device.punch("segments/a", [(0, 64 << 10)]) == 0
    assert asked == [0]
    assert device.punch("segments/a", [(0, 64 << 10), (128 << 10, 4096)]) == 0
    assert asked == [0, 0, 128 << 10]
    device.close()


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSPC, errno.EIO])
def test_a_punch_that_fails(tmp_path: Path, code: int) -> None:
    asked = []

    def punch(descriptor: int, offset: int, length: int) -> None:
        asked.append(offset)
        raise OSError(code, os.strerror(code))

    device = LocalDevice(tmp_path / "store", create=True, calls=replace(SYSTEM_CALLS, punch=punch))
    device.create("segments/a").append(b"x" * (1 << 20))
    for _ in range(2):
        if code == errno.EIO:
            with pytest.raises(Unavailable, match="give room back"):
                device.punch("segments/a", [(0, 1 << 20)])
        else:
            want = None if code == errno.EOPNOTSUPP else 0
            assert device.punch("segments/a", [(0, 1 << 20)]) == want
    assert len(asked) == (1 if code == errno.EOPNOTSUPP else 2), "who has no holes is asked once"
    assert device.read("segments/a") == b"x" * (1 << 20)
    device.close()


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


def failing(**failures: object) -> FileCalls:
    """File calls of which some are replaced."""
    return replace(SYSTEM_CALLS, **failures)


@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, StorageFull), (errno.EIO, Unavailable)], ids=["full", "bad"]
)
def test_a_failed_append_gives_up_the_file(
    tmp_path: Path, code: int, error: type[Exception]
) -> None:
    broken = False

    def write(descriptor: int, parts: Sequence[bytes | memoryview]) -> int:
        if broken:
            raise OSError(code, os.strerror(code))
        return os.writev(descriptor, parts)

    device = LocalDevice(tmp_path / "store", create=True, calls=failing(writev=write))
    file = device.create("segments/a")
    broken = True
    with pytest.raises(error):
        file.append(b"x")
    with pytest.raises(error):
        device.stage(b"x")
    broken = False
    with pytest.raises(OutcomeUnknown):
        file.append(b"x")
    with pytest.raises(OutcomeUnknown):
        file.sync()
    device.close()


def test_a_short_write_is_completed(tmp_path: Path) -> None:
    def some(descriptor: int, parts: Sequence[memoryview]) -> int:
        return os.writev(descriptor, [parts[0][:3]])

    device = LocalDevice(tmp_path / "store", create=True, calls=failing(writev=some))
    file = device.create("segments/a")
    file.append(b"0123456", b"", b"789", b"abcdef")
    assert device.read("segments/a") == b"0123456789abcdef"
    device.close()


@pytest.mark.parametrize("code", [errno.EIO, errno.EINTR], ids=["bad", "interrupted"])
def test_a_failed_sync_is_never_tried_again(tmp_path: Path, code: int) -> None:
    broken = False

    def sync(descriptor: int) -> None:
        if broken:
            raise OSError(code, os.strerror(code))
        os.fsync(descriptor)

    device = LocalDevice(tmp_path / "store", create=True, calls=failing(fsync=sync, fdatasync=sync))
    file = device.create("segments/a")
    file.append(b"x")
    broken = True
    with pytest.raises(OutcomeUnknown):
        file.sync()
    with pytest.raises(OutcomeUnknown):
        device.sync_directory("log")
    with pytest.raises(Unavailable):
        device.stage(b"nobody can see this")
    broken = False
    with pytest.raises(OutcomeUnknown):
        file.sync()
    with pytest.raises(OutcomeUnknown):
        device.sync_directory("log")
    device.sync_directory("segments")
    device.close()


def test_a_link_that_answers_with_an_error_may_have_happened(tmp_path: Path) -> None:
    answers = [errno.EINTR, errno.EIO]

    def link(descriptor: int, folder: int, name: str) -> None:
        SYSTEM_CALLS.link_unnamed(descriptor, folder, name)
        if name.isdigit() and answers:
            code = answers.pop(0)
            raise OSError(code, os.strerror(code))

    device = LocalDevice(tmp_path / "store", create=True, calls=failing(link_unnamed=link))
    for name in ("log/1", "log/2", "log/3"):
        staged = device.stage(name.encode())
        assert staged.link(name)
        assert device.read(name) == name.encode()
        staged.discard()
    assert not answers
    device.close()


def test_a_failing_look_is_no_missing_file(tmp_path: Path) -> None:
    broken = False

    def status(path: str) -> os.stat_result:
        if broken:
            raise OSError(errno.EIO, "Input/output error")
        return os.stat(path)

    device = LocalDevice(tmp_path / "store", create=True, calls=failing(stat=status))
    broken = True
    with pytest.raises(Unavailable):
        device.exists("log/1")
    broken = False
    assert not device.exists("log/1")
    device.close()


# Holds


def test_a_hold_is_seen_until_it_is_released(device: Device) -> None:
    assert device.held("pins") == []
    first, second = device.hold("pins/a", b"1"), device.hold("pins/b", b"x" * HOLD_BYTES_MAX)
    with pytest.raises(FileExistsError):
        device.hold("pins/a", b"2")
    assert sorted(device.held("pins")) == [b"1", b"x" * HOLD_BYTES_MAX]
    first.update(b"longer")
    second.update(b"")
    assert sorted(device.held("pins")) == [b"", b"longer"]
    first.release()
    first.release()
    assert device.held("pins") == [b""]
    device.hold("pins/a", b"again").release()
    second.release()
    assert device.held("pins") == []
    assert device.list("tmp") == device.list("pins") == []
    with pytest.raises(ValueError, match=f"{HOLD_BYTES_MAX} bytes"):
        device.hold("pins/a", b"x" * (HOLD_BYTES_MAX + 1))


HOLDER = """
import pathlib, sys, time
from pagelake.storage.devices.local_device import LocalDevice
device = LocalDevice(pathlib.Path(sys.argv[1]), create=False)
hold = device.hold("pins/theirs", b"theirs")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_hold_ends_with_its_process_and_not_while_it_is_stopped(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    ours = device.hold("pins/ours", b"ours")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "store")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert sorted(device.held("pins")) == [b"ours", b"theirs"]
        holder.send_signal(signal.SIGSTOP)
        assert sorted(device.held("pins")) == [b"ours", b"theirs"]
        holder.kill()
        holder.wait()
    assert device.list("pins") == ["ours", "theirs"]
    assert device.held("pins") == [b"ours"]
    assert device.list("pins") == ["ours"], "what the dead left is removed"
    ours.release()
    device.close()


def test_a_hold_whose_content_cannot_be_read_is_no_missing_hold(tmp_path: Path) -> None:
    device = LocalDevice(tmp_path / "store", create=True)
    hold = device.hold("pins/a", b"1")
    path = tmp_path / "store/pins/a"
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    with pytest.raises(Unavailable):
        device.held("pins")
    hold.update(b"2")
    assert device.held("pins") == [b"2"]
    hold.release()
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
