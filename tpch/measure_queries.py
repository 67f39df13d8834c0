"""Measurements of answering: equality, warm, from pages, from a fresh process, and overhead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

import pagelake

from . import child
from .answers import difference
from .compare import race
from .figures import Figure, Measurement, race_figures
from .query import queries
from .sides import DataFusion, DuckDB, DuckDBParquet, Pagelake, Polars, Side, was_cancelled
from .workload import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .generate import Progress
    from .workload import Workload

__all__ = ["answers", "fresh", "hot_off", "overhead", "run_child", "warm"]

_FRESH_RUNS = 5
_FIRST_TIME_RUNS = 3
_CACHED_RUNS = 5
_SMALL_SCALE_FACTOR = 0.1
"""Answers are compared there too: other plans, other row groups, tables without hot segments."""


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
    """Race Pagelake without its hot tier, from pages alone, against DuckDB on its own file."""
    with _without_hot_tier(workload) as store:
        sides: list[Side] = [
            Pagelake(store, workload.threads, hot=False),
            DuckDB(workload.database, workload.threads),
        ]
        return _raced(sides, rounds, progress, "hot_off", "Without hot tier")


def answers(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Count the answers equal to DuckDB's: with and without the hot tier, here and at 0.1."""
    del rounds
    total = 4 * len(queries())
    with _small(workload) as small:
        figures: list[Figure] = []
        for one, prefix in ((workload, "answers"), (small, "answers_small")):
            words = f"Answers equal to DuckDB's, scale factor {one.scale_factor:g}"
            with _without_hot_tier(one) as pages:
                for store, hot in ((one.store, True), (pages, False)):
                    done = len(figures) * len(queries())
                    side = Pagelake(store, one.threads, hot=hot)
                    equal, detail = _equal_answers(side, one, progress, done, total)
                    name = f"{prefix}_{'hot' if hot else 'pages'}"
                    title = f"{words}, {'with' if hot else 'without'} the hot tier"
                    figures.append(Figure(name, title, equal, "queries", detail))
    progress("done", total, total)
    return Measurement(tuple(figures))


@contextmanager
def _small(workload: Workload) -> Iterator[Workload]:
    """Yield the workload of scale factor 0.1, loaded for the occasion unless it is the same."""
    if workload.scale_factor == _SMALL_SCALE_FACTOR:
        yield workload
        return
    with tempfile.TemporaryDirectory(prefix="small-", dir=workload.scratch) as folder:
        yield prepare(
            Path(folder), _SMALL_SCALE_FACTOR, workload.threads, _unseen, workload.parquet.parent
        )


@contextmanager
def _unseen(_title: str) -> Iterator[Progress]:
    yield lambda _step, _done, _total: None


@contextmanager
def _without_hot_tier(workload: Workload) -> Iterator[Path]:
    """Yield a copy of the store without hot files.

    A copy, because a budget of no bytes is an order to delete hot files, which other
    measurements need.
    """
    scratch = Path(tempfile.mkdtemp(prefix="hot-off-", dir=workload.scratch))
    try:
        store = scratch / "copy.lake"
        shutil.copytree(workload.store, store, ignore=shutil.ignore_patterns("hot"))
        yield store
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _equal_answers(
    side: Pagelake, workload: Workload, progress: Progress, done: int, total: int
) -> tuple[int, str]:
    """Return how many of the 22 answers are DuckDB's, and the first problem in words."""
    problems: list[str] = []
    base = DuckDB(workload.database, workload.threads)
    with closing(base), closing(side):
        base.setup()
        side.setup()
        for place, query in enumerate(queries()):
            progress(query.label, done + place, total)
            expected = base.run(query.sql)
            try:
                problem = difference(query, expected, side.run(query.sql))
            except pagelake.Error as error:
                if was_cancelled(error):
                    raise KeyboardInterrupt from error
                problem = str(error)
            if problem is not None:
                problems.append(f"{query.label}: {problem}")
    return len(queries()) - len(problems), problems[0] if problems else "rows, values, order"


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
    excluded = _paired(
        "fresh_without_imports",
        "Fresh process, open + first pass, libraries loaded before the clock starts",
        totals["pagelake", True],
        totals["duckdb", True],
    )
    whole = _paired(
        "fresh_process",
        "Fresh process: imports, open and first pass over the 22",
        totals["pagelake", False],
        totals["duckdb", False],
    )
    detail = f"{whole.detail}; without imports {excluded.text()}"
    return Measurement((replace(whole, detail=detail), excluded))


def overhead(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Measure what Pagelake adds to a statement: wall time, fetching included, minus DuckDB's.

    First time means the first pass of a new connection, on which nothing is planned, attached or
    copied into memory yet; only modules and files are warm. Cached means the very same text again
    on that connection. Everything up to the last row counts, and only the time inside DuckDB's own
    calls for the statement is taken off.
    """
    runs = max(_CACHED_RUNS, rounds)
    total = len(queries()) * (1 + _FIRST_TIME_RUNS * 2 + runs)
    first: dict[int, list[float]] = {query.number: [] for query in queries()}
    new_text: dict[int, list[float]] = {query.number: [] for query in queries()}
    cached: dict[int, list[float]] = {query.number: [] for query in queries()}
    done = 0

    def run_all(side: Pagelake, note: dict[int, list[float]], comment: str = "") -> None:
        nonlocal done
        for query in queries():
            progress(query.label, done, total)
            done += 1
            sql = f"{query.sql}\n-- {comment}" if comment else query.sql
            note[query.number].append(_added_ms(side.connection, sql))

    for turn in range(1 + _FIRST_TIME_RUNS):
        with closing(Pagelake(workload.store, workload.threads)) as side:
            side.setup()
            if turn == 0:  # loads modules, and is not counted
                run_all(side, {query.number: [] for query in queries()})
                continue
            run_all(side, first)
            run_all(side, new_text, "never seen before")
            if turn == _FIRST_TIME_RUNS:
                for _ in range(runs):
                    run_all(side, cached)
    progress("done", total, total)
    warm_text = fmean(median(times) for times in new_text.values())
    return Measurement(
        (
            _mean_figure(
                "overhead_cached",
                "Overhead per statement, plan cached, mean of the 22",
                cached,
                "",
            ),
            _mean_figure(
                "overhead_first",
                "Overhead per statement, first time on a new connection, mean of the 22",
                first,
                f"; {warm_text:.2f} ms for a new text on a used connection",
            ),
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
    return (time.perf_counter() - started) * 1e3 - result.timing.kernel_ms


def _mean_figure(
    name: str, title: str, added_ms: Mapping[int, Sequence[float]], remark: str
) -> Figure:
    medians = {number: median(times) for number, times in added_ms.items()}
    worst = max(medians, key=lambda number: medians[number])
    detail = f"worst Q{worst} {medians[worst]:.2f} ms{remark}"
    return Figure(name, title, fmean(medians.values()), "ms", detail)
