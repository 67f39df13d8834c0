"""Measurements of keeping: load, bytes, durable inserts, import time and peak memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pagelake

from .figures import Figure, Measurement
from .generate import Progress, parquet_file
from .measure_queries import run_child
from .runner import load_duckdb, load_pagelake, wait_until_hot
from .schema import TABLES, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .workload import Workload

__all__ = ["bytes_of_truth", "import_time", "inserts", "load", "memory"]

_LOAD_PAIRS = 3
_IMPORT_RUNS = 9
_INSERT_SECONDS = 2.0
_INSERT_WARM_UP_ROWS = 50
_WRITERS = 16
_MIB = 2**20


def load(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Load Parquet until durable and hot, against DuckDB's CREATE TABLE AS into a new file."""
    pairs = max(_LOAD_PAIRS, rounds // 2)
    durable: list[float] = []
    hot: list[float] = []
    theirs: list[float] = []

    def load_mine(folder: Path) -> None:
        until_durable, until_hot = _load_once(workload, folder / "new.lake")
        durable.append(until_durable)
        hot.append(until_hot)

    def load_theirs(folder: Path) -> None:
        started = time.perf_counter()
        load_duckdb(folder / "new.duckdb", workload.parquet, workload.threads)
        theirs.append(time.perf_counter() - started)

    for turn in range(pairs):
        both = (load_mine, load_theirs) if turn % 2 == 0 else (load_theirs, load_mine)
        for place, one in enumerate(both):
            progress(f"pair {turn + 1}", turn * 2 + place, pairs * 2)
            with _scratch(workload) as folder:
                one(folder)
            # What one side left for the kernel to write back must not slow the next.
            os.sync()
    progress("done", pairs * 2, pairs * 2)
    return Measurement(
        (
            Figure(
                "load_ratio",
                "Load until durable and hot, ratio to DuckDB's CREATE TABLE AS",
                median(a / b for a, b in zip(hot, theirs, strict=True)),
                "×",
                f"medians {median(hot):.2f} and {median(theirs):.2f} s of {pairs}",
            ),
            Figure(
                "load_durable_ratio",
                "Load until durable only, ratio to DuckDB's CREATE TABLE AS",
                median(a / b for a, b in zip(durable, theirs, strict=True)),
                "×",
                f"median {median(durable):.2f} s",
            ),
        )
    )


def bytes_of_truth(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Compare the bytes of ``log/`` and ``segments/`` with DuckDB's Parquet in zstd."""
    del rounds
    import duckdb

    mine = sum(_folder_bytes(workload.store / part) for part in ("log", "segments"))
    theirs = 0
    with (
        _scratch(workload) as folder,
        duckdb.connect(str(workload.database), read_only=True) as connection,
    ):
        for done, entry in enumerate(TABLES):
            progress(entry.name, done, len(TABLES))
            target = str(folder / f"{entry.name}.parquet").replace("'", "''")
            connection.execute(
                f"COPY {entry.name} TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
            )
        theirs = _folder_bytes(folder)
    progress("done", len(TABLES), len(TABLES))
    detail = f"{mine / _MIB:.1f} and {theirs / _MIB:.1f} MiB"
    title = "Bytes of log and segments, ratio to DuckDB's Parquet with zstd"
    return Measurement((Figure("bytes_ratio", title, mine / theirs, "×", detail),))


def inserts(
    workload: Workload, rounds: int, progress: Progress, *, seconds: float = _INSERT_SECONDS
) -> Measurement:
    """Count durable one-row INSERT statements with parameters, one writer and sixteen threads.

    Args:
        workload: Only its scratch folder is used.
        rounds: Not used: a rate over seconds is a mean already.
        progress: Called per engine and number of writers.
        seconds: How long each case writes.
    """
    del rounds
    import duckdb

    rates: dict[tuple[str, int], float] = {}
    cases = [(engine, writers) for writers in (1, _WRITERS) for engine in ("pagelake", "duckdb")]
    for done, (engine, writers) in enumerate(cases):
        progress(f"{engine}, {writers} writers", done, len(cases))
        with _scratch(workload) as folder:
            connection: Any = (
                pagelake.connect(folder / "new.lake")
                if engine == "pagelake"
                else duckdb.connect(str(folder / "new.duckdb"))
            )
            with connection:
                rates[engine, writers] = _insert_rate(connection, writers, seconds)
    progress("done", len(cases), len(cases))
    one, many = rates["pagelake", 1], rates["pagelake", _WRITERS]
    peer_one, peer_many = rates["duckdb", 1], rates["duckdb", _WRITERS]
    return Measurement(
        (
            Figure(
                "inserts_one",
                "Durable one-row inserts, one connection (more is better)",
                one,
                "/s",
                f"DuckDB {peer_one:,.0f}/s",
            ),
            Figure(
                "inserts_threads",
                f"Durable one-row inserts, {_WRITERS} threads (more is better)",
                many,
                "/s",
                f"DuckDB {peer_many:,.0f}/s",
            ),
        )
    )


def import_time(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Measure ``import pagelake`` in new processes."""
    del workload
    runs = max(_IMPORT_RUNS, rounds)
    times: list[float] = []
    for done in range(runs):
        progress(f"run {done + 1}", done, runs)
        times.append(run_child(task="import", module="pagelake")["import_ms"])
    progress("done", runs, runs)
    detail = f"least {min(times):.0f}, most {max(times):.0f} ms of {runs}"
    title = "Time of `import pagelake`, median"
    return Measurement((Figure("import_ms", title, median(times), "ms", detail),))


def memory(workload: Workload, rounds: int, progress: Progress) -> Measurement:
    """Measure the peak resident memory of loading ``lineitem`` (6 M rows at scale factor 1)."""
    del rounds
    source = str(parquet_file(workload.parquet, "lineitem")).replace("'", "''")
    create = table("lineitem").create_sql()
    cases = {
        "ctas": ("CREATE TABLE AS", [f"CREATE TABLE lineitem AS FROM read_parquet('{source}')"]),
        "copy": ("COPY FROM", [create, f"COPY lineitem FROM '{source}'"]),
    }
    figures: list[Figure] = []
    for done, (name, (words, statements)) in enumerate(cases.items()):
        peaks: dict[str, dict[str, float]] = {}
        for place, engine in enumerate(("pagelake", "duckdb")):
            progress(f"{engine} {words}", done * 2 + place, len(cases) * 2)
            with _scratch(workload) as folder:
                peaks[engine] = run_child(
                    task="peak",
                    engine=engine,
                    path=str(folder / "new"),
                    threads=workload.threads,
                    statements=statements,
                )
        mine, theirs = peaks["pagelake"], peaks["duckdb"]
        figures.append(
            Figure(
                f"memory_{name}",
                f"Peak resident memory of {words}, lineitem",
                mine["peak_bytes"] / _MIB,
                "MiB",
                f"{mine['before_bytes'] / _MIB:.0f} MiB before it; "
                f"DuckDB {theirs['peak_bytes'] / _MIB:.0f} MiB",
            )
        )
    progress("done", len(cases) * 2, len(cases) * 2)
    return Measurement(tuple(figures))


@contextmanager
def _scratch(workload: Workload) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="measure-", dir=workload.scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load_once(workload: Workload, store: Path) -> tuple[float, float]:
    """Return the seconds until the tables are durable, and until they are hot as well."""
    started = time.perf_counter()
    with pagelake.connect(store, settings={"threads": workload.threads}) as connection:
        load_pagelake(connection, workload.parquet)
        durable = time.perf_counter() - started
        wait_until_hot(connection)
        return durable, time.perf_counter() - started


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _insert_rate(connection: Any, writers: int, seconds: float) -> float:
    """Return acknowledged inserts a second of so many threads, each with a cursor of its own."""
    connection.execute("CREATE TABLE events (id BIGINT, name VARCHAR)")
    for row in range(_INSERT_WARM_UP_ROWS):
        connection.execute("INSERT INTO events VALUES (?, ?)", [row, f"event {row}"])
    barrier = threading.Barrier(writers)
    counts = [0] * writers
    spans: list[tuple[float, float]] = [(0.0, 0.0)] * writers
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        cursor = connection.cursor()
        try:
            barrier.wait()
            started = time.perf_counter()
            while (now := time.perf_counter()) - started < seconds:
                row = counts[writer]
                cursor.execute("INSERT INTO events VALUES (?, ?)", [row, f"event {row}"])
                counts[writer] += 1
            spans[writer] = (started, now)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            errors.append(error)

    _in_threads(write, writers)
    if errors:
        raise errors[0]
    (stored,) = connection.execute("SELECT count(*) FROM events").fetchone()
    assert stored == sum(counts) + _INSERT_WARM_UP_ROWS, "an acknowledged insert is missing"
    elapsed = max(end for _, end in spans) - min(start for start, _ in spans)
    return sum(counts) / elapsed


def _in_threads(work: Callable[[int], None], number: int) -> None:
    threads = [threading.Thread(target=work, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
