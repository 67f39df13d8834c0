"""A device over several directories, losing some of them at every moment."""

from __future__ import annotations

import itertools
import random
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pagelake.errors import Corrupt, InvalidRequest, NotAStore, Unavailable
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.rebuild import rebuild
from pagelake.storage.devices.scrub import scrub, status
from pagelake.storage.devices.striped_device import StripedDevice, open_striped
from pagelake.storage.devices.striping.erasure import ErasureCode

if TYPE_CHECKING:
    from pathlib import Path

NAME = "segments/0123456789abcdef"


def folders(root: Path, count: int) -> list[Path]:
    return [root / f"d{number}" for number in range(count)]


def content_of(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def publish(device: StripedDevice, name: str, content: bytes) -> bool:
    staged = device.stage(content)
    try:
        return staged.link(name)
    finally:
        staged.discard()


def write_segment(device: StripedDevice, content: bytes, name: str = NAME) -> None:
    file = device.create(name)
    file.append(content)
    file.sync()
    file.close()


@pytest.mark.parametrize(("children", "parity"), [(2, 1), (4, 1), (6, 2), (7, 3), (3, 2)])
@pytest.mark.parametrize("words", [8, 1024])
def test_any_units_give_the_rest(children: int, parity: int, words: int) -> None:
    code = ErasureCode(children - parity, parity)
    random_words = np.random.default_rng(1).integers(0, 2**63, (code.data, words), np.uint64)
    units = list(random_words)
    whole = dict(enumerate([*units, *code.encode(units)]))
    for lost in itertools.combinations(range(children), parity):
        present = {number: unit for number, unit in whole.items() if number not in lost}
        for number, unit in zip(lost, code.rebuild(present, lost), strict=True):
            assert np.array_equal(unit, whole[number])


@pytest.mark.parametrize("size", [1, 63, 4096, 100_000, 9_000_000])
def test_segment_reads_back_before_and_after_sync(tmp_path: Path, size: int) -> None:
    device = open_striped(folders(tmp_path, 5), 2, create=True)
    content = content_of(size)
    file = device.create(NAME)
    assert file.append(content[: size // 2], content[size // 2 :]) == 0
    assert bytes(device.map(NAME, 0, size)) == content
    assert file.append(b"more") == size
    file.sync()
    assert device.size(NAME) == file.size == size + 4
    others = open_striped(folders(tmp_path, 5), None, create=False)
    assert bytes(others.map(NAME, 0, size + 4)) == content + b"more"
    rng = random.Random(size)
    for _ in range(50):
        start = rng.randrange(size)
        length = rng.randrange(size - start + 1)
        assert bytes(others.map(NAME, start, length)) == content[start : start + length]
    with pytest.raises(EOFError):
        others.map(NAME, 0, size + 5)
    file.append(b"!")
    file.sync()
    assert bytes(others.map(NAME, size, 5)) == b"more!"  # appended after it was first looked at


def test_directories_in_any_order(tmp_path: Path) -> None:
    paths = folders(tmp_path, 5)
    device = open_striped(paths, 2, create=True)
    write_segment(device, content_of(70_000))
    assert publish(device, "log/1", b"one")
    device.close()
    for _ in range(3):
        random.Random(3).shuffle(paths)
        device = open_striped(paths, None, create=True)
        assert bytes(device.map(NAME, 0, 70_000)) == content_of(70_000)
        assert device.read("log/1") == b"one"
        assert [child.live for child in status(device)] == [True] * 5
        device.close()


def test_small_file_is_published_once(tmp_path: Path) -> None:
    device = open_striped(folders(tmp_path, 3), 1, create=True)
    assert publish(device, "log/1", b"one")
    assert not publish(device, "log/1", b"two")
    assert device.read("log/1") == b"one"
    assert (device.size("log/1"), device.exists("log/1"), device.exists("log/2")) == (
        3,
        True,
        False,
    )
    assert bytes(device.map("log/1", 1, 2)) == b"ne"
    device.unlink("log/1")
    assert not device.exists("log/1")
    with pytest.raises(FileNotFoundError):
        device.read("log/1")


def test_reader_completes_what_a_writer_left_half_way(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    device = open_striped(paths, 1, create=True)
    assert publish(device, "log/1", b"one")
    for path in paths[1:]:
        (path / "log/1").unlink()
    assert device.read("log/1") == b"one"
    shutil.rmtree(paths[0])
    assert device.read("log/1") == b"one"  # what was answered from must not be lost


def test_name_stays_taken_when_the_one_that_decides_lost_its_copy(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    device = open_striped(paths, 1, create=True)
    assert publish(device, "log/1", b"one")
    (paths[0] / "log/1").unlink()
    assert device.exists("log/1")
    assert device.size("log/1") == 3
    assert not publish(device, "log/1", b"two")
    (paths[0] / "log/1").unlink()
    assert [(d.name, d.index, d.repaired) for d in scrub(device)] == [("log/1", 0, True)]
    assert device.read("log/1") == b"one"


def test_writer_of_a_passed_epoch_loses(tmp_path: Path) -> None:
    """Its link on the child that decided no longer counts once others went on without it."""
    paths = folders(tmp_path, 4)
    stalled, other = (open_striped(paths, 1, create=True) for _ in range(2))
    staged = stalled.stage(b"stalled")
    other.members.lose(0)
    assert publish(other, "log/1", b"winner")
    assert not staged.link("log/1")
    assert stalled.read("log/1") == other.read("log/1") == b"winner"
    assert stalled.members.membership == other.members.membership
    assert not status(stalled)[0].live


def test_lost_while_open(tmp_path: Path) -> None:
    paths = folders(tmp_path, 6)
    device = open_striped(paths, 2, create=True)
    content = content_of(300_000)
    file = device.create(NAME)
    file.append(content)
    file.sync()
    publish(device, "log/1", b"one")
    shutil.rmtree(paths[0])
    shutil.rmtree(paths[4])
    assert device.exists("log/1")
    assert device.read("log/1") == b"one"
    file.append(content)
    file.sync()
    assert publish(device, "log/2", b"two")
    device.sync_directory("log")
    reopened = open_striped(paths, None, create=True)
    assert bytes(reopened.map(NAME, 0, 600_000)) == content * 2
    assert reopened.read("log/2") == b"two"
    assert [child.index for child in status(reopened) if not child.live] == [0, 4]
    shutil.rmtree(paths[1])
    with pytest.raises(Unavailable, match="3 of 6"):
        open_striped(paths, None, create=True)


def test_child_that_comes_back_is_not_believed(tmp_path: Path) -> None:
    paths = folders(tmp_path, 4)
    device = open_striped(paths, 1, create=True)
    publish(device, "log/1", b"one")
    device.close()
    paths[0].rename(tmp_path / "away")
    device = open_striped(paths, None, create=True)
    assert publish(device, "log/2", b"two")
    device.close()
    (tmp_path / "away").rename(paths[0])
    device = open_striped(paths, None, create=True)
    assert device.read("log/2") == b"two"
    assert not status(device)[0].live


def test_crash_between_units(tmp_path: Path) -> None:
    """An incomplete stripe at the end is none; one that enough children have is whole."""
    paths = folders(tmp_path, 5)
    device = open_striped(paths, 2, create=True)
    file = device.create(NAME)
    file.append(content_of(10_000))
    file.sync()
    before = [(path / NAME).stat().st_size for path in paths]
    file.append(content_of(5_000, seed=8))
    file.sync()
    for cut_off in range(5):
        for path, size in itertools.islice(zip(paths, before, strict=True), cut_off, cut_off + 1):
            with (path / NAME).open("r+b") as strip:
                strip.truncate(size + 100)  # the header and a part of the unit
        fresh = open_striped(paths, None, create=False)
        assert fresh.size(NAME) == (15_000 if cut_off < 2 else 10_000)
        assert bytes(fresh.map(NAME, 0, 10_000)) == content_of(10_000)
        if cut_off < 2:
            assert bytes(fresh.map(NAME, 10_000, 5_000)) == content_of(5_000, seed=8)
        fresh.close()


def test_rot_is_read_around_found_and_repaired(tmp_path: Path) -> None:
    paths = folders(tmp_path, 5)
    device = open_striped(paths, 2, create=True)
    write_segment(device, content_of(200_000))
    publish(device, "log/1", b"one")
    originals = {}
    for path, name in ((paths[1], NAME), (paths[3], NAME), (paths[0], "log/1")):
        originals[path, name] = (path / name).read_bytes()
        rotten = bytearray(originals[path, name])
        rotten[len(rotten) // 2] ^= 1
        (path / name).unlink()
        (path / name).write_bytes(rotten)
    device = open_striped(paths, None, create=True)
    assert bytes(device.map(NAME, 0, 200_000)) == content_of(200_000)
    assert device.read("log/1") == b"one"
    assert [d.repaired for d in scrub(device, repair=False)] == [False] * 3
    found = list(scrub(device))
    assert {(d.name, d.index) for d in found} == {("log/1", 0), (NAME, 1), (NAME, 3)}
    assert all(damage.repaired for damage in found)
    assert list(scrub(device)) == []
    assert {key: (key[0] / key[1]).read_bytes() for key in originals} == originals


def test_scrub_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    device = open_striped(folders(tmp_path, 3), 1, create=True)
    for number in range(4):
        publish(device, f"log/{number}", b"x")
    seen: list[str] = []
    list(scrub(device, after="log/1", progress=lambda name, *_: seen.append(name)))
    assert seen == ["log/2", "log/3"]


def test_more_rot_than_parity_is_an_error(tmp_path: Path) -> None:
    paths = folders(tmp_path, 4)
    device = open_striped(paths, 1, create=True)
    write_segment(device, content_of(200_000))
    for path in paths[:2]:
        rotten = bytearray((path / NAME).read_bytes())
        rotten[1000] ^= 1
        (path / NAME).unlink()
        (path / NAME).write_bytes(rotten)
    device = open_striped(paths, None, create=True)
    with pytest.raises(Corrupt, match="sound"):
        device.map(NAME, 0, 200_000)
    assert [damage.repaired for damage in scrub(device)] == [False, False]


def test_rebuild_joins_a_replacement(tmp_path: Path) -> None:
    paths = folders(tmp_path, 5)
    device = open_striped(paths, 2, create=True)
    write_segment(device, content_of(400_000))
    publish(device, "log/1", b"one")
    lost = {path.relative_to(paths[0]): path.read_bytes()
            for path in paths[0].rglob("*") if path.is_file()}  # fmt: skip
    shutil.rmtree(paths[0])
    device = open_striped(paths, None, create=True)
    bystander = open_striped(paths, None, create=True)
    publish(device, "log/2", b"two")
    done: list[tuple[str, int, int]] = []
    replacement = tmp_path / "new"
    rebuild(device, 0, replacement, progress=lambda *step: done.append(step))
    assert [name for name, _, _ in done] == ["log/1", "log/2", NAME]
    assert done[-1][1] == done[-1][2] == 400_006
    assert all(child.live for child in status(device))
    rebuilt = {path.relative_to(replacement): path.read_bytes()
               for path in replacement.rglob("*") if path.is_file()}  # fmt: skip
    assert {name for name in lost if name.parts[0] != "devices"} <= set(rebuilt)
    assert all(rebuilt[name] == lost[name] for name in lost if name.parts[0] != "devices")
    assert publish(bystander, "log/3", b"three")  # it finds the new directory by itself
    assert bystander.members.paths[0] == replacement
    assert (replacement / "log/3").is_file()
    paths = [replacement, *paths[1:]]
    shutil.rmtree(paths[1])
    shutil.rmtree(paths[2])
    device = open_striped(paths, None, create=True)
    assert bytes(device.map(NAME, 0, 400_000)) == content_of(400_000)
    assert [device.read(f"log/{n}") for n in (1, 2, 3)] == [b"one", b"two", b"three"]
    with pytest.raises(InvalidRequest, match="not lost"):
        rebuild(device, 0, tmp_path / "another")


def test_foreign_directories_are_recognised(tmp_path: Path) -> None:
    paths = folders(tmp_path, 3)
    open_striped(paths, 1, create=True).close()
    others = [tmp_path / f"o{number}" for number in range(3)]
    open_striped(others, 1, create=True).close()
    with pytest.raises(NotAStore, match="another set"):
        open_striped([*paths[:2], others[2]], None, create=True)
    with pytest.raises(InvalidRequest, match="parity=1"):
        open_striped(paths, 2, create=True)
    with pytest.raises(InvalidRequest, match="twice"):
        open_striped([paths[0], paths[0]], None, create=True)
    with pytest.raises(NotAStore, match="none"):
        open_striped([tmp_path / "absent"], None, create=False)
    for count, parity in ((1, 1), (3, 3), (3, 0)):
        with pytest.raises(InvalidRequest, match="parity"):
            open_striped([tmp_path / f"n{i}" for i in range(count)], parity, create=True)
    single = LocalDevice(tmp_path / "single", create=True)
    single.stage(b"{}").link("store.json")
    with pytest.raises(NotAStore, match="store of its own"):
        open_striped([tmp_path / "single", tmp_path / "fresh"], 1, create=True)


def test_set_whose_creator_died_is_finished(tmp_path: Path) -> None:
    paths = folders(tmp_path, 4)
    open_striped(paths, 1, create=True).close()
    for path in paths:
        for epoch in (path / "devices").iterdir():
            epoch.unlink()
    for path in paths[1:]:
        shutil.rmtree(path)
    device = open_striped(paths, 1, create=True)
    assert all(child.live for child in status(device))
    assert publish(device, "log/1", b"one")
