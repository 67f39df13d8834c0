"""fsspec's own suite for file systems, all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fsspec")

from fsspec.tests import abstract

from pagelake.engine.clients.fsspec import PagelakeFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls) -> Iterator[PagelakeFileSystem]:
        # In memory, because the suite makes thousands of commits; tests/clients/test_fsspec.py is
        # about stores on disk.
        yield PagelakeFileSystem(store=":memory:", skip_instance_cache=True)

    @pytest.fixture
    def fs_path(self) -> str:
        return ""

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass
