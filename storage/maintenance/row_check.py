"""Whether stored rows are what the manifest says: pages, counts, bounds, deletes, row ids.

Everything is looked at one column chunk at a time, so that memory does not grow with the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import Corrupt, Error
from .. import delete_vector
from ..column_vector import is_string_like, storage_of
from ..content.content_pages import content_pages, references
from ..effects import ROW_ID_COLUMN
from ..encoding import decode
from ..keys.run_check import contradiction
from ..page import PageKind, segment_name
from ..row_group import ROW_ID_FIELD
from ..sketch import Sketch
from ..zone_map import ZoneMap
from .finding import damage, no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    import numpy.typing as npt

    from ..delete_vector import Positions
    from ..effects import ColumnChunk, DeleteVector, RowGroup, TableDefinition
    from ..keys.key_run import KeyRun
    from ..page import PageRef
    from ..page_store import PageStore
    from ..snapshot import TableState
    from .finding import Finding

ROW_ID_WINDOW = 1 << 26
"""Row ids compared at a time: one byte each."""


@dataclass(slots=True)
class RowCheck:
    """Checks row groups and delete vectors, each page once.

    Attributes:
        pages: Where they are read from.
        total_bytes: Bytes of all segments, for the progress.
        progress: Told after every page.
        segments: Segments that were referred to.
        done_bytes: Bytes of the pages read so far.
        damaged_packs: Packs of which the page is damaged, and what is wrong with it.
    """

    pages: PageStore
    total_bytes: int = 0
    progress: Callable[[str, int, int], None] = no_progress
    segments: set[int] = field(default_factory=set)
    done_bytes: int = 0
    damaged_packs: dict[int, Finding] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _contents_seen: set[str] = field(default_factory=set)
    _lost: set[tuple[str, str]] = field(default_factory=set)

    def row_groups(
        self, definition: TableDefinition, groups: Iterable[RowGroup], affects: tuple[str, ...]
    ) -> Iterator[Finding]:
        """Check row groups that were not checked before."""
        types = {c.id: c.arrow_type for c in (*definition.columns, *definition.dropped)}
        types[ROW_ID_COLUMN] = ROW_ID_FIELD.type
        names = {c.id: c.name for c in (*definition.columns, *definition.dropped)}
        for group in groups:
            if group.id in self._seen:
                continue
            self._seen.add(group.id)
            if group.inline is not None:
                yield from _inlined(group, types, affects)
            for number, chunk in group.chunks.items():
                what = f"column {names.get(number, number)} of row group {group.id}"
                if number == ROW_ID_COLUMN:
                    what = f"the row ids of row group {group.id}"
                yield from self._chunk(group, chunk, number, types.get(number), what, affects)

    def _chunk(
        self,
        group: RowGroup,
        chunk: ColumnChunk,
        number: int,
        type: pa.DataType | None,
        what: str,
        affects: tuple[str, ...],
    ) -> Iterator[Finding]:
        kind = PageKind.ROW_IDS if number == ROW_ID_COLUMN else PageKind.COLUMN_CHUNK
        file, offset = segment_name(chunk.page.segment), chunk.page.offset
        payload = yield from self._page(chunk.page, kind, affects)
        if payload is None:
            return
        if type is None:
            said = f"{what} belongs to no column of the table"
            yield damage(file, said, *affects, offset=offset)
            return
        try:
            array = decode(payload, type)
            _validate(array)
            if chunk.sketch is not None:
                Sketch.from_bytes(chunk.sketch)
        except (Corrupt, pa.ArrowInvalid, ValueError) as error:
            yield damage(file, f"{what} does not decode: {_said(error)}", *affects, offset=offset)
            return
        wrong = _contradictions(array, group.rows, chunk.zone)
        for said in wrong:
            yield damage(file, f"{what} {said}", *affects, offset=offset)

    def contents(
        self,
        table: str,
        groups: Iterable[RowGroup],
        deletes: Mapping[str, Iterable[DeleteVector]] | None = None,
    ) -> None:
        """Check pages that rows name, as far as that was not done; see ``content_pages``.

        What is damaged is noted: whose content it is can only be told at the end.
        """
        fresh = [group for group in groups if group.id not in self._contents_seen]
        try:
            for group, places in content_pages(self.pages, table, fresh, deletes):
                self._contents_seen.add(group.id)
                packs = places["pack"].tolist()
                for pack, page in zip(packs, references(places), strict=True):
                    for finding in self._page(page, PageKind.CONTENT, (f"pack {pack}",)):
                        self.damaged_packs[pack] = finding
        except Error:
            return  # of the row group, which is checked above

    def _page(
        self, ref: PageRef, kind: PageKind, affects: tuple[str, ...]
    ) -> Generator[Finding, None, memoryview | None]:
        """Read one page; a generator that returns its payload, None when it is damaged."""
        self.segments.add(ref.segment)
        self.done_bytes += ref.stored_bytes
        self.progress("pages", min(self.done_bytes, self.total_bytes), self.total_bytes)
        file = segment_name(ref.segment)
        try:
            return self.pages.get(ref, kind)
        except Error as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            if missing:
                # Said once for a relation, not for each of its thousands of pages.
                if (file, affects[0]) not in self._lost:
                    self._lost.add((file, affects[0]))
                    yield damage(file, "the segment is missing", *affects)
                return None
            yield damage(file, _said(error), *affects, offset=ref.offset)
            return None

    def delete_vectors(
        self,
        vectors: Mapping[str, Iterable[DeleteVector]],
        rows: Mapping[str, int],
        file: str,
        affects: tuple[str, ...],
    ) -> Iterator[Finding]:
        """Check delete vectors: they decode, and stay within their row groups.

        Args:
            vectors: Vectors by row group id.
            rows: Rows of the row groups.
            file: Where those lie that have no page.
            affects: What a damaged one affects.
        """
        for group, several in vectors.items():
            for vector in several:
                found = yield from self._positions(vector, file, affects)
                if found is None:
                    continue
                positions, place, offset = found
                what = f"a delete vector of row group {group}"
                if positions.size != vector.count:
                    said = f"{what} has {positions.size} positions instead of {vector.count}"
                    yield damage(place, said, *affects, offset=offset)
                elif positions.size > 1 and not (positions[1:] > positions[:-1]).all():
                    yield damage(place, f"{what} is not in order", *affects, offset=offset)
                elif positions.size and group in rows and positions[-1] >= rows[group]:
                    said = f"{what} goes beyond its {rows[group]} rows"
                    yield damage(place, said, *affects, offset=offset)

    def _positions(
        self, vector: DeleteVector, file: str, affects: tuple[str, ...]
    ) -> Generator[Finding, None, tuple[Positions, str, int | None] | None]:
        """Decode a vector; returns (positions, file, offset), None when it is damaged.

        Not ``DeleteVector.positions``, which would keep every vector in memory.
        """
        place, offset = file, None
        payload: Any = vector.payload
        if vector.page is not None:
            place, offset = segment_name(vector.page.segment), vector.page.offset
            payload = yield from self._page(vector.page, PageKind.DELETE_VECTOR, affects)
            if payload is None:
                return None
        try:
            if payload is None:
                raise Corrupt("a delete vector has neither payload nor page")
            return delete_vector.decode(payload), place, offset
        except Corrupt as error:
            yield damage(place, error.message, *affects, offset=offset)
            return None

    def key_runs(
        self, state: TableState, runs: Iterable[KeyRun], affects: tuple[str, ...]
    ) -> Iterator[Finding]:
        """Check key runs that were not checked before: that they tell what their rows do."""
        for run in runs:
            name = f"key run on {run.columns} of {run.groups[0]} to {run.groups[-1]}"
            if name in self._seen:
                continue
            self._seen.add(name)
            file, offset = "log", None
            if run.page is not None:
                file, offset = segment_name(run.page.segment), run.page.offset
                if (yield from self._page(run.page, PageKind.KEY_RUN, affects)) is None:
                    continue
            try:
                wrong = contradiction(run, state, self.pages)
            except (Error, pa.ArrowInvalid, ValueError):
                continue  # of the row groups, which are checked above
            if wrong is not None:
                yield damage(file, f"a key run {wrong}", *affects, offset=offset)

    def table(self, state: TableState, file: str, affects: tuple[str, ...]) -> Iterator[Finding]:
        """Check what must hold of a table as a whole.

        Args:
            state: The table at a version.
            file: What the state was read from.
            affects: What it affects when it does not hold.
        """
        ids = {group.id for group in state.row_groups}
        if len(ids) != len(state.row_groups):
            yield damage(file, "a row group is in the table twice", *affects)
            return
        stray = [group for group in state.deletes if group not in ids]
        if stray:
            yield damage(file, f"deletes are for {stray[0]}, which is no row group", *affects)
        rows = sum(group.rows for group in state.row_groups) - state.deleted_rows
        if rows != state.rows:
            said = f"the table has {rows} rows, but the manifest says {state.rows}"
            yield damage(file, said, *affects)
        for group, vectors in state.deletes.items():
            if not self._disjoint(vectors):
                said = f"a row of row group {group} is deleted twice"
                yield damage(file, said, *affects)
        yield from self._row_ids(state, file, affects)

    def _disjoint(self, vectors: tuple[DeleteVector, ...]) -> bool:
        if len(vectors) < 2:
            return True
        positions = self._all_positions(vectors)
        return positions is None or np.unique(positions).size == positions.size

    def _all_positions(self, vectors: Iterable[DeleteVector]) -> Positions | None:
        """Positions of several vectors, None when one is damaged: that was said elsewhere."""
        found = []
        for vector in vectors:
            try:
                payload: Any = vector.payload
                if vector.page is not None:
                    payload = self.pages.get(vector.page, PageKind.DELETE_VECTOR)
                if payload is not None:
                    found.append(delete_vector.decode(payload))
            except Error:
                return None
        return np.concatenate(found) if found else np.zeros(0, dtype=np.uint32)

    def _row_ids(self, state: TableState, file: str, affects: tuple[str, ...]) -> Iterator[Finding]:
        """Row ids of live rows are distinct and were all given out."""
        implied = sorted(
            (g.first_row_id, g.first_row_id + g.rows)
            for g in state.row_groups
            if not g.explicit_row_ids
        )
        if implied and implied[-1][1] > state.next_row_id:
            said = f"a row has an id that is not below the next one, {state.next_row_id}"
            yield damage(file, said, *affects)
            return
        clash = any(left[1] > right[0] for left, right in pairwise(implied))
        explicit = any(g.explicit_row_ids for g in state.row_groups)
        if not clash and not explicit:
            return
        # Ids that rows brought along lie anywhere; windows bound the memory.
        ranges = self._id_ranges(state)
        for start in range(0, state.next_row_id, ROW_ID_WINDOW):
            taken = np.zeros(min(ROW_ID_WINDOW, state.next_row_id - start), dtype=np.bool_)
            for group, low, high in ranges:
                if high < start or low >= start + taken.size:
                    continue
                ids = self._live_ids(state, group)
                ids = ids[(ids >= start) & (ids < start + taken.size)] - start
                if taken[ids].any() or np.unique(ids).size != ids.size:
                    yield damage(file, "two rows have the same row id", *affects)
                    return
                taken[ids] = True
        beyond = [g for g, low, high in ranges if low < 0 or high >= state.next_row_id]
        if beyond:
            said = f"row group {beyond[0].id} has a row id that was never given out"
            yield damage(file, said, *affects)

    def _id_ranges(self, state: TableState) -> list[tuple[RowGroup, int, int]]:
        ranges = []
        for group in state.row_groups:
            low, high = group.first_row_id, group.first_row_id + group.rows - 1
            if group.explicit_row_ids:
                ids = self._live_ids(state, group)
                if not ids.size:
                    continue
                low, high = int(ids.min()), int(ids.max())
            ranges.append((group, low, high))
        return ranges

    def _live_ids(self, state: TableState, group: RowGroup) -> npt.NDArray[np.int64]:
        """Row ids of the rows that are not deleted; none when the group is damaged."""
        ids = np.arange(group.first_row_id, group.first_row_id + group.rows, dtype=np.int64)
        if group.explicit_row_ids:
            try:
                kept = self._kept_ids(state.definition, group)
                ids = pc.coalesce(kept, pa.array(ids)).to_numpy(zero_copy_only=False)
            except (Error, pa.ArrowInvalid, KeyError):
                return np.zeros(0, dtype=np.int64)
        gone = self._all_positions(state.deletes.get(group.id, ()))
        if gone is None or (gone.size and gone.max() >= ids.size):
            return np.zeros(0, dtype=np.int64)
        live = np.ones(ids.size, dtype=np.bool_)
        live[gone] = False
        return ids[live]

    def _kept_ids(self, definition: TableDefinition, group: RowGroup) -> pa.Array:
        if group.inline is None:
            payload = self.pages.get(group.chunks[ROW_ID_COLUMN].page, PageKind.ROW_IDS)
            return decode(payload, ROW_ID_FIELD.type)
        types = {c.id: c.arrow_type for c in (*definition.columns, *definition.dropped)}
        types[ROW_ID_COLUMN] = ROW_ID_FIELD.type
        batch = _batch(group, types)
        return batch.column(group.inline_columns.index(ROW_ID_COLUMN))


def _batch(group: RowGroup, types: Mapping[int, pa.DataType]) -> pa.RecordBatch:
    fields = [pa.field(str(column), types[column]) for column in group.inline_columns]
    return pa.ipc.read_record_batch(pa.py_buffer(group.inline), pa.schema(fields))


def _inlined(
    group: RowGroup, types: Mapping[int, pa.DataType], affects: tuple[str, ...]
) -> Iterator[Finding]:
    """Check rows that lie in the commit record itself, whose checksum was verified."""
    file = f"row group {group.id}"
    try:
        batch = _batch(group, types)
        for column in batch.columns:
            _validate(column)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        yield damage(file, f"its inlined rows do not decode: {_said(error)}", *affects)
        return
    except KeyError as error:
        yield damage(file, f"its inlined rows have column {error}, unknown here", *affects)
        return
    if batch.num_rows != group.rows:
        said = f"it has {batch.num_rows} inlined rows instead of {group.rows}"
        yield damage(file, said, *affects)


def _validate(array: pa.Array) -> None:
    """Check that no value can make a reader step outside its buffers.

    Text is checked to be UTF-8. Other values are not looked at: a HUGEINT is stored in all 128
    bits of a decimal128(38, 0), which full validation refuses.
    """
    stored = storage_of(array)
    stored.validate(full=is_string_like(stored.type))


def _contradictions(array: pa.Array, rows: int, zone: ZoneMap | None) -> Iterator[str]:
    if len(array) != rows:
        yield f"has {len(array)} rows instead of {rows}"
        return
    if zone is None:
        return
    actual = ZoneMap.of(array)
    for name in ("row_count", "null_count", "nan_count"):
        found, said = getattr(actual, name), getattr(zone, name)
        if found != said:
            yield f"has a {name.replace('_', ' ')} of {found}, its zone map says {said}"
    low, high = _bounds(array, actual)
    if low is not None and zone.min is not None and low < zone.min:
        yield "has a value below the minimum of its zone map"
    if high is not None and zone.max is not None and high > zone.max:
        yield "has a value above the maximum of its zone map"


def _bounds(array: pa.Array, actual: ZoneMap) -> tuple[Any, Any]:
    """The exact bounds of an array, None where there are none."""
    stored = storage_of(array)
    if not is_string_like(stored.type):
        return actual.min, actual.max
    # Zone maps cut strings off; what they must contain are the whole ones.
    found = pc.min_max(stored)
    return found["min"].as_py(), found["max"].as_py()


def _said(error: BaseException) -> str:
    return error.message if isinstance(error, Error) else str(error)
