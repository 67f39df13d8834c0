"""Files of 4 KiB created by eight writers, each durable when its call returns.

    python -m tests.bench.create_files [FILES]              threads of one process, and processes
    python -m tests.bench.create_files --threads [FILES]    the former only
    python -m tests.bench.create_files --processes [FILES]  the latter only
    python -m tests.bench.create_files --visible [FILES]    rows seen by another process's SELECT
    python -m tests.bench.create_files --rename [FILES]     renaming a directory of that many

Beside the store's files, in the same run, two peers: plain files, synced with their directory one
by one, and rows of 4 KiB that SQL appends to a table without a key.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pagelake
from pagelake.engine.database import Database
from pagelake.storage.files.operations import Create, MakeDirectory
from pagelake.storage.files.renaming import Rename

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from pagelake.storage.files.files import Files

WRITERS = 8
FILE_BYTES = 4096
CREATES_MIN = 1000.0
RENAME_MAX_S = 1.0
PATIENCE_S = 300.0
"""When a writer has failed, the others must not wait for it for ever."""
LOOK = "SELECT count(*) FROM file_data.elements WHERE parent_handle = ? AND name = ?"
_BATCH = 4000


def _opened(kind: str, path: str, writer: int) -> tuple[Callable[[int], None], Callable[[], None]]:
    """What makes the file of a number, and what ends the writer."""
    body = os.urandom(FILE_BYTES)
    if kind == "plain":
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        return lambda number: _plain(folder, f"{writer}_{number}", body), lambda: os.close(folder)
    if kind == "blind":
        con = pagelake.connect(path)
        insert = "INSERT INTO blobs VALUES (?, ?)"
        return lambda number: _insert(con, insert, (number, body)), con.close
    database = Database(path)
    return lambda number: _create(database.files, f"/in/{writer}_{number}", body), database.close


def _plain(folder: int, name: str, body: bytes) -> None:
    file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=folder)
    os.write(file, body)
    os.fsync(file)
    os.close(file)
    os.fsync(folder)


def _insert(con: pagelake.Connection, statement: str, values: tuple[int, bytes]) -> None:
    con.execute(statement, values)


def _create(files: Files, path: str, body: bytes) -> None:
    files.run(Create(path, files.content.inline(body)))


def _prepared(kind: str, root: Path) -> str:
    path = root / kind
    if kind == "plain":
        path.mkdir()
    elif kind == "blind":
        with pagelake.connect(path) as con:
            con.execute("CREATE TABLE blobs (n BIGINT, body BLOB)")
    else:
        database = Database(path)
        database.files.run(MakeDirectory("/in"))
        database.close()
    return os.fspath(path)


def _by_threads(kind: str, path: str, count: int) -> float:
    """Creates a second by threads that share a store."""
    write, close = _opened(kind, path, 0)
    writers = [
        threading.Thread(target=_several, args=(write, number * count, count))
        for number in range(WRITERS)
    ]
    write(-1)
    began = time.perf_counter()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    seconds = time.perf_counter() - began
    close()
    return WRITERS * count / seconds


def _several(write: Callable[[int], None], first: int, count: int) -> None:
    for number in range(first, first + count):
        write(number)


def _by_processes(kind: str, path: str, count: int) -> float:
    """Creates a second by processes, each with the store open."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS + 1)
    writers = [
        context.Process(target=_one_process, args=(kind, path, number, count, barrier))
        for number in range(WRITERS)
    ]
    for process in writers:
        process.start()
    barrier.wait(PATIENCE_S)
    began = time.perf_counter()
    barrier.wait(PATIENCE_S)
    seconds = time.perf_counter() - began
    for process in writers:
        process.join()
        if process.exitcode:
            raise SystemExit("a writer has failed")
    return WRITERS * count / seconds


