"""The program that runs in a process of its own, for what only a fresh process can show.

It is started by path and imports nothing of the package at the top, so that what it times is the
engine alone. A JSON request comes on standard input, a JSON answer leaves on standard output.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Request = dict[str, Any]


def _open(engine: str, path: str, threads: int, *, new: bool = False) -> Any:
    if engine == "duckdb":
        import duckdb

        read_only = not new and path != ":memory:"
        return duckdb.connect(path, read_only=read_only, config={"threads": threads})
    import pagelake

    return pagelake.connect(path, settings={"threads": threads})


def _fetch(engine: str, connection: Any, sql: str) -> Any:
    if engine == "duckdb":
        return connection.sql(sql).to_arrow_table()
    return connection.sql(sql).arrow()


def _fresh(request: Request) -> dict[str, float]:
    """Open the tables and answer every query once; report each part in milliseconds."""
    engine, threads = str(request["engine"]), int(request["threads"])
    if request["preload"]:
        # One answer from an empty store loads every module, the lazily imported ones too.
        _fetch(engine, _open(engine, ":memory:", threads), "SELECT 1")
    started = time.perf_counter()
    connection = _open(engine, str(request["path"]), threads)
    opened = time.perf_counter()
    for sql in request["queries"]:
        _fetch(engine, connection, sql)
    finished = time.perf_counter()
    connection.close()
    return {
        "open_ms": (opened - started) * 1e3,
        "pass_ms": (finished - opened) * 1e3,
        "total_ms": (finished - started) * 1e3,
    }


def _peak(request: Request) -> dict[str, float]:
    """Run statements on a new store; report the process's peak resident bytes before and after."""
    connection = _open(request["engine"], request["path"], int(request["threads"]), new=True)
    _fetch(request["engine"], connection, "SELECT 1")
    before = _peak_bytes()
    for sql in request["statements"]:
        connection.execute(sql)
    # Closing waits for what goes on in the background: checkpoints, derived files.
    connection.close()
    return {"before_bytes": before, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    # Linux carries ru_maxrss over from the parent through fork and exec, so a large parent would
    # hide a small child; VmHWM belongs to this program alone.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _import(request: Request) -> dict[str, float]:
    """Report the milliseconds that importing one module takes."""
    import importlib

    started = time.perf_counter()
    importlib.import_module(request["module"])
    return {"import_ms": (time.perf_counter() - started) * 1e3}


def main() -> None:
    """Answer one request."""
    tasks: dict[str, Callable[[Request], dict[str, float]]] = {
        "fresh": _fresh,
        "peak": _peak,
        "import": _import,
    }
    request = json.load(sys.stdin)
    json.dump(tasks[request["task"]](request), sys.stdout)


if __name__ == "__main__":
    main()
