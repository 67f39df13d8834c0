"""The commit protocol as a model: nothing is lost in any order of steps, and no guard is idle.

The test searches the small scenarios; ``python -m tests.model.check`` searches all.
"""

from __future__ import annotations

import pytest

from tests.model.check import search, without
from tests.model.scenarios import QUICK, SCENARIOS

GUARDS = [(name, guard) for name in QUICK for guard in SCENARIOS[name].guards]


@pytest.mark.parametrize("name", QUICK)
def test_no_order_of_steps_breaks_a_promise(name: str) -> None:
    outcome = search(SCENARIOS[name].world)
    assert outcome.violation is None, "\n".join((outcome.violation, *outcome.trace))
    assert outcome.states > 100


@pytest.mark.parametrize(("name", "guard"), GUARDS)
def test_without_a_guard_a_promise_is_broken(name: str, guard: str) -> None:
    outcome = search(without(SCENARIOS[name].world, guard))
    assert outcome.violation is not None
    assert outcome.trace
