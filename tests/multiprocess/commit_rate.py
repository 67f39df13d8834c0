"""Commits a second of many processes: ``python -m tests.multiprocess.commit_rate``.

Every process runs ``INSERT INTO t VALUES (?, ?)`` on one store, each statement a durable
transaction of its own. Printed is the total, what one process needed, and whether all rows are
there afterwards.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pagelake
from tests.multiprocess.fleet import Fleet

if TYPE_CHECKING:
    from tests.multiprocess.fleet import Channel

BAR_PER_S = 1500
"""What 16 processes must reach in total."""


def insert(channel: Channel, path: str, writer: int, seconds: float) -> None:
    """Insert rows for some time; tells how many, their latencies in ms and the CPU time in s."""
    # Without the build of hot segments, which wakes up in the pauses between commits.
    settings = {"threads": 1, "hot_bytes_max": 0, "lock_timeout": "60s"}
    with pagelake.connect(path, settings=settings) as db:
        db.execute("INSERT INTO t VALUES (?, ?)", [writer, -1])
        channel.send("ready")
        channel.receive()
        begun, cpu = time.monotonic(), os.times()
        latencies: list[float] = []
        number = 0
        while (now := time.monotonic()) < begun + seconds:
            db.execute("INSERT INTO t VALUES (?, ?)", [writer, number])
            latencies.append(time.monotonic() - now)
            number += 1
        spent = os.times()
    latencies.sort()
    channel.send(
        {
            "rows": number,
            "p50_ms": latencies[len(latencies) // 2] * 1e3,
            "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
            "user_s": spent.user - cpu.user,
            "system_s": spent.system - cpu.system,
        }
    )


def measure(processes: int, seconds: float) -> dict[str, float]:
    """Run it on a new store; returns the figures that ``main`` prints."""
    with tempfile.TemporaryDirectory(prefix="pagelake-rate-") as folder, Fleet() as fleet:
        path = Path(folder) / "rate.lake"
        with pagelake.connect(path) as db:
            db.execute("CREATE TABLE t (writer BIGINT, n BIGINT)")
        members = [
            fleet.start("multiprocess.commit_rate:insert", str(path), number, seconds)
            for number in range(processes)
        ]
        fleet.together(members)
        answers = [member.receive() for member in members]
        rows = sum(answer["rows"] for answer in answers)
        with pagelake.connect(path) as db:
            found = db.execute("SELECT count(*), count(DISTINCT (writer, n)) FROM t").fetchall()
            versions = db.snapshot()
        assert found == [(rows + processes, rows + processes)], f"{found} instead of {rows} rows"
    return {
        "commits": rows,
        "per_s": rows / seconds,
        "least": min(answer["rows"] for answer in answers),
        "most": max(answer["rows"] for answer in answers),
        "versions": versions,
        "p50_ms": sorted(answer["p50_ms"] for answer in answers)[len(answers) // 2],
        "p99_ms": max(answer["p99_ms"] for answer in answers),
        "user_us": 1e6 * sum(answer["user_s"] for answer in answers) / max(rows, 1),
        "system_us": 1e6 * sum(answer["system_s"] for answer in answers) / max(rows, 1),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.multiprocess.commit_rate")
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    found = measure(arguments.processes, arguments.seconds)
    print(
        f"{arguments.processes} processes, {arguments.seconds:g} s: {found['commits']:,} one-row "
        f"durable commits, {found['per_s']:,.0f} a second in total (bar {BAR_PER_S:,})\n"
        f"{found['versions']:,} versions; a process made {found['least']:,} to {found['most']:,}; "
        f"latency p50 {found['p50_ms']:.1f} ms, worst p99 {found['p99_ms']:.1f} ms\n"
        f"CPU a commit: {found['user_us']:.0f} µs user, {found['system_us']:.0f} µs system"
    )


if __name__ == "__main__":
    main()
