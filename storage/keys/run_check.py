"""Checking what key runs and appends tell of keys against the rows that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import Corrupt
from ..row_group import read_columns
from .codes import key_codes, mix, signature
from .key_run import DENSE, HASHED, ORDERED

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..effects import Append, TableDefinition
    from ..page_store import PageStore
    from ..snapshot import TableState
    from .codes import Codes
    from .key_run import Integers, KeyRun


def contradiction(run: KeyRun, state: TableState, pages: PageStore) -> str | None:
    """What a run says that its rows, as far as they are still there, do not; None when nothing.

    Memory: the run once more, and the codes of its rows.

    Raises:
        Corrupt: The run or a row group is damaged.
    """
    by_id = {c.id: c for c in state.definition.columns}
    columns = [by_id[column] for column in run.columns if column in by_id]
    if len(columns) < len(run.columns) or run.types != signature([c.arrow_type for c in columns]):
        return None  # a key that the table no longer has
    groups = {group.id: group for group in state.row_groups}
    expected, present = [], []
    live = np.zeros(sum(run.rows), dtype=bool)
    for name, rows, start in zip(run.groups, run.rows, run.starts.tolist(), strict=True):
        group = groups.get(name)
        if group is None:
            continue
        if group.rows != rows:
            return f"counts {rows} rows in row group {name}, which has {group.rows}"
        found = key_codes(read_columns(pages, state.definition, group, columns))
        live[start : start + rows] = True
        numbers = np.arange(start, start + rows, dtype=np.int64)
        codes = found.codes
        if found.valid is not None:
            codes, numbers = codes[found.valid], numbers[found.valid]
        expected.append(codes)
        present.append(numbers)
    if not present:
        return None
    codes, numbers = np.concatenate(expected), np.concatenate(present)
    if _tells(run, pages, codes, numbers, live):
        return None
    return "does not tell the keys of its rows"


def told_wrongly(append: Append, definition: TableDefinition, pages: PageStore) -> str | None:
    """What an append tells of keys that its rows do not have; None when nothing.

    Rows that cannot be read are left to whoever checks rows.
    """
    by_id = {c.id: c for c in (*definition.columns, *definition.dropped)}
    for key in append.keys:
        columns = [by_id[column] for column in key.columns if column in by_id]
        if len(columns) < len(key.columns):
            continue  # of a table that was made and dropped by the same record
        codes = []
        try:
            for group in append.row_groups:
                found = key_codes(read_columns(pages, definition, group, columns))
                codes.append(found.codes if found.valid is None else found.codes[found.valid])
        except Corrupt:
            return None
        if not codes or np.concatenate(codes).astype("<u8").tobytes() != key.codes:
            return f"an append does not tell the keys of its rows on columns {key.columns}"
    return None


def _tells(
    run: KeyRun, pages: PageStore, codes: Codes, numbers: Integers, live: npt.NDArray[np.bool_]
) -> bool:
    """Tell whether of the rows that are there a run has those with a key, and no others.

    Args:
        run: The run.
        pages: Where it lies.
        codes: Codes of the rows that are there and have a key.
        numbers: Their numbers in the run.
        live: For each row of the run, whether its row group is there.
    """
    if run.form == DENSE:
        if not codes.size:
            return not run.entries
        stated = np.uint64(run.low) + numbers.astype(np.uint64)
        return bool((stated == codes).all()) and run.entries == run.high - run.low + 1
    words = run.words(pages)
    if words.size > 1 and bool((words[1:] < words[:-1]).any()):
        return False
    if run.form == ORDERED:
        return bool((numbers < words.size).all()) and bool((words[numbers] == codes).all())
    below = np.uint64((1 << run.bits) - 1)
    if codes.size and not run.low <= int(codes.min()) <= int(codes.max()) <= run.high:
        return False
    upper = mix(codes) & ~below
    if run.form != HASHED:
        upper = (codes - np.uint64(run.low)) << np.uint64(run.bits)
    wanted = np.sort(upper | numbers.astype(np.uint64))
    rows = (words & below).astype(np.int64)
    if rows.size and int(rows.max()) >= live.size:
        return False
    return bool(np.array_equal(words[live[rows]], wanted))
