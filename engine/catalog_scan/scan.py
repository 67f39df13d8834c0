"""A full scan: a directory tree walked and written as one transaction.

    walk ─▶ blocks ─▶ directory totals ─▶ record batches ─▶ extension totals ─▶ row groups
                            │                                     │
                            └───────────── at the end ────────────┴──▶ their tables

Nothing of it is seen before the commit: a scan that fails, is cancelled or dies leaves the catalog
as it was. Memory is bounded but for a few numbers and the path of each directory.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...errors import Interrupted
from ...extensions.catalog.block import WalkOptions, WalkProgress
from ...extensions.catalog.columns import record_batches
from ...extensions.catalog.coordinator import walk
from ...extensions.catalog.extension_totals import ExtensionTotals
from ...extensions.catalog.names import text_array, text_of
from ...extensions.catalog.relations import Relations
from ...extensions.catalog.rollups import DirectoryTotals
from ...extensions.system.devices import device_rows
from ..result import Result
from ..statements.change import Change
from .stored import OPERATION, StoredCatalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ...extensions.catalog.block import Block, WalkError
    from ...storage.transaction import Transaction
    from ..session import Session

REPORT_SECONDS: Final = 0.1
ERROR_BATCH: Final = 10_000


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What is to be scanned, into which catalog.

    Attributes:
        directory: The root, as bytes; made absolute.
        name: The catalog's name.
        options: How to walk.
    """

    directory: bytes
    name: str
    options: WalkOptions


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a scan found.

    Attributes:
        catalog: The catalog's name.
        root: The directory, absolute.
        entries: Entries, the root among them.
        directories: Directories, the root among them.
        bytes: The sum of the entries' sizes.
        used: What they take on their devices.
        errors: Places that could not be read.
        seconds: How long it took, commit included.
    """

    catalog: str
    root: str
    entries: int
    directories: int
    bytes: int
    used: int
    errors: int
    seconds: float


class Cancellation:
    """Something that a session's interrupt, or its time-out, can stop."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def interrupt(self) -> None:
        """Ask the scan to end."""
        self._asked.set()

    def __call__(self) -> bool:
        """Whether somebody asked for the end."""
        return self._asked.is_set()

    def check(self) -> None:
        """Raise Interrupted where somebody asked for the end."""
        if self():
            raise Interrupted("the scan was cancelled", hint="the catalog is as it was before")


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
    started = time.perf_counter()
    relations = Relations(request.name)
    skip = frozenset(_own_directories(session))
    request = replace(request, options=replace(request.options, skip=skip))
    summary: ScanSummary | None = None

    def change(transaction: Transaction) -> Result:
        nonlocal summary
        cancelled = Cancellation()
        with session.guard.watch(cancelled):
            catalog = StoredCatalog(Change(session, transaction), relations)
            summary = _Scan(catalog, request, cancelled, on_progress).run()
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
        self._progress = WalkProgress()

    def run(self) -> ScanSummary:
        options = self._request.options
        walked = walk(self._request.directory, options, self._report, self._cancelled)
        directories = DirectoryTotals(one_file_system=options.one_file_system)
        extensions = ExtensionTotals()
        # A generator has begun nothing yet: the processes start with the first block.
        with closing(walked):
            self._catalog.make()
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
        self._catalog.fill(self._relations.errors, self._error_batches())
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
        )
        self._catalog.fill(self._relations.scans, [self._scan_batch(summary)])
        self._cancelled.check()
        return summary

    def _report(self, progress: WalkProgress) -> None:
        self._progress = progress
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

    def _error_batches(self) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self._errors), ERROR_BATCH):
            part = self._errors[start : start + ERROR_BATCH]
            times = [self._begun] * len(part)
            yield pa.record_batch(
                {
                    "path": text_array([error.path for error in part]),
                    "operation": pa.array([error.operation for error in part], pa.string()),
                    "errno": pa.array([error.errno for error in part], pa.int32()),
                    "error": pa.array([os.strerror(error.errno) for error in part], pa.string()),
                    "scan_time": pa.array(times, pa.timestamp("us", "UTC")),
                }
            )

    def _scan_batch(self, summary: ScanSummary) -> pa.RecordBatch:
        times = [self._begun], [datetime.now(UTC)]
        begun, ended = (pa.array(value, pa.timestamp("us", "UTC")) for value in times)
        numbers = ("entries", "directories", "bytes", "errors")
        return pa.record_batch(
            {
                "begun": begun,
                "ended": ended,
                "root": pa.array([summary.root], pa.string()),
                **{name: pa.array([getattr(summary, name)], pa.int64()) for name in numbers},
                "host": pa.array([platform.node()], pa.string()),
                "options": pa.array([_options_text(self._request.options)], pa.string()),
            }
        )


def _chained(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


def _options_text(options: WalkOptions) -> str:
    """Return the options in JSON, as the scans' table has them."""
    return json.dumps(
        {
            "one_file_system": options.one_file_system,
            "exclude": list(options.exclude),
            "processes": options.processes,
            "xattrs": options.xattrs,
        },
        ensure_ascii=False,
    )


def _own_directories(session: Session) -> Iterator[tuple[int, int]]:
    """Device and inode of the directories that the store itself lies in."""
    for row in device_rows(session.database.store.device, measure=False):
        directory = row["directory"]
        try:
            found = os.stat(str(directory)) if directory else None
        except OSError:
            continue  # a device that is away cannot be walked into
        if found is not None:
            yield found.st_dev, found.st_ino
