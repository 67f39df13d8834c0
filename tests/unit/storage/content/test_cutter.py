"""Cuts: they cover the bytes, keep the bounds, do not depend on blocks, and come again."""

from __future__ import annotations

import pytest

from pagelake.storage.content import chunk_stream, cutter
from pagelake.storage.content.cutter import LEVELS, FastCutter, Level, PlainCutter, level_at
from tests.unit.storage.content.shelf import Shelf
from tests.unit.storage.content.test_content_store import MIB, noise, words

KINDS = [FastCutter, PlainCutter]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("content", [noise(3 * MIB), words(3 * MIB), bytes(3 * MIB), b"x", b""])
def test_cuts_cover_everything_within_bounds(
    kind: type[FastCutter | PlainCutter], level: Level, content: bytes
) -> None:
    lengths = kind(level).lengths(memoryview(content))
    assert sum(lengths) == len(content)
    assert all(level.least <= length <= level.most for length in lengths[:-1])
    if len(content) > 1 and any(content[:100]):
        assert len(lengths) >= 3 * MIB // (4 * level.average)


@pytest.mark.parametrize("kind", KINDS)
def test_cuts_come_again_behind_an_edit(kind: type[FastCutter | PlainCutter]) -> None:
    content = noise(2 * MIB)
    edited = content[:MIB] + b"inserted" + content[MIB:]

    def chunks(whole: bytes) -> set[bytes]:
        found, at = set(), 0
        for length in kind(LEVELS[0]).lengths(memoryview(whole)):
            found.add(whole[at : at + length])
            at += length
        return found

    before, after = chunks(content), chunks(edited)
    assert len(after - before) <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_contents_are_stored_whichever_way_they_are_cut(
    monkeypatch: pytest.MonkeyPatch, kind: type[FastCutter | PlainCutter]
) -> None:
    monkeypatch.setattr(chunk_stream, "cutter", kind)
    shelf = Shelf()
    content = noise(MIB) + words(MIB)
    shelf.put(1, content)
    packs = shelf.rows("file_data.packs")
    shelf.put(2, content)
    assert shelf.get(1) == shelf.get(2) == content
    assert shelf.rows("file_data.packs") == packs
    shelf.close()


def test_without_the_compiled_package_numpy_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(cutter.cutter(LEVELS[0]), FastCutter)
    monkeypatch.setattr(cutter, "HAS_COMPILED", False)
    assert isinstance(cutter.cutter(LEVELS[0]), PlainCutter)


def test_chunks_grow_with_their_place() -> None:
    assert [level_at(at) for at in (0, (256 << 20) - 1, 256 << 20, 16 << 30, 1 << 50)] == [
        LEVELS[0], LEVELS[0], LEVELS[1], LEVELS[2], LEVELS[2],
    ]  # fmt: skip
