"""TPC-H at scale factor 0.01, generated once per test process, and loaded into stock DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pagelake.tpch.extras import MissingPackage
from pagelake.tpch.generate import generate
from pagelake.tpch.runner import load_duckdb

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tpch_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds scale factor 0.01."""
    cache = tmp_path_factory.mktemp("tpch-cache")
    try:
        generate(0.01, cache, threads=2)
    except MissingPackage as missing:
        pytest.skip(str(missing))
    return cache


@pytest.fixture(scope="session")
def parquet(tpch_cache: Path) -> Path:
    """The folder of Parquet files."""
    return tpch_cache / "sf0.01"


@pytest.fixture(scope="session")
def database(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file with the eight tables."""
    path = tmp_path_factory.mktemp("tpch-duckdb") / "tpch.duckdb"
    load_duckdb(path, parquet, threads=2)
    return path
