"""Labels of directories: numbers in the order of paths, with room between them.

An entry carries the label of its directory, so that what lies below a directory is a range of
numbers, which zone maps prune; a prefix of a path prunes nothing. The order is the depth-first
pre-order of components, in which a directory comes before what is below it. A rank would do as
much, but one new directory would renumber every row behind it: labels leave a gap, in which new
directories find room between their neighbours (`filled`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP: Final = 1 << 20
"""Between the labels of neighbours after a first scan: 2^42 directories fit."""

OUTSIDE: Final = 0
"""Stands for the directory in which the root itself lies: it comes before all."""

LABEL_MAX: Final = 1 << 62

ROOM: Final = 1 << 8
"""Labels to be free for each directory of a window that is labelled anew."""

Labels = Any
"""An array of int64, one label a directory, rising."""


def first_label(ordinal: int) -> int:
    """Return the label of a directory by its place in the order, from 0, on a first scan."""
    return (ordinal + 1) * GAP


def label_behind(label: int) -> int:
    """Return the label of a directory that comes right behind the one of `label`."""
    return label + 1


def filled(labels: Labels) -> Labels:
    """Give labels to directories that have none, between those of their neighbours.

    Where a gap is used up, the directories around it are labelled anew too: as few as have room
    for some time to come.

    Args:
        labels: In the order of paths; negative for directories without a label. The others rise.

    Returns:
        Labels for all, rising; mostly those that were there.
    """
    result = labels.copy()
    starts, ends = _runs(result < 0)
    if not len(starts):
        return result
    count = ends - starts
    low = np.where(starts > 0, result[starts - 1], OUTSIDE)
    behind = result[np.minimum(ends, len(result) - 1)]
    high = np.where(ends < len(result), behind, low + (count + 1) * GAP)
    fits = (high - low > count) & (high < LABEL_MAX)
    at = np.flatnonzero(fits)
    if len(at):
        _spread(result, starts[at], count[at], low[at], high[at])
    for start, end in zip(starts[~fits].tolist(), ends[~fits].tolist(), strict=True):
        if (result[start:end] < 0).any():  # not yet part of a window around another run
            _relabel(result, start, end)
    return result


def _runs(missing: NDArray[np.bool_]) -> tuple[Labels, Labels]:
    """Return where runs of missing labels begin, and where they end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    return edges[::2], edges[1::2]


def _spread(result: Labels, starts: Labels, count: Labels, low: Labels, high: Labels) -> None:
    """Fill runs evenly between the labels before and behind them."""
    ordinal = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count) + 1
    places = np.repeat(starts, count) + ordinal - 1
    room, parts = np.repeat(high - low, count), np.repeat(count + 1, count)
    step = room // parts
    # Where there is room the product of a step is exact; without it, fractions are spread.
    offset = np.where(step > 0, step * ordinal, room * ordinal // parts)
    result[places] = np.repeat(low, count) + offset


def _relabel(result: Labels, start: int, end: int) -> None:
    """Label a run anew with as many of its neighbours as it takes to make room."""
    total, width = len(result), end - start
    while True:
        first, behind = max(0, start - width), min(total, end + width)
        low = int(result[first - 1]) if first else OUTSIDE
        whole = first == 0 and behind == total
        high = int(result[behind]) if behind < total else low + (behind - first + 1) * GAP
        # Another run, still without labels, may lie at the edge.
        is_edge = low < 0 or (behind < total and result[behind] < 0)
        if whole or (not is_edge and min(high, LABEL_MAX) - low > (behind - first + 1) * ROOM):
            break
        width *= 2
    step = (min(high, LABEL_MAX) - low) // (behind - first + 1)
    assert step > 0, "there are fewer directories than labels"
    result[first:behind] = low + step * np.arange(1, behind - first + 1)
