"""Company: transactions that would share a record, and so must commute with each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..conflict import Footprint, check
from .key_history import KeyHistory

if TYPE_CHECKING:
    from ..page_store import PageStore


@dataclass(slots=True)
class Company:
    """Footprints of transactions that commute with each other.

    Attributes:
        pages: Where large delete vectors are read from.
    """

    pages: PageStore
    _members: list[Footprint] = field(default_factory=list)
    _keys: KeyHistory = field(default_factory=KeyHistory)

    def check(self, newcomer: Footprint) -> None:
        """Raise Conflict unless somebody commutes with all members.

        Raises:
            Conflict: It does not.
        """
        if newcomer.additive and self._keys.is_clear(newcomer, 0):
            return
        for member in self._members:
            check(newcomer, member, self.pages, "a transaction that commits at the same moment")

    def join(self, newcomer: Footprint) -> None:
        """Add somebody who commutes with all members."""
        self._members.append(newcomer)
        self._keys.note(len(self._members), newcomer)
