"""What the tests of the result cache share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator

ON = {"result_cache_bytes": "8MB"}


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    """A store whose results are kept, with a small table."""
    with pagelake.connect(settings=ON) as opened:
        opened.execute(
            "CREATE TABLE t AS SELECT i, i % 7 AS g, 'x' || i AS s FROM range(1000) r(i)"
        )
        yield opened
