"""Searches the model of the commit protocol: every interleaving, kill and power failure.

``python -m tests.model.check [--only TEXT] [--large] [--states N]``

For each scenario: no violation can be reached; and without any one of its guards, one can, whose
shortest trace ``--traces`` prints. ``--large`` goes through the big worlds instead.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.model.explore import Outcome, TooMany, explore
from tests.model.protocol import Protocol
from tests.model.scenarios import LARGE, SCENARIOS

if TYPE_CHECKING:
    from tests.model.world import World

STATES_MAX = 2_000_000


def search(world: World, states_max: int = STATES_MAX) -> Outcome:
    """Go through the states of a world."""
    return explore(Protocol(world), states_max=states_max)


def without(world: World, guard: str) -> World:
    """A world with one guard less."""
    return replace(world, without=world.without | {guard})


def _report(name: str, world: World, states_max: int) -> Outcome | None:
    began = time.perf_counter()
    try:
        outcome = search(world, states_max)
    except TooMany as error:
        print(f"{name}: {error}, {time.perf_counter() - began:.0f} s, no violation", flush=True)
        return None
    found = outcome.violation or "no violation"
    seconds = time.perf_counter() - began
    print(f"{name}: {outcome.states:,} states in {seconds:.1f} s, {found}", flush=True)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description="Model-check the commit protocol.")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--large", action="store_true", help="the worlds of millions of states")
    parser.add_argument("--states", type=int, default=STATES_MAX, help="give up beyond so many")
    parser.add_argument("--traces", action="store_true", help="print how each guard is missed")
    options = parser.parse_args()
    wrong = 0
    if options.large:
        for name, world in LARGE.items():
            if options.only in name:
                outcome = _report(name, world, options.states)
                wrong += outcome is not None and outcome.violation is not None
        raise SystemExit(1 if wrong else 0)
    for name, scenario in SCENARIOS.items():
        if options.only not in name:
            continue
        outcome = _report(name, scenario.world, options.states)
        wrong += outcome is None or outcome.violation is not None
        for guard in scenario.guards:
            outcome = _report(f"  without: {guard}", without(scenario.world, guard), options.states)
            wrong += outcome is None or outcome.violation is None
            for number, step in enumerate(outcome.trace if outcome and options.traces else (), 1):
                print(f"    {number:3} {step}")
    print(f"{wrong} not as expected")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
