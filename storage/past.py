"""Past snapshots: the state of a store at any version that is still readable.

A version is rebuilt from the newest checkpoint at or before it and the records after that. The
last ones rebuilt are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import Corrupt, SnapshotGone
from .log import checkpoint as checkpoints
from .log.commit_log import record_name
from .log.record import decode
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .devices.device import Device
    from .log.commit_log import CommitLog

_KEPT = 16


class PastSnapshots:
    """Rebuilds and keeps snapshots of past versions.

    Args:
        device: The store's device.
        log: Its log.
        store_id: 16 bytes.
    """

    def __init__(self, device: Device, log: CommitLog, store_id: bytes) -> None:
        self._device = device
        self._log = log
        self._store_id = store_id
        self._lock = threading.RLock()
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()

    def at(self, version: int) -> Snapshot:
        """The snapshot of a version.

        Raises:
            SnapshotGone: It was reclaimed, or is not committed yet.
            Corrupt: What it is rebuilt from is damaged.
        """
        with self._lock:
            known = self._kept.get(version)
            if known is not None:
                self._kept.move_to_end(version)
                return known
            snapshot = self._anchor(version)
            while snapshot.version < version:
                snapshot = self._next(snapshot)
            self._kept[version] = snapshot
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return snapshot

    def _anchor(self, version: int) -> Snapshot:
        """The newest snapshot at or before a version that needs no record."""
        kept = [known for known in self._kept if known <= version]
        best = self._kept[max(kept)] if kept else Snapshot()
        for number in reversed(checkpoints.versions(self._device)):
            if not best.version < number <= version:
                continue
            name = checkpoints.checkpoint_name(number)
            with suppress(Corrupt, FileNotFoundError):
                content = self._device.read(name)
                return checkpoints.decode(content, store_id=self._store_id, name=name)[0]
        return best

    def _next(self, snapshot: Snapshot) -> Snapshot:
        version = snapshot.version + 1
        content = self._log.read(version)
        if content is None:
            raise SnapshotGone(f"there is no version {version} yet")
        record = decode(content, store_id=self._store_id, name=record_name(version))
        return snapshot.advance(
            record.transactions,
            version=version,
            record_hash=record.hash,
            time_us=record.time_us,
            resolve=lambda table, at: self.at(at).tables[table],
        )
