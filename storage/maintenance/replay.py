"""Reading the log from the oldest version that is kept to the newest, whatever is damaged.

A store opens from its newest checkpoint and stops at the first damage. A check and a backup read
everything there is: every record that a kept version needs, in order, each with the snapshot
before and after it, and go on from a later checkpoint where a record is damaged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import Corrupt, Error, FormatTooNew, SnapshotGone
from ..environment import Environment
from ..log import checkpoint as checkpoints
from ..log.commit_log import CommitLog, record_name
from ..log.place import verify_place
from ..log.record import decode
from ..past import PastSnapshots
from ..snapshot import Snapshot, commit_info
from ..store import STORE_FORMAT, require_checksum
from .finding import damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..devices.device import Device
    from ..log.record import Record
    from ..snapshot import CommitInfo
    from .finding import Finding

STORE_FILE = "store.json"
STORE_ID_BYTES = 16
HASHES_KEPT = 4096
"""A record refers to one at most this far before it; the chain is followed that far back."""


def read_store_id(device: Device) -> bytes:
    """The id that a device's ``store.json`` gives.

    Raises:
        FileNotFoundError: There is none.
        Corrupt: It cannot be read.
        FormatTooNew: A later version of Pagelake wrote it.
    """
    try:
        description = json.loads(device.read(STORE_FILE))
        require_checksum(description)
        store_id = bytes.fromhex(description["store_id"])
        found = int(description["format"])
        if found < 1 or int(description["created_us"]) < 0:
            raise ValueError("its format or its time is none")
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{STORE_FILE} is not a store's: {error}", file=STORE_FILE) from error
    if found > STORE_FORMAT:
        raise FormatTooNew(
            f"the store has format {found}, this version reads up to {STORE_FORMAT}",
            hint="upgrade pagelake",
        )
    if len(store_id) != STORE_ID_BYTES:
        raise Corrupt(f"{STORE_FILE} is not a store's: its store id is none", file=STORE_FILE)
    return store_id


@dataclass(frozen=True, slots=True)
class Step:
    """A version, as the log tells it.

    Attributes:
        file: Where its record lies; the checkpoint's file where the log begins or goes on.
        before: The snapshot before it, None where the log begins or goes on after damage.
        after: Its snapshot.
        record: Its record, None likewise.
        info: What the history tells of it, None likewise.
    """

    file: str
    before: Snapshot | None
    after: Snapshot
    record: Record | None = None
    info: CommitInfo | None = None


@dataclass(slots=True)
class Replay:
    """The kept versions of a store, in order.

    Attributes:
        device: Where it lies.
        store_id: 16 bytes.
        horizon: The oldest version that is kept.
        newest: The newest version that anything in the log speaks of.
        good: Versions of the checkpoints that can be read.
        proven: True while all was derived from version 0, and from nothing but records.
        complete: True while every kept version could be read.
        reached: The newest version that could be read.
    """

    device: Device
    store_id: bytes
    horizon: int = 0
    newest: int = 0
    good: list[int] = field(default_factory=list)
    proven: bool = True
    complete: bool = True
    reached: int = 0
    _log: CommitLog = field(init=False)
    _past: PastSnapshots = field(init=False)
    _hashes: dict[int, bytes] = field(default_factory=dict)
    _times: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._log = CommitLog(self.device, self.store_id, Environment())
        self._past = PastSnapshots(self.device, self._log, self.store_id)

    def checkpoint(self, version: int) -> tuple[Snapshot, list[CommitInfo]]:
        """Read a checkpoint.

        Raises:
            Corrupt: It is damaged.
            FileNotFoundError: It is gone.
        """
        name = checkpoints.checkpoint_name(version)
        content = self.device.read(name)
        snapshot, packed = checkpoints.decode(content, store_id=self.store_id, name=name)
        history = checkpoints.unpack_history(packed)
        if snapshot.version != version:
            raise Corrupt(f"{name} is that of version {snapshot.version}", file=name, offset=0)
        return snapshot, history

    def look(self) -> None:
        """Find out how far the log reaches. Listed first: what is found later is newer."""
        loose = [int(name) for name in self.device.list("log") if name.isdigit()]
        bundled = [last for _, last, _ in self._log.bundles.ranges()]
        marks = [self._log.boundary.read(), *checkpoints.versions(self.device)]
        self.newest = max([0, *loose, *bundled, *marks])
        self.horizon = self._log.horizon.read()

    def file_of(self, version: int) -> str:
        """The file in which the record of a version belongs."""
        if version <= self._log.boundary.seen:
            for first, last, name in self._log.bundles.ranges():
                if first <= version <= last:
                    return name
        return record_name(version)

    def steps(self) -> Iterator[Step | Finding]:
        """Every kept version in order, and what is damaged in between."""
        file, snapshot = STORE_FILE, Snapshot()
        if self.horizon:
            start = self._checkpoint_before_horizon()
            if start is None:
                what = f"no checkpoint tells the state at version {self.horizon}"
                yield damage(checkpoints.FOLDER, what, "every version")
                self.complete = self.proven = False
                return
            file, snapshot = checkpoints.checkpoint_name(start), self.checkpoint(start)[0]
            self.proven = False
            if start > self.horizon:
                self.complete = False
                what = f"no checkpoint tells the state at version {self.horizon}"
                yield damage(checkpoints.FOLDER, what, f"versions {self.horizon} to {start - 1}")
        begun = False
        while True:
            self._note(snapshot)
            if not begun and snapshot.version >= self.horizon:
                # What is freed below the horizon is not missed.
                begun = True
                yield Step(file, None, snapshot)
            version = snapshot.version + 1
            try:
                step = self._next(snapshot)
                if step is None:
                    return
                snapshot, file = step.after, step.file
                if begun:
                    yield step
            except (Error, OSError) as error:
                following = next((v for v in self.good if v >= version), None)
                self.proven = self.complete = False
                yield self._broken(version, error, following)
                if following is None:
                    return
                file, snapshot = checkpoints.checkpoint_name(following), self._resume(following)
                begun = False

    def _checkpoint_before_horizon(self) -> int | None:
        """The version of the checkpoint to begin at, the next one where it is damaged."""
        before = [version for version in self.good if version <= self.horizon]
        return max(before, default=min(self.good, default=None))

    def _resume(self, version: int) -> Snapshot:
        self._hashes.clear()
        self._times.clear()
        return self.checkpoint(version)[0]

    def _next(self, snapshot: Snapshot) -> Step | None:
        """The version after a snapshot, None at the end of the log.

        Raises:
            Corrupt: Its record is missing or damaged, or does not fit the log before it.
        """
        version = snapshot.version + 1
        name = self.file_of(version)
        content = self._log.read(version)
        if content is None:
            if version <= self.newest:
                raise Corrupt(f"{name} is missing", file=name)
            return None
        try:
            record = decode(content, store_id=self.store_id, name=name)
            self._verify_chain(record, version, name)
            after = snapshot.advance(
                record.transactions,
                version=version,
                record_hash=record.hash,
                time_us=record.time_us,
                resolve=lambda table, at: self._past.at(at).tables[table],
            )
        except KeyError as error:
            raise Corrupt(f"{name} begins a table as {error}, which there is not") from error
        info = commit_info(version, after.time_us, len(content), record.transactions)
        return Step(name, snapshot, after, record, info)

    def _verify_chain(self, record: Record, version: int, name: str) -> None:
        base = record.base_version
        verify_place((base, record.base_hash), record.hash, version, self._hashes.get, name)
        if base in self._times and record.time_us <= self._times[base]:
            raise Corrupt(f"the time of {name} is not after what it continues", file=name, offset=0)

    def _note(self, snapshot: Snapshot) -> None:
        self.reached = snapshot.version
        self._hashes[snapshot.version] = snapshot.record_hash
        self._times[snapshot.version] = snapshot.time_us
        self._hashes.pop(snapshot.version - HASHES_KEPT, None)
        self._times.pop(snapshot.version - HASHES_KEPT, None)

    def _broken(self, version: int, error: BaseException | None, following: int | None) -> Finding:
        if isinstance(error, FormatTooNew):
            raise error
        file = getattr(error, "file", None) or self.file_of(version)
        what = error.message if isinstance(error, Error) else f"{file} cannot be read"
        if isinstance(error, (FileNotFoundError, SnapshotGone)):
            what = f"{file} is missing"
        elif isinstance(error, OSError) and error.strerror:
            what += f": {error.strerror}"
        last = max(self.newest, version)
        lost = f"versions {version} to {last}"
        if following is not None:
            # The checkpoint holds the state, so that only what lies before it is lost.
            lost = f"versions {version} to {following - 1}, history of version {following}"
            if following == version:
                lost = f"history of version {version}"
        elif last == version:
            lost = f"version {version}"
        return damage(file, what, lost, offset=getattr(error, "offset", None))

    def loose_after(self, version: int) -> Iterator[Finding]:
        """Check the records that nothing can be applied to, each by itself."""
        for later in range(version + 1, self.newest + 1):
            name = self.file_of(later)
            try:
                content = self._log.read(later)
                if content is not None:
                    decode(content, store_id=self.store_id, name=name)
            except Corrupt as error:
                yield damage(name, error.message, f"version {later}", offset=error.offset)
            except (Error, OSError):
                continue
