"""What a scan is asked for, and what it leaves about itself: its summary, its row, its errors."""

from __future__ import annotations

import json
import os
import platform
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...errors import Interrupted
from ...extensions.catalog.names import text_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...extensions.catalog.block import WalkError, WalkOptions
    from .stored_rows import StoredRows

ERROR_BATCH: Final = 10_000

FULL: Final = "full"
DIRECTORIES: Final = "directories"
WATCH: Final = "watch"


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What is to be scanned, into which catalog.

    Attributes:
        directory: The root, as bytes; made absolute.
        name: The catalog's name.
        options: How to walk.
        full: Look at everything, where the catalog is there already.
    """

    directory: bytes
    name: str
    options: WalkOptions
    full: bool = False


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
        kind: How much was looked at: `FULL`, `DIRECTORIES` or `WATCH`.
        created: Entries that are new; all in a first scan.
        deleted: Entries that are gone.
        modified: Entries that look otherwise, in the same place.
        moved: Entries that are elsewhere.
    """

    catalog: str
    root: str
    entries: int
    directories: int
    bytes: int
    used: int
    errors: int
    seconds: float
    kind: str = FULL
    created: int = 0
    deleted: int = 0
    modified: int = 0
    moved: int = 0

    @property
    def changes(self) -> int:
        """How many entries differ from the scan before."""
        return self.created + self.deleted + self.modified + self.moved


@dataclass(frozen=True, slots=True)
class EarlierScan:
    """A row of the scans' table.

    Attributes:
        begun_ns: When it began, in nanoseconds since 1970.
        root: Its root.
        options: Its options in JSON.
        kind: How much it looked at.
        errors: How many places it could not read.
    """

    begun_ns: int
    root: str
    options: str
    kind: str
    errors: int


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


def error_batches(errors: Sequence[WalkError], time: datetime) -> Iterator[pa.RecordBatch]:
    """Return rows of the errors' table."""
    for start in range(0, len(errors), ERROR_BATCH):
        part = errors[start : start + ERROR_BATCH]
        yield pa.record_batch(
            {
                "path": text_array([error.path for error in part]),
                "operation": pa.array([error.operation for error in part], pa.string()),
                "errno": pa.array([error.errno for error in part], pa.int32()),
                "error": pa.array([os.strerror(error.errno) for error in part], pa.string()),
                "scan_time": pa.array([time] * len(part), pa.timestamp("us", "UTC")),
            }
        )


def scan_batch(summary: ScanSummary, begun: datetime, options: WalkOptions) -> pa.RecordBatch:
    """Return the row of the scans' table."""
    times = {"begun": begun, "ended": datetime.now(UTC)}
    numbers = ("entries", "directories", "bytes", "errors")
    changes = ("created", "deleted", "modified", "moved")

    def column(name: str) -> pa.Array:
        return pa.array([getattr(summary, name)], pa.int64())

    return pa.record_batch(
        {
            **{name: pa.array([t], pa.timestamp("us", "UTC")) for name, t in times.items()},
            "root": pa.array([summary.root], pa.string()),
            **{name: column(name) for name in numbers},
            "host": pa.array([platform.node()], pa.string()),
            "options": pa.array([options_text(options)], pa.string()),
            "kind": pa.array([summary.kind], pa.string()),
            **{name: column(name) for name in changes},
        }
    )


def options_text(options: WalkOptions) -> str:
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


def same_scope(options: WalkOptions, text: str) -> bool:
    """Tell whether options let a scan see what others, in JSON, did."""
    earlier, now = json.loads(text), json.loads(options_text(options))
    return all(earlier.get(name) == now[name] for name in now if name != "processes")


def one_file_system(text: str) -> bool:
    """Tell from options in JSON whether a scan entered no other file system."""
    return json.loads(text)["one_file_system"] is True


def earlier_scans(rows: StoredRows) -> list[EarlierScan]:
    """Return what is known of the scans of a catalog, the newest last."""
    found = rows.read(["begun", "root", "options", "kind", "errors"])
    begun = found["begun"].cast(pa.int64()).to_pylist()
    columns = (found[name].to_pylist() for name in ("root", "options", "kind", "errors"))
    scans = [EarlierScan(time * 1000, *rest) for time, *rest in zip(begun, *columns, strict=True)]
    return sorted(scans, key=lambda scan: scan.begun_ns)
