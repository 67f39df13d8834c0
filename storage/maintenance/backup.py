"""Back up a live store: a second store of the same identity, brought up to a version.

Copied are the pages that kept versions refer to, the log and a checkpoint. Order makes an
interrupted backup harmless: pages are copied, synced and verified first; then the records are
published one after another, so that the copy is at every moment a store at some version; then a
checkpoint; and ``store.json`` last of all, so that half of a first backup is no store.

Segments only grow, and only the part of each is copied that the destination lacks. What an
interrupted run left behind is verified before anything is appended to it.
"""

from __future__ import annotations

import time
from array import array
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...errors import Corrupt, Denied, Error, NotAStore, SnapshotGone
from ..content.content_pages import content_pages, pages_of_state
from ..devices.device import Device
from ..effects import (
    Append,
    AttachKeyRuns,
    CloneTable,
    Delete,
    RestoreTable,
    Rewrite,
    TableDefinition,
)
from ..log import boundary as marks
from ..log import bundle as bundles
from ..log import checkpoint as checkpoints
from ..log.commit_log import CommitLog, record_name
from ..page import HEADER_BYTES, PageRef, segment_name, verify
from .finding import Finding, no_progress
from .replay import STORE_FILE, Replay, read_store_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from ..content.content_pages import Places
    from ..devices.device import AppendFile
    from ..effects import DeleteVector, RowGroup
    from ..keys.key_run import KeyRun
    from ..page_store import PageStore
    from ..snapshot import Snapshot, TableState
    from ..store import Store
    from .finding import Progress
    from .replay import Step

_COPY_BYTES = 8 << 20
_FIELDS = 4  # offset, length, checksum, version


