"""The generator of synthetic trees makes trees that a walk could have found."""

from __future__ import annotations

import numpy as np

from pagelake.extensions.catalog.block import order_key
from tests.catalog.generate import ENTRIES_A_DIRECTORY, ROOT, generate


def test_a_synthetic_tree_is_a_tree_in_the_order_of_a_walk() -> None:
    blocks = list(generate(5_000).blocks())
    keys = [order_key(block.path) for block in blocks]
    assert keys == sorted(set(keys))
    assert blocks[0].path == ROOT.encode()
    listed = {block.path for block in blocks}
    below = set()
    for block in blocks:
        assert block.names == sorted(set(block.names))
        directories = (block.entries["mode"] & 0o170000) == 0o040000
        below |= {
            block.path + b"/" + name
            for name, is_directory in zip(block.names, directories, strict=True)
            if is_directory
        }
    assert below == listed - {ROOT.encode()}
    assert sum(len(block.names) for block in blocks) == 5_000
    assert len(blocks) == 5_000 // ENTRIES_A_DIRECTORY


def test_a_directory_is_told_of_as_in_its_parent() -> None:
    tree = generate(2_000)
    by_path = {block.path: block for block in tree.blocks()}
    for path, block in by_path.items():
        if path != ROOT.encode():
            parent, _, name = path.rpartition(b"/")
            above = by_path[parent]
            assert above.entries[above.names.index(name)] == block.own


def test_the_same_seed_gives_the_same_tree() -> None:
    first, again, other = generate(1_000), generate(1_000), generate(1_000, seed=8)
    assert first.names == again.names
    assert np.array_equal(first.entries, again.entries)
    assert first.names != other.names