def _one_process(kind: str, path: str, writer: int, count: int, barrier: threading.Barrier) -> None:
    write, close = _opened(kind, path, writer)
    write(-1)
    barrier.wait(PATIENCE_S)
    _several(write, 0, count)
    barrier.wait(PATIENCE_S)
    close()


def creates(total: int = 10_000, ways: Sequence[str] = ("threads", "processes")) -> int:
    """Measure creates; 0 when the bar is reached."""
    met = True
    for way in ways:
        run = _by_threads if way == "threads" else _by_processes
        for kind in ("plain", "blind", "files"):
            with tempfile.TemporaryDirectory() as folder:
                rate = run(kind, _prepared(kind, Path(folder)), max(1, total // WRITERS))
            line = f"{WRITERS} {way}, {kind}: {rate:,.0f} creates a second"
            if kind == "files":
                met = met and rate >= CREATES_MIN
                line += f" (bar {CREATES_MIN:,.0f})"
            print(line, flush=True)
    return 0 if met else 1


def by_threads(total: int = 10_000) -> int:
    """Creates by threads of one process."""
    return creates(total, ["threads"])


def by_processes(total: int = 10_000) -> int:
    """Creates by processes with one store."""
    return creates(total, ["processes"])


def _look(path: str, numbers: Connection, answers: Connection) -> None:
    """Tell for each number whether a SELECT finds its row."""
    with pagelake.connect(path) as con:
        answers.send(-1)
        while True:
            parent, name = numbers.recv()
            if not name:
                return
            answers.send(con.execute(LOOK, (parent, name)).fetchone()[0])


def visible(total: int = 10_000) -> int:
    """Create files one by one, each looked for by another process once the call has returned."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = _prepared("files", Path(folder))
        numbers, asked = context.Pipe()
        answers, told = context.Pipe()
        reader = context.Process(target=_look, args=(path, asked, told))
        reader.start()
        answers.recv()
        database = Database(path)
        body = os.urandom(FILE_BYTES)
        seen = 0
        for number in range(total):
            name = f"f{number}"
            made = database.files.run(Create(f"/in/{name}", database.files.content.inline(body)))
            assert made[0] is not None
            numbers.send((made[0].parent_handle, name))
            seen += answers.recv()
            if (number + 1) % 1000 == 0:
                print(f"{seen:,} of {number + 1:,} rows were there", flush=True)
        numbers.send((0, ""))
        reader.join()
        database.close()
    print(f"{seen:,} of {total:,} rows were there for another process's SELECT")
    return 0 if seen == total else 1


def rename(total: int = 100_000) -> int:
    """Rename a directory with many files in it, handles kept."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "store")
        files = database.files
        files.run(MakeDirectory("/old/deep/er", parents=True), MakeDirectory("/to"))
        for first in range(0, total, _BATCH):
            batch = range(first, min(first + _BATCH, total))
            files.run(*(Create(f"/old/deep/er/f{number}.txt") for number in batch))
        with files.snapshot() as before:
            was = before.get("/old/deep/er/f7.txt")
        worst = 0.0
        for old, new in (("/old", "/to/new"), ("/to/new", "/old"), ("/old", "/moved")):
            began = time.perf_counter()
            files.run(Rename(old, new))
            seconds = time.perf_counter() - began
            worst = max(worst, seconds)
            print(f"renaming {total:,} files: {seconds:.2f} s (bar {RENAME_MAX_S} s)")
        with files.snapshot() as after:
            now = after.get("/moved/deep/er/f7.txt")
            kept = now.handle == was.handle and after.usage("/moved").files == total
        database.close()
    print("handles kept" if kept else "handles lost")
    return 0 if kept and worst <= RENAME_MAX_S else 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    measures = {
        "--threads": by_threads,
        "--processes": by_processes,
        "--visible": visible,
        "--rename": rename,
    }
    sizes = [int(argument) for argument in arguments if argument.isdigit()]
    sys.exit(measures.get(arguments[0] if arguments else "", creates)(*sizes))
