"""Time and space of cloning and restoring a large table: ``python -m tests.bench.clone``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import pagelake

CLONE_MS_MAX = 50.0
CLONE_BYTES_MAX = 64 << 10


def stored_bytes(root: Path) -> int:
    """Bytes of all files of a store; derived ones are left out."""
    return sum(
        path.stat().st_size
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] != "hot"
    )


def measure(rows: int, repeats: int, root: Path) -> dict[str, float]:
    """Clone and restore a table of so many rows.

    Returns:
        Medians in milliseconds, and the bytes that one clone or restore added at most.
    """
    found: dict[str, list[float]] = {"clone": [], "restore": []}
    added = 0
    with pagelake.connect(root, settings={"background_maintenance": False}) as db:
        db.execute(f"CREATE TABLE a AS SELECT range AS x FROM range({rows})")
        version = db.snapshot()
        db.execute("DELETE FROM a WHERE x % 1000 = 0")
        for number in range(repeats):
            for verb, sql in (
                ("clone", f"CREATE TABLE b{number} CLONE a"),
                ("restore", f"RESTORE TABLE a TO VERSION {version + number % 2}"),
            ):
                before = stored_bytes(root)
                begun = time.perf_counter()
                db.execute(sql)
                found[verb].append((time.perf_counter() - begun) * 1e3)
                added = max(added, stored_bytes(root) - before)
        counted = db.sql("SELECT count(*) FROM b0").fetchall()[0][0]
        assert counted == rows - -(-rows // 1000), counted
    return {
        "clone_ms": median(found["clone"]),
        "clone_ms_max": max(found["clone"]),
        "restore_ms": median(found["restore"]),
        "restore_ms_max": max(found["restore"]),
        "bytes_added": added,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(options.rows, options.repeats, Path(directory) / "lake")
    print(f"clone of {options.rows:,} rows: {figures['clone_ms']:.1f} ms median, "
          f"{figures['clone_ms_max']:.1f} ms at most (bar {CLONE_MS_MAX:.0f} ms)")  # fmt: skip
    print(f"restore: {figures['restore_ms']:.1f} ms median, "
          f"{figures['restore_ms_max']:.1f} ms at most")  # fmt: skip
    print(f"added: {int(figures['bytes_added']):,} bytes at most (bar {CLONE_BYTES_MAX:,} bytes)")


if __name__ == "__main__":
    main()
