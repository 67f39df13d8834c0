"""Measurements of answering: warm, without the hot tier, from a fresh process, and overhead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

import pagelake

from . import child
from .compare import race
from .figures import Figure, Measurement, race_figures
from .query import Query, queries
from .sides import DataFusion, DuckDB, DuckDBParquet, Pagelake, Polars, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .generate import Progress
    from .workload import Workload

__all__ = ["fresh", "hot_off", "overhead", "run_child", "warm"]

_FRESH_RUNS = 5
_FIRST_TIME_RUNS = 3
_CACHED_RUNS = 5


def warm(
    workload: Workload, rounds: int, progress: Progress, *, peers: bool = False
) -> Measurement:
    """Race Pagelake against DuckDB on its own file, everything warm.

    Args:
        workload: Loaded tables.
        rounds: Counted passes.
        progress: Called per query and pass.
        peers: Also race DuckDB on Parquet, Polars and DataFusion.
    """
    sides: list[Side] = [
        Pagelake(workload.store, workload.threads),
        DuckDB(workload.database, workload.threads),
    ]
    if peers:
        sides += [
            peer(workload.parquet, workload.threads) for peer in (DuckDBParquet, Polars, DataFusion)
        ]
    return _raced(sides, rounds, progress, "warm", "Warm")


def hot_off(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Race Pagelake without its hot tier, from pages alone, against DuckDB on its own file.

    It runs on a copy of the store: a budget of no bytes is an order to delete hot files, which
    later measurements need.
    """
    scratch = Path(tempfile.mkdtemp(prefix="hot-off-", dir=workload.scratch))
    try:
        store = scratch / "copy.lake"
        shutil.copytree(workload.store, store, ignore=shutil.ignore_patterns("hot"))
        sides: list[Side] = [
            Pagelake(store, workload.threads, hot=False),
            DuckDB(workload.database, workload.threads),
        ]
        return _raced(sides, rounds, progress, "hot_off", "Without hot tier")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fresh(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Measure opening plus a first pass over all 22 queries, each in a new process, interleaved.

    Two kinds of process: one that starts from nothing, imports included, and one whose libraries
    were loaded by answering SELECT 1 from an empty store before the clock starts.
    """
    runs = max(_FRESH_RUNS, rounds)
    texts = [query.sql for query in queries()]
    paths = {"pagelake": str(workload.store), "duckdb": str(workload.database)}
    totals: dict[tuple[str, bool], list[float]] = {
        (engine, preload): [] for engine in paths for preload in (False, True)
    }
    for turn in range(runs):
        order = list(totals) if turn % 2 == 0 else list(totals)[::-1]
        for place, (engine, preload) in enumerate(order):
            progress(f"{engine} {turn + 1}", turn * len(order) + place, runs * len(order))
            answer = run_child(
                task="fresh",
                engine=engine,
                preload=preload,
                path=paths[engine],
                threads=workload.threads,
                queries=texts,
            )
            totals[engine, preload].append(answer["total_ms"])
    progress("done", runs * len(totals), runs * len(totals))
    return Measurement(
        tuple(
            _paired(name, f"Fresh process, open + first pass, {words}", *pair)
            for name, words, pair in (
                (
                    "fresh_with_imports",
                    "imports included",
                    (totals["pagelake", False], totals["duckdb", False]),
                ),
                (
                    "fresh_without_imports",
                    "imports excluded",
                    (totals["pagelake", True], totals["duckdb", True]),
                ),
            )
        )
    )


def overhead(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Measure what Pagelake adds to a statement: wall time minus the kernel's own execution.

    First time means a text never seen before: a comment makes each one new, while files and
    modules are warm. Cached means the very same text again.
    """
    runs = max(_CACHED_RUNS, rounds)
    every = queries()
    total = len(every) * (1 + _FIRST_TIME_RUNS + runs)
    done = 0
    first: dict[int, list[float]] = {query.number: [] for query in every}
    cached: dict[int, list[float]] = {query.number: [] for query in every}
    side = Pagelake(workload.store, workload.threads)
    side.setup()
    try:
        for turn in range(1 + _FIRST_TIME_RUNS + runs):
            new_text = 1 <= turn <= _FIRST_TIME_RUNS
            for query in every:
                progress(query.label, done, total)
                done += 1
                sql = f"{query.sql}\n-- first seen in pass {turn}" if new_text else query.sql
                added_ms = _added_ms(side.connection, sql)
                if new_text:
                    first[query.number].append(added_ms)
                elif turn > 0:
                    cached[query.number].append(added_ms)
    finally:
        side.close()
    progress("done", total, total)
    return Measurement(
        (
            _mean_figure("overhead_first", "Overhead per statement, first time", every, first),
            _mean_figure("overhead_cached", "Overhead per statement, plan cached", every, cached),
        )
    )


def run_child(**request: object) -> dict[str, float]:
    """Run one request in a process of its own and return its answer.

    Raises:
        RuntimeError: If the process fails; the message carries its last words.
    """
    # The package that runs here is the one to measure, installed or not.
    root = str(Path(pagelake.__file__).parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    # -P keeps this folder off the child's import path, where its modules would shadow others.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-P", child.__file__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode != 0:
        raise RuntimeError(f"the measuring process failed: {done.stderr.strip()[-800:]}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _raced(
    sides: Sequence[Side], rounds: int, progress: Progress, prefix: str, title: str
) -> Measurement:
    opened: list[Side] = []
    try:
        for side in sides:
            side.setup()
            opened.append(side)
        outcome = race(sides, queries(), rounds, progress)
    finally:
        for side in opened:
            side.close()
    return Measurement(race_figures(outcome, prefix, title), outcome)


def _paired(name: str, title: str, mine: Sequence[float], theirs: Sequence[float]) -> Figure:
    return Figure(
        name,
        f"{title}, ratio to DuckDB",
        median(a / b for a, b in zip(mine, theirs, strict=True)),
        "×",
        f"medians {median(mine):.0f} and {median(theirs):.0f} ms of {len(mine)}",
    )


def _added_ms(connection: pagelake.Connection, sql: str) -> float:
    started = time.perf_counter()
    result = connection.sql(sql)
    result.arrow()
    wall_ms = (time.perf_counter() - started) * 1e3
    # The engine's own account, where it keeps one, leaves the copy into Arrow to the kernel.
    own_ms: float | None = getattr(result.timing, "overhead_ms", None)
    kernel_ms: float = result.timing.kernel_ms
    return wall_ms - kernel_ms if own_ms is None else own_ms


def _mean_figure(
    name: str, title: str, every: Sequence[Query], added_ms: dict[int, list[float]]
) -> Figure:
    medians = {query.number: median(added_ms[query.number]) for query in every}
    worst = max(medians, key=lambda number: medians[number])
    detail = f"worst Q{worst} {medians[worst]:.2f} ms"
    return Figure(name, f"{title}, mean of the 22", fmean(medians.values()), "ms", detail)
