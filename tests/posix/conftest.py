from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import pagelake

from .mounts import mounted, require_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("posix") / "my.lake"
    pagelake.connect(path).close()
    return path


@pytest.fixture(scope="session")
def mount(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One mount for all tests of a worker; it takes more than a second to start."""
    require_mounts()
    options = ["--allow-other"] if os.geteuid() == 0 else []
    with mounted(store, tmp_path_factory.mktemp("mount"), *options) as directory:
        yield directory


@pytest.fixture
def place(mount: Path, request: pytest.FixtureRequest) -> Path:
    """A directory of the test's own, in the mount."""
    directory = mount / request.node.name.replace("/", "_")[:200]
    directory.mkdir()
    return directory
