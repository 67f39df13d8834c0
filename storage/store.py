"""A store: log, pages and snapshots of one device.

Commit protocol, on any number of processes without talking to each other: pages appended and
synced → record staged without a name and synced → linked to ``log/<version>``, which fails
when the name exists and is the commit point → ``log/`` synced → acknowledged. Losing a race
retries the link with the next name; the record's bytes stay as they are.

Commits of one process are made by one thread, which takes along everybody who waits (group
commit), each with an outcome of its own.

What lies in a store: docs/format/store.md.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from typing import TYPE_CHECKING

from ..errors import (
    Closed,
    Conflict,
    Corrupt,
    Denied,
    Error,
    FormatTooNew,
    NotAStore,
    OutcomeUnknown,
    Unavailable,
)
from .conflict import Footprint, check
from .environment import Environment
from .log import checkpoint as checkpoints
from .log.record import CommittedTransaction, Record, decode, encode, record_hash
from .page_store import PageStore
from .snapshot import CommitInfo, Snapshot, commit_info
from .transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .devices.device import Device

STORE_FORMAT = 1
GROUP_COMMIT_MAX = 256
"""Transactions that share one record at most: bounds the latency of the first of them."""
GATHER_S = 0.0003
"""How long a commit waits for further callers when the last one had several."""
CHECKPOINT_EVERY_RECORDS = 256
"""Records after which a checkpoint is due: opening then replays some milliseconds of log."""
CHECKPOINTS_KEPT = 2
"""One to use and one to fall back on."""
_STORE_FILE = "store.json"
_STORE_ID_BYTES = 16


def record_name(version: int) -> str:
    """Name of a version's commit record."""
    return f"log/{version:020d}"


