"""A sample of power failures; ``python -m tests.contents.power_failures`` goes through more."""

from __future__ import annotations

import pytest

from tests.contents import power_failures


def test_no_state_loses_a_content() -> None:
    assert power_failures.explore(states=40, seed=0) >= 15


def test_packs_that_are_not_synced_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from pagelake.storage.content.segments import Segments

    monkeypatch.setattr(Segments, "sync", lambda segments: None)
    with pytest.raises(power_failures.Lost):
        power_failures.explore(states=10_000, seed=0)


def test_a_sweep_that_meets_nobody_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bringing back what was swept, the content that was written late has no chunks."""
    from pagelake.storage.content.staged import Staged

    monkeypatch.setattr(Staged, "outcome", lambda staged, *_: list(staged.effects))
    with pytest.raises(power_failures.Lost):
        power_failures.explore(states=60, seed=0)
