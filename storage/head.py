"""The head of the log: the newest versions that a process knows, and how it follows others.

Most records change rows only (``RecordHead.ids``). Whether appends commute with them is told by
their key changes, so a process that only appends learns of them without decoding them: its
*snapshot* is then behind its *tail* until somebody reads, but names and columns are right. Whoever
changes the head holds its lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import Corrupt, Error, SnapshotGone, Unavailable
from .commit.recent import VERSIONS_KEPT, RecentVersions
from .conflict import Footprint
from .log import checkpoint as checkpoints
from .log.commit_log import record_name
from .log.place import verify_place
from .log.record import Record, decode, peek, record_hash
from .snapshot import CommitInfo, Snapshot, commit_info

if TYPE_CHECKING:
    from .devices.device import Device
    from .log.commit_log import CommitLog
    from .log.record import RecordHead
    from .past import PastSnapshots
    from .snapshot import TableState

RECENT_KEPT = 8
"""Newest snapshots kept whole, for clones and restores of what was there a moment ago."""


class Head:
    """What a process knows of the newest versions.

    Args:
        device: The store's device.
        log: Its log.
        past: Finds versions that are not the newest.
        store_id: 16 bytes.
        read_only: Show the last version before damage instead of failing.

    Attributes:
        lock: Held by whoever changes anything here.
        snapshot: The newest snapshot applied.
        visible: What is answered from: the snapshot once the log is known to be synced up to it.
        tail: The newest version known of; those after the snapshot change rows only.
        tail_hash: Hash of its record.
        tail_time_us: Its commit time.
        synced: Version up to which the log is known to be durable.
        recent: What commits are checked against.
        damage: What is wrong with the log, if the store was opened read-only in spite of it.
        checkpointed: Version of the newest checkpoint known of.
    """

    def __init__(
        self,
        device: Device,
        log: CommitLog,
        past: PastSnapshots,
        store_id: bytes,
        *,
        read_only: bool,
    ) -> None:
        self._device = device
        self._log = log
        self._past = past
        self._store_id = store_id
        self._read_only = read_only
        self.lock = threading.RLock()
        self.damage: Corrupt | None = None
        self.synced = self.checkpointed = 0
        self._history: list[CommitInfo] = []
        self._earlier: bytes | None = None
        self._recent: OrderedDict[int, Snapshot] = OrderedDict()
        self._start_at(Snapshot())
        self._begin()
        self.refresh()

    def _start_at(self, snapshot: Snapshot) -> None:
        self.snapshot = self.visible = snapshot
        self.tail, self.tail_hash = snapshot.version, snapshot.record_hash
        self.tail_time_us = snapshot.time_us
        self.recent = RecentVersions.after(self.tail, self.tail_hash)

    def _begin(self, after: int = -1, upto: int | None = None) -> None:
        """Start from the newest checkpoint that can be read.

        Args:
            after: None up to here will do.
            upto: The newest that will do; by default whichever there is.
        """
        for version in reversed(checkpoints.versions(self._device)):
            if version <= after or (upto is not None and version > upto):
                continue
            name = checkpoints.checkpoint_name(version)
            try:
                content = self._device.read(name)
                snapshot, earlier = checkpoints.decode(content, store_id=self._store_id, name=name)
            except (Corrupt, FileNotFoundError) as error:
                if isinstance(error, Corrupt):
                    self.damage = error
                continue
            self._start_at(snapshot)
            self._history, self._earlier = [], earlier
            self.checkpointed = snapshot.version
            return

    # Following

    def newest(self, *, sync: bool = True) -> Snapshot:
        """The newest committed snapshot, of whichever process.

        Args:
            sync: Make sure that it is durable. Without that nothing may be answered from it
                before a sync of the log, such as that of a commit.
        """
        snapshot = self.visible if sync else self.snapshot
        if (
            snapshot is not self.snapshot
            or snapshot.version != self.tail
            or self._log.moved(snapshot.version)
        ):
            self.refresh(sync=sync)
        return self.visible if sync else self.snapshot

    def names(self) -> Snapshot:
        """A snapshot with the newest names and columns; its rows may be behind.

        Nothing may be answered from it before a sync of the log.
        """
        if self._log.moved(self.tail):
            self.look()
        return self.snapshot

    def look(self) -> None:
        """Learn of the records that others have committed, applying them only where one must."""
        with self.lock:
            try:
                for content in self._log.following(self.tail):
                    version = self.tail + 1
                    head = peek(content, store_id=self._store_id, name=record_name(version))
                    if head.ids is None or head.keys is None:
                        break
                    self._verify_place((head.base_version, head.base_hash), head.hash, version)
                    self._looked_at(version, head)
                else:
                    return
            except (Error, OSError):
                """What is wrong is told below, where the records are decoded."""
            self.refresh(sync=False)

    def _looked_at(self, version: int, head: RecordHead) -> None:
        """Note a record of which the rows were not decoded."""
        assert head.ids is not None, "a change of names is applied"
        assert head.keys is not None, "nothing is known of what it changes"
        self._extend(version, head.hash, head.time_us)
        self.recent.note(version, head.hash, head.ids, head.keys, f"version {version}")

    def _extend(self, version: int, record_hash: bytes, time_us: int) -> None:
        if version > self.tail:
            self.tail, self.tail_hash = version, record_hash
            # Strictly increasing whatever the writers' clocks say.
            self.tail_time_us = max(self.tail_time_us + 1, time_us)

    def refresh(self, *, sync: bool = True) -> None:
        """Apply every record that others have committed.

        Args:
            sync: Make them visible. A committer may go without: the sync of its own record covers
                those before it.
        """
        with self.lock:
            seen = self.snapshot.version
            if self.damage is not None and self.damage.file == record_name(seen + 1):
                return
            if self.tail - self.snapshot.version > VERSIONS_KEPT:
                self._skip()
            while self._follow():
                """Begun anew from a checkpoint: the records after that are left."""
            if sync and self.visible is not self.snapshot:
                # Their writer may have died between link and sync. What is answered from here
                # on must not be lost again.
                if not self._read_only and self.synced < self.snapshot.version:
                    self._device.sync_directory("log")
                    self.synced = self.snapshot.version
                self.visible = self.snapshot

    def _skip(self) -> None:
        """Go on from a checkpoint where too much was left unapplied."""
        known = self.recent, self.tail, self.tail_hash, self.tail_time_us
        self._begin(after=self.snapshot.version + VERSIONS_KEPT // 2, upto=self.tail)
        # What is remembered of the versions after the checkpoint is still true.
        self.recent, self.tail, self.tail_hash, self.tail_time_us = known

    def _follow(self) -> bool:
        """Apply the records that there are; True when that has to begin anew."""
        name = record_name(self.snapshot.version + 1)
        try:
            for content in self._log.following(self.snapshot.version):
                name = record_name(self.snapshot.version + 1)
                record = decode(content, store_id=self._store_id, name=name)
                base = record.base_version, record.base_hash
                self._verify_place(base, record.hash, self.snapshot.version + 1)
                self.advance(record)
        except SnapshotGone as gone:
            # Asleep for so long that the records were reclaimed.
            asleep_at = self.snapshot.version
            self._begin()
            if self.snapshot.version <= asleep_at:
                raise Corrupt(f"{name} is gone, and no checkpoint is newer", file=name) from gone
            return True
        except OSError as error:
            name = record_name(self.snapshot.version + 1)
            raise Unavailable(f"{name} cannot be read: {error.strerror}") from error
        except Corrupt as error:
            if error.file is None:
                error.file, error.offset = name, 0
            if not self._read_only:
                error.hint = (
                    f"open the store with read_only=True to read it as of version "
                    f"{self.snapshot.version}, or restore {name} from a backup"
                )
                raise
            self.damage = error
        return False

    def _verify_place(self, base: tuple[int, bytes], record_hash: bytes, version: int) -> None:
        verify_place(base, record_hash, version, self.record_hash, record_name(version))

    def record_hash(self, version: int) -> bytes | None:
        """Hash of an earlier version's record, None where it was reclaimed."""
        known = self.recent.record_hash(version)
        if known is None and version:
            with suppress(SnapshotGone):
                content = self._log.read(version)
                known = None if content is None else record_hash(content)
        return known

    def advance(self, record: Record) -> None:
        """Apply the record of the next version."""
        version, transactions = self.snapshot.version + 1, record.transactions
        snapshot = self.snapshot.advance(
            transactions,
            version=version,
            record_hash=record.hash,
            time_us=record.time_us,
            resolve=self.table_at,
        )
        info = commit_info(version, snapshot.time_us, record.stored_bytes, transactions)
        footprint = Footprint.of(effect for t in transactions for effect in t.effects)
        described = f"version {version} ({info.operation})"
        self.recent.note(version, record.hash, (t.id for t in transactions), footprint, described)
        self._history.append(info)
        self._recent[version] = snapshot
        if len(self._recent) > RECENT_KEPT:
            self._recent.popitem(last=False)
        self.snapshot = snapshot
        self._extend(version, record.hash, record.time_us)

    def committed(self, head: RecordHead, record: Record | None) -> None:
        """Note the record that this process has linked as the next version.

        Args:
            head: What its first bytes say.
            record: The record, None if it changes rows only and was not decoded.
        """
        if record is not None and self.snapshot.version == self.tail:
            self.advance(record)
        else:
            self._looked_at(self.tail + 1, head)

    def durable(self, version: int) -> None:
        """Note that the log was synced up to a version, by whichever process."""
        self.synced = max(self.synced, version)
        if self.snapshot.version <= self.synced:
            self.visible = self.snapshot

    # Looking back

    @property
    def history(self) -> list[CommitInfo]:
        """What is known of the versions above the boundary, oldest first."""
        with self.lock:
            if self._earlier is not None:
                self._history[:0] = checkpoints.unpack_history(self._earlier)
                self._earlier = None
            return self._history

    def at(self, version: int) -> Snapshot:
        """The snapshot of any version; see ``PastSnapshots.at``."""
        for known in (self.visible, self._recent.get(version)):
            if known is not None and known.version == version:
                return known
        return self._past.at(version)

    def table_at(self, table: str, version: int) -> TableState:
        """A table by id at a version that some effect refers to.

        Raises:
            SnapshotGone: The version was reclaimed, or the table did not exist at it.
        """
        try:
            return self.at(version).tables[table]
        except KeyError:
            raise SnapshotGone(f"the table did not exist at version {version}") from None

    def forget_history(self, upto: int) -> None:
        """Drop what bundles tell of the versions up to one."""
        with self.lock:
            self._history = [info for info in self.history if info.version > upto]
