"""What handlers of requests have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..protocol import Buffer, Request

if TYPE_CHECKING:
    from ..state import MountState

Answer: TypeAlias = Sequence[Buffer] | None
"""The parts of a reply's body; None for requests that are not answered."""
Handler: TypeAlias = Callable[[Request], Answer]


class HandlerGroup:
    """Handlers of requests of one sort."""

    def __init__(self, state: MountState) -> None:
        self.state = state

    def handlers(self) -> Mapping[int, Handler]:
        """Who answers which opcode."""
        raise NotImplementedError
