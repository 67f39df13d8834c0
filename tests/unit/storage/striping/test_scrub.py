"""A scrub finds all rot in one pass, goes on where it was stopped, and keeps its pace."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pagelake.engine.devices.care import Pace
from pagelake.storage.devices import scrub as scrub_module
from pagelake.storage.devices.scrub import scrub
from pagelake.storage.devices.scrub_record import recorded_scrub, scrub_record
from pagelake.storage.devices.striped_device import open_striped
from tests.unit.storage.striping.test_striped_device import (
    NAME,
    content_of,
    folders,
    publish,
    write_segment,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pagelake.storage.devices.striped_device import StripedDevice


def full_set(root: Path) -> tuple[StripedDevice, list[Path]]:
    paths = folders(root, 5)
    device = open_striped(paths, 2, create=True)
    for number in range(3):
        write_segment(device, content_of(600_000, number), f"segments/{number:016x}")
        publish(device, f"log/{number:020d}", content_of(500, number))
    return device, paths


def spoil(path: Path, place: float) -> None:
    rotten = bytearray(path.read_bytes())
    rotten[int(len(rotten) * place)] ^= 0x20
    path.unlink()
    path.write_bytes(rotten)


def test_all_rot_within_the_parity_is_found_and_repaired_in_one_pass(tmp_path: Path) -> None:
    _, paths = full_set(tmp_path)
    rng = random.Random(5)
    spoilt = set()
    for folder in ("log", "segments"):
        for name in [path.name for path in (paths[0] / folder).iterdir() if path.is_file()]:
            for index in rng.sample(range(5), 2):
                spoil(paths[index] / folder / name, rng.random())
                spoilt.add((f"{folder}/{name}", index))
    fresh = open_striped(paths, None, create=True)
    found = list(scrub(fresh))
    assert {(one.name, one.index) for one in found} == spoilt
    assert all(one.repaired for one in found)
    assert list(scrub(fresh)) == []


def test_a_stopped_scrub_goes_on_and_counts_on(tmp_path: Path) -> None:
    _, paths = full_set(tmp_path)
    for number in range(3):
        spoil(paths[1] / f"segments/{number:016x}", 0.5)
    device = open_striped(paths, None, create=True)
    clock = count(1)
    first = recorded_scrub(device, lambda: next(clock))
    assert next(first).name == f"segments/{0:016x}"
    first.close()
    record = scrub_record(device)
    assert (record.after, record.finished_us) == (f"log/{2:020d}", 0)
    other = open_striped(paths, None, create=True)
    seen: list[str] = []
    rest = recorded_scrub(other, lambda: next(clock), progress=lambda name, *_: seen.append(name))
    assert [one.name for one in rest] == [f"segments/{n:016x}" for n in (1, 2)]
    assert seen == [f"segments/{n:016x}" for n in range(3)]
    record = scrub_record(device)
    assert record.after == ""
    assert record.finished_us > 0
    assert dict(record.found) == dict(record.repaired) == {1: 3}
    assert list(recorded_scrub(other, lambda: next(clock))) == []


def test_the_record_survives_any_lost_devices(tmp_path: Path) -> None:
    device, paths = full_set(tmp_path)
    list(recorded_scrub(device, lambda: 77))
    for index in (0, 3):
        paths[index].rename(tmp_path / f"away {index}")
    assert scrub_record(open_striped(paths, None, create=False)).finished_us == 77


def test_a_segment_that_is_written_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    paths = folders(tmp_path, 4)
    writer = open_striped(paths, 1, create=True)
    hold = writer.hold("pins/w", b"w" + int(NAME.rpartition("/")[2], 16).to_bytes(8, "little"))
    file = writer.create(NAME)
    file.append(content_of(300_000))
    file.sync()
    other = open_striped(paths, None, create=True)
    assert list(scrub(other)) == []
    spoil(paths[2] / NAME, 0.3)
    inode = (paths[2] / NAME).stat().st_ino
    other = open_striped(paths, None, create=True)
    (damage,) = scrub(other)
    assert (damage.index, damage.repaired) == (2, False)
    assert "being written" in damage.what
    assert (paths[2] / NAME).stat().st_ino == inode
    file.close()
    hold.release()
    assert [damage.repaired for damage in scrub(other)] == [True]
    assert list(scrub(other)) == []


def test_a_copy_of_what_is_removed_meanwhile_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = folders(tmp_path, 3)
    device = open_striped(paths, 1, create=True)
    publish(device, "log/1", b"one")
    (paths[2] / "log/1").unlink()
    other = open_striped(paths, None, create=True)
    honest = scrub_module.replace_sealed

    def removed_just_before(*arguments: object) -> bool:
        other.unlink("log/1")
        return honest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(scrub_module, "replace_sealed", removed_just_before)
    assert list(scrub(device)) == []
    assert [path for path in paths if (path / "log/1").exists()] == []


def test_the_pace_is_kept_without_bursts() -> None:
    now, waited = 0.0, 0.0

    def wait(seconds: float) -> None:
        nonlocal now, waited
        now += seconds
        waited += seconds

    pace = Pace(10.0, clock=lambda: now, wait=wait)
    for _ in range(100):
        pace(1_000_000)
    assert waited == pytest.approx(10.0, abs=0.2)
    now += 1_000  # it was held up, and does not make up for all of it
    waited = 0.0
    for _ in range(100):
        pace(1_000_000)
    assert waited == pytest.approx(10.0, abs=0.2)
    unbounded = Pace(0.0, clock=lambda: now, wait=wait)
    unbounded(10**12)
    assert waited < 11
