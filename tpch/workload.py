"""Everything a measurement works on: the Parquet files, a loaded store and DuckDB's own file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pagelake

from .generate import Progress, generate
from .runner import load_duckdb, load_pagelake, wait_until_hot
from .schema import TABLES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Phase", "Workload", "prepare"]

Phase = Callable[[str], AbstractContextManager[Progress]]
"""Begins a phase with a title and yields its progress callback, such as `console.steps`."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One scale factor, loaded into both engines.

    Attributes:
        scale_factor: Of the tables.
        parquet: Folder with one Parquet file per table.
        store: Pagelake store with all tables and a complete hot tier.
        database: DuckDB database file with all tables.
        scratch: Existing folder for what measurements create; they clean up after themselves.
        threads: Threads given to each engine.
    """

    scale_factor: float
    parquet: Path
    store: Path
    database: Path
    scratch: Path
    threads: int


def prepare(
    folder: Path, scale_factor: float, threads: int, phase: Phase, cache: Path | None = None
) -> Workload:
    """Generate the tables and load both engines, skipping what the folder already has.

    Args:
        folder: Existing folder that gets the store and the database file.
        scale_factor: Of the tables.
        threads: Threads for the generator and both engines.
        phase: How each phase is shown.
        cache: Where Parquet files are kept; the default cache when None.
    """
    with phase(f"Generate TPC-H SF {scale_factor:g}") as progress:
        parquet = generate(scale_factor, cache, threads=threads, progress=progress)
    label = f"tpch-sf{scale_factor:g}"
    store, database = folder / f"{label}.lake", folder / f"{label}.duckdb"
    # Either name means a finished load; an interrupted one leaves another name.
    with phase("Load into Pagelake") as progress:
        if not store.exists():
            unfinished = store.with_suffix(".partial-lake")
            shutil.rmtree(unfinished, ignore_errors=True)
            _load_store(unfinished, parquet, threads, progress)
            unfinished.rename(store)
    with phase("Load into DuckDB") as progress:
        if not database.exists():
            unfinished = database.with_suffix(".partial-duckdb")
            unfinished.unlink(missing_ok=True)
            load_duckdb(unfinished, parquet, threads, progress)
            unfinished.rename(database)
    return Workload(scale_factor, parquet, store, database, folder, threads)


def _load_store(store: Path, parquet: Path, threads: int, progress: Progress) -> None:
    def step(name: str, done: int, total: int) -> None:
        # One step more than there are tables: the hot tier, which may lag behind the last.
        progress("hot tier" if done == total else name, done, total + 1)

    with pagelake.connect(store, settings={"threads": threads}) as connection:
        load_pagelake(connection, parquet, step)
        wait_until_hot(connection)
    progress("done", len(TABLES) + 1, len(TABLES) + 1)
