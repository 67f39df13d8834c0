"""A store: log, pages and snapshots of one device.

Commit protocol, on any number of processes without talking to each other: pages appended and
synced → record staged without a name and synced → linked to ``log/<version>``, which fails
when the name exists and is the commit point → the boundary looked at (``log.boundary``) →
``log/`` synced → acknowledged. Losing a race retries the link with the next name; the record's
bytes stay as they are.

What lies in a store: docs/format/store.md.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from os import cpu_count
from typing import TYPE_CHECKING

import xxhash

from ..errors import Corrupt, Denied, FormatTooNew, NotAStore, SnapshotGone
from .commit.committer import Committer
from .environment import CallerExecutor, Environment
from .failpoints import Failpoint
from .head import Head
from .log import checkpoint as checkpoints
from .log.commit_log import CommitLog, record_name
from .log.place import verify_place
from .log.record import decode
from .page_store import PageStore
from .past import PastSnapshots
from .pins import Pins
from .reclaim import Reclaimed, Reclaimer
from .transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .devices.device import Device
    from .effects import Effect
    from .snapshot import CommitInfo, Snapshot, TableState

STORE_FORMAT = 1
CHECKPOINT_EVERY_RECORDS = 256
"""Records after which a checkpoint is due: opening then replays some milliseconds of log."""
CHECKPOINTS_KEPT = 2
"""One to use and one to fall back on."""
ANCHOR_EVERY = 4096
"""Versions between checkpoints that stay, to rebuild past versions from."""
FOLD_AT_RECORDS = 2048
"""Loose records after which folding them is due: each takes an inode and a block."""
_STORE_FILE = "store.json"
_STORE_ID_BYTES = 16


def _checksum(description: Mapping[str, object]) -> str:
    """Checksum of what a store says of itself; older stores have none."""
    said = [description[key] for key in ("format", "store_id", "created_us")]
    return xxhash.xxh3_64_hexdigest(json.dumps(said).encode())


def require_checksum(description: Mapping[str, object]) -> None:
    """Check what a store says of itself, before its format: a flipped bit is no later version.

    Raises:
        ValueError: It is not what was written.
        KeyError: Part of it is missing.
    """
    if "checksum" in description and description["checksum"] != _checksum(description):
        raise ValueError("its checksum does not match what it says")


class Store:
    """One store on one device.

    Args:
        device: Where its bytes lie.
        environment: Clock and randomness.
        read_only: Refuse commits and create nothing.

    Raises:
        NotAStore: The device holds something else.
        FormatTooNew: A later version of Pagelake wrote it.
        Corrupt: The log is damaged. Opened read-only, the store instead shows the last version
            before the damage, which ``damage`` then names.
    """

    def __init__(
        self, device: Device, *, environment: Environment | None = None, read_only: bool = False
    ) -> None:
        self.device = device
        self.environment = environment or Environment()
        self.read_only = read_only
        self.id = self._identify()
        self.pins = Pins(device, self.environment)
        self.pages = PageStore(device, self.id, self.environment)
        self.executor: Executor = (
            ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="pagelake-codec")
            if self.environment.threads
            else CallerExecutor()
        )
        self.log = CommitLog(device, self.id, self.environment)
        self.past = PastSnapshots(device, self.log, self.id)
        self.head = Head(device, self.log, self.past, self.id, read_only=read_only)
        self._committer = Committer(
            device, self.log, self.head, self.pages, self.environment, self.id
        )

    @property
    def damage(self) -> Corrupt | None:
        """What is wrong with the log of a store opened read-only, None when nothing is."""
        return self.head.damage

    # Opening

    def _identify(self) -> bytes:
        try:
            description = json.loads(self.device.read(_STORE_FILE))
            require_checksum(description)
            version = int(description["format"])
            if version > STORE_FORMAT:
                raise FormatTooNew(
                    f"the store has format {version}, this version reads up to {STORE_FORMAT}",
                    hint="upgrade pagelake",
                )
            store_id = bytes.fromhex(description["store_id"])
            if version < 1 or len(store_id) != _STORE_ID_BYTES:
                raise ValueError("its format or its store id is none")
        except FileNotFoundError:
            return self._create()
        except OSError as error:
            raise NotAStore(f"{_STORE_FILE} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise NotAStore(f"{_STORE_FILE} is not a store's: {error}") from error
        if not self.read_only:
            # Its creator may have died before the folders' names were durable.
            self.device.sync_directory("")
        return store_id

    def _create(self) -> bytes:
        if self.read_only:
            raise NotAStore("there is no store here", hint="open it writable to create one")
        if any(name.isdigit() for name in self.device.list("log")):
            raise NotAStore(f"the store has a log but lost its {_STORE_FILE}")
        description: dict[str, object] = {
            "format": STORE_FORMAT,
            "store_id": self.environment.random_bytes(_STORE_ID_BYTES).hex(),
            "created_us": self.environment.now_us(),
        }
        description["checksum"] = _checksum(description)
        staged = self.device.stage(json.dumps(description).encode())
        try:
            staged.link(_STORE_FILE)
        finally:
            staged.discard()
        self.device.sync_directory("")
        # Another process may have been first: what was linked decides.
        return self._identify()

    # Reading

    def snapshot(self) -> Snapshot:
        """The newest committed snapshot, of whichever process."""
        return self.head.newest()

    @property
    def known_version(self) -> int:
        """The newest version that this process has seen, without looking for newer ones."""
        return self.head.tail

    def refresh(self) -> None:
        """Apply every record that others have committed."""
        self.head.refresh()

    def history(self) -> Sequence[CommitInfo]:
        """What is known of each readable version, oldest first."""
        self.snapshot()
        horizon = self.log.horizon.read()
        bundled = [info for info in self.log.bundles.infos() if info.version >= horizon]
        last = bundled[-1].version if bundled else horizon - 1
        return [*bundled, *(info for info in list(self.head.history) if info.version > last)]

    def snapshot_at(self, version: int) -> Snapshot:
        """The snapshot of a version.

        Raises:
            SnapshotGone: It was reclaimed, or is not committed yet.
        """
        newest = self.snapshot()
        horizon = self.log.horizon.read()
        readable = f"versions {horizon} to {newest.version} can be read, and tagged ones"
        if not 0 <= version <= newest.version:
            raise SnapshotGone(f"there is no version {version}", hint=readable)
        if version < horizon and version not in newest.tags.values():
            raise SnapshotGone(f"version {version} was reclaimed", hint=readable)
        return self.head.at(version)

    def table_at(self, table: str, version: int) -> TableState:
        """A table by id at a version; see ``snapshot_at``."""
        return self.head.table_at(table, version)

    def version_at(self, time_us: int) -> int:
        """The newest version committed at or before a moment (microseconds since the epoch).

        Raises:
            SnapshotGone: There was none yet, or it was reclaimed.
        """
        self.snapshot()
        history = self.history()
        index = bisect_right(history, time_us, key=lambda info: info.time_us)
        if not index:
            raise SnapshotGone(
                "no version that can be read is as old as that",
                hint="SELECT min(time) FROM pagelake.snapshots tells how far back one can go",
            )
        return history[index - 1].version

    def changes(self, after: int, upto: int) -> Iterator[tuple[int, tuple[Effect, ...]]]:
        """The effects of each version after one and up to another.

        Raises:
            SnapshotGone: Some of them were reclaimed or are not committed yet.
            Corrupt: A record is damaged, or stands at another one's place.
        """
        for version in range(after + 1, upto + 1):
            content = self.log.read(version)
            if content is None:
                raise SnapshotGone(f"there is no version {version} yet")
            name = record_name(version)
            record = decode(content, store_id=self.id, name=name)
            base = record.base_version, record.base_hash
            verify_place(base, record.hash, version, self.head.record_hash, name)
            yield version, tuple(e for t in record.transactions for e in t.effects)

    @contextmanager
    def pin(self, version: int) -> Iterator[None]:
        """Keep a version readable, in whatever process reclaims.

        Raises:
            SnapshotGone: It has been reclaimed already.
        """
        self.pins.pin(version)
        try:
            self.require_kept(version)
            yield
        finally:
            self.pins.unpin(version)

    def require_kept(self, version: int) -> None:
        """Raise SnapshotGone when a version that was just pinned had been reclaimed before."""
        if self.pins.keeps(version):
            return  # pinned by an open transaction, say, before the horizon rose above it
        if version < self.log.horizon.read() and version not in self.head.visible.tags.values():
            raise SnapshotGone(f"version {version} was reclaimed", hint="read a newer one")
        self.pins.note_kept(version)

    def was_taken_away(self, version: int) -> bool:
        """Tell whether a version may have been reclaimed while it was read, for want of a pin."""
        if self.pins.secures(version):
            return False
        return version < self.log.horizon.read() and version not in self.head.visible.tags.values()

    def _pinned_snapshot(self, *, durable: bool) -> Snapshot:
        """The newest snapshot, pinned: to be given back with ``pins.unpin``."""
        while True:
            snapshot = self.head.newest(sync=durable)
            self.pins.pin(snapshot.version)
            try:
                self.require_kept(snapshot.version)
            except SnapshotGone:
                self.pins.unpin(snapshot.version)
                continue
            except BaseException:
                self.pins.unpin(snapshot.version)
                raise
            return snapshot

    # Writing

    def begin(self, *, durable: bool = True) -> Transaction:
        """Start a transaction on the newest snapshot, which stays readable until it ends.

        Args:
            durable: False when nothing is answered before the transaction has committed: it can
                then begin on records that are not synced yet, as its own sync covers them.
        """
        snapshot = self._pinned_snapshot(durable=durable)
        return Transaction(self, snapshot, self.environment.random_bytes(16).hex())

    def begin_blind(self, base: Snapshot | None = None) -> Transaction:
        """Start a transaction that reads names and columns only, not one row.

        Nothing is read or pinned for it. If names have changed since they were last looked at
        (``Head.names``), its commit is a Conflict.

        Args:
            base: The committed snapshot in which keys were looked up for it, however long ago: if
                somebody has appended those since, or removed rows that it relies on, its commit is
                a Conflict. By default no key was looked up.
        """
        # In this order: names that are newer than the version are seen as a change of it.
        since = self.head.tail if base is None else base.version
        base = base or self.head.snapshot
        return Transaction(self, base, self.environment.random_bytes(16).hex(), since=since)

    def commit(self, transaction: Transaction) -> int:
        """Commit a transaction whose pages are synced; returns its version.

        Raises:
            Conflict: A concurrent transaction does not commute with it.
            OutcomeUnknown: The commit may or may not have happened.
            StorageFull: No room for the record; nothing happened.
            Denied: The store was opened read-only.
        """
        self._require_writable()
        return self._committer.commit(transaction)

    def _require_writable(self) -> None:
        if self.read_only:
            raise Denied("the store was opened read-only")

    # Upkeep

    @property
    def checkpoint_due(self) -> bool:
        """True when enough was committed since the last checkpoint to be worth one."""
        snapshot = self.head.snapshot
        tail = self.head.tail - self.head.checkpointed
        # In proportion to what a checkpoint costs, so that a store of many small commits does
        # not spend its time writing checkpoints.
        groups = sum(len(state.row_groups) for state in snapshot.tables.values())
        return tail >= max(CHECKPOINT_EVERY_RECORDS, groups // 4)

    def checkpoint(self) -> int:
        """Write the newest snapshot out whole; returns its version.

        Raises:
            Denied: The store was opened read-only.
            StorageFull: No room for it; the older ones are kept.
        """
        self._require_writable()
        snapshot = self.snapshot()
        self.write_checkpoint(snapshot)
        self.head.checkpointed = snapshot.version
        self._drop_old_checkpoints()
        return snapshot.version

    def write_checkpoint(self, snapshot: Snapshot) -> None:
        """Write a snapshot out whole, durably; an existing checkpoint stays as it is."""
        boundary = self.log.boundary.read()
        with self.head.lock:
            history = [i for i in self.head.history if boundary < i.version <= snapshot.version]
        staged = self.device.stage(checkpoints.encode(snapshot, history, store_id=self.id))
        self.environment.reach(Failpoint.CHECKPOINT_STAGED)
        try:
            staged.link(checkpoints.checkpoint_name(snapshot.version))
        finally:
            staged.discard()
        self.environment.reach(Failpoint.CHECKPOINT_LINKED)
        self.device.sync_directory(checkpoints.FOLDER)

    def _drop_old_checkpoints(self) -> None:
        """Keep the newest ones, those that reclaim left, and some to rebuild the past from."""
        versions = checkpoints.versions(self.device)
        horizon = self.log.horizon.read()
        anchors = {v // ANCHOR_EVERY: v for v in reversed(versions) if v >= ANCHOR_EVERY}
        kept = {*anchors.values(), *self.head.snapshot.tags.values(), *versions[-CHECKPOINTS_KEPT:]}
        for version in versions:
            if version > horizon and version not in kept:
                self.device.unlink(checkpoints.checkpoint_name(version))

    @property
    def fold_due(self) -> bool:
        """True when many records lie loose."""
        return self.head.checkpointed - self.log.boundary.seen >= FOLD_AT_RECORDS

    def fold(self) -> int:
        """Fold the records that two checkpoints cover; returns the last version folded, or 0."""
        self._require_writable()
        self.snapshot()  # the history up to it is what tells which records to fold
        covered = checkpoints.versions(self.device)[-CHECKPOINTS_KEPT:]
        last = 0
        while len(covered) == CHECKPOINTS_KEPT:
            boundary = self.log.boundary.read()
            with self.head.lock:
                due = [i for i in self.head.history if boundary < i.version <= covered[0]]
            folded = self.log.fold(due)
            if not folded:
                break
            last = folded
        self.head.forget_history(self.log.boundary.seen)
        return last

    def reclaim(self, keep_us: int) -> Reclaimed:
        """Free what no version of the last ``keep_us`` microseconds, tag or reader needs."""
        self._require_writable()
        return Reclaimer(self).run(keep_us)

    def close(self) -> None:
        """Finish the commits that wait, and release files and threads. Closing twice is allowed."""
        self._committer.close()
        self.executor.shutdown(wait=True, cancel_futures=True)
        self.pages.close()
        self.pins.close()
        self.device.close()
