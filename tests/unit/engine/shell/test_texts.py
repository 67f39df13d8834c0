"""Numbers as people read them."""

from __future__ import annotations

import pytest

from pagelake.engine.shell.texts import bytes_text, count_text


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1023, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (150 << 10, "150 KiB"),
        (3 << 30, "3.0 GiB"),
        (2**60, "1024 PiB"),
    ],
)
def test_bytes_are_told_in_units(count: int, told: str) -> None:
    assert bytes_text(count) == told


def test_one_is_told_without_an_s() -> None:
    assert [count_text(n, "row") for n in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]
