"""Striped devices whose children are folders of one simulated device, and that lose some of them.

So the crash states and the simulated processes of single devices are those of several: the power
fails for all children at once, at any call to any of them.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pagelake.errors import Unavailable
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import Trace
from pagelake.storage.devices.striped_device import StripedDevice
from pagelake.storage.devices.striping.membership import (
    DEVICE_FILE,
    DeviceSet,
    Membership,
    join_child,
    link_epoch,
)
from pagelake.storage.store import Store
from tests.crash.crash_states import Explorer
from tests.crash.oracle import Run
from tests.crash.simulate import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.storage.devices.crash_states import CrashState
    from pagelake.storage.devices.device import Device, StagedFile
    from pagelake.storage.environment import Environment

CRASHING = DeviceSet("00" * 16, 3, 1)
SIMULATED = DeviceSet("11" * 16, 5, 2)


@dataclass(slots=True)
class Outage:
    """Children that fail at some call, for every process at once.

    Attributes:
        fails_at: Number of the call at which a child fails, by its folder.
        calls: How many there were.
        out: Folders of those that have failed.
    """

    fails_at: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    out: set[str] = field(default_factory=set)

    def pass_through(self, folder: str) -> None:
        """Count a call to a child.

        Raises:
            Unavailable: The child has failed.
        """
        self.calls += 1
        self.out.update(name for name, at in self.fails_at.items() if at <= self.calls)
        if folder in self.out:
            raise Unavailable(f"{folder} is lost")


class Part:
    """A folder of a device, as a device of its own."""

    def __init__(self, device: Device, folder: str, outage: Outage) -> None:
        self._device = device
        self._folder = folder
        self._outage = outage

    def __getattr__(self, call: str) -> Any:
        def on_folder(name: str, *arguments: object) -> Any:
            self._outage.pass_through(self._folder)
            return getattr(self._device, call)(f"{self._folder}/{name}".rstrip("/"), *arguments)

        return on_folder

    def stage(self, content: bytes) -> _StagedPart:
        self._outage.pass_through(self._folder)
        return _StagedPart(self, self._device.stage(content))

    def local_path(self, name: str) -> None:
        return None

    def close(self) -> None:
        """Nothing to release."""


class _StagedPart:
    def __init__(self, part: Part, staged: StagedFile) -> None:
        self._part = part
        self._staged = staged

    def link(self, name: str) -> bool:
        self._part._outage.pass_through(self._part._folder)
        return self._staged.link(f"{self._part._folder}/{name}")

    def discard(self) -> None:
        self._staged.discard()


def folder_of(index: int) -> str:
    return f"d{index}"


def initial_files(devices: DeviceSet) -> dict[str, bytes]:
    """What lies on the children of a new set, before there is a store."""
    device = MemoryDevice()
    parts = {i: Part(device, folder_of(i), Outage()) for i in range(devices.children)}
    for index, part in parts.items():
        join_child(part, devices, index)
    link_epoch(parts, devices, Membership(0, tuple(parts)))
    names = [f"{folder}/{name}" for folder in map(folder_of, parts) for name in (DEVICE_FILE,)]
    names += [f"{folder_of(i)}/devices/{name}" for i in parts for name in device.list(
        f"{folder_of(i)}/devices")]  # fmt: skip
    return {name: device.read(name) for name in names}


def striped_over(device: Device, devices: DeviceSet, outage: Outage | None = None) -> StripedDevice:
    """A process's view of the children that are there."""
    outage = outage or Outage()
    folders = {i: folder_of(i) for i in range(devices.children)}
    parts = {
        i: Part(device, folder, outage)
        for i, folder in folders.items()
        if folder not in outage.out and device.exists(f"{folder}/{DEVICE_FILE}")
    }
    return StripedDevice(devices, parts, threads=False)


def without(files: dict[str, bytes], index: int) -> dict[str, bytes]:
    """What is left when a child is lost."""
    return {n: content for n, content in files.items() if not n.startswith(f"{folder_of(index)}/")}


# Crash states


class StripedRun(Run):
    """A run on a device with parity."""

    def __init__(self, seed: str, *, trace: Trace | None = None, **others: Any) -> None:
        super().__init__(seed, trace=trace or Trace(initial_files(CRASHING)), **others)


class StripedExplorer(Explorer):
    """Opens every state a second time, with one child lost in the same moment.

    Attributes:
        stride: Open one state in so many: there are thousands, as every unit can be torn.
    """

    stride = 1

    def _judge(self, run: Run, state: CrashState, promised: int, begun: int, where: str) -> bool:
        if state.digest[3] % self.stride:
            return False
        lost = state.digest[2] % CRASHING.children
        lossy = replace(
            state,
            files=without(dict(state.files), lost),
            digest=hashlib.blake2b(state.digest + bytes([lost]), digest_size=16).digest(),
            description=f"{state.description}, device {lost} lost",
        )
        super()._judge(run, lossy, promised, begun, where)
        return super()._judge(run, state, promised, begun, where)


@contextmanager
def crashing() -> Iterator[None]:
    """Let runs and explorers work on a device with parity."""

    def open_store(device: Device, *, environment: Environment) -> Store:
        return Store(striped_over(device, CRASHING), environment=environment)

    with ExitStack() as stack:
        for module in ("crash_states", "oracle"):
            stack.enter_context(patch(f"tests.crash.{module}.Store", open_store))
        stack.enter_context(patch("tests.crash.crash_states.Run", StripedRun))
        yield


# Several processes


class StripedSimulation(Simulation):
    """Processes on a device with parity that loses children, while they work or with the power."""

    def run(self, lives: int) -> str:
        """Let the power fail so many times; returns the hash of all that happened."""
        fate = Random(f"outages {self.seed}")
        self.lost: set[int] = set()
        self.seen_lost = 0
        failing: list[str] = []
        outages: list[Outage] = []

        def open_store(device: Device, *, environment: Environment) -> Store:
            # Each process notices in its own time, or not at all.
            fails_at = {folder: fate.randrange(60, 900) for folder in failing}
            outages.append(Outage(fails_at if outages else {}))
            return Store(striped_over(device, SIMULATED, outages[-1]), environment=environment)

        def live(random: Random, files: dict[str, bytes], power: Random) -> dict[str, bytes]:
            outages.clear()
            losing = fate.randrange(SIMULATED.parity - len(self.lost) + 1)
            there = [i for i in range(SIMULATED.children) if i not in self.lost]
            chosen = fate.sample(there, losing)
            failing[:] = map(folder_of, chosen)
            files = Simulation._life(self, random, files or initial_files(SIMULATED), power)
            self.seen_lost += sum(bool(outage.out) for outage in outages)
            self.lost.update(chosen)
            for index in self.lost:
                files = without(files, index)
            return files

        with (
            patch("tests.crash.simulate.Store", open_store),
            patch.object(StripedSimulation, "_life", staticmethod(live)),
        ):
            return super().run(lives)

    _life = Simulation._life
