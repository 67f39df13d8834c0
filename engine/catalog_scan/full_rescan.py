"""A full rescan: the tree walked whole, compared with the last scan, and written as differences.

    walk ─▶ blocks ─▶ chunks of rows ─┬─▶ changed in place: written at once
                                      ├─▶ not where it was ─┐
    rows of the last scan ────────────┴─▶ not there before ─┴─▶ paired by identity at the end

Memory is bounded but for a few numbers a directory, and for what is gone, new or elsewhere. Where
that is very much, the rows are replaced instead (`ReplaceNeeded`), as where the labels of
directories have no room left.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import Unavailable
from ...extensions.catalog.columns import STORED, record_batches
from ...extensions.catalog.extension_totals import CODE_BITS, ExtensionTotals
from ...extensions.catalog.labels import OUTSIDE, filled
from ...extensions.catalog.names import text_of
from ...extensions.catalog.rescan.differ import (
    PLAIN,
    difference,
    identities,
    numbers,
    paired,
    plain,
)
from ...extensions.catalog.rescan.known import OWN, TOTALS
from ...extensions.catalog.rollups import DirectoryTotals
from .account import FULL, ScanSummary, scan_batch
from .difference_writer import DirectoryRows, batches_of, write_directories, write_errors
from .stored_rows import PLACE, load_directories, load_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ...extensions.catalog.block import Block, WalkError, WalkProgress
    from ...extensions.catalog.rescan.known import Known
    from .account import Cancellation, ScanRequest
    from .stored import StoredCatalog
    from .stored_rows import StoredRows

Walk = Any
"""The function `walk`."""

Integers = Any
"""An array of int64."""

HELD_ROWS_MAX: Final = 1_000_000
"""New rows that are held to be paired with those that are gone, some 300 MB."""

CHUNK_ENTRIES: Final = 100_000
"""Entries of the directories that are compared at once."""

OUTSIDE_SLOT: Final = -1
_ALL: Final = 1 << 62

COMPARED: Final = tuple(
    name for name in PLAIN.names if name not in {"directory", "parent_path", "extension"}
)
"""Columns that rows of one path and type can differ in."""

IDENTITY: Final = ("device", "inode", "creation_time", "element_type", "mtime")


class ReplaceNeeded(Exception):
    """So much has changed that differences are no help."""


@dataclass(slots=True, eq=False)
class FullRescan:
    """One full rescan inside a transaction.

    Attributes:
        catalog: The catalog.
        request: What is asked for.
        walk: Walks the tree.
        cancelled: Tells whether to go on.
        on_progress: Is told how far it is.
    """

    catalog: StoredCatalog
    request: ScanRequest
    walk: Walk
    cancelled: Cancellation
    on_progress: Callable[[WalkProgress], None] | None = None
    _known: Known = field(init=False)
    _entries: StoredRows = field(init=False)
    _place: dict[bytes, int] = field(init=False)
    _device: tuple[int, int] | None = None
    _ordinal: Integers = field(init=False)
    _of_ordinal: list[int] = field(default_factory=list)
    _errors: list[WalkError] = field(default_factory=list)
    _fresh: list[pa.Table] = field(default_factory=list)
    _gone: list[pa.Table] = field(default_factory=list)
    _dropped: list[Integers] = field(default_factory=list)
    _held: int = 0
    _rows: int = 0
    _flushed: int = 0
    _moved: int = 0
    _label: Integers = field(init=False)
    _walked: Integers = field(init=False)

    def run(self, *, one_file_system: bool) -> ScanSummary:
        """Walk, and write what differs.

        Args:
            one_file_system: Whether the last scan stayed on one, which this one may not.

        Raises:
            ReplaceNeeded: The rows are to be replaced as a whole.
            Interrupted: It was cancelled.
        """
        begun = datetime.now(UTC)
        relations = self.catalog.relations
        self.catalog.rely_on_all()
        directories = self.catalog.rows(relations.directories)
        self._entries = self.catalog.rows(relations.entries)
        table, paths = load_directories(directories)
        known = load_known(table, paths, self._entries, one_file_system=one_file_system)
        self._known = known
        self._place = {path: at for at, path in enumerate(known.paths)}
        self._ordinal = np.full(len(known), -1, dtype=np.int64)
        totals = DirectoryTotals(one_file_system=self.request.options.one_file_system)
        extensions = ExtensionTotals()
        walked = self.walk(
            self.request.directory, self.request.options, self.on_progress, self.cancelled
        )
        now: list[DirectoryRows] = []
        with closing(walked):

            def written() -> Iterator[pa.RecordBatch]:
                yield from self._changed(self._noted(walked), totals, extensions)
                now.append(self._directories(totals))
                yield from self._elsewhere()

            self.catalog.replace(
                relations.entries, lambda: np.concatenate(self._dropped), written()
            )
        write_directories(self.catalog, known, now[0], directories)
        self._write_extensions(extensions, totals, now[0])
        told = self.catalog.rows(relations.errors).read(["path", "operation", "errno"])
        again = np.arange(len(told))
        errors = write_errors(self.catalog, told, again, self._errors, begun)
        summary = self._summary(now[0], errors)
        scan = scan_batch(summary, begun, self.request.options)
        self.catalog.fill(relations.scans, [scan])
        self.cancelled.check()
        return summary

    def _summary(self, now: DirectoryRows, errors: int) -> ScanSummary:
        first = {name: int(now.numbers[name][0]) for name in TOTALS}
        return ScanSummary(
            catalog=self.request.name,
            root=text_of(self._known.paths[0]),
            entries=self._rows,
            directories=first["directories"],
            bytes=first["bytes"],
            used=first["used"],
            errors=errors,
            seconds=0.0,
            kind=FULL,
            created=self._held - self._moved,
            deleted=sum(map(len, self._gone)) - self._moved,
            modified=self._flushed,
            moved=self._moved,
        )

    def _noted(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Pass blocks on, and note which known directory each is."""
        for block in blocks:
            self._errors += block.errors
            at = self._place.get(block.path, -1)
            if not self._of_ordinal:
                self._device = self._renumbered(block)
                self._require_mounted(block)
            if at >= 0:
                self._ordinal[at] = len(self._of_ordinal)
            self._of_ordinal.append(at)
            yield block

    def _require_mounted(self, root: Block) -> None:
        """Refuse to take an empty directory for a tree that was mounted there.

        Raises:
            Unavailable: It looks like that.
        """
        is_other = int(self._known.identity["device"][0]) != int(root.own["device"])
        if is_other and not root.names and not self.request.full and len(self._known) > 1:
            raise Unavailable(
                f"{text_of(root.path)!r} is empty, and on another file system than it was",
                hint="is it mounted? A full scan takes it as it is",
            )

    def _renumbered(self, root: Block) -> tuple[int, int] | None:
        """Tell whether the root is the same directory, of a device that has another number now."""
        identity = self._known.identity
        same = int(identity["inode"][0]) == int(root.own["inode"].astype(np.int64))
        same &= int(identity["birth"][0]) == int(root.own["birth"])
        numbers_of = int(identity["device"][0]), int(root.own["device"].astype(np.int64))
        return numbers_of if same else None

    # Rows

    def _changed(
        self, blocks: Iterable[Block], totals: DirectoryTotals, extensions: ExtensionTotals
    ) -> Iterator[pa.RecordBatch]:
        """Compare all rows, some directories at a time, and return those changed in place."""
        first, ordinal = True, 0
        for chunk in _chunks(totals.watch(blocks)):
            self.cancelled.check()
            counts = [len(block.names) for block in chunk]
            slot = np.repeat(np.arange(ordinal, ordinal + len(chunk)), counts)
            at = np.array(self._of_ordinal[ordinal : ordinal + len(chunk)], dtype=np.int64)
            labels = np.sort(self._known.label[at[at >= 0]])
            ordinal += len(chunk)
            if first:
                # The root's own row comes before all others.
                slot = np.concatenate([[OUTSIDE_SLOT], slot])
                labels = np.concatenate([[OUTSIDE], labels])
            made = record_batches(chunk, totals.label, rows=_ALL, with_root=first)
            first = False
            # Where all of them are empty now, there is no batch.
            none = pa.RecordBatch.from_pylist([], STORED)
            for batch in list(extensions.watch(made)) or [none]:
                self._rows += len(batch)
                changed = self._compared(batch, slot, labels)
                if len(changed):
                    yield from batches_of(changed)

    def _compared(self, batch: pa.RecordBatch, slot: Integers, labels: Integers) -> pa.Table:
        """Compare some directories' rows, note those not in their places, return the changed."""
        known = self._known
        old = self._entries.where_in("directory", labels, ["directory", *COMPARED])
        label = numbers(old, "directory")
        place = np.minimum(np.searchsorted(known.label, label), len(known) - 1)
        old_slot = np.where(label == OUTSIDE, OUTSIDE_SLOT, self._ordinal[place])
        new = plain(batch.select(COMPARED))
        found = difference(old, old_slot, new, slot, self._device)
        if len(found.gone):
            self._gone.append(old.take(pa.array(found.gone)).select([*IDENTITY, PLACE]))
        if len(found.fresh):
            self._hold(batch, slot, found.fresh)
        if not len(found.new):
            return PLAIN.empty_table()
        rows = plain(pa.Table.from_batches([batch]).take(pa.array(found.new)))
        rows = _labelled(rows, label[found.old])
        places = numbers(old, PLACE)[found.old]
        self._dropped.append(places)
        self._flushed += len(places)
        return rows.append_column("row id", self._entries.row_ids(places))

    def _hold(self, batch: pa.RecordBatch, slot: Integers, at: Integers) -> None:
        rows = plain(pa.Table.from_batches([batch]).take(pa.array(at)))
        self._fresh.append(rows.append_column("slot", pa.array(slot[at])))
        self._held += len(at)
        if self._held > HELD_ROWS_MAX:
            raise ReplaceNeeded

    def _elsewhere(self) -> Iterator[pa.RecordBatch]:
        """Return rows that are new, or elsewhere than they were."""
        lost = np.flatnonzero((self._ordinal < 0) & self._known.listed)
        gone = self._entries.where_in("directory", self._known.label[lost], IDENTITY)
        self._gone.append(gone.select([*IDENTITY, PLACE]))
        gone = plain(pa.concat_tables(self._gone))
        places = numbers(gone, PLACE)
        self._dropped.append(places)
        if not self._fresh:
            return
        fresh = plain(pa.concat_tables(self._fresh))
        slot = numbers(fresh, "slot")
        label = np.where(slot == OUTSIDE_SLOT, OUTSIDE, self._label[np.maximum(slot, 0)])
        rows = _labelled(fresh.select(PLAIN.names), label)
        before, after = paired(identities(gone, self._device), identities(fresh))
        self._moved = len(before)
        ids, missing = np.zeros(len(fresh), dtype=np.int64), np.ones(len(fresh), dtype=np.bool_)
        known_ids = self._entries.row_ids(places[before])
        ids[after] = np.asarray(known_ids.fill_null(0))
        missing[after] = np.asarray(known_ids.is_null())
        yield from batches_of(rows.append_column("row id", pa.array(ids, mask=missing)))

    # Directories

    def _directories(self, totals: DirectoryTotals) -> DirectoryRows:
        """Return the directories, with the labels that they had, and others for new ones."""
        rows = pa.Table.from_batches(list(totals.tables()))
        walked = numbers(rows, "label")
        order = np.argsort(walked)
        rows, walked = plain(rows.take(pa.array(order))), walked[order]
        texts = rows["path"].combine_chunks()
        found = pc.index_in(texts, value_set=self._known.texts)
        known = np.asarray(found.fill_null(-1)).astype(np.int64)
        before = np.where(known >= 0, self._known.label[np.maximum(known, 0)], -1)
        label = filled(before)
        if (label != before)[known >= 0].any():
            raise ReplaceNeeded
        listed = np.sort(np.argsort(order)[: totals.listed])
        self._label = label[listed]
        self._walked = walked
        return DirectoryRows(
            texts,
            known,
            {name: numbers(rows, name) for name in (*TOTALS, *OWN)},
            np.asarray(rows["depth"]).astype(np.int64),
            label,
            label[np.searchsorted(walked, numbers(rows, "last_label"))],
        )

    def _write_extensions(
        self, extensions: ExtensionTotals, totals: DirectoryTotals, now: DirectoryRows
    ) -> None:
        relation = self.catalog.relations.extensions
        stored = self.catalog.rows(relation).read()
        batches = list(extensions.tables(totals))
        schema = stored.drop_columns([PLACE]).schema
        rows = pa.Table.from_batches(batches).cast(schema) if batches else schema.empty_table()
        label = now.label[np.searchsorted(self._walked, numbers(rows, "label"))]
        rows = rows.set_column(0, "label", pa.array(label))
        extension = pa.chunked_array([*stored["extension"].chunks, *rows["extension"].chunks])
        codes = pa.chunked_array([_flat_codes(extension)])
        code = np.asarray(codes).astype(np.int64)
        every = np.unique(np.concatenate([numbers(stored, "label"), label]))
        old, new = (
            np.searchsorted(every, of) << CODE_BITS | part
            for of, part in (
                (numbers(stored, "label"), code[: len(stored)]),
                (label, code[len(stored) :]),
            )
        )
        _, left, right = np.intersect1d(old, new, assume_unique=True, return_indices=True)
        same = np.ones(len(left), dtype=np.bool_)
        for name in ("files", "bytes"):
            same &= numbers(stored, name)[left] == numbers(rows, name)[right]
        kept_old, kept_new = np.zeros(len(old), np.bool_), np.zeros(len(new), np.bool_)
        kept_old[left[same]] = True
        kept_new[right[same]] = True
        places = numbers(stored, PLACE)[~kept_old]
        written = rows.filter(pa.array(~kept_new))
        ids = pa.nulls(len(written), pa.int64())
        self.catalog.replace(
            relation, lambda: places, batches_of(written.append_column("row id", ids))
        )


def _chunks(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    chunk: list[Block] = []
    entries = 0
    for block in blocks:
        chunk.append(block)
        entries += len(block.names)
        if entries >= CHUNK_ENTRIES:
            yield chunk
            chunk, entries = [], 0
    if chunk:
        yield chunk


def _labelled(rows: pa.Table, label: Integers) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index("directory"), "directory", pa.array(label))


def _flat_codes(values: pa.ChunkedArray) -> pa.Array:
    flat = plain(pa.table({"values": values}))["values"].combine_chunks()
    return flat.dictionary_encode().indices
