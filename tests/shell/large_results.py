"""How much memory the shell takes to export results of different sizes.

    python -m tests.shell.large_results [--rows 20000000] [--formats csv,jsonl,parquet]

Prints rows, format, seconds and the peak of resident memory: it must not grow with the rows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUERY = (
    "SELECT range AS id, 'customer ' || range % 1000 AS name, range * 0.25 AS price, "
    "DATE '2020-01-01' + (range % 2000)::INTEGER AS day FROM range({rows})"
)


def export(
    rows: int, format_name: str, folder: Path, before: str = "SELECT 1"
) -> tuple[float, int]:
    """Export rows to a file; returns the seconds it took and the peak of memory in bytes.

    Args:
        rows: How many.
        format_name: The format, which is the file's ending too.
        folder: Where file and store are made.
        before: A statement that is run first.
    """
    target = folder / f"result.{format_name}"
    command = [sys.executable, "-m", "pagelake", str(folder / "empty.lake")]
    for text in (before, f".output {target}", QUERY.format(rows=rows)):
        command += ["-c", text]
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"the export ended with status {child.returncode}")
    assert target.stat().st_size > rows
    target.unlink()
    kibibyte = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - begun, usage.ru_maxrss * kibibyte


def main() -> None:
    """Measure, and fail where memory grows with the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--formats", default="csv,jsonl,parquet")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for format_name in chosen.formats.split(","):
            for rows in (chosen.rows // 10, chosen.rows):
                seconds, peak = export(rows, format_name, Path(name))
                print(
                    f"{rows:>12,} rows  {format_name:8}  {seconds:6.1f} s  {peak / 2**20:6.0f} MiB"
                )


if __name__ == "__main__":
    main()
