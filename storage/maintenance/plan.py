"""Plans for maintenance: which neighbouring row groups are worth writing anew.

A plan is computed from one table's state and nothing else, so that it needs no memory of what
was done before: a table in good shape has an empty plan, whoever asks and however often.

    inlined groups           -> *seal*:    one paged row group of them
    small neighbours         -> *merge*:   one row group of them, up to 122,880 rows
    >= 10 % deleted rows     -> *fold*:    the same rows without the deleted ones
    overlapping zone maps    -> *cluster*: a window of row groups, sorted anew
    mostly dead segments     -> *move*:    their row groups, to other segments

Steps replace neighbours only, in place, so that rows stay in the order of the log (clustered
tables aside).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import pyarrow as pa

from ..delete_vector import ROW_GROUP_ROWS_MAX
from ..zone_map import PREFIX_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from ..effects import Column, RowGroup, TableDefinition
    from ..snapshot import TableState
    from ..zone_map import Bound, ZoneMap

SEAL_GROUPS_MIN = 1000
"""Inlined neighbours that are sealed in the background: fewer cost queries next to nothing, and a
stream of single commits would be rewritten again and again."""
SEAL_BYTES_MIN = 1 << 20
"""Inlined bytes that are sealed however few row groups they are: they lie in the log, in every
checkpoint and in the memory of every process."""
SEAL_IDLE_GROUPS_MIN = 64
"""Inlined neighbours that are sealed once writers have been silent for a while."""
STEP_GROUPS_MAX = 16_384
"""Row groups that one step replaces: their names are in its commit record, 36 bytes each."""
ROW_GROUP_BYTES_MAX = 256 << 20
"""Bytes of row groups that are made one: rows of long texts and contents are many bytes each."""
DELETED_MIN = 0.1
"""Share of deleted rows from which on a row group is written anew without them."""
MERGE_FANOUT = 4
"""A merge in the background must take this many times the rows of its largest member, so that a
row is moved a few times in its life and not once a commit."""
WINDOW_ROWS_MAX = 2_000_000
"""Rows that are sorted together."""
WINDOW_BYTES_MAX = 256 << 20
"""Bytes that are sorted together, by the width that the columns' types let expect."""
_VARIABLE_WIDTH_BYTES = 32
"""Expected width of a value of a type without a fixed width."""
_RAISED_BYTES_MIN = PREFIX_BYTES_MAX - 3
"""A bound that was cut off is at least this long: the character that did not fit has up to four
bytes."""
_SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True)
class Step:
    """Neighbouring row groups to be replaced by as few as hold their live rows.

    Attributes:
        task: ``seal``, ``compact`` or ``cluster``.
        groups: Ids of the row groups, in order.
        rows: Live rows in them.
        bytes: Bytes they take on the device.
    """

    task: str
    groups: tuple[str, ...]
    rows: int
    bytes: int


def live_rows(state: TableState, group: RowGroup) -> int:
    """Rows of a row group that are not deleted."""
    vectors = state.deletes.get(group.id)
    return group.rows if vectors is None else group.rows - sum(v.count for v in vectors)


def plan_sealing(
    state: TableState, *, groups_min: int = SEAL_GROUPS_MIN, bytes_min: int = SEAL_BYTES_MIN
) -> list[Step]:
    """Plan the sealing of inlined row groups.

    Args:
        state: The table.
        groups_min: Neighbours from which on they are sealed.
        bytes_min: Bytes from which on they are sealed.
    """
    steps: list[Step] = []
    for run in _inlined_runs(state.row_groups):
        if len(run) >= groups_min or sum(len(g.inline or b"") for g in run) >= bytes_min:
            steps.extend(_step("seal", state, packed) for packed in _pack(state, run))
    return steps


