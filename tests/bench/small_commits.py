"""A query over 30,000 one-row commits against the same rows sealed.

    python -m tests.bench.small_commits [COMMITS]

Three stores hold the same rows: one was loaded by one statement and sealed (the yardstick), one
was just written by single commits with maintenance in the background (*at once*: the query
follows the last commit), one never sealed anything (*untouched*: the worst case), asked by the
process that made the commits and through a connection that opened the store afterwards.
Of each, the first query, when nothing of the table is in memory, and the median of repeated ones.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pagelake

if TYPE_CHECKING:
    from collections.abc import Callable

QUERY = "SELECT g, count(*), sum(v) FROM t GROUP BY g ORDER BY g"
REPEATS = 101
OPENINGS = 3
AT_ONCE_MAX = 5.0
AFTER_MAX = 1.3
SETTLE_S = 60.0
QUIET_S = 3.0
"""How long nothing may happen before maintenance counts as done."""


def _create(path: Path, **settings: object) -> pagelake.Connection:
    con = pagelake.connect(path, settings=settings)
    con.execute("CREATE TABLE t (g INTEGER, v BIGINT, s VARCHAR)")
    return con


def _commit_singly(con: pagelake.Connection, commits: int) -> float:
    began = time.perf_counter()
    for n in range(commits):
        con.execute("INSERT INTO t VALUES (?, ?, ?)", (n % 50, n, f"row {n}"))
    return commits / (time.perf_counter() - began)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _median(con: pagelake.Connection) -> float:
    return statistics.median(_seconds(lambda: con.sql(QUERY).fetchall()) for _ in range(REPEATS))


def _first(con: pagelake.Connection, want: list[tuple[object, ...]]) -> float:
    """Seconds of the first query after the last commit: nothing of the table is in memory yet."""
    answer: list[tuple[object, ...]] = []
    seconds = _seconds(lambda: answer.extend(con.sql(QUERY).fetchall()))
    if answer != want:
        raise SystemExit("wrong answer")
    return seconds


def _opened(path: Path, want: list[tuple[object, ...]]) -> tuple[float, float, float]:
    """Medians of the seconds of opening a store and of the first query, and of repeated ones."""
    connects, firsts, repeated = [], [], 0.0
    for _ in range(OPENINGS):
        began = time.perf_counter()
        with pagelake.connect(path, settings={"background_maintenance": False}) as con:
            connects.append(time.perf_counter() - began)
            firsts.append(_first(con, want))
            repeated = _median(con)
    return statistics.median(connects), statistics.median(firsts), repeated


def _inlined(con: pagelake.Connection) -> int:
    found = "SELECT count(*) FROM pagelake.row_groups WHERE inlined"
    return int(con.execute(found).fetchone()[0])


def _settled(con: pagelake.Connection) -> bool:
    """Tell whether maintenance has run: nothing is inlined, and it has come to rest."""
    before = con.snapshot()
    time.sleep(QUIET_S)
    running = "SELECT count(*) FROM pagelake.maintenance WHERE state = 'running'"
    at_rest = con.execute(running).fetchall() == [(0,)]
    return at_rest and con.snapshot() == before and not _inlined(con)


def main(commits: int = 30_000) -> int:
    """Measure, print, and say whether the bars are met."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with _create(root / "sealed.lake", background_maintenance=False) as sealed:
            sealed.execute(
                f"INSERT INTO t SELECT n % 50, n, 'row ' || n FROM range({commits}) r(n)"
            )
            want = sealed.sql(QUERY).fetchall()
        connect_sealed, first_sealed, warm_sealed = _opened(root / "sealed.lake", want)
        with _create(root / "raw.lake", background_maintenance=False) as raw:
            _commit_singly(raw, commits)
            first_raw, warm_raw = _first(raw, want), _median(raw)
        connect_raw, first_anew, warm_anew = _opened(root / "raw.lake", want)
        with _create(root / "kept.lake") as kept:
            rate = _commit_singly(kept, commits)
            left = _inlined(kept)
            first_kept, warm_kept = _first(kept, want), _median(kept)
            give_up = time.monotonic() + SETTLE_S
            while not _settled(kept) and time.monotonic() < give_up:
                time.sleep(0.2)
            left_after = _inlined(kept)
            warm_after = _median(kept)
        connect_kept, first_after, _ = _opened(root / "kept.lake", want)
    print(f"commits {commits}, {rate:,.0f} a second; one-row row groups {left} at once, "
          f"{left_after} after maintenance")  # fmt: skip
    print(f"connecting: sealed {connect_sealed * 1e3:,.0f} ms, "
          f"untouched {connect_raw * 1e3:,.0f} ms, "
          f"after maintenance {connect_kept * 1e3:,.0f} ms")  # fmt: skip
    print(f"sealed                    first query {first_sealed * 1e3:7.2f} ms, repeated "
          f"{warm_sealed * 1e3:7.2f} ms")  # fmt: skip
    met = True
    for name, first, warm, bar in (
        ("at once, untouched", first_raw, warm_raw, AT_ONCE_MAX),
        ("untouched, opened anew", first_anew, warm_anew, AT_ONCE_MAX),
        ("at once", first_kept, warm_kept, AT_ONCE_MAX),
        ("after maintenance", first_after, warm_after, AFTER_MAX),
    ):
        ratios = first / first_sealed, warm / warm_sealed
        met = met and max(ratios) <= bar
        print(f"{name:<25} first query {first * 1e3:7.2f} ms, repeated {warm * 1e3:7.2f} ms: "
              f"{ratios[0]:.2f}x, {ratios[1]:.2f}x (bar {bar}x)")  # fmt: skip
    print("bars met" if met else "bars missed")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
