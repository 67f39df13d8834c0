"""What a process remembers of the newest versions: enough to check a commit against them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..conflict import Footprint
from .key_history import KeyHistory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..log.key_change import KeyChange

VERSIONS_KEPT = 4096
"""Versions remembered. Transactions that began before them meet a Conflict when they commit."""
KEYS_MAX = 1 << 16
"""Keys of the newest versions found at one look, and at most as many of those before: 15 MB."""


@dataclass(slots=True)
class RecentVersions:
    """Hashes, footprints and transaction ids of the newest versions.

    Attributes:
        since: Every version after this one is remembered.
    """

    since: int
    _hashes: dict[int, bytes]
    _known: dict[int, Footprint | tuple[KeyChange, ...]] = field(default_factory=dict)
    _described: dict[int, str] = field(default_factory=dict)
    _ids: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)
    _keys: KeyHistory = field(default_factory=KeyHistory)
    _earlier_keys: KeyHistory = field(default_factory=KeyHistory)
    _keys_since: int = 0
    _certain_since: int = 0
    _keys_upto: int = 0

    @classmethod
    def after(cls, version: int, record_hash: bytes) -> RecentVersions:
        """Remember nothing but the hash of a version."""
        recent = cls(version, {version: record_hash})
        recent._keys_since = recent._certain_since = recent._keys_upto = version
        return recent

    def note(
        self,
        version: int,
        record_hash: bytes,
        ids: Iterable[str],
        known: Footprint | tuple[KeyChange, ...],
        described: str,
    ) -> None:
        """Remember a version; one that was noted already may become better known.

        Args:
            version: The next version, or an earlier one.
            record_hash: Hash of its record.
            ids: Ids of its transactions.
            known: What it touched, or what it did to keys where it changes rows only.
            described: What it is, for messages.
        """
        self._hashes[version] = record_hash
        self._known[version] = known
        self._described[version] = described
        if version not in self._ids:
            self._ids[version] = tuple(ids)
            for transaction in self._ids[version]:
                self._versions[transaction] = version
        if version > self._keys_upto:
            self._note_keys(version, known)
        forgotten = version - VERSIONS_KEPT
        if forgotten > self.since:
            self.since = forgotten
            self._known.pop(forgotten, None)
            self._described.pop(forgotten, None)
            self._hashes.pop(forgotten, None)
            for transaction in self._ids.pop(forgotten, ()):
                self._versions.pop(transaction, None)

    def _note_keys(self, version: int, known: Footprint | tuple[KeyChange, ...]) -> None:
        # Two halves, the older of which is dropped as a whole: keys are not forgotten singly.
        if version - self._keys_since > VERSIONS_KEPT or self._keys.size > KEYS_MAX:
            self._certain_since = self._keys_since
            self._earlier_keys, self._keys, self._keys_since = self._keys, KeyHistory(), version - 1
        self._keys_upto = version
        if isinstance(known, tuple):
            self._keys.note_changes(version, known)
        else:
            self._keys.note(version, known)

    def record_hash(self, version: int) -> bytes | None:
        """Hash of a version's record, None when it is not known any more."""
        return self._hashes.get(version)

    def footprint(self, version: int) -> tuple[Footprint, str]:
        """What a version touched, with a description.

        Args:
            version: One that is remembered. Of one that was not decoded it is told what matters to
                additive footprints.
        """
        known = self._known[version]
        return (
            Footprint.of_keys(known) if isinstance(known, tuple) else known,
            self._described[version],
        )

    def is_clear(self, mine: Footprint, since: int) -> bool:
        """Tell whether something additive commutes with every version after one.

        Returns:
            True where that is certain; otherwise the versions' footprints must tell.
        """
        return (
            since >= self._certain_since
            and self._keys.is_clear(mine, since)
            and self._earlier_keys.is_clear(mine, since)
        )

    def version_of(self, transaction: str) -> int | None:
        """The version that holds a transaction, None when none does that is remembered."""
        return self._versions.get(transaction)
