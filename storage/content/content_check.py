"""Whether contents hold together: reference -> chunk -> pack, and what a delta was made against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ...errors import Error
from .content_pages import pages_of_state
from .table_rows import chunk_rows, is_delta, referring, windows
from .tables import PACKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import numpy.typing as npt

    from ..keys.key_run import Integers
    from ..page_store import PageStore
    from ..snapshot import Snapshot
    from .hashing import Words
    from .table_rows import Window

_TOLD_MAX: Final = 20
"""Handles that are told; of more it is said how many there are."""


def told(handles: Integers) -> str:
    """Handles in words."""
    several = np.unique(handles)
    named = ", ".join(str(handle) for handle in several[:_TOLD_MAX].tolist())
    more = several.size - _TOLD_MAX
    noun = "handle" if several.size == 1 else "handles"
    return f"files with {noun} {named}" + (f" and {more} more" if more > 0 else "")


def handles_of_packs(pages: PageStore, snapshot: Snapshot, packs: Collection[int]) -> Integers:
    """The elements whose content needs some packs."""
    wanted = np.array(sorted(packs), dtype=np.int64)
    none = np.empty(0, dtype=np.int64)
    lost = [rows.words[np.isin(rows.packs, wanted), 0] for rows in chunk_rows(pages, snapshot)]
    first = np.unique(np.concatenate([none, *lost]))
    # Deltas that were made against what is lost are lost as well.
    for rows in chunk_rows(pages, snapshot):
        if rows.bases.size and np.isin(rows.bases[:, 0], first).any():
            first = np.union1d(first, rows.words[is_delta(rows.codecs), 0])
    found = [
        part.handles[np.isin(part.extents["first"], first)] for part in referring(pages, snapshot)
    ]
    return np.unique(np.concatenate([none, *found]))


def contradictions(pages: PageStore, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What does not hold together at a snapshot.

    Memory: some 200 MiB, however many chunks there are.

    Returns:
        What is wrong, and what it affects. Nothing where a table cannot be read: its pages are
        looked at elsewhere.
    """
    try:
        lengths = _pack_lengths(pages, snapshot)
        for window in windows(snapshot):
            yield from _in_window(pages, snapshot, window, lengths)
    except Error:
        return


def _pack_lengths(pages: PageStore, snapshot: Snapshot) -> tuple[Integers, Integers]:
    """Packs in order, and their lengths."""
    state = snapshot.tables.get(PACKS)
    none = np.empty(0, dtype=np.int64)
    if state is None:
        return none, none
    several = [places for _, places in pages_of_state(pages, state)]
    packs = np.concatenate([none, *(places["pack"] for places in several)])
    lengths = np.concatenate([none, *(places["length"].astype(np.int64) for places in several)])
    order = np.argsort(packs, kind="stable")
    return packs[order], lengths[order]


def _in_window(
    pages: PageStore, snapshot: Snapshot, window: Window, packs: tuple[Integers, Integers]
) -> Iterator[tuple[str, str]]:
    words, lengths, whole, bases = _chunks(pages, snapshot, window, packs)
    named, longs = words[0], lengths
    for text, count in words[1].items():
        yield f"{count} rows of file_data.chunks {text}", "contents that need them"
    missing = ~_among(bases, named[whole])
    if missing.any():
        said = f"{int(missing.sum())} deltas were made against chunks that are not there"
        yield said, "contents that need them"
    lost: list[Integers] = []
    for part in referring(pages, snapshot):
        first, second = part.extents["first"], part.extents["second"]
        inside = (first >= window[0]) & (first <= window[1])
        wanted = np.stack([first[inside], second[inside]], axis=1)
        there = _among(wanted, named)
        at = np.minimum(named[:, 0].searchsorted(wanted[:, 0]), max(len(named) - 1, 0))
        if len(named):
            there &= longs[at] == part.extents["length"][inside]
        lost.append(part.handles[inside][~there])
    handles = np.concatenate([np.empty(0, dtype=np.int64), *lost])
    if handles.size:
        yield f"{handles.size} extents refer to chunks that are not there", told(handles)


def _chunks(
    pages: PageStore, snapshot: Snapshot, window: Window, packs: tuple[Integers, Integers]
) -> tuple[tuple[Words, dict[str, int]], Integers, npt.NDArray[np.bool_], Words]:
    """Chunks of a window by their code: references, what is wrong, lengths, whole ones; bases."""
    words, lengths, whole = [], [], []
    bases = [np.empty((0, 2), dtype=np.int64)]
    wrong: dict[str, int] = {}

    def note(text: str, bad: npt.NDArray[np.bool_]) -> None:
        if bad.any():
            wrong[text] = wrong.get(text, 0) + int(bad.sum())

    for rows in chunk_rows(pages, snapshot):
        inside = rows.within(window)
        of_base = (rows.bases[:, 0] >= window[0]) & (rows.bases[:, 0] <= window[1])
        bases.append(rows.bases[of_base])
        words.append(rows.words[inside, :2])
        lengths.append(rows.lengths[inside])
        whole.append(~is_delta(rows.codecs[inside]))
        at = packs[0].searchsorted(rows.packs)
        known = at < packs[0].size
        known[known] = packs[0][at[known]] == rows.packs[known]
        note("are in packs that are not there", inside & ~known)
        ends = np.zeros(rows.packs.size, dtype=np.int64)
        ends[known] = packs[1][at[known]]
        beyond = (rows.starts < 0) | (rows.stored < 0) | (rows.starts + rows.stored > ends)
        note("lie beyond the end of their pack", inside & known & beyond)
    if not words:
        none = np.empty((0, 2), dtype=np.int64)
        return (none, wrong), none[:, 0], none[:, 0].astype(bool), bases[0]
    named = np.concatenate(words)
    order = np.lexsort((named[:, 1], named[:, 0]))
    return (
        (named[order], wrong),
        np.concatenate(lengths)[order],
        np.concatenate(whole)[order],
        np.concatenate(bases),
    )


def _among(wanted: Words, named: Words) -> npt.NDArray[np.bool_]:
    """Tell which references are among sorted ones."""
    there: npt.NDArray[np.bool_] = np.zeros(len(wanted), dtype=bool)
    if not len(named) or not len(wanted):
        return there
    at = np.minimum(named[:, 0].searchsorted(wanted[:, 0]), len(named) - 1)
    there = (named[at] == wanted).all(axis=1)
    # Several chunks with one code are looked at one by one: there is next to never one.
    for doubtful in np.flatnonzero(~there & (named[at, 0] == wanted[:, 0])).tolist():
        same = named[named[:, 0] == wanted[doubtful, 0]]
        there[doubtful] = bool((same[:, 1] == wanted[doubtful, 1]).any())
    return there
