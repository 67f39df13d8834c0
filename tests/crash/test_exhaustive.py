"""A sample of the short sequences, each with a power failure after every call of its last one.

``python -m tests.crash.exhaustive`` goes through all of them.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from pagelake.storage.devices.recording_device import RecordingDevice
from tests.crash.crash_states import Lost
from tests.crash.exhaustive import (
    KINDS,
    Exhaustive,
    append,
    create,
    delete,
    fold,
    reclaim,
    sequences,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.store import Store
    from tests.crash.oracle import Run

EVERY = 149
"""One sequence in so many; a prime, so that all kinds come in all places."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_state_after_one_operation_loses_anything(kind: Callable[[Run, Store], None]) -> None:
    exhaustive = Exhaustive()
    exhaustive.run([(kind,), (append, kind)])
    assert exhaustive.sequences > 0
    assert exhaustive.states > 0


def test_no_state_of_a_sample_of_sequences_loses_anything() -> None:
    exhaustive = Exhaustive()
    exhaustive.run(itertools.islice(sequences(3), 0, None, EVERY))
    assert exhaustive.sequences > exhaustive.skipped


def test_failures_three_levels_deep_lose_nothing() -> None:
    exhaustive = Exhaustive()
    exhaustive.recover([append])
    assert exhaustive.states > 100


def test_a_forgotten_sync_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = RecordingDevice.sync_directory

    def forgetful(device: RecordingDevice, name: str) -> None:
        if name != "log/horizon":
            honest(device, name)

    monkeypatch.setattr(RecordingDevice, "sync_directory", forgetful)
    with pytest.raises(Lost):
        # Several: only some of the states that a power failure can leave are opened.
        Exhaustive().run([(first, append, fold, reclaim) for first in (append, delete, create)])