class BackupDevice(Device, Protocol):
    """A device whose files can be appended to again."""

    def extend(self, name: str) -> AppendFile:
        """Open a file for appending; nobody else may be appending to it."""
        ...


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup did.

    Attributes:
        version: The version that the destination is at.
        bytes_copied: Bytes written to it.
        seconds: How long it took.
    """

    version: int
    bytes_copied: int
    seconds: float


def backup(store: Store, destination: BackupDevice, progress: Progress = no_progress) -> Backup:
    """Bring a copy of a store up to the store's newest version.

    Args:
        store: The store, which may be in use.
        destination: An empty device, or the copy that an earlier backup made.
        progress: Told what is being copied, the bytes done and the bytes in all.

    Raises:
        NotAStore: The destination is another store.
        Denied: The destination was written to by others, or is newer than the store.
        Corrupt: The store is damaged. The destination stays at the version it was at.
    """
    while True:
        with suppress(SnapshotGone), store.pin(store.log.horizon.read()):
            return _Backup(store, destination, progress, store.snapshot().version).run()


@dataclass(slots=True)
class _Pages:
    """Pages of the segments that are to be copied.

    Kept as flat numbers: a store of a terabyte has millions of pages.
    """

    pages: PageStore
    segments: dict[int, array[int]] = field(default_factory=lambda: defaultdict(_numbers))
    _seen: set[str] = field(default_factory=set)
    _contents_seen: set[str] = field(default_factory=set)
    _runs_seen: set[PageRef] = field(default_factory=set)

    def state(self, state: TableState, version: int) -> None:
        """Note the pages of a table."""
        self.groups(state.row_groups, version)
        # Read before any of it is copied: a pack that no row names any more need not be there.
        for group, places in pages_of_state(self.pages, state):
            self._content(group, places, version)
        for vectors in state.deletes.values():
            self.vectors(vectors, version)
        self.key_runs(state.key_runs, version)

    def groups(self, groups: Iterable[RowGroup], version: int) -> None:
        """Note the pages of row groups."""
        for group in groups:
            if group.id not in self._seen:
                self._seen.add(group.id)
                for chunk in group.chunks.values():
                    self._add(chunk.page, version)

    def content(self, table: str, groups: Iterable[RowGroup], version: int) -> None:
        """Note the pages that rows of row groups name."""
        for group, places in content_pages(self.pages, table, groups):
            self._content(group, places, version)

    def _content(self, group: RowGroup, places: Places, version: int) -> None:
        if group.id in self._contents_seen:
            return
        self._contents_seen.add(group.id)
        for _, segment, *numbers in places.tolist():
            self.segments[segment].extend((*numbers, version))

    def vectors(self, vectors: Iterable[DeleteVector], version: int) -> None:
        """Note the pages of delete vectors."""
        for vector in vectors:
            if vector.page is not None:
                self._add(vector.page, version)

    def key_runs(self, runs: Iterable[KeyRun], version: int) -> None:
        """Note the pages of key runs."""
        for run in runs:
            if run.page is not None and run.page not in self._runs_seen:
                self._runs_seen.add(run.page)
                self._add(run.page, version)

    def _add(self, page: PageRef, version: int) -> None:
        numbers = (page.offset, page.length, page.checksum, version)
        self.segments[page.segment].extend(numbers)

    def of(self, segment: int) -> npt.NDArray[np.uint64]:
        """Pages of a segment in order: offset, length, checksum, version; shape (n, 4)."""
        rows = np.frombuffer(self.segments[segment], dtype=np.uint64).reshape(-1, _FIELDS)
        return rows[np.argsort(rows[:, 0], kind="stable")]


def _numbers() -> array[int]:
    return array("Q")


@dataclass(slots=True)
class _Backup:
    """One run."""

    store: Store
    destination: BackupDevice
    progress: Progress
    version: int
    copied: int = 0
    _done: int = 0
    _total: int = 0

    def run(self) -> Backup:
        started = time.monotonic()
        held = self._held_version()
        pages, files, kept = self._needed(held)
        self._total = sum(_end(pages.of(segment)) for segment in pages.segments)
        for segment in pages.segments:
            self._segment(segment, pages.of(segment), held)
        self.destination.sync_directory("segments")
        self._log(held, files, kept)
        self._identity()
        return Backup(self.version, self.copied, time.monotonic() - started)

    def _held_version(self) -> int:
        """The version that the destination is at; 0 when it is none of ours to rely on yet."""
        device = self.destination
        try:
            if read_store_id(device) != self.store.id:
                raise NotAStore(
                    "the destination is another store", hint="name an empty or a new directory"
                )
        except FileNotFoundError:
            self._require_own_log()
            return 0
        except Corrupt as error:
            raise NotAStore(f"the destination is damaged: {error.message}") from error
        log = CommitLog(device, self.store.id, self.store.environment)
        held = max([log.boundary.read(), *_loose(device)])
        if held > self.version:
            raise Denied(
                f"the destination is at version {held}, the store at {self.version}",
                hint="it was written to, or is a backup of a later state: name another directory",
            )
        self._require_same_record(log, held)
        return held

    def _require_own_log(self) -> None:
        """What an interrupted first backup left must be of this store."""
        log = CommitLog(self.destination, self.store.id, self.store.environment)
        for version in _loose(self.destination)[-1:]:
            self._require_same_record(log, version)

    def _require_same_record(self, log: CommitLog, version: int) -> None:
        if not version:
            return
        try:
            theirs = log.read(version)
            mine = self.store.log.read(version)
        except Error:
            return  # folded away and reclaimed on one side: the chain is checked when it is opened
        if theirs is not None and theirs != mine:
            raise Denied(
                f"the destination has another version {version} than the store",
                hint="it was written to by itself: name another directory",
            )

    def _needed(self, held: int) -> tuple[_Pages, list[str], Snapshot]:
        """Pages and checkpoints that the versions to copy need, and the newest snapshot.

        Raises:
            Corrupt: A record of the store is damaged.
        """
        replay = Replay(self.store.device, self.store.id)
        replay.look()
        replay.newest = self.version
        replay.good = self._readable_checkpoints(replay)
        pages, last = _Pages(self.store.pages), None
        for step in replay.steps():
            if isinstance(step, Finding):
                raise Corrupt(
                    f"the store is damaged: {step.what}", file=step.file,
                    hint="say pagelake check, and --repair",
                )  # fmt: skip
            self._note(pages, step)
            last = step.after
            if last.version >= self.version:
                break
        assert last is not None, "a store has at least its version 0"
        tagged = {v for v in last.tags.values() if v < replay.horizon}
        for version in tagged:
            for state in replay.checkpoint(version)[0].tables.values():
                pages.state(state, version)
        files = [v for v in replay.good if v <= self.version]
        return pages, [checkpoints.checkpoint_name(v) for v in files], last

    def _readable_checkpoints(self, replay: Replay) -> list[int]:
        good = []
        for version in checkpoints.versions(self.store.device):
            with suppress(Error, OSError):
                replay.checkpoint(version)
                good.append(version)
        return good

    @staticmethod
    def _note(pages: _Pages, step: Step) -> None:
        version = step.after.version
        if step.record is None:
            for state in step.after.tables.values():
                pages.state(state, version)
            return
        for effect in (e for t in step.record.transactions for e in t.effects):
            match effect:
                case Append(table, groups) | Rewrite(table, _, groups):
                    pages.groups(groups, version)
                    pages.content(table, groups, version)
                case Delete(_, vectors):
                    pages.vectors(vectors.values(), version)
                case AttachKeyRuns(_, runs):
                    pages.key_runs(runs, version)
                case CloneTable(TableDefinition(table)) | RestoreTable(table):
                    begun = step.after.tables.get(table)
                    if begun is not None:
                        pages.state(begun, version)

    # Segments

    def _segment(self, segment: int, pages: npt.NDArray[np.uint64], held: int) -> None:
        """Copy what the destination lacks of a segment, and verify it."""
        name, end = segment_name(segment), _end(pages)
        # Those of versions that the destination is at were verified before it got there.
        fresh = pages[pages[:, 3] > held]
        try:
            if self.destination.size(name) < end:
                self._copy(name, self.destination.extend(name), end)
        except FileNotFoundError:
            self._copy(name, self.destination.create(name), end)
        if not self._intact(segment, fresh):
            self._require_intact(self.store.device, segment, pages)
            # An interrupted run left bytes that never reached the disk. Nothing that the
            # destination is at refers to them.
            self.destination.unlink(name)
            self._copy(name, self.destination.create(name), end)
            self._require_intact(self.destination, segment, pages)
        self._done += end

    def _copy(self, name: str, file: AppendFile, end: int) -> None:
        try:
            while file.size < end:
                length = min(_COPY_BYTES, end - file.size)
                try:
                    part = self.store.device.map(name, file.size, length)
                except (FileNotFoundError, EOFError) as error:
                    raise Corrupt(f"{name} is missing or cut short", file=name) from error
                file.append(part)
                self.copied += length
                self.progress("segments", self._done + file.size, self._total)
            file.sync()
        finally:
            file.close()

    def _intact(self, segment: int, pages: npt.NDArray[np.uint64]) -> bool:
        try:
            self._require_intact(self.destination, segment, pages)
        except Corrupt:
            return False
        return True

    def _require_intact(self, device: Device, segment: int, pages: npt.NDArray[np.uint64]) -> None:
        """Verify pages of a segment.

        Raises:
            Corrupt: One of them is not what was written.
        """
        name = segment_name(segment)
        for offset, length, checksum, _ in pages.tolist():
            ref = PageRef(segment, offset, length, checksum)
            try:
                page = device.map(name, offset, HEADER_BYTES + length)
            except (FileNotFoundError, EOFError) as error:
                raise Corrupt(f"{name} is missing or cut short", file=name) from error
            verify(page, ref, self.store.id)

    # Log

    def _log(self, held: int, files: list[str], newest: Snapshot) -> None:
        """Publish bundles, then the loose records in order, then what speaks of them."""
        source, destination = self.store.log, self.destination
        horizon, boundary = source.horizon.read(), source.boundary.read()
        for _, last, name in source.bundles.ranges():
            if last <= self.version:
                self._copy_whole(name)
        destination.sync_directory(bundles.FOLDER)
        for version in range(max(held, horizon) + 1, self.version + 1):
            content = source.read(version)
            assert content is not None, "a version that is pinned has its record"
            if version > boundary:
                self._publish(record_name(version), content)
        destination.sync_directory("log")
        # Only what was copied may be promised: the source may have moved on meanwhile.
        folded = [last for _, last, _ in bundles.Bundles(destination, self.store.id).ranges()]
        marks.RisingMark(destination, marks.BOUNDARY).raise_to(
            min(boundary, max([horizon, *folded]))
        )
        marks.RisingMark(destination, marks.HORIZON).raise_to(horizon)
        for name in files:
            self._copy_whole(name)
        if newest.version and not destination.exists(checkpoints.checkpoint_name(newest.version)):
            history = [i for i in self.store.history() if boundary < i.version <= newest.version]
            content = checkpoints.encode(newest, history, store_id=self.store.id)
            self._publish(checkpoints.checkpoint_name(newest.version), content)
        destination.sync_directory(checkpoints.FOLDER)
        for version in checkpoints.versions(destination):
            name = checkpoints.checkpoint_name(version)
            if name not in files and version < newest.version:
                destination.unlink(name)

    def _copy_whole(self, name: str) -> None:
        if not self.destination.exists(name):
            # Dropped meanwhile: then another file holds the same.
            with suppress(FileNotFoundError):
                self._publish(name, self.store.device.read(name))

    def _publish(self, name: str, content: bytes) -> None:
        staged = self.destination.stage(content)
        try:
            if staged.link(name):
                self.copied += len(content)
            elif self.destination.read(name) != content:
                raise Denied(
                    f"the destination has another {name} than the store",
                    hint="it was written to by itself: name another directory",
                )
        finally:
            staged.discard()

    def _identity(self) -> None:
        if not self.destination.exists(STORE_FILE):
            self.destination.sync_directory("")
            self._publish(STORE_FILE, self.store.device.read(STORE_FILE))
        self.destination.sync_directory("")


def _loose(device: Device) -> list[int]:
    return sorted(int(name) for name in device.list("log") if name.isdigit())


def _end(pages: npt.NDArray[np.uint64]) -> int:
    """Where the last page of a segment ends, padding included."""
    last = pages[-1].tolist()
    ref = PageRef(0, last[0], last[1], last[2])
    return int(ref.offset + ref.stored_bytes)