def plan_compaction(state: TableState, *, eager: bool = False) -> list[Step]:
    """Plan folding and merging; for the row groups of a clustered table also sorting.

    Args:
        state: The table.
        eager: Merge whatever makes fewer row groups of the table, inlined ones included, and
            sort a clustered table; otherwise only what pays in the long run.
    """
    if eager and state.definition.cluster_by:
        windows = _windows(state, window_rows(state.definition))
        return [_step("cluster", state, w) for w in windows if _disordered(state, w)]
    groups: Iterable[list[RowGroup]]
    groups = [list(state.row_groups)] if eager else _paged_runs(state.row_groups)
    steps: list[Step] = []
    for run in groups:
        for packed in _pack(state, run):
            if eager:
                chosen = packed if len(packed) > 1 or _inlined(packed) else []
            else:
                chosen = _worth_merging(state, packed)
            if chosen:
                steps.append(_step("compact", state, chosen))
            covered = {group.id for group in chosen}
            steps.extend(
                _step("compact", state, [group])
                for group in packed
                if group.id not in covered and _stale(state, group)
            )
    return steps


def plan_moving(
    state: TableState, segments: AbstractSet[int], naming: AbstractSet[str] = frozenset()
) -> list[Step]:
    """Plan the emptying of segments: row groups with pages in them are written anew.

    Args:
        state: The table.
        segments: The segments.
        naming: Row groups of which a row names a page in them.
    """

    def moves(group: RowGroup) -> bool:
        if group.id in naming:
            return True
        pages = [chunk.page for chunk in group.chunks.values()]
        pages += [v.page for v in state.deletes.get(group.id, ()) if v.page is not None]
        return any(page.segment in segments for page in pages)

    steps: list[Step] = []
    for moving, run in groupby(state.row_groups, key=moves):
        if moving:
            steps.extend(_step("compact", state, packed) for packed in _pack(state, list(run)))
    return steps


def window_rows(definition: TableDefinition) -> int:
    """Rows of a table that are sorted together; depends on nothing but its columns' types."""
    width = sum(_width(column.arrow_type) for column in definition.columns) or 1
    return max(ROW_GROUP_ROWS_MAX, min(WINDOW_ROWS_MAX, WINDOW_BYTES_MAX // width))


def sortable(column: Column) -> bool:
    """Tell whether rows can be sorted by a column: its stored type has an order."""
    kind = _storage(column.arrow_type)
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind))
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def cluster_columns(definition: TableDefinition) -> list[Column]:
    """The columns that a table's rows are sorted by, those without an order left out."""
    by_id = {column.id: column for column in definition.columns}
    wanted = [by_id[column] for column in definition.cluster_by if column in by_id]
    return [column for column in wanted if sortable(column)]


def unsorted_columns(definition: TableDefinition) -> list[str]:
    """Names of the columns that rows should be sorted by, but whose type has no order."""
    by_id = {column.id: column for column in definition.columns}
    wanted = [by_id[column] for column in definition.cluster_by if column in by_id]
    return [column.name for column in wanted if not sortable(column)]


def _storage(kind: pa.DataType) -> pa.DataType:
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind


def _width(kind: pa.DataType) -> int:
    kind = _storage(kind)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(kind.value_type)
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return _VARIABLE_WIDTH_BYTES


def _step(task: str, state: TableState, groups: Sequence[RowGroup]) -> Step:
    return Step(
        task,
        tuple(group.id for group in groups),
        sum(live_rows(state, group) for group in groups),
        sum(group.stored_bytes for group in groups),
    )


def _inlined(groups: Sequence[RowGroup]) -> bool:
    return any(group.inline is not None for group in groups)


def _stale(state: TableState, group: RowGroup) -> bool:
    return group.rows - live_rows(state, group) >= DELETED_MIN * group.rows


