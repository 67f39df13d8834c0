"""Combining: one process commits for all that wait, so that they share one record and its syncs.

A process *takes the turn* or, when another one has it, says what it wants to commit: an *offer*.
Whoever has the turn puts what is offered into its own record, syncs, and says up to which version
the log is durable. Nothing rests on any of it being true. An offerer believes only that its
transaction is in the log, by its id, and goes on by itself when the turn stands still; whoever
links a record has looked for the ids of all its transactions in every version since they began,
so that none is committed twice, by however many processes at once. After Hendler, Incze, Shavit
and Tzafrir, "Flat combining and the synchronization-parallelism tradeoff", 2010.

Only additive transactions (``Footprint.additive``) without pages are offered. Nobody reclaims what
they refer to, and what they tell of their keys decides whether they commute with what came since
they began and with what else is in the record. One that does not is left to whoever offered it:
only what is in the log refuses a transaction.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgpack

from ...errors import Corrupt, Error
from ..conflict import Footprint
from ..devices.device import HOLD_BYTES_MAX
from ..effects import Append, Rely
from ..log.effects_wire import from_wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..devices.device import Device, Hold, Turn
    from ..effects import Effect, Wire
    from ..environment import Environment

TURN = "commit/turn"
OFFERS = "commit/offers"
_SAID = struct.Struct("<Q32s")


@dataclass(frozen=True)
class Offer:
    """Additive transactions that wait to be committed, by whomever.

    Attributes:
        since: Newest version that was known when they began: none of them is in it or before.
        transactions: The transactions as a record holds them.
    """

    since: int
    transactions: tuple[Wire, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the transactions."""
        return tuple(transaction[0] for transaction in self.transactions)

    @property
    def tables(self) -> set[str]:
        """Ids of the tables that they append to, or rely on rows of."""
        return {effect[1] for transaction in self.transactions for effect in transaction[2]}

    @cached_property
    def footprints(self) -> tuple[Footprint, ...]:
        """What each of the transactions touches."""
        return tuple(
            Footprint.of(from_wire(_without_rows(effect)) for effect in transaction[2])
            for transaction in self.transactions
        )

    def encode(self) -> bytes:
        """Serialise; ``decode`` reverses it."""
        packed: bytes = msgpack.packb([self.since, self.transactions])
        return packed

    @classmethod
    def decode(cls, content: bytes) -> Offer | None:
        """Read an offer; None for nothing, and for what this version would not commit itself."""
        if not content:
            return None
        try:
            since, transactions, *_ = msgpack.unpackb(content)
            if not all(_is_free(effect) for t in transactions for effect in t[2]):
                return None
            offer = cls(int(since), tuple(transactions))
            return offer if all(footprint.additive for footprint in offer.footprints) else None
        except (
            ValueError,
            TypeError,
            IndexError,
            Corrupt,
            msgpack.exceptions.UnpackException,
        ):
            return None


def _is_free(effect: Wire) -> bool:
    """Tell whether an effect, in its wire form, may be offered; see ``may_offer``."""
    match effect:
        case ["append", _, groups, keyed, *rest]:
            told = bool(rest and rest[0])
            return (told or not keyed) and all(not group[2] for group in groups)
        case ["rely", _, _, *_]:
            return True
    return False


def _without_rows(effect: Wire) -> Wire:
    """An effect that may be offered, but for the rows."""
    return [*effect[:2], [], *effect[3:]] if effect[0] == "append" else effect


def may_offer(effects: Iterable[Effect]) -> bool:
    """Tell whether others may commit some effects.

    They may commit appends that tell their keys, if there are any, of rows without pages, and
    reliance on rows. Pages are kept from reclaim by their writer for as long as it lives, and an
    offer may be committed after that.
    """
    return all(
        isinstance(effect, Rely)
        or (
            isinstance(effect, Append)
            and (bool(effect.keys) or not effect.keyed)
            and all(not group.chunks for group in effect.row_groups)
        )
        for effect in effects
    )


@dataclass(frozen=True, slots=True)
class Durable:
    """The newest version up to which somebody has synced the log, and its record's hash."""

    version: int
    record_hash: bytes

    @classmethod
    def decode(cls, said: bytes) -> Durable | None:
        """Read what was said; believed only as far as it fits the log."""
        return cls(*_SAID.unpack(said)) if len(said) == _SAID.size else None


@dataclass
class Combining:
    """A process's part in the turns.

    Attributes:
        device: The store's device.
        environment: Source of names.
    """

    device: Device
    environment: Environment
    _turn: Turn | None = None
    _hold: Hold | None = None
    _asked: bool = False

    def take(self) -> bool | None:
        """Take the turn if it is free; None where there are no turns to take."""
        try:
            if not self._asked:
                self._turn = self.device.turn(TURN)
                self._asked = True
            return None if self._turn is None else self._turn.take()
        except Error:
            return None  # the device fails: each on its own

    def give(self, durable: Durable | None = None) -> None:
        """Give the turn back.

        Args:
            durable: What was achieved with it.
        """
        if self._turn is not None:
            if durable is not None:
                with suppress(Error):
                    self._turn.say(_SAID.pack(durable.version, durable.record_hash))
            self._turn.give()

    def said(self) -> bytes:
        """What the last one said who gave the turn back, as it stands there; empty for nothing."""
        try:
            return b"" if self._turn is None else self._turn.said()
        except Error:
            return b""

    def offer(self, offer: Offer) -> bool:
        """Let others commit it; False when it is too large or cannot be said."""
        content = offer.encode()
        if len(content) > HOLD_BYTES_MAX:
            return False
        try:
            if self._hold is None:
                name = f"{OFFERS}/{self.environment.random_bytes(8).hex()}"
                self._hold = self.device.hold(name, content)
            else:
                self._hold.update(content)
        except Error:
            return False
        return True

    def withdraw(self) -> None:
        """Offer nothing any more; somebody may have taken it along already."""
        if self._hold is not None:
            with suppress(Error):
                self._hold.update(b"")

    def others(self) -> Sequence[Offer]:
        """What living processes offer."""
        try:
            contents = self.device.held(OFFERS)
        except Error:
            return ()
        return [offer for content in contents if (offer := Offer.decode(content)) is not None]

    def close(self) -> None:
        """Take no part any more."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None
        if self._turn is not None:
            self._turn.close()
            self._turn = None
