"""The result cache: an answer from it, next to the same aggregate computed, and what it costs off.

    python -m tests.bench.result_cache [--rows 1000000] [--calls 300]

Medians of wall time, fetching included. The plan is cached in all cases; ``computed`` has the
cache off, ``kept`` computes and keeps, ``served`` takes the answer from the cache.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pagelake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUERY = "SELECT g, count(*), sum(i), avg(x) FROM t WHERE i > ? GROUP BY g ORDER BY g"
POINT = "SELECT x FROM t WHERE i = ?"
SERVED_MS_MAX = 1.0
FORMS: dict[str, Callable[[pagelake.Result], object]] = {
    "fetchall": lambda result: result.fetchall(),
    "arrow": lambda result: result.arrow(),
    "df": lambda result: result.df(),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Median milliseconds of something."""

    name: str
    ms: float
    bar: float | None = None

    def __str__(self) -> str:
        bar = "" if self.bar is None else f"  bar {self.bar:g}{' MISSED' * (self.ms > self.bar)}"
        return f"{self.name:24} {self.ms:9.3f} ms{bar}"


def _median_ms(run: Callable[[int], object], calls: int) -> float:
    spent = []
    for number in range(calls):
        begun = time.perf_counter()
        run(number)
        spent.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(spent)


def run(folder: Path, rows: int, calls: int = 300) -> list[Figure]:
    """Measure in a folder."""
    figures = []
    few = max(3, calls // 10)
    with pagelake.connect(folder / "results.pl") as db:
        db.execute("CREATE TABLE t (i BIGINT PRIMARY KEY, g INTEGER, x DOUBLE)")
        db.execute(f"INSERT INTO t SELECT i, i % 100, i / 7.0 FROM range({rows}) r(i)")
        db.sql(QUERY, [-1]).fetchall()
        for name, read in FORMS.items():
            db.execute("SET result_cache_bytes = 0")
            ms = _median_ms(lambda n, read=read: read(db.sql(QUERY, [n])), few)  # type: ignore[misc]
            figures.append(Figure(f"{name}, computed", ms))
            db.execute("SET result_cache_bytes = '64MB'")
            ms = _median_ms(lambda n, read=read: read(db.sql(QUERY, [n])), few)  # type: ignore[misc]
            figures.append(Figure(f"{name}, kept", ms))
            ms = _median_ms(lambda _, read=read: read(db.sql(QUERY, [0])), calls)  # type: ignore[misc]
            bar = SERVED_MS_MAX if name != "df" else None
            figures.append(Figure(f"{name}, served", ms, bar))
        for name, size in (("off", 0), ("on", 64_000_000)):
            db.execute(f"SET result_cache_bytes = {size}")
            ms = _median_ms(lambda n: db.execute(POINT, [n % rows]).fetchall(), calls)
            figures.append(Figure(f"point query, cache {name}", ms))
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 when a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), options.rows, options.calls)
    print(f"{options.rows:,} rows, medians")
    for figure in figures:
        print(figure)
    return int(any(f.bar is not None and f.ms > f.bar for f in figures))


if __name__ == "__main__":
    sys.exit(main())
