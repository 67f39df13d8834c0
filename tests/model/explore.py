"""Breadth-first search through the states of a model; a violation comes with its shortest trace."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

S = TypeVar("S")
Key = tuple[int, ...]


class Violated(Exception):
    """A step of the model did what must never happen."""


class Model(Protocol[S]):
    """What is explored."""

    def initial(self) -> S:
        """The state in which everything begins."""
        ...

    def pack(self, state: S) -> Key:
        """A state as a few numbers; equal states have equal ones."""
        ...

    def unpack(self, key: Key) -> S:
        """The state that ``pack`` made numbers of."""
        ...

    def steps(self, state: S) -> Iterable[tuple[str, S]]:
        """Everything that can happen next, each with a description.

        Raises:
            Violated: Whatever happens next is forbidden.
        """
        ...

    def check(self, state: S) -> None:
        """Raise Violated when something is wrong in a state."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    Attributes:
        states: How many different states were seen.
        violation: What is wrong in the last state of the trace, None when nothing ever is.
        trace: The steps that lead there, as few as possible.
    """

    states: int
    violation: str | None = None
    trace: tuple[str, ...] = ()


class TooMany(Exception):
    """The search met more states than it was given."""


def explore(model: Model[S], *, states_max: int) -> Outcome:
    """Visit every state that can be reached, or stop at the first violation.

    Raises:
        TooMany: There are more states than ``states_max``.
    """
    first = model.pack(model.initial())
    # Each state with the one before it: traces are put together only when one is needed.
    before: dict[Key, tuple[Key, str] | None] = {first: None}
    waiting = deque([first])

    def trace(key: Key) -> tuple[str, ...]:
        steps: list[str] = []
        while (origin := before[key]) is not None:
            key, step = origin
            steps.append(step)
        return tuple(reversed(steps))

    while waiting:
        key = waiting.popleft()
        state = model.unpack(key)
        try:
            model.check(state)
            for step, following in model.steps(state):
                after = model.pack(following)
                if after not in before:
                    before[after] = (key, step)
                    waiting.append(after)
        except Violated as violated:
            return Outcome(len(before), str(violated), trace(key))
        if len(before) > states_max:
            raise TooMany(f"more than {states_max:,} states")
    return Outcome(len(before))
