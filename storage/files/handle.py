"""Handles: numbers of elements, given out without asking anybody.

    0 (11 bits) | block (32 bits, random, never 0) | counter (20 bits)

A process takes a block at random. Two that take the same one are noticed: handles are a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COUNTER_BITS: Final = 20
_BLOCK_BYTES: Final = 4


class Handles:
    """Gives out handles; one caller at a time.

    Args:
        random_bytes: Source of blocks.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._numbers: Iterator[int] = iter(())

    def next(self) -> int:
        """A handle that was not given out here before."""
        handle = next(self._numbers, 0)
        if not handle:
            self.renew()
            handle = next(self._numbers)
        return handle

    def renew(self) -> None:
        """Go on with another block."""
        block = 0
        while not block:
            block = int.from_bytes(self._random_bytes(_BLOCK_BYTES), "little")
        first = block << _COUNTER_BITS
        self._numbers = iter(range(first, first + (1 << _COUNTER_BITS)))
