"""Every file call of one device of several fails once: each run succeeds or ends in a typed error.

Afterwards what was acknowledged is there, whichever device is taken away then.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Error
from pagelake.storage.devices.failing_calls import FailingCalls, Fault
from pagelake.storage.devices.rebuild import rebuild
from pagelake.storage.devices.scrub import scrub, status
from pagelake.storage.devices.striped_device import StripedDevice, open_striped
from pagelake.storage.devices.striping.membership import open_child, open_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHILDREN = 4
PARITY = 1
SEGMENT = "segments/00000000000000aa"
CONTENT = bytes(range(256)) * 40
STEP = 1 if os.environ.get("PAGELAKE_FULL") == "1" else 3
"""One call in so many fails."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place in memory where there is one: what fails is injected."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    folder = shared / f"pagelake-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def roots_in(folder: Path) -> list[Path]:
    return [folder / f"d{number}" for number in range(CHILDREN)]


def opened(roots: list[Path], failing: dict[int, FailingCalls]) -> StripedDevice:
    """The set, some of whose children have calls that fail; calls come one after another."""
    devices, children, where = open_children(roots, None, create=True, random_bytes=os.urandom)
    for index, one in failing.items():
        if index in children:
            children[index].close()
            del children[index]
            try:
                children[index] = open_child(devices, where[index], create=True, calls=one.calls)
            except Error:
                continue
    try:
        return StripedDevice(devices, children, paths=where, threads=False)
    except Error:
        for child in children.values():
            child.close()
        raise


class Promises:
    """What was acknowledged so far."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.segment_bytes = 0

    def publish(self, device: StripedDevice, number: int) -> None:
        name, content = f"log/{number:020d}", f"record {number}".encode()
        staged = device.stage(content)
        try:
            assert staged.link(name)
        finally:
            staged.discard()
        device.sync_directory("log")
        self.records[name] = content

    def work(self, device: StripedDevice) -> None:
        """Some of everything that a store asks of its device."""
        hold = device.hold("pins/aa", b"x")
        try:
            file = device.create(SEGMENT)
            try:
                for number in range(2):
                    file.append(CONTENT)
                    file.sync()
                    device.sync_directory("segments")
                    self.segment_bytes += len(CONTENT)
                    self.publish(device, number)
                    hold.update(b"%d" % number)
            finally:
                file.close()
            assert b"1" in device.held("pins")
            self.publish(device, 9)
            device.unlink("log/" + "9".zfill(20))
            del self.records["log/" + "9".zfill(20)]
        finally:
            hold.release()
        self.verify(device)

    def verify(self, device: StripedDevice) -> None:
        for name, content in self.records.items():
            assert device.exists(name)
            assert device.read(name) == content
        if self.segment_bytes:
            whole = bytes(device.map(SEGMENT, 0, self.segment_bytes))
            assert whole == (CONTENT * 2)[: self.segment_bytes]

    def verify_all(self, roots: list[Path]) -> None:
        """Everything is there, and still is when any one device is taken away too."""
        device = open_striped(roots, None, create=True)
        lost = [child.index for child in status(device) if not child.live]
        assert len(lost) <= PARITY
        self.verify(device)
        assert all(damage.repaired for damage in scrub(device))
        self.verify(device)
        device.close()
        if lost:
            return
        for root in roots:
            hidden = root.with_suffix(".away")
            root.rename(hidden)
            device = open_striped(roots, None, create=False)
            self.verify(device)
            device.close()
            hidden.rename(root)


def until_none_fails(
    folder: Path,
    fault: Fault,
    attempt: Callable[[list[Path], FailingCalls], None],
    *,
    late: bool,
    step: int = STEP,
) -> int:
    """Repeat an attempt with one call failing, then a later one…; how many failed."""
    for failed, at in enumerate(count(1, step)):
        roots = roots_in(folder)
        for root in folder.iterdir():
            shutil.rmtree(root)
        open_striped(roots, PARITY, create=True).close()
        before = len(os.listdir("/dev/fd"))
        failing = FailingCalls(fault, at, late=late)
        attempt(roots, failing)
        assert len(os.listdir("/dev/fd")) == before, f"call {at}, {failing.failed}, leaks"
        if failing.failed is None:
            return failed
    raise AssertionError


WAYS = [*((fault, False) for fault in Fault), (Fault.EIO, True)]
IDS = [f"{fault.name}{' late' if late else ''}" for fault, late in WAYS]


@pytest.mark.parametrize("child", [0, 2])
@pytest.mark.parametrize(("fault", "late"), WAYS, ids=IDS)
def test_writing_and_reading(folder: Path, fault: Fault, late: bool, child: int) -> None:
    ended_well = 0

    def attempt(roots: list[Path], failing: FailingCalls) -> None:
        nonlocal ended_well
        promises = Promises()
        device = opened(roots, {child: failing})
        try:
            promises.work(device)
            ended_well += 1
        except Error:
            assert failing.failed is not None
        finally:
            device.close()
        promises.verify_all(roots)

    failed = until_none_fails(folder, fault, attempt, late=late)
    assert failed > 0
    if fault is not Fault.ENOSPC:
        assert ended_well > failed / 2, "one device that fails should hardly be noticed"


@pytest.mark.parametrize(("fault", "late"), WAYS, ids=IDS)
def test_rebuilding(folder: Path, fault: Fault, late: bool) -> None:
    """The calls of a survivor fail while another child is rebuilt."""

    def attempt(roots: list[Path], failing: FailingCalls) -> None:
        promises = Promises()
        device = open_striped(roots, None, create=True)
        promises.work(device)
        device.close()
        shutil.rmtree(roots[3])
        with suppress(Error):
            device = opened(roots, {1: failing})
            try:
                rebuild(device, 3, roots[3])
                assert all(child.live for child in status(device)) or failing.failed
            finally:
                device.close()
        promises.verify_all(roots)

    step = STEP if STEP == 1 else 11
    assert until_none_fails(folder, fault, attempt, late=late, step=step) > 0
