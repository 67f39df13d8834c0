"""What all tests share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pathlib import Path

# A shared continuous-integration machine is slow at times; a test that fails for its clock says
# nothing. Derandomised there: a failure must come back on the next run.
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure() -> None:
    # A shell that runs the tests in the background has Ctrl-C ignored, by all processes below too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-goldens",
        action="store_true",
        help="rewrite the expected parts of SQL and plan tests instead of comparing with them",
    )


@pytest.fixture
def rewrite_goldens(request: pytest.FixtureRequest) -> bool:
    """Whether expected results are to be rewritten from what the engine answers."""
    return bool(request.config.getoption("--rewrite-goldens"))


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """A path at which a store may be created."""
    return tmp_path / "test.lake"
