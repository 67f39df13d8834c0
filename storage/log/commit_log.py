"""The commit log on its device: loose records, bundles of older ones, and the boundary between.

A record is found under ``log/<version>`` above the boundary, and in a bundle at or below it.
Loose names at or below the boundary mean nothing: a stalled writer may have made them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import SnapshotGone
from ..failpoints import Failpoint
from .boundary import BOUNDARY, HORIZON, RisingMark
from .bundle import Bundles, bundle_name, encode
from .record import record_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..devices.device import Device
    from ..environment import Environment
    from ..snapshot import CommitInfo

_READ_AHEAD = 64
"""Records read before the boundary is looked at once for all of them."""
BUNDLE_BYTES_MAX = 64 << 20
"""A bundle is put together in memory."""


def record_name(version: int) -> str:
    """Name of a version's loose commit record."""
    return f"log/{version:020d}"


class CommitLog:
    """The records of a store by version.

    Args:
        device: The store's device.
        store_id: 16 bytes.
        environment: For its failpoints.
    """

    def __init__(self, device: Device, store_id: bytes, environment: Environment) -> None:
        self._device = device
        self._store_id = store_id
        self._environment = environment
        self.boundary = RisingMark(device, BOUNDARY)
        self.horizon = RisingMark(device, HORIZON)
        self.bundles = Bundles(device, store_id)

    def moved(self, version: int) -> bool:
        """Tell whether there is a record after a version."""
        return self._device.exists(record_name(version + 1)) or self.boundary.read() > version

    def following(self, version: int) -> Iterator[bytes]:
        """The records after a version, as far as there are any.

        Raises:
            SnapshotGone: They were reclaimed.
            OSError: The device failed.
        """
        while True:
            loose: list[bytes] = []
            if version >= self.boundary.seen:
                with suppress(FileNotFoundError):
                    while len(loose) < _READ_AHEAD:
                        loose.append(self._device.read(record_name(version + len(loose) + 1)))
            # Looked at afterwards: had a name been freed before, the boundary is above it.
            if version < self.boundary.read():
                yield self.bundles.record(version + 1)
                version += 1
                continue
            if not loose:
                return
            yield from loose
            version += len(loose)

    def read(self, version: int) -> bytes | None:
        """The record of a version, None when it was not committed yet.

        Raises:
            SnapshotGone: It was reclaimed.
            OSError: The device failed.
        """
        if version > self.boundary.seen:
            try:
                content = self._device.read(record_name(version))
            except FileNotFoundError:
                content = None
            # Looked at afterwards: had the name been freed before, the boundary is above it.
            if version > self.boundary.read():
                return content
        return self.bundles.record(version)

    def is_mine(self, version: int, content: bytes) -> bool:
        """Tell whether a record that was just linked is the one of its version.

        Raises:
            SnapshotGone: It cannot be told any more.
        """
        return version > self.boundary.read() or self.bundles.record(version) == content

    def fold(self, infos: Sequence[CommitInfo]) -> int:
        """Fold loose records into a bundle; returns the last version folded, 0 for none.

        Args:
            infos: The history of the versions to fold, which a durable checkpoint covers.
        """
        infos = [info for info in infos if info.version > self.boundary.read()]
        if not infos or infos[0].version != self.boundary.seen + 1:
            return 0
        records: list[bytes] = []
        total = 0
        for info in infos:
            try:
                content = self.read(info.version)
            except SnapshotGone:
                return 0  # somebody else has folded them meanwhile, and reclaimed them already
            if content is None or total + len(content) > BUNDLE_BYTES_MAX:
                break
            records.append(content)
            total += len(content)
        if not records:
            return 0
        infos = infos[: len(records)]
        first, last = infos[0].version, infos[-1].version
        bundled = encode(
            records, infos, store_id=self._store_id, last_hash=record_hash(records[-1])
        )
        staged = self._device.stage(bundled)
        try:
            staged.link(bundle_name(first, last))
        finally:
            staged.discard()
        self._device.sync_directory("log/bundles")
        self._environment.reach(Failpoint.FOLD_BUNDLED)
        self.boundary.raise_to(last)
        self._environment.reach(Failpoint.FOLD_BOUNDARY_RAISED)
        self.sweep()
        return last

    def sweep(self) -> None:
        """Remove loose records that a bundle holds, left-overs of killed processes included."""
        boundary = self.boundary.read()
        for name in self._device.list("log"):
            if name.isdigit() and int(name) <= boundary:
                self._device.unlink(f"log/{name}")
                self._environment.reach(Failpoint.FOLD_RECORD_DROPPED)
