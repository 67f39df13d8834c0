"""Which children of a striped device count: losses, epochs, holds, and directories that move."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import InvalidRequest, NotAStore, Unavailable
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.rebuild import rebuild
from pagelake.storage.devices.scrub import scrub, status
from pagelake.storage.devices.striped_device import open_member, open_striped
from pagelake.storage.devices.striping.members import Members
from pagelake.storage.devices.striping.membership import (
    DeviceSet,
    Membership,
    join_child,
    link_epoch,
    newest_epoch,
)
from pagelake.storage.environment import Environment
from pagelake.storage.pins import hold_segment
from tests.unit.storage.striping.test_striped_device import (
    NAME,
    content_of,
    folders,
    publish,
    write_segment,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pagelake.storage.devices.device import Hold
    from pagelake.storage.devices.striping.striped_file import StripedFile


# One directory names all


def test_any_directory_opens_the_store(tmp_path: Path) -> None:
    paths = folders(tmp_path, 5)
    device = open_striped(paths, 2, create=True)
    publish(device, "log/1", b"one")
    for path in paths:
        one = open_member(path, create=False)
        assert one is not None
        assert one.read("log/1") == b"one"
        assert one.members.paths == dict(enumerate(paths))
    shutil.rmtree(paths[2])
    one = open_member(paths[4], create=True)
    assert one is not None
    assert one.read("log/1") == b"one"
    assert [(c.path, c.state) for c in status(one) if not c.live] == [(paths[2], "missing")]
    shutil.rmtree(paths[1])
    shutil.rmtree(paths[3])
    with pytest.raises(Unavailable, match=f"3 of 5.*{paths[1]}, {paths[2]}, {paths[3]}"):
        open_member(paths[4], create=False)


def test_directories_that_moved_together_are_found(tmp_path: Path) -> None:
    before = tmp_path / "before"
    open_striped(folders(before, 3), 1, create=True).close()
    before.rename(tmp_path / "after")
    one = open_member(tmp_path / "after/d1", create=False)
    assert one is not None
    assert one.members.paths == dict(enumerate(folders(tmp_path / "after", 3)))


def test_a_directory_that_knows_no_other_says_what_to_do(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    open_striped(paths, 1, create=True).close()
    for note in (paths[0] / "devices").glob("peers-*"):
        note.unlink()
    with pytest.raises(NotAStore, match=r"one of 3 devices.*\nhint: name the directories of all"):
        open_member(paths[0], create=False)
    paths[2].rename(tmp_path / "moved")
    named = [paths[0], paths[1], tmp_path / "moved"]
    open_striped(named, None, create=True).close()
    one = open_member(paths[0], create=False)
    assert one is not None
    assert one.members.paths == dict(enumerate(named))


def test_what_is_no_device_opens_as_none(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert open_member(tmp_path / "plain", create=False) is None
    assert open_member(tmp_path / "absent", create=False) is None


# Devices that cannot know


def test_half_of_a_mirror_is_not_believed_before_somebody_says_so(tmp_path: Path) -> None:
    paths = folders(tmp_path, 2)
    device = open_striped(paths, 1, create=True)
    publish(device, "log/1", b"one")
    device.close()
    paths[0].rename(tmp_path / "away")
    for create in (False, True):
        with pytest.raises(Unavailable, match=r"1 of 2 devices are there.*\n.*accept-loss"):
            open_striped(paths, None, create=create)
    device = open_striped(paths, None, create=True, accept_loss=True)
    publish(device, "log/2", b"two")
    device.close()
    device = open_striped(paths, None, create=True)  # it knows now
    assert device.read("log/2") == b"two"
    device.close()
    (tmp_path / "away").rename(paths[0])
    device = open_striped(paths, None, create=True)
    assert [child.state for child in status(device)] == ["outdated", "live"]
    assert device.read("log/2") == b"two"
    device.close()
    paths[1].rename(tmp_path / "away")
    with pytest.raises(Unavailable, match="may have gone on without"):
        open_striped(paths, None, create=True)


def test_a_mirror_goes_on_when_a_half_is_lost_while_it_is_open(tmp_path: Path) -> None:
    paths = folders(tmp_path, 2)
    device = open_striped(paths, 1, create=True)
    shutil.rmtree(paths[0])
    publish(device, "log/1", b"one")
    device.close()
    device = open_striped(paths, None, create=True)
    assert device.read("log/1") == b"one"


def test_halves_that_went_on_without_each_other_are_refused(tmp_path: Path) -> None:
    paths = folders(tmp_path, 2)
    open_striped(paths, 1, create=True).close()
    for mine, other in ((0, 1), (1, 0)):
        hidden = tmp_path / "away"
        paths[other].rename(hidden)
        device = open_striped(paths, None, create=True, accept_loss=True)
        publish(device, "log/1", f"of {mine}".encode())
        device.close()
        hidden.rename(paths[other])
    with pytest.raises(Unavailable, match="went on without each other"):
        open_striped(paths, None, create=True)
    device = open_striped(paths[1:], None, create=True)
    assert device.read("log/1") == b"of 1"


# Epochs that are begun at the same time


def memory_set(children: int, parity: int) -> tuple[DeviceSet, dict[int, MemoryDevice]]:
    devices = DeviceSet("ab" * 16, children, parity)
    made = {index: MemoryDevice() for index in range(children)}
    for index, child in made.items():
        join_child(child, devices, index)
    link_epoch(made, devices, Membership(0, tuple(made)))
    return devices, made


def test_of_two_epochs_the_one_on_the_first_common_child_is_begun() -> None:
    devices, children = memory_set(4, 1)
    without_0, without_1 = Membership(1, (1, 2, 3)), Membership(1, (0, 2, 3))
    link_epoch({0: children[0]}, devices, without_1)
    link_epoch({1: children[1], 2: children[2]}, devices, without_0)
    assert newest_epoch(children, devices) == without_0
    assert newest_epoch({i: children[i] for i in (0, 2)}, devices) == without_0


def test_processes_that_lose_different_children_at_once_agree() -> None:
    devices, children = memory_set(5, 2)
    one, two = (Members(devices, children, {}, threads=False) for _ in range(2))
    one.lose(0)
    two.lose(1)
    one.declare()
    two.declare()
    one.refresh()
    assert one.membership == two.membership
    assert set(one.membership.order) == {2, 3, 4}


def test_a_child_that_is_needed_stays_in_use(tmp_path: Path) -> None:
    devices, children = memory_set(3, 1)
    members = Members(devices, children, {}, threads=False)
    members.lose(0)
    with pytest.raises(Unavailable, match="2 of 3"):
        members.lose(1)
    assert members.live() == [1, 2]


# Holds


def test_a_hold_outlives_the_first_directories(tmp_path: Path) -> None:
    paths = folders(tmp_path, 5)
    holder = open_striped(paths, 2, create=True)
    hold = holder.hold("pins/a", b"seven")
    other = open_striped(paths, None, create=True)
    for path in paths[:2]:
        shutil.rmtree(path)
    assert other.held("pins") == [b"seven"]
    hold.update(b"eight")
    assert other.held("pins") == [b"eight"]
    holder.members.refresh()
    for index in (0, 1):
        holder.members.lose(index)
    held_by = [path.name for path in paths[2:] if list((path / "pins").iterdir())]
    assert held_by == ["d2", "d3", "d4"]  # on three that live, again
    hold.release()
    assert other.held("pins") == []


def test_a_hold_follows_a_rebuilt_device(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    holder = open_striped(paths, 1, create=True)
    hold = holder.hold("pins/a", b"seven")
    other = open_striped(paths, None, create=True)
    for index in (0, 1):
        shutil.rmtree(paths[index])
        publish(other, f"log/{index}", b"x")
        rebuild(other, index, paths[index])
        holder.exists("log/1")  # whatever it asks, it learns of the others
    assert other.held("pins") == [b"seven"]
    hold.release()


# Directories that are replaced


def test_a_directory_replaced_in_place_is_used_by_who_did_not_notice(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    bystander = open_striped(paths, 1, create=True)
    file = bystander.create(NAME)
    file.append(content_of(100_000))
    file.sync()
    staged = bystander.stage(b"late")
    other = open_striped(paths, None, create=True)
    shutil.rmtree(paths[0])
    publish(other, "log/1", b"one")
    rebuild(other, 0, paths[0])
    assert staged.link("log/2")
    staged.discard()
    file.append(content_of(50_000, seed=8))
    file.sync()
    file.close()
    assert [child.state for child in status(bystander)] == ["live"] * 3
    assert (paths[0] / "log/2").is_file()
    assert list(scrub(other)) == []
    shutil.rmtree(paths[1])
    left = open_striped(paths, None, create=True)
    assert bytes(left.map(NAME, 0, 150_000)) == content_of(100_000) + content_of(50_000, seed=8)
    assert left.read("log/2") == b"late"


def close_file(file: StripedFile, _hold: Hold) -> None:
    file.close()


def let_go(file: StripedFile, hold: Hold) -> None:
    file.close()
    hold.release()


def fail(file: StripedFile, _hold: Hold) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "_require_enough", lambda: 1 // 0)
        file.append(b"never read")
        with pytest.raises(ZeroDivisionError):
            file.sync()


def go_on(_file: StripedFile, _hold: Hold) -> None:
    """Nothing happens to the file."""


@pytest.mark.parametrize("then", [go_on, close_file, let_go, fail])
@pytest.mark.parametrize("late", [0, 70_000])
def test_what_is_referred_to_lies_on_a_device_that_joined_unnoticed(
    tmp_path: Path, then: Callable[[StripedFile, Hold], None], late: int
) -> None:
    paths = folders(tmp_path, 6)
    writer = open_striped(paths, 2, create=True)
    hold = hold_segment(writer, Environment(), int(NAME.rpartition("/")[2], 16))
    file = writer.create(NAME)
    file.append(content_of(100_000))
    file.sync()
    publish(writer, "log/1", b"refers to 100,000 bytes")
    carer = open_striped(paths, None, create=True)
    shutil.rmtree(paths[0])
    publish(carer, "log/2", b"the writer did not see this")
    rebuild(carer, 0, paths[0])
    expected = content_of(100_000)
    if late:
        # The writer knows neither that the device was away nor that it is back.
        file.append(content_of(late, seed=8))
        file.sync()
        then(file, hold)
        publish(writer, "log/3", b"refers to the rest")
        expected += content_of(late, seed=8)
    for path in paths[2:4]:
        shutil.rmtree(path)
    left = open_striped(paths, None, create=True)
    assert bytes(left.map(NAME, 0, len(expected))) == expected
    hold.release()


def test_a_returning_device_forgets_what_was_removed(tmp_path: Path) -> None:
    paths = folders(tmp_path, 4)
    device = open_striped(paths, 1, create=True)
    write_segment(device, content_of(50_000))
    other_name = "segments/00000000000000bb"
    write_segment(device, content_of(70_000), other_name)
    publish(device, "log/1", b"one")
    publish(device, "log/2", b"two")
    device.close()
    paths[1].rename(tmp_path / "away")
    device = open_striped(paths, None, create=True)
    device.unlink("log/1")
    device.unlink(other_name)
    publish(device, "log/3", b"three")
    (tmp_path / "away").rename(paths[1])
    kept = (paths[1] / NAME).stat().st_ino
    rebuild(device, 1, paths[1])
    assert (paths[1] / NAME).stat().st_ino == kept  # what was right was left alone
    assert list(scrub(device)) == []
    assert device.list("log") == open_striped(paths, None, create=False).list("log")
    assert not device.exists("log/1")
    assert not (paths[1] / other_name).exists()


def test_a_device_is_rebuilt_by_one_process_at_a_time(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    device, other = (open_striped(paths, 1, create=True) for _ in range(2))
    publish(device, "log/1", b"one")
    shutil.rmtree(paths[2])

    def meanwhile(*_step: object) -> None:
        with pytest.raises(InvalidRequest, match="another process rebuilds device 2"):
            rebuild(other, 2, tmp_path / "second")

    rebuild(device, 2, tmp_path / "first", progress=meanwhile)
    with pytest.raises(InvalidRequest, match="not lost"):
        rebuild(other, 2, tmp_path / "second")
    with pytest.raises(InvalidRequest, match="no device 3"):
        rebuild(device, 3, tmp_path / "second")


def test_a_rebuild_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    device = open_striped(paths, 1, create=True)
    write_segment(device, content_of(200_000))
    publish(device, "log/1", b"one")
    shutil.rmtree(paths[2])

    def stop(name: str, *_bytes: int) -> None:
        if name == NAME:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(device, 2, paths[2], progress=stop)
    assert [child.state for child in status(device)] == ["live", "live", "outdated"]
    made = (paths[2] / NAME).stat().st_ino
    rebuild(device, 2, paths[2])
    assert (paths[2] / NAME).stat().st_ino == made
    assert list(scrub(device)) == []
