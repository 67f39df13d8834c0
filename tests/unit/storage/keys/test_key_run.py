"""Key runs: built in each form, searched, read from their page, and told from damaged ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Corrupt
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import RowGroup
from pagelake.storage.environment import Environment
from pagelake.storage.keys import run_builder
from pagelake.storage.keys.codes import key_codes
from pagelake.storage.keys.run_builder import RunBuilder
from pagelake.storage.page import segment_name
from pagelake.storage.page_store import PageStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pagelake.storage.keys.key_run import KeyRun

SHUFFLED = np.random.default_rng(3).permutation(5000)
KEYS: dict[str, pa.Array] = {
    "dense": pa.array(np.arange(100, 5100)),
    "ordered": pa.array(np.arange(5000) ** 3),
    "packed": pa.array(SHUFFLED - 2500),
    "hashed": pa.array([f"name {n}" for n in SHUFFLED]),
}


def built(keys: pa.Array, groups: int = 4) -> list[run_builder.BuiltRun]:
    builder = RunBuilder((1,), [keys.type])
    rows = len(keys) // groups
    for start in range(0, len(keys), 777):
        builder.observe([keys.slice(start, 777)])
    return builder.runs([RowGroup(f"g{n}", rows) for n in range(groups)])


def rows_of(run: KeyRun, pages: PageStore, keys: pa.Array) -> set[tuple[int, int]]:
    index, row = run.search(key_codes([keys]).codes, pages)
    return set(zip(index.tolist(), row.tolist(), strict=True))


@pytest.fixture
def pages() -> PageStore:
    return PageStore(MemoryDevice(), bytes(16), Environment())


@pytest.mark.parametrize("form", KEYS)
def test_search(form: str, pages: PageStore) -> None:
    keys = KEYS[form]
    (found,) = built(keys)
    assert found.run.form == form
    writer = pages.writer()
    run = found.write(writer)
    writer.sync()
    wanted = [4999, 0, 17, 0, 1250]
    assert rows_of(run, pages, keys.take(pa.array(wanted))) == set(enumerate(wanted))
    assert (run.page is None) == (form == "dense")
    missing = key_codes([pa.array([-1, 1 << 40]) if form != "hashed" else pa.array(["", "x"])])
    if form == "packed":
        missing = key_codes([pa.array([-2501, 2500])])
    assert run.search(missing.codes, pages)[0].size == 0
    assert run.matches(key_codes([keys]).codes, pages).all()
    assert not run.matches(missing.codes, pages).any()
    group, position = run.place(np.array([0, 1249, 1250, 4999]))
    assert group.tolist() == [0, 0, 1, 3]
    assert position.tolist() == [0, 1249, 0, 1249]


def test_rows_without_a_key_have_no_entry(pages: PageStore) -> None:
    keys = pa.array([None, 3, None, 1, 2, None, 4, 5])
    (found,) = built(keys, groups=2)
    assert found.run.entries == 5
    assert rows_of(found.run, pages, pa.array([1, 2, 3, 0])) == {(0, 3), (1, 4), (2, 1)}
    (nothing,) = built(pa.nulls(8, pa.int64()), groups=2)
    assert nothing.run.entries == 0
    assert rows_of(nothing.run, pages, pa.array([0, 1])) == set()


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([1, 1, 2, 3]),
        pa.array([3, 1, 2, 1]),
        pa.array(["a", "b", "c", "a"]),
    ],
    ids=["ordered", "packed", "hashed"],
)
def test_keys_that_come_twice(keys: pa.Array, pages: PageStore) -> None:
    (found,) = built(keys, groups=2)
    left, right = found.repeated()
    twice = [(a, b) for a in range(4) for b in range(a + 1, 4) if keys[a] == keys[b]]
    assert [
        tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)
    ] == twice
    assert len(rows_of(found.run, pages, keys.take(pa.array([twice[0][0]])))) == 2


def test_very_many_rows_make_several_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_builder, "RUN_ROWS_MAX", 2500)
    runs = [b.run for b in built(KEYS["packed"])]
    assert [run.groups for run in runs] == [("g0", "g1"), ("g2", "g3")]


def test_a_range_too_wide_to_pack_is_hashed(pages: PageStore) -> None:
    keys = pa.array([5, -(1 << 62), 1 << 62, 0])
    (found,) = built(keys, groups=1)
    assert found.run.form == "hashed"
    assert rows_of(found.run, pages, keys) == {(0, 0), (1, 1), (2, 2), (3, 3)}


def flips(length: int) -> Sequence[int]:
    return [0, 8 * 40 + 3, 8 * length - 1, 8 * (length // 2)]


def test_a_flipped_bit_is_noticed() -> None:
    device = MemoryDevice()
    pages = PageStore(device, bytes(16), Environment())
    (found,) = built(KEYS["packed"])
    writer = pages.writer()
    run = found.write(writer)
    writer.sync()
    assert run.page is not None
    name = segment_name(run.page.segment)
    content = bytes(device.read(name))
    for bit in flips(64 + run.page.length):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        other = MemoryDevice()
        file = other.create(name)
        file.append(bytes(damaged))
        file.sync()
        copy = replace(run, _words=None)
        with pytest.raises(Corrupt):
            copy.search(
                key_codes([pa.array([1])]).codes, PageStore(other, bytes(16), Environment())
            )
