"""Labels of directories: numbers in the order of paths, with room between them.

An entry carries the label of its directory, so that what lies below a directory is a range of
numbers, which zone maps prune; a prefix of a path prunes nothing. The order is the depth-first
pre-order of components, in which a directory comes before what is below it. A rank would do as
much, but one new directory would renumber every row behind it: labels leave a gap, in which new
directories find room between their neighbours.
"""

from __future__ import annotations

from typing import Final

GAP: Final = 1 << 20
"""Between the labels of neighbours after a first scan: 2^42 directories fit."""

OUTSIDE: Final = 0
"""Stands for the directory in which the root itself lies: it comes before all."""


def first_label(ordinal: int) -> int:
    """Return the label of a directory by its place in the order, from 0, on a first scan."""
    return (ordinal + 1) * GAP


def label_behind(label: int) -> int:
    """Return the label of a directory that comes right behind the one of `label`."""
    return label + 1
