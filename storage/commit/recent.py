"""What a process remembers of the newest versions: enough to check a commit against them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..conflict import Footprint

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSIONS_KEPT = 4096
"""Versions remembered. Transactions that began before them meet a Conflict when they commit."""
_ROWS = (Footprint(), "changes of rows")


@dataclass(slots=True)
class RecentVersions:
    """Hashes, footprints and transaction ids of the newest versions.

    Attributes:
        since: Every version after this one is remembered.
    """

    since: int
    _hashes: dict[int, bytes]
    _footprints: dict[int, tuple[Footprint, str]] = field(default_factory=dict)
    _ids: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def after(cls, version: int, record_hash: bytes) -> RecentVersions:
        """Remember nothing but the hash of a version."""
        return cls(version, {version: record_hash})

    def note(
        self,
        version: int,
        record_hash: bytes,
        ids: Iterable[str],
        footprint: tuple[Footprint, str] = _ROWS,
    ) -> None:
        """Remember a version; one that was noted already may become better known.

        Args:
            version: The next version, or an earlier one.
            record_hash: Hash of its record.
            ids: Ids of its transactions.
            footprint: What it touched, with a description; by default rows of whatever tables.
        """
        self._hashes[version] = record_hash
        self._footprints[version] = footprint
        if version not in self._ids:
            self._ids[version] = tuple(ids)
            for transaction in self._ids[version]:
                self._versions[transaction] = version
        forgotten = version - VERSIONS_KEPT
        if forgotten > self.since:
            self.since = forgotten
            self._footprints.pop(forgotten, None)
            self._hashes.pop(forgotten, None)
            for transaction in self._ids.pop(forgotten, ()):
                self._versions.pop(transaction, None)

    def record_hash(self, version: int) -> bytes | None:
        """Hash of a version's record, None when it is not known any more."""
        return self._hashes.get(version)

    def footprint(self, version: int) -> tuple[Footprint, str] | None:
        """What a version touched, with a description; None when that is not known any more."""
        return self._footprints.get(version)

    def version_of(self, transaction: str) -> int | None:
        """The version that holds a transaction, None when none does that is remembered."""
        return self._versions.get(transaction)
