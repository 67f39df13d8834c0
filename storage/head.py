"""The head of the log: the newest snapshot that a process has applied, and how it follows others.

Whoever changes the head holds its lock: the one who applies records that others committed, and
the committer for its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from ..errors import Corrupt, SnapshotGone, Unavailable
from .conflict import Footprint
from .log import checkpoint as checkpoints
from .log.commit_log import record_name
from .log.record import CommittedTransaction, Record, decode
from .snapshot import CommitInfo, Snapshot, commit_info

if TYPE_CHECKING:
    from .devices.device import Device
    from .log.commit_log import CommitLog
    from .past import PastSnapshots
    from .snapshot import TableState

FOOTPRINTS_KEPT = 4096
"""Versions whose footprints are kept to check transactions against."""
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
        self.snapshot = Snapshot()
        self.visible = self.snapshot
        self._history: list[CommitInfo] = []
        self._earlier: bytes | None = None
        self.checkpointed = 0
        self._hashes: dict[int, bytes] = {0: self.snapshot.record_hash}
        self._footprints: dict[int, tuple[Footprint, str]] = {}
        self._recent: OrderedDict[int, Snapshot] = OrderedDict()
        self._begin()
        self.refresh()

    def _begin(self) -> None:
        """Start from the newest checkpoint that can be read."""
        for version in reversed(checkpoints.versions(self._device)):
            name = checkpoints.checkpoint_name(version)
            try:
                content = self._device.read(name)
                snapshot, earlier = checkpoints.decode(content, store_id=self._store_id, name=name)
            except (Corrupt, FileNotFoundError) as error:
                if isinstance(error, Corrupt):
                    self.damage = error
                continue
            self.snapshot = self.visible = snapshot
            self._history, self._earlier = [], earlier
            self.checkpointed = snapshot.version
            self._hashes = {snapshot.version: snapshot.record_hash}
            self._footprints.clear()
            return

    # Following

    def newest(self) -> Snapshot:
        """The newest committed snapshot, of whichever process."""
        snapshot = self.visible
        if snapshot is not self.snapshot or self._log.moved(snapshot.version):
            self.refresh()
        return self.visible

    def latest(self) -> Snapshot:
        """The newest snapshot, whether or not its records are durable already.

        Nothing may be answered from it before a sync of the log, such as that of a commit.
        """
        if self._log.moved(self.snapshot.version):
            self.refresh(sync=False)
        return self.snapshot

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
            while self._follow():
                """Begun anew from a checkpoint: the records after that are left."""
            if sync and self.visible is not self.snapshot:
                # Their writer may have died between link and sync. What is answered from here
                # on must not be lost again.
                if not self._read_only:
                    self._device.sync_directory("log")
                self.visible = self.snapshot

    def _follow(self) -> bool:
        """Apply the records that there are; True when that has to begin anew."""
        name = record_name(self.snapshot.version + 1)
        try:
            for content in self._log.following(self.snapshot.version):
                name = record_name(self.snapshot.version + 1)
                record = decode(content, store_id=self._store_id, name=name)
                self._verify_chain(record, name)
                self.advance(record.transactions, record.hash, record.time_us, len(content))
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

    def _verify_chain(self, record: Record, name: str) -> None:
        known = self._hashes.get(record.base_version)
        ahead = record.base_version > self.snapshot.version
        if ahead or (known is not None and known != record.base_hash):
            raise Corrupt(
                f"{name} is damaged: it does not continue the log before it", file=name, offset=0
            )

    def advance(
        self,
        transactions: tuple[CommittedTransaction, ...],
        digest: bytes,
        time_us: int,
        record_bytes: int,
    ) -> None:
        """Apply the record of the next version."""
        version = self.snapshot.version + 1
        snapshot = self.snapshot.advance(
            transactions,
            version=version,
            record_hash=digest,
            time_us=time_us,
            resolve=self.table_at,
        )
        info = commit_info(version, snapshot.time_us, record_bytes, transactions)
        effects = [effect for t in transactions for effect in t.effects]
        described = f"version {version} ({info.operation})"
        self._footprints[version] = (Footprint.of(effects), described)
        self._hashes[version] = digest
        # Transactions older than this many versions meet a Conflict when they commit.
        self._footprints.pop(version - FOOTPRINTS_KEPT, None)
        self._hashes.pop(version - FOOTPRINTS_KEPT, None)
        self._history.append(info)
        self._recent[version] = snapshot
        if len(self._recent) > RECENT_KEPT:
            self._recent.popitem(last=False)
        self.snapshot = snapshot

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

    def footprint(self, version: int) -> tuple[Footprint, str] | None:
        """What a version touched, with a description; None when that is not known any more."""
        return self._footprints.get(version)

    def forget_history(self, upto: int) -> None:
        """Drop what bundles tell of the versions up to one."""
        with self.lock:
            self._history = [info for info in self.history if info.version > upto]
