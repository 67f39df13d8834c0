"""A full scan: a directory tree walked and written as one transaction.

    walk ─▶ blocks ─▶ directory totals ─▶ record batches ─▶ extension totals ─▶ row groups
                            │                                     │
                            └───────────── at the end ────────────┴──▶ their tables

Nothing of it is seen before the commit: a scan that fails, is cancelled or dies leaves the catalog
as it was. Memory is bounded but for a few numbers and the path of each directory.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...extensions.catalog.columns import record_batches
from ...extensions.catalog.coordinator import root_of, walk
from ...extensions.catalog.extension_totals import ExtensionTotals
from ...extensions.catalog.names import text_of
from ...extensions.catalog.relations import Relations
from ...extensions.catalog.rescan.crew import HERE_STAT_MAX, Crew
from ...extensions.catalog.rescan.network import is_network
from ...extensions.catalog.rescan.survey import WalkNeeded
from ...extensions.catalog.rescan.tree import SumsTooLarge
from ...extensions.catalog.rollups import DirectoryTotals
from ...extensions.system.devices import device_rows
from ..result import Result
from ..statements.change import Change
from .account import (
    Cancellation,
    ScanRequest,
    ScanSummary,
    earlier_scans,
    error_batches,
    one_file_system,
    same_scope,
    scan_batch,
)
from .full_rescan import FullRescan, ReplaceNeeded
from .rescan import Rescan
from .stored import OPERATION, StoredCatalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from ...extensions.catalog.block import Block, WalkError, WalkProgress
    from ...extensions.catalog.rescan.crew import Looker
    from ...storage.transaction import Transaction
    from ..session import Session
    from .account import EarlierScan


def scan(
    session: Session,
    request: ScanRequest,
    on_progress: Callable[[WalkProgress], None] | None = None,
) -> ScanSummary:
    """Scan a directory tree into a catalog.

    Args:
        session: Whose statement it is; its interrupt ends the scan.
        request: What to scan.
        on_progress: Called at most ten times a second, in this thread.

    Raises:
        InvalidRequest: The root is no directory or cannot be read, or an option has no meaning.
        AlreadyExists: Another catalog has a relation of the same name.
        Conflict: Another scan of this catalog was faster, or its tables were changed meanwhile.
        Interrupted: The session was interrupted.
    """
    request = with_skip(session, request)

    def run(catalog: StoredCatalog, cancelled: Cancellation) -> ScanSummary:
        return _run(catalog, request, cancelled, on_progress)

    return _committed(session, request, run)


def rescan_directories(
    session: Session, request: ScanRequest, root: bytes, looker: Looker, dirty: frozenset[bytes]
) -> ScanSummary:
    """Scan again what lies in some directories of a tree that was scanned, and is watched.

    Args:
        session: Whose statement it is.
        request: What was scanned.
        root: The root's absolute path.
        looker: Looks at the tree.
        dirty: Paths of directories that may have changed; others do no harm.

    Raises:
        Conflict: Another scan of this catalog was faster.
        Interrupted: The session was interrupted.
    """

    def run(catalog: StoredCatalog, cancelled: Cancellation) -> ScanSummary:
        scans = _earlier(catalog, root) if catalog.exists else []
        if scans and same_scope(request.options, scans[-1].options):
            before = catalog.savepoint()
            try:
                return Rescan(catalog, request, root, looker, cancelled, dirty=dirty).run(scans)
            except (WalkNeeded, SumsTooLarge):
                catalog.rollback_to(before)
        return _run(catalog, request, cancelled, None)

    return _committed(session, request, run)


def _committed(
    session: Session,
    request: ScanRequest,
    run: Callable[[StoredCatalog, Cancellation], ScanSummary],
) -> ScanSummary:
    """Run a scan in the open transaction, or in one of its own."""
    started = time.perf_counter()
    relations = Relations(request.name)
    summary: ScanSummary | None = None

    def change(transaction: Transaction) -> Result:
        nonlocal summary
        cancelled = Cancellation()
        with session.guard.watch(cancelled):
            summary = run(StoredCatalog(Change(session, transaction), relations), cancelled)
        return Result(None)

    session.writing(OPERATION, change)
    assert summary is not None
    return replace(summary, seconds=time.perf_counter() - started)


def drop(session: Session, name: str) -> None:
    """Drop a catalog.

    Raises:
        UnknownName: There is no such catalog.
    """
    relations = Relations(name)

    def change(transaction: Transaction) -> Result:
        StoredCatalog(Change(session, transaction), relations).drop()
        return Result(None)

    session.writing("CATALOG DROP", change)


def _run(
    catalog: StoredCatalog,
    request: ScanRequest,
    cancelled: Cancellation,
    on_progress: Callable[[WalkProgress], None] | None,
) -> ScanSummary:
    """Scan into a transaction, in the way that finds what is to be found the soonest."""
    root, own = root_of(request.directory, request.options)
    scans = _earlier(catalog, root) if catalog.exists else []
    if not scans:
        return _Scan(catalog, request, cancelled, on_progress).run()
    before = catalog.savepoint()
    earlier = scans[-1].options
    if not request.full and same_scope(request.options, earlier):
        few = catalog.count(catalog.relations.directories) <= HERE_STAT_MAX
        here = few and not is_network(root)
        crew = Crew(root, int(own["device"]), request.options, cancelled, here)
        with closing(crew) as looker:
            try:
                rescan = Rescan(catalog, request, root, looker, cancelled, on_progress)
                return rescan.run(scans)
            except (WalkNeeded, SumsTooLarge):
                catalog.rollback_to(before)
    try:
        whole = FullRescan(catalog, request, walk, cancelled, on_progress)
        return whole.run(one_file_system=one_file_system(earlier))
    except ReplaceNeeded:
        catalog.rollback_to(before)
        return _Scan(catalog, request, cancelled, on_progress).run()


def _earlier(catalog: StoredCatalog, root: bytes) -> list[EarlierScan]:
    """Return the scans that a catalog has of this directory; of another one they are no help."""
    catalog.make()
    scans = earlier_scans(catalog.rows(catalog.relations.scans))
    return scans if scans and scans[-1].root == text_of(root) else []


class _Scan:
    """One walk into one transaction."""

    def __init__(
        self,
        catalog: StoredCatalog,
        request: ScanRequest,
        cancelled: Cancellation,
        on_progress: Callable[[WalkProgress], None] | None,
    ) -> None:
        self._catalog = catalog
        self._relations = catalog.relations
        self._request = request
        self._cancelled = cancelled
        self._on_progress = on_progress
        self._errors: list[WalkError] = []
        self._root = b""
        self._begun = datetime.now(UTC)
        self._earlier = 0

    def run(self) -> ScanSummary:
        options = self._request.options
        walked = walk(self._request.directory, options, self._report, self._cancelled)
        directories = DirectoryTotals(one_file_system=options.one_file_system)
        extensions = ExtensionTotals()
        # A generator has begun nothing yet: the processes start with the first block.
        with closing(walked):
            self._catalog.make()
            self._earlier = self._catalog.count(self._relations.entries)
            for table in self._relations.tables:
                if table != self._relations.scans:
                    self._catalog.clear(table)
            batches = record_batches(directories.watch(self._noted(walked)), directories.label)
            entries = self._catalog.fill(self._relations.entries, extensions.watch(batches))
        return self._finish(entries, directories, extensions)

    def _finish(
        self, entries: int, directories: DirectoryTotals, extensions: ExtensionTotals
    ) -> ScanSummary:
        tables = self._polled(directories.tables())
        root = next(tables)
        self._catalog.fill(self._relations.directories, _chained(root, tables))
        self._catalog.fill(self._relations.extensions, self._polled(extensions.tables(directories)))
        self._catalog.fill(self._relations.errors, error_batches(self._errors, self._begun))
        first = root.slice(0, 1).to_pylist()[0]
        summary = ScanSummary(
            self._relations.name,
            text_of(self._root),
            entries,
            first["directories"],
            first["bytes"],
            first["used"],
            len(self._errors),
            0.0,
            created=entries,
            deleted=self._earlier,
        )
        scan = scan_batch(summary, self._begun, self._request.options)
        self._catalog.fill(self._relations.scans, [scan])
        self._cancelled.check()
        return summary

    def _report(self, progress: WalkProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)

    def _noted(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Pass blocks on and keep their errors."""
        for block in blocks:
            self._root = self._root or block.path
            if block.errors:
                self._errors += block.errors
            yield block

    def _polled(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self._cancelled.check()
            yield batch


def _chained(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


def with_skip(session: Session, request: ScanRequest) -> ScanRequest:
    """Return a request that leaves the store's own directories out."""
    found = []
    for directory in store_directories(session):
        with suppress(OSError):  # a device that is away cannot be walked into
            status = os.stat(directory)
            found.append((status.st_dev, status.st_ino))
    return replace(request, options=replace(request.options, skip=frozenset(found)))


def store_directories(session: Session) -> list[str]:
    """Return the directories that the store itself lies in, absolute."""
    rows = device_rows(session.database.store.device, measure=False)
    return [os.path.realpath(str(row["directory"])) for row in rows if row["directory"]]