def _inlined_runs(groups: Iterable[RowGroup]) -> Iterator[list[RowGroup]]:
    run: list[RowGroup] = []
    for group in groups:
        if group.inline is not None:
            run.append(group)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _paged_runs(groups: Iterable[RowGroup]) -> Iterator[list[RowGroup]]:
    run: list[RowGroup] = []
    for group in groups:
        if group.inline is None:
            run.append(group)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _pack(state: TableState, run: Sequence[RowGroup]) -> Iterator[list[RowGroup]]:
    """Cut a run where the next row group no longer fits a full one.

    What comes out of one pass cannot be packed any tighter by another: a pack and its neighbour
    together have more rows than a row group may have.
    """
    packed: list[RowGroup] = []
    rows = size = 0
    for group in run:
        live, stored = live_rows(state, group), group.stored_bytes
        full = rows + live > ROW_GROUP_ROWS_MAX or size + stored > ROW_GROUP_BYTES_MAX
        if packed and (full or len(packed) >= STEP_GROUPS_MAX):
            yield packed
            packed, rows, size = [], 0, 0
        packed.append(group)
        rows += live
        size += stored
    if packed:
        yield packed


def _worth_merging(state: TableState, packed: Sequence[RowGroup]) -> list[RowGroup]:
    """The longest tail of a pack whose merging pays; empty when none does."""
    rows = largest = best = 0
    for length, group in enumerate(reversed(packed), 1):
        live = live_rows(state, group)
        rows += live
        largest = max(largest, live)
        nearly_full = rows >= ROW_GROUP_ROWS_MAX * 3 // 4 and largest * 2 <= rows
        if length > 1 and (rows >= MERGE_FANOUT * largest or nearly_full):
            best = length
    return list(packed[len(packed) - best :]) if best else []


def _windows(state: TableState, rows_max: int) -> Iterator[list[RowGroup]]:
    window: list[RowGroup] = []
    rows = 0
    for group in state.row_groups:
        live = live_rows(state, group)
        if window and (rows + live > rows_max or len(window) >= STEP_GROUPS_MAX):
            yield window
            window, rows = [], 0
        window.append(group)
        rows += live
    if window:
        yield window


def _disordered(state: TableState, window: Sequence[RowGroup]) -> bool:
    """Tell whether writing a window anew makes it smaller, or sorted where it is not."""
    rows = sum(live_rows(state, group) for group in window)
    if _inlined(window) or any(_stale(state, group) for group in window):
        return True
    if len(window) > -(-rows // ROW_GROUP_ROWS_MAX):
        return True
    # Row groups that are sorted by the first column already are not sorted anew for the others.
    first = cluster_columns(state.definition)[:1]
    return any(_overlap(_zones(window, column)) for column in first)


def _zones(window: Sequence[RowGroup], column: Column) -> list[ZoneMap]:
    chunks = [group.chunks.get(column.id) for group in window]
    return [chunk.zone for chunk in chunks if chunk is not None and chunk.zone is not None]


def _overlap(zones: Sequence[ZoneMap]) -> bool:
    """Tell whether values of a row group come before values of an earlier one."""
    for zone, following in pairwise(zones):
        values = following.row_count - following.null_count
        if zone.null_count and values:
            return True
        numbers = values - following.nan_count
        if zone.nan_count and numbers:
            return True
        if zone.max is None or following.min is None:
            continue
        if _above(zone.max, following.min):
            return True
    return False


def _above(high: Bound, low: Bound) -> bool:
    """Tell whether a row group's maximum lies above the next one's minimum.

    The upper bound of a long string is its first characters, raised by one, so the neighbour that
    follows it in order may seem to begin below it.
    """
    if not high > low:  # type: ignore[operator]
        return False
    if isinstance(high, str) and isinstance(low, str):
        raised = len(high.encode()) >= _RAISED_BYTES_MIN and ord(high[-1]) > 0
        return not (raised and high[:-1] + _before(high[-1]) <= low)
    if isinstance(high, bytes) and isinstance(low, bytes):
        raised = len(high) >= _RAISED_BYTES_MIN and high[-1] > 0
        return not (raised and high[:-1] + bytes([high[-1] - 1]) <= low)
    return True


def _before(character: str) -> str:
    code = ord(character) - 1
    return chr(code) if code not in _SURROGATES else chr(_SURROGATES.start - 1)
