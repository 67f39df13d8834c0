"""A device with parity keeps its promises through power failures, kills and lost children."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pagelake.storage.devices.striped_device import StripedDevice
from tests.crash.crash_states import Lost
from tests.crash.striped import StripedExplorer, StripedSimulation, crashing
from tests.crash.workloads import WORKLOADS, inline_appends

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.oracle import Run

FULL = os.environ.get("PAGELAKE_FULL") == "1"
STATES = 3_000 if FULL else 20
STRIDE = 1 if FULL else 16
# Hot segments lie on one child only, and need a path.
STRIPED = [w for w in WORKLOADS if "hot" not in w.__name__]


def explore(workload: Callable[[Run], None], *, states: int, stride: int) -> int:
    with crashing():
        explorer = StripedExplorer(workload, states)
        StripedExplorer.stride = stride
        explorer.explore(0)
    return explorer.states


@pytest.mark.parametrize("workload", STRIPED if FULL else STRIPED[:2], ids=lambda w: w.__name__)
def test_no_state_loses_what_was_promised(workload: Callable[[Run], None]) -> None:
    assert explore(workload, states=STATES, stride=STRIDE) >= STATES


def test_a_record_that_is_durable_on_one_device_only_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forgetful(device: StripedDevice, folder: str) -> None:
        device.members.first().sync_directory(folder)

    monkeypatch.setattr(StripedDevice, "sync_directory", forgetful)
    with pytest.raises(Lost):
        explore(inline_appends, states=1, stride=2)


@pytest.mark.parametrize("seed", range(60 if FULL else 6))
def test_processes_keep_what_they_were_promised(seed: int) -> None:
    simulation = StripedSimulation(seed)
    simulation.run(4)
    assert simulation.commits > 0
    assert simulation.lost


def test_a_seed_repeats_its_run() -> None:
    assert StripedSimulation(3).run(2) == StripedSimulation(3).run(2)
