"""Roll-ups and labels of made-up blocks: mounts that are not entered, sizes beyond all numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pagelake.extensions.catalog import rollups
from pagelake.extensions.catalog.block import ENTRY, Block
from pagelake.extensions.catalog.labels import GAP
from pagelake.extensions.catalog.rollups import DirectoryTotals

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE, DIRECTORY = 0o100644, 0o040755


def entry(mode: int, size: int = 1, mtime: int = 0, device: int = 1) -> np.void:
    made = np.zeros(1, ENTRY)
    for name, value in (("mode", mode), ("size", size), ("used", 2), ("mtime", mtime)):
        made[name] = value
    made["device"] = device
    return made[0]  # type: ignore[no-any-return]


def block(path: bytes, own: np.void, **entries: np.void) -> Block:
    names = sorted(name.encode() for name in entries)
    rows = [entries[name.decode()] for name in names]
    return Block(path, own, names, np.array(rows, dtype=ENTRY))


def totals_of(blocks: Sequence[Block]) -> tuple[dict[str, dict[str, Any]], DirectoryTotals]:
    totals = DirectoryTotals()
    passed = list(totals.watch(blocks))
    assert [b.path for b in passed] == [b.path for b in blocks]
    rows = pa.Table.from_batches(list(totals.tables())).to_pylist()
    return {row["path"]: row for row in rows}, totals


def test_a_directory_counts_itself_and_all_below_it() -> None:
    d = entry(DIRECTORY, 10, mtime=5)
    rows, totals = totals_of(
        [
            block(b"/r", d, a=d, b=d, f=entry(FILE, 100, mtime=7)),
            block(b"/r/a", d, c=d),
            block(b"/r/a/c", d, f=entry(FILE, 1000, mtime=9), g=entry(FILE, 1)),
            block(b"/r/b", d),
        ]
    )
    told = {
        path: (row["entries"], row["directories"], row["bytes"], row["used"], row["depth"])
        for path, row in rows.items()
    }
    assert told == {
        "/r": (7, 4, 1141, 14, 0),
        "/r/a": (4, 2, 1021, 8, 1),
        "/r/a/c": (3, 1, 1011, 6, 2),
        "/r/b": (1, 1, 10, 2, 1),
    }
    assert {p: (r["own_entries"], r["own_bytes"]) for p, r in rows.items()} == {
        "/r": (2, 110), "/r/a": (1, 10), "/r/a/c": (3, 1011), "/r/b": (1, 10)
    }  # fmt: skip
    newest = {p: (r["newest_mtime"].value, r["own_newest_mtime"].value) for p, r in rows.items()}
    assert newest == {"/r": (9, 7), "/r/a": (9, 5), "/r/a/c": (9, 9), "/r/b": (5, 5)}
    assert totals.entries_below().tolist() == [7, 4, 3, 1]
    assert totals.parents.tolist() == [-1, 0, 1, 0]


@pytest.mark.parametrize("chunk", [1, 1000])
def test_directories_that_are_not_entered_have_rows_and_labels(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "CHUNK_ENTRIES", chunk)
    d, mount = entry(DIRECTORY, 10), entry(DIRECTORY, 30, mtime=8, device=2)
    rows, _ = totals_of(
        [
            block(b"/", d, a=d, m=mount, z=d),
            block(b"/a", d, m=mount, x=d),
            block(b"/a/x", d),
            block(b"/z", d, y=mount),
        ]
    )
    in_order = sorted(rows, key=lambda path: rows[path]["label"])
    assert in_order == ["/", "/a", "/a/m", "/a/x", "/m", "/z", "/z/y"]
    assert rows["/a/m"]["label"] == rows["/a"]["label"] + 1
    assert rows["/a"]["last_label"] == rows["/a/x"]["label"] == 3 * GAP
    assert rows["/m"]["last_label"] == rows["/m"]["label"]
    assert (rows["/z/y"]["entries"], rows["/z/y"]["bytes"], rows["/z/y"]["depth"]) == (1, 30, 2)
    assert (rows["/"]["entries"], rows["/"]["directories"], rows["/"]["bytes"]) == (7, 7, 130)
    assert rows["/"]["newest_mtime"].value == 8


def test_labels_are_asked_for_in_the_order_of_blocks() -> None:
    d = entry(DIRECTORY)
    blocks = [block(b"/r/s", d, a=d, f=entry(FILE)), block(b"/r/s/a", d, g=entry(FILE))]
    totals = DirectoryTotals()
    list(totals.watch(blocks))
    assert [totals.label(path) for path in (b"/r", b"/r/s", b"/r/s", b"/r/s/a")] == [
        0, GAP, GAP, 2 * GAP
    ]  # fmt: skip


def test_sizes_beyond_all_numbers_are_the_largest() -> None:
    d, huge = entry(DIRECTORY, 0), entry(FILE, 2**63 - 1)
    rows, _ = totals_of([block(b"/r", d, a=d, f=huge, g=huge), block(b"/r/a", d, f=entry(FILE, 5))])
    assert rows["/r"]["bytes"] == 2**63 - 1
    assert rows["/r/a"]["bytes"] == 5
