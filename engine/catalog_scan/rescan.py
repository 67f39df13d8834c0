"""A rescan: what has changed since the last scan, found by directories and written as differences.

    known directories ─▶ survey ─▶ tree ─▶ rows, sums, extensions, errors ─▶ one transaction

A file that is changed in place changes nothing about its directory, and is seen only where that was
listed for another reason; `full_rescan` sees it. Memory is bounded by the directories, and by what
changed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ...extensions.catalog.names import bytes_of, text_array, text_of
from ...extensions.catalog.rescan.extension_changes import ExtensionChanges
from ...extensions.catalog.rescan.network import racy_seconds
from ...extensions.catalog.rescan.survey import Surveyor
from ...extensions.catalog.rescan.tree import numbers_of, tree_of
from .account import DIRECTORIES, WATCH, ScanSummary, scan_batch
from .difference_writer import DirectoryRows, batches_of, write_directories, write_errors
from .row_changes import RowComparison
from .stored_rows import PLACE, load_directories, load_known

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...extensions.catalog.block import WalkProgress
    from ...extensions.catalog.rescan.crew import Looker
    from ...extensions.catalog.rescan.known import Integers, Known
    from ...extensions.catalog.rescan.survey import Survey
    from ...extensions.catalog.rescan.tree import Tree
    from .account import Cancellation, EarlierScan, ScanRequest
    from .row_changes import RowChanges
    from .stored import StoredCatalog
    from .stored_rows import StoredRows

OF_A_DIRECTORY: Final = ("open", "list", "scan")
"""Operations whose errors are about a directory; those of others are about an entry of one."""


@dataclass(slots=True)
class Rescan:
    """One rescan inside a transaction.

    Attributes:
        catalog: The catalog.
        request: What is asked for.
        root: The root's absolute path.
        looker: Looks at the tree.
        cancelled: Tells whether to go on.
        on_progress: Is told how far it is.
        dirty: Directories that may have changed; None to look at all.
    """

    catalog: StoredCatalog
    request: ScanRequest
    root: bytes
    looker: Looker
    cancelled: Cancellation
    on_progress: Callable[[WalkProgress], None] | None = None
    dirty: frozenset[bytes] | None = None

    def run(self, scans: Sequence[EarlierScan]) -> ScanSummary:
        """Find the differences and write them.

        Args:
            scans: The scans that there were.

        Raises:
            WalkNeeded: Only a walk can tell what has changed.
            SumsTooLarge: The same, for sums.
            Interrupted: It was cancelled.
        """
        begun = datetime.now(UTC)
        relations = self.catalog.relations
        self.catalog.rely_on_all()
        rows = {table.name: self.catalog.rows(table) for table in relations.tables}
        entries = rows[relations.entries.name]
        errors = rows[relations.errors.name]
        one_file_system = self.request.options.one_file_system
        table, paths = load_directories(rows[relations.directories.name])
        with ThreadPoolExecutor(1, thread_name_prefix="catalog rescan") as aside:
            # The processes look while we still read what to compare with.
            looked = aside.submit(self.looker.stat, paths if self.dirty is None else [])
            known = load_known(table, paths, entries, one_file_system=one_file_system)
            stats = looked.result()
        told = errors.read(["path", "operation", "errno"])
        owners = _owners(told, known) if len(told) else np.empty(0, dtype=np.int64)
        suspect = self._suspect(known, scans, owners)
        surveyor = Surveyor(known, self.looker, suspect)
        only = self._only(known, suspect)
        survey = surveyor.run(only, stats if only is None else None)
        tree, found = self._compared(known, surveyor, survey, entries)
        self.cancelled.check()
        numbers = numbers_of(tree, known, survey)
        self._write_entries(found)
        now = DirectoryRows(
            text_array(tree.paths),
            tree.known,
            numbers,
            tree.depth,
            tree.label,
            tree.label[tree.last],
        )
        write_directories(self.catalog, known, now, rows[relations.directories.name])
        self._write_extensions(found, known, tree, numbers["entries"], rows)
        count = self._write_errors(told, owners, survey, known, begun)
        summary = self._summary(numbers, count, found.changes)
        if self.dirty is None or summary.changes:
            scan = scan_batch(summary, begun, self.request.options)
            self.catalog.fill(relations.scans, [scan])
        self.cancelled.check()
        return summary

    def _summary(
        self, numbers: dict[str, Integers], errors: int, changes: RowChanges
    ) -> ScanSummary:
        return ScanSummary(
            catalog=self.request.name,
            root=text_of(self.root),
            entries=int(numbers["entries"][0]),
            directories=int(numbers["directories"][0]),
            bytes=int(numbers["bytes"][0]),
            used=int(numbers["used"][0]),
            errors=errors,
            seconds=0.0,
            kind=DIRECTORIES if self.dirty is None else WATCH,
            created=changes.created,
            deleted=changes.deleted,
            modified=changes.modified,
            moved=changes.moved,
        )

    # What may have changed

    def _suspect(self, known: Known, scans: Sequence[EarlierScan], owners: Integers) -> Integers:
        """Tell which directories are listed though they look as they did.

        A directory whose ctime lies close to the last scan that looked at all, or behind it, may
        have changed once more without showing it; and what could not be read may be readable now.
        """
        whole = [scan.begun_ns for scan in scans if scan.kind != WATCH]
        suspect: Integers = known.identity["ctime"] >= whole[-1] - int(
            racy_seconds(self.root) * 1_000_000_000
        )
        suspect[owners[owners >= 0]] = True
        return suspect

    def _only(self, known: Known, suspect: Integers) -> Integers | None:
        """Tell which directories are looked at, where somebody knows: those are all listed."""
        if self.dirty is None:
            return None
        dirty = np.fromiter((path in self.dirty for path in known.paths), np.bool_, len(known))
        suspect[:] = dirty
        return dirty

    # Comparing

    def _compared(
        self, known: Known, surveyor: Surveyor, survey: Survey, entries: StoredRows
    ) -> tuple[Tree, _Compared]:
        """Compare rows; where that shows more to look at, look and compare again."""
        seen = np.empty(0, dtype=np.int64)
        while True:
            tree = tree_of(known, survey)
            halves = self._half_seen(known, survey, tree)
            if halves:
                surveyor.read_more(halves)
                continue
            comparison = RowComparison(known, survey, tree, entries)
            changes = comparison.run()
            # Another name of a file tells of its links too, and nothing happens to its directory.
            inodes = np.setdiff1d(changes.linked, seen)
            seen = np.union1d(seen, inodes)
            others = self._unlisted_of(inodes, known, survey, entries) if inodes.size else []
            if not others:
                return tree, _Compared(comparison, changes)
            surveyor.read_more(others)

    def _half_seen(self, known: Known, survey: Survey, tree: Tree) -> list[int]:
        """Return directories of which single entries were seen, where all are needed."""
        parent = known.parent
        holding = {int(parent[at]) for at in survey.own if at} - survey.blocks.keys()
        if not self.request.options.xattrs:
            kept = np.flatnonzero(tree.placed < 0)
            other = kept[tree.label[kept] != known.label[tree.known[kept]]]
            holding &= set(tree.known[other].tolist())
        return sorted(holding)

    def _unlisted_of(
        self, inodes: Integers, known: Known, survey: Survey, entries: StoredRows
    ) -> list[int]:
        label = np.asarray(entries.where_in("inode", inodes, ["directory"])["directory"])
        found = np.unique(np.searchsorted(known.label, label[label > 0])).tolist()
        moved = survey.moved
        return [
            at
            for at in found
            if (at in moved and moved[at].block is None)
            or (survey.kept[at] and at not in survey.blocks)
        ]

    # Writing

    def _write_entries(self, found: _Compared) -> None:
        changes = found.changes
        ids = pa.nulls(len(changes.inserted), pa.int64())
        inserted = changes.inserted.append_column("row id", ids)
        self.catalog.replace(
            self.catalog.relations.entries,
            lambda: changes.dropped,
            batches_of(pa.concat_tables([changes.updated, inserted])),
        )

    def _write_extensions(
        self,
        found: _Compared,
        known: Known,
        tree: Tree,
        entries: Integers,
        rows: dict[str, StoredRows],
    ) -> None:
        relation = self.catalog.relations.extensions
        stored = rows[relation.name].read()
        dropped, written = ExtensionChanges(known, tree, entries, stored).run(
            found.changes.gone_files, found.changes.come_files, found.comparison.files_in
        )
        places = np.asarray(stored[PLACE])[dropped]
        ids = pa.nulls(len(written), pa.int64())
        table = pa.Table.from_batches([written]).append_column("row id", ids)
        self.catalog.replace(relation, lambda: places, batches_of(table))

    def _write_errors(
        self, told: pa.Table, owners: Integers, survey: Survey, known: Known, begun: datetime
    ) -> int:
        """Write the errors that differ, and return how many there are."""
        found = [error for block in survey.blocks.values() for error in block.errors]
        for placed in survey.placed:
            found += placed.block.errors if placed.block is not None else ()
        read = np.zeros(len(known) + 1, dtype=np.bool_)
        read[:-1] = ~survey.kept
        read[list(survey.blocks)] = True
        read[-1] = True  # of a directory that is not known: it is told again, or over
        return write_errors(self.catalog, told, np.flatnonzero(read[owners]), found, begun)


@dataclass(frozen=True, slots=True)
class _Compared:
    comparison: RowComparison
    changes: RowChanges


def _owners(told: pa.Table, known: Known) -> Integers:
    """Return which known directory each error belongs to; -1 for none."""
    place = {path: at for at, path in enumerate(known.paths)}
    owners = []
    rows = zip(told["path"].to_pylist(), told["operation"].to_pylist(), strict=True)
    for text, operation in rows:
        path = bytes_of(text)
        directory = path if operation in OF_A_DIRECTORY else path.rpartition(b"/")[0] or b"/"
        owners.append(place.get(directory, -1))
    return np.array(owners, dtype=np.int64)