@dataclass(slots=True)
class _Request:
    """A transaction that waits for its commit."""

    transaction: Transaction
    footprint: Footprint
    done: threading.Event = field(default_factory=threading.Event)
    taken: bool = False
    version: int = 0
    error: BaseException | None = None


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
        self.damage: Corrupt | None = None
        self.id = self._identify()
        self.pages = PageStore(device, self.id, self.environment)
        self.executor = ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="pagelake-codec")
        self._log_lock = threading.RLock()
        self._queue = threading.Condition()
        self._waiting: list[_Request] = []
        self._committer: threading.Thread | None = None
        self._closing = False
        self._poisoned = False
        self._snapshot = Snapshot()
        # What is answered from: the snapshot once the log is known to be synced up to it.
        self._visible = self._snapshot
        self._history: list[CommitInfo] = []
        self._hashes: dict[int, bytes] = {0: self._snapshot.record_hash}
        self._footprints: dict[int, tuple[Footprint, str]] = {}
        self._checkpointed = 0
        self._load_checkpoint()
        self.refresh()

    # Opening

    def _identify(self) -> bytes:
        try:
            description = json.loads(self.device.read(_STORE_FILE))
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
        description = {
            "format": STORE_FORMAT,
            "store_id": self.environment.random_bytes(_STORE_ID_BYTES).hex(),
            "created_us": self.environment.now_us(),
        }
        staged = self.device.stage(json.dumps(description).encode())
        try:
            staged.link(_STORE_FILE)
        finally:
            staged.discard()
        self.device.sync_directory("")
        # Another process may have been first: what was linked decides.
        return self._identify()

    def _load_checkpoint(self) -> None:
        """Start from the newest checkpoint that can be read."""
        names = [name for name in self.device.list(checkpoints.FOLDER) if name.isdigit()]
        for name in reversed(names):
            path = f"{checkpoints.FOLDER}/{name}"
            try:
                content = self.device.read(path)
                snapshot, history = checkpoints.decode(content, store_id=self.id, name=path)
            except (Corrupt, FileNotFoundError) as error:
                if isinstance(error, Corrupt):
                    self.damage = error
                continue
            self._snapshot, self._history = snapshot, history
            self._visible = snapshot
            self._hashes = {snapshot.version: snapshot.record_hash}
            self._checkpointed = snapshot.version
            return

    # Reading

    def snapshot(self) -> Snapshot:
        """The newest committed snapshot, of whichever process."""
        snapshot = self._visible
        if snapshot is not self._snapshot or self.device.exists(record_name(snapshot.version + 1)):
            self.refresh()
        return self._visible

    @property
    def known_version(self) -> int:
        """The newest version that this process has seen, without looking for newer ones."""
        return self._visible.version

    def history(self) -> Sequence[CommitInfo]:
        """What is known of each version, oldest first."""
        return self._history

    def refresh(self) -> None:
        """Apply every record that others have committed."""
        with self._log_lock:
            seen = self._snapshot.version
            if self.damage is not None and self.damage.file == record_name(seen + 1):
                return
            while True:
                name = record_name(self._snapshot.version + 1)
                try:
                    content = self.device.read(name)
                except FileNotFoundError:
                    break
                except OSError as error:
                    raise Unavailable(f"{name} cannot be read: {error.strerror}") from error
                try:
                    record = decode(content, store_id=self.id, name=name)
                    self._verify_chain(record, name)
                    self._advance(record.transactions, record.hash, record.time_us, len(content))
                except Corrupt as error:
                    if error.file is None:
                        error.file, error.offset = name, 0
                    if not self.read_only:
                        error.hint = (
                            f"open the store with read_only=True to read it as of version "
                            f"{self._snapshot.version}, or restore {name} from a backup"
                        )
                        raise
                    self.damage = error
                    break
            if self._visible is not self._snapshot:
                # Their writer may have died between link and sync. What is answered from here
                # on must not be lost again.
                if not self.read_only:
                    self.device.sync_directory("log")
                self._visible = self._snapshot

    def _verify_chain(self, record: Record, name: str) -> None:
        known = self._hashes.get(record.base_version)
        ahead = record.base_version > self._snapshot.version
        if ahead or (known is not None and known != record.base_hash):
            raise Corrupt(
                f"{name} is damaged: it does not continue the log before it", file=name, offset=0
            )

    def _advance(
        self,
        transactions: tuple[CommittedTransaction, ...],
        digest: bytes,
        time_us: int,
        record_bytes: int,
    ) -> None:
        version = self._snapshot.version + 1
        snapshot = self._snapshot.advance(
            transactions, version=version, record_hash=digest, time_us=time_us
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
        self._snapshot = snapshot

    # Writing

    def begin(self) -> Transaction:
        """Start a transaction on the newest snapshot."""
        return Transaction(self, self.snapshot(), self.environment.random_bytes(16).hex())

    def commit(self, transaction: Transaction) -> int:
        """Commit a transaction whose pages are synced; returns its version.

        Raises:
            Conflict: A concurrent transaction does not commute with it.
            OutcomeUnknown: The commit may or may not have happened.
            StorageFull: No room for the record; nothing happened.
            Denied: The store was opened read-only.
        """
        if self.read_only:
            raise Denied("the store was opened read-only")
        request = _Request(transaction, Footprint.of(transaction.effects))
        try:
            with self._queue:
                if self._closing:
                    raise Closed("the store is closed")
                if self._committer is None:
                    committer = threading.Thread(
                        target=self._commit_waiting, name="pagelake-commit", daemon=True
                    )
                    committer.start()
                    self._committer = committer
                self._waiting.append(request)
                self._queue.notify()
            request.done.wait()
        except BaseException:
            # An interrupt must not leave the caller in doubt: what has not begun is withdrawn, a
            # commit under way is awaited.
            with self._queue:
                self._waiting = [r for r in self._waiting if r is not request]
                under_way = request.taken
            if under_way:
                request.done.wait()
            raise
        if request.error is not None:
            raise request.error
        return request.version

    def _commit_waiting(self) -> None:
        """Commit whoever waits, together; runs in a thread of its own until the store closes.

        Signals are delivered to the main thread only, so nothing interrupts a commit half-way.
        """
        crowd = 0
        while True:
            with self._queue:
                while not self._waiting and not self._closing:
                    self._queue.wait()
            if crowd > 1:
                # Several callers are at it: those who were just answered will be back in a moment,
                # and one sync for all of them is worth more than an early one for a few.
                time.sleep(GATHER_S)
            with self._queue:
                batch = self._waiting[:GROUP_COMMIT_MAX]
                del self._waiting[:GROUP_COMMIT_MAX]
                for request in batch:
                    request.taken = True
            if not batch:
                return
            try:
                with self._log_lock:
                    self._commit_batch(batch)
            except BaseException as error:  # noqa: BLE001 - handed to everybody who waits for it
                for request in batch:
                    if not request.version and request.error is None:
                        request.error = error
            crowd = len(batch)
            for request in batch:
                request.done.set()

    def _commit_batch(self, batch: list[_Request]) -> None:
        if self._poisoned:
            raise OutcomeUnknown("an earlier commit's outcome is unknown", hint="reconnect first")
        self.refresh()
        pending = self._survivors(batch, since=None, among_themselves=True)
        while pending:
            pending = self._publish(pending)

    def _survivors(
        self, requests: list[_Request], *, since: int | None, among_themselves: bool = False
    ) -> list[_Request]:
        """Requests that commute with all that was committed after their snapshot."""
        survivors: list[_Request] = []
        for request in requests:
            blind = request.footprint.blind
            try:
                base = request.transaction.base.version if since is None else since
                for version in range(base + 1, self._snapshot.version + 1):
                    if version not in self._footprints:
                        raise Conflict(
                            f"the transaction began {self._snapshot.version - base} versions ago",
                            hint="run the transaction again",
                        )
                    theirs, described = self._footprints[version]
                    if not (blind and theirs.blind):
                        check(request.footprint, theirs, self.pages, described)
                # A record that cannot be applied would make the log unreadable for everybody.
                self._snapshot.require_fit(request.transaction.effects)
                if among_themselves:
                    for other in survivors:
                        if blind and other.footprint.blind:
                            continue
                        described = "a transaction that commits at the same moment"
                        check(request.footprint, other.footprint, self.pages, described)
                survivors.append(request)
            except Conflict as conflict:
                request.error = conflict
        return survivors

    def _publish(self, pending: list[_Request]) -> list[_Request]:
        """Link one record for all; returns who must try again because others dropped out."""
        transactions = tuple(request.transaction.committed() for request in pending)
        base = self._snapshot
        time_us = max(base.time_us + 1, self.environment.now_us())
        content = encode(
            transactions,
            store_id=self.id,
            base_version=base.version,
            base_hash=base.record_hash,
            time_us=time_us,
        )
        staged = self.device.stage(content)
        try:
            while not staged.link(record_name(self._snapshot.version + 1)):
                lost_to = self._snapshot.version
                self.refresh()
                survivors = self._survivors(pending, since=lost_to)
                if len(survivors) < len(pending):
                    return survivors
        finally:
            staged.discard()
        try:
            self.device.sync_directory("log")
        except (Error, OSError) as error:
            self._poisoned = True
            raise OutcomeUnknown(
                "the commit was published, but syncing the log failed",
                hint="reconnect: a fresh read of the store decides",
            ) from error
        self._advance(transactions, record_hash(content), time_us, len(content))
        self._visible = self._snapshot
        for request in pending:
            request.version = self._snapshot.version
        return []

    # Checkpoints

    @property
    def checkpoint_due(self) -> bool:
        """True when enough was committed since the last checkpoint to be worth one."""
        tail = self._snapshot.version - self._checkpointed
        # In proportion to what a checkpoint costs, so that a store of many small commits does
        # not spend its time writing checkpoints.
        groups = sum(len(state.row_groups) for state in self._snapshot.tables.values())
        return tail >= max(CHECKPOINT_EVERY_RECORDS, groups // 4)

    def checkpoint(self) -> int:
        """Write the newest snapshot out whole; returns its version.

        Raises:
            Denied: The store was opened read-only.
            StorageFull: No room for it; the older ones are kept.
        """
        if self.read_only:
            raise Denied("the store was opened read-only")
        snapshot = self.snapshot()
        with self._log_lock:
            history = list(self._history)
        history = [info for info in history if info.version <= snapshot.version]
        content = checkpoints.encode(snapshot, history, store_id=self.id)
        staged = self.device.stage(content)
        try:
            staged.link(checkpoints.checkpoint_name(snapshot.version))
        finally:
            staged.discard()
        self.device.sync_directory(checkpoints.FOLDER)
        self._checkpointed = snapshot.version
        self._drop_old_checkpoints(self.device.list(checkpoints.FOLDER))
        return snapshot.version

    def _drop_old_checkpoints(self, names: Iterable[str]) -> None:
        numbered = sorted(name for name in names if name.isdigit())
        for name in numbered[:-CHECKPOINTS_KEPT]:
            self.device.unlink(f"{checkpoints.FOLDER}/{name}")

    def close(self) -> None:
        """Finish the commits that wait, and release files and threads. Closing twice is allowed."""
        with self._queue:
            self._closing = True
            self._queue.notify_all()
        if self._committer is not None:
            self._committer.join()
        self.executor.shutdown(wait=True, cancel_futures=True)
        self.pages.close()
        self.device.close()


FOOTPRINTS_KEPT = 4096
"""Versions whose footprints are kept to check transactions against."""
