"""Frames and deltas: shorter where it pays, whole again, and never taken for something else."""

from __future__ import annotations

import pytest
import zstandard

from pagelake.errors import Corrupt
from pagelake.storage.content.squeeze import (
    FRAME_BYTES_MAX,
    Squeezer,
    delta_of,
    undelta,
    unframe,
)
from tests.unit.storage.content.test_content_store import noise, words


def test_text_pays_and_noise_does_not() -> None:
    squeezer = Squeezer()
    assert squeezer.pays(words(8192))
    assert not Squeezer().pays(noise(8192))
    frame = squeezer.frame(words(100_000))
    assert frame is not None
    assert unframe(frame + b"what comes next") == words(100_000)
    assert squeezer.frame(noise(100_000)) is None


def test_a_delta_is_whole_again() -> None:
    base = noise(20_000)
    piece = base[3000:9000] + b"new" + base[9000:12_000]
    delta = delta_of(piece, base)
    assert delta is not None
    assert len(delta) < 200
    assert undelta(delta, len(piece), [base[:7000], base[7000:]]) == piece
    assert delta_of(noise(8000, 2), base) is None


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"no frame at all",
        zstandard.ZstdCompressor().compress(bytes(FRAME_BYTES_MAX + 1)),
        zstandard.ZstdCompressor().compress(noise(5000))[:-100],
        zstandard.ZstdCompressor(write_content_size=False).compress(b"of unknown length"),
    ],
)
def test_what_is_no_frame_is_corrupt(wrong: bytes) -> None:
    with pytest.raises(Corrupt):
        unframe(wrong)


def test_what_is_no_delta_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        undelta(b"none", 5, [b"base"])
    delta = delta_of(noise(8000), noise(8000))
    assert delta is not None
    with pytest.raises(Corrupt):
        undelta(delta, 100, [noise(8000)])
