"""Keys: lookups by them, and what they cost a load, next to DuckDB's own.

    python -m tests.bench.keys [--rows 10000000] [--rounds 3]

Lookups run on a table loaded in the order of its key, plan cached and pages warm. Loads come in
pairs, without the key and with it, Pagelake and DuckDB in turns; the ratio is the key's price.
Medians; CPU time is the process's own, all threads.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

import pagelake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

POINT_MS_MAX = 0.5
MANY_MS_MAX = 20.0
INTEGER_RATIO_MAX = 1.5
OTHER_RATIO_MAX = 2.4
KEYS = 1000
COLUMNS = "id BIGINT, mixed BIGINT, name VARCHAR, real DOUBLE, small INTEGER"
SHAPES = (
    ("integer, in order", "id", INTEGER_RATIO_MAX),
    ("integer, shuffled", "mixed", INTEGER_RATIO_MAX),
    ("text", "name", OTHER_RATIO_MAX),
    ("double", "real", OTHER_RATIO_MAX),
    ("integer and text", "small, name", OTHER_RATIO_MAX),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU time of something, in seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured bar.

    Attributes:
        name: What was measured.
        ours: Pagelake's figure.
        cpu: The same in CPU time.
        peer: DuckDB's.
        bar: What ours may be at most, None where there is no bar.
        unit: Unit of all of them.
    """

    name: str
    ours: float
    cpu: float
    peer: float
    bar: float | None
    unit: str

    def __str__(self) -> str:
        verdict = "" if self.bar is None else f"  bar {self.bar:g}"
        if self.bar is not None and self.ours > self.bar:
            verdict += "  MISSED"
        figures = f"{self.ours:9.3f} (CPU {self.cpu:9.3f})  DuckDB {self.peer:9.3f} {self.unit}"
        return f"{self.name:34} {figures}{verdict}"


def _cost(run: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(c.wall for c in costs), statistics.median(c.cpu for c in costs))


def _source(rows: int) -> Any:
    """Rows with a key of each kind, as an Arrow table."""
    step = 7_368_787  # a prime: its multiples, modulo the number of rows, come in no order
    return duckdb.sql(
        f"SELECT i AS id, ((i * {step}) % {rows})::BIGINT AS mixed, "
        f"'customer-' || ((i * {step}) % {rows}) AS name, ((i * {step}) % {rows}) / 7.0 AS real, "
        f"(i % 1000)::INTEGER AS small FROM range({rows}) t(i)"
    ).to_arrow_table()


def _load(con: Any, source: Any, key: str | None) -> Cost:
    con.execute("DROP TABLE IF EXISTS t")
    con.execute(f"CREATE TABLE t ({COLUMNS}{'' if key is None else f', PRIMARY KEY ({key})'})")
    # A name of the frame that executes is one that both find.
    return _cost(lambda source=source: con.execute("INSERT INTO t SELECT * FROM source"))  # type: ignore[misc]


def _loads(ours: Any, peer: Any, source: Any, rounds: int) -> list[Figure]:
    figures = []
    for name, key, bar in SHAPES:
        ratios: dict[str, list[Cost]] = {"ours": [], "peer": []}
        for _ in range(rounds):
            for who, con in (("ours", ours), ("peer", peer)):
                plain, keyed = _load(con, source, None), _load(con, source, key)
                ratios[who].append(Cost(keyed.wall / plain.wall, keyed.cpu / plain.cpu))
        mine, theirs = _median(ratios["ours"]), _median(ratios["peer"])
        figures.append(Figure(f"load, key {name}", mine.wall, mine.cpu, theirs.wall, bar, "x"))
    return figures


def _lookups(ours: Any, peer: Any, rows: int, column: str, calls: int) -> list[Figure]:
    chosen = random.Random(1)

    def keys(count: int) -> list[int]:
        return [chosen.randrange(rows) for _ in range(count)]

    point = f"SELECT * FROM t WHERE {column} = ?"
    many = f"SELECT * FROM t WHERE {column} IN ({', '.join('?' * KEYS)})"

    def fresh() -> str:
        return f"SELECT * FROM t WHERE {column} IN ({', '.join(map(str, keys(KEYS)))})"

    def measured(run: Callable[[Any], object], repeats: int) -> tuple[Cost, Cost]:
        costs: dict[str, list[Cost]] = {"ours": [], "peer": []}
        for _ in range(repeats):
            for who, con in (("ours", ours), ("peer", peer)):
                costs[who].append(_cost(lambda con=con: run(con)))  # type: ignore[misc]
        return _median(costs["ours"]), _median(costs["peer"])

    ours.execute(many, keys(KEYS)).fetchall()
    found = [
        ("point SELECT", lambda con: con.execute(point, keys(1)).fetchall(), calls, POINT_MS_MAX),
        ("IN (1,000 parameters)", lambda con: con.execute(many, keys(KEYS)).fetchall(),
         max(3, calls // 20), MANY_MS_MAX),
        ("IN (1,000 new literals)", lambda con: con.execute(fresh()).fetchall(),
         max(3, calls // 20), MANY_MS_MAX),
    ]  # fmt: skip
    figures = []
    for name, run, repeats, bar in found:
        mine, theirs = measured(run, repeats)
        title = f"{name} by {column}"
        figures.append(Figure(title, mine.wall * 1e3, mine.cpu * 1e3, theirs.wall * 1e3, bar, "ms"))
    return figures


def run(folder: Path, rows: int, rounds: int = 3, calls: int = 1000) -> list[Figure]:
    """Measure everything in a folder."""
    source = _source(rows)
    with (
        pagelake.connect(folder / "keys.pl") as ours,
        duckdb.connect(str(folder / "keys.duckdb")) as peer,
    ):
        figures = []
        for column in ("id", "mixed"):
            for con in (ours, peer):
                _load(con, source, column)
            figures += _lookups(ours, peer, rows, column, calls)
        for con in (ours, peer):
            _load(con, source, None)
        mine = _cost(lambda: ours.execute("CREATE UNIQUE INDEX by_name ON t (name)"))
        theirs = _cost(lambda: peer.execute("CREATE UNIQUE INDEX by_name ON t (name)"))
        title = "CREATE UNIQUE INDEX on text"
        figures.append(Figure(title, mine.wall, mine.cpu, theirs.wall, None, "s"))
        figures += _loads(ours, peer, source, rounds)
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 when a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), options.rows, options.rounds)
    print(f"{options.rows:,} rows, medians")
    for figure in figures:
        print(figure)
    return int(any(f.bar is not None and f.ours > f.bar for f in figures))


if __name__ == "__main__":
    sys.exit(main())
