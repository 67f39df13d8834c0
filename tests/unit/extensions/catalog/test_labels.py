"""Labels stay in the order of paths, whatever comes and goes between them."""

from __future__ import annotations

from random import Random

import numpy as np

from pagelake.extensions.catalog.block import order_key
from pagelake.extensions.catalog.labels import GAP, filled, first_label


def test_labels_that_are_there_stay() -> None:
    there = np.array([first_label(at) for at in range(5)])
    assert (filled(there) == there).all()
    given = np.insert(there, [2, 2, 5], -1)
    found = filled(given)
    assert (found[given >= 0] == there).all()
    assert (np.diff(found) > 0).all()
    assert 2 * GAP < found[2] < found[3] < 3 * GAP


def test_random_directories_are_labelled_in_their_order() -> None:
    random = Random(3)
    known: dict[bytes, int] = {b"/": GAP}
    for turn in range(150):
        paths = sorted(known)
        if turn % 7 == 0:
            top = random.choice(paths[1:] or [b"/none"])
            known = {p: at for p, at in known.items() if p != top and not p.startswith(top + b"/")}
        crowded = random.choice(sorted(known))
        new = set()
        for _ in range(random.choice((1, 3, 60))):
            below = crowded if random.random() < 0.7 else random.choice(sorted(known))
            new.add(below.rstrip(b"/") + b"/" + str(random.randint(0, 999)).encode())
        order = sorted({*known, *new}, key=order_key)
        found = filled(np.array([known.get(path, -1) for path in order]))
        assert found[0] > 0
        assert (np.diff(found) > 0).all(), turn
        known = dict(zip(order, found.tolist(), strict=True))


def test_a_gap_that_is_used_up_moves_few_others() -> None:
    many = np.array([first_label(at) for at in range(10_000)])
    moved = 0
    for _ in range(200):
        given = np.insert(many, 5_000, -1)
        found = filled(given)
        assert (np.diff(found) > 0).all()
        moved += int((found != given)[given >= 0].sum())
        many = found
    assert 0 < moved < 200


def test_windows_that_meet_are_labelled_once() -> None:
    given = np.array([1, -1, -1, 2, -1, -1, 3, -1, 4, 2**40])
    found = filled(given)
    assert (np.diff(found) > 0).all()
    assert (filled(found) == found).all()
