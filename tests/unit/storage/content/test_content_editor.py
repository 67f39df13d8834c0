"""Random writes over a content, against the same on a bytearray."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Closed, InvalidRequest
from pagelake.storage.content import content_editor
from pagelake.storage.content.tables import CHUNKS, EXTENTS
from tests.unit.storage.content.shelf import Shelf
from tests.unit.storage.content.test_content_store import KIB, MIB, noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.storage.content.content_editor import ContentEditor


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.close()


def edit(shelf: Shelf, handle: int = 1) -> ContentEditor:
    return shelf.contents.edit(shelf.store.snapshot(), shelf.file(handle))


def write(model: bytearray, offset: int, content: bytes) -> None:
    if not content:
        return
    model.extend(bytes(max(0, offset - len(model))))
    model[offset : offset + len(content)] = content


def step(random: Random, model: bytearray, editor: ContentEditor) -> None:
    size = len(model)
    match random.choice(("write", "write", "append", "far", "cut", "grow", "read")):
        case "write":
            offset, content = random.randint(0, size), random.randbytes(random.randint(0, 90_000))
            editor.write_at(offset, content)
            write(model, offset, content)
        case "append":
            content = random.randbytes(random.randint(1, 3000))
            editor.write_at(size, content)
            model += content
        case "far":
            offset = size + random.randint(0, 300_000)
            editor.write_at(offset, b"far away")
            write(model, offset, b"far away")
        case "cut":
            size = random.randint(0, size)
            editor.truncate(size)
            del model[size:]
        case "grow":
            more = random.randint(0, 200_000)
            editor.truncate(size + more)
            model.extend(bytes(more))
        case "read":
            offset, length = random.randint(0, size), random.randint(0, 200_000)
            assert editor.read_at(offset, length) == model[offset : offset + length]
    assert editor.size == len(model)


@pytest.mark.parametrize("seed", range(12))
def test_random_edits_do_what_they_do_to_plain_bytes(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(content_editor, "_BLOCKS_MAX", 3)
    random = Random(seed)
    model = bytearray(random.randbytes(random.choice((0, 100, 20_000, 700_000, 2_000_000))))
    shelf.put(1, bytes(model))
    for _ in range(4):
        with edit(shelf) as editor:
            for _ in range(random.randint(1, 8)):
                step(random, model, editor)
            assert editor.read_at(0, len(model) + 5) == model
            made = editor.finish()
        assert made.size == len(model)
        shelf.put(1, made)
        assert shelf.get(1) == model
    used = shelf.file(1).used
    shelf.put(1, shelf.contents.share(shelf.store.snapshot(), shelf.file(1)))
    assert (shelf.get(1), shelf.file(1).used) == (model, used)


def test_a_small_write_stores_little_of_a_large_content(shelf: Shelf) -> None:
    content = bytearray(noise(30 * MIB))
    shelf.put(1, bytes(content))
    chunks = shelf.rows(CHUNKS)
    with edit(shelf) as editor:
        editor.write_at(13 * MIB + 5, b"changed")
        write(content, 13 * MIB + 5, b"changed")
        made = editor.finish()
    assert made.staged is not None
    assert len(made.staged.relied) >= chunks - 5
    before = {group.id for group in shelf.store.snapshot().tables[EXTENTS].row_groups}
    shelf.put(1, made)
    assert shelf.rows(CHUNKS) <= chunks + 2
    # All rows of extents but one stay as they are.
    state = shelf.store.snapshot().tables[EXTENTS]
    assert before < {group.id for group in state.row_groups}
    assert sum(v.count for vectors in state.deletes.values() for v in vectors) == 1
    assert shelf.get(1) == content


def test_appending_again_and_again_leaves_no_crumbs(shelf: Shelf) -> None:
    content = bytearray(noise(40_000))
    shelf.put(1, bytes(content))
    for number in range(60):
        with edit(shelf) as editor:
            editor.write_at(editor.size, b"%03d" % number * 100)
            content += b"%03d" % number * 100
            shelf.put(1, editor.finish())
    extents = shelf.file(1).extents
    assert extents is not None
    assert len(extents) // 20 < len(content) // (2 * KIB)
    assert shelf.get(1) == content


def test_a_sparse_content_grows_without_room(shelf: Shelf) -> None:
    shelf.put(1, b"x")
    with edit(shelf) as editor:
        editor.truncate(5 << 30)
        editor.write_at((5 << 30) - 3, b"end!")
        assert editor.read_at((4 << 30) - 2, 4) == bytes(4)
        made = editor.finish()
    assert made.size == (5 << 30) + 1
    assert made.used < 200_000
    shelf.put(1, made)
    reader = shelf.contents.read(shelf.store.snapshot(), shelf.file(1))
    assert reader.read_at(0, 2) == b"x\0"
    assert reader.read_at((5 << 30) - 5, 100) == b"\0\0end!"
    with edit(shelf) as editor:
        editor.write_at(3 << 30, b"middle")
        shelf.put(1, editor.finish())
    reader = shelf.contents.read(shelf.store.snapshot(), shelf.file(1))
    assert reader.read_at((3 << 30) - 1, 8) == b"\0middle\0"
    assert reader.read_at((5 << 30) - 5, 100) == b"\0\0end!"


def test_an_edit_that_loses_a_race_lands_on_the_others_content(shelf: Shelf) -> None:
    """Last close wins: the content is the one that was edited, whatever came between."""
    content = bytearray(noise(9 * MIB))
    shelf.put(1, bytes(content))
    with edit(shelf) as editor:
        editor.write_at(4 * MIB, b"mine")
        made = editor.finish()
    write(content, 4 * MIB, b"mine")
    shelf.commit({1: made}, before=lambda: shelf.put(1, noise(8 * MIB, 5)))
    assert shelf.get(1) == content


def test_a_shrunken_content_becomes_a_small_one(shelf: Shelf) -> None:
    content = noise(300_000)
    shelf.put(1, content)
    with edit(shelf) as editor:
        editor.truncate(100)
        made = editor.finish()
    assert made.inline == content[:100]
    shelf.put(1, made)
    assert shelf.get(1) == content[:100]


def test_what_makes_no_sense_is_refused(shelf: Shelf) -> None:
    shelf.put(1, b"abc")
    editor = edit(shelf)
    assert not editor.changed
    with pytest.raises(InvalidRequest):
        editor.write_at(-1, b"x")
    with pytest.raises(InvalidRequest):
        editor.truncate(-1)
    editor.truncate(2)
    assert editor.changed
    editor.abort()
    with pytest.raises(Closed):
        editor.write_at(0, b"x")
