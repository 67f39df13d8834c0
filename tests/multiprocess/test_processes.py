"""Several processes on one store: real ones, which share nothing but its directory."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pagelake
from tests.multiprocess.worker import ROWS_A_TRANSACTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120


class Crew:
    """Worker processes that have opened a store and wait for the word to begin."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def begin(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def answers(self) -> list[Any]:
        found = []
        for process in self._processes:
            out, err = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == 0, err
            found.append(json.loads(out))
        return found


@contextmanager
def crew(path: Path, *roles: tuple[str, int]) -> Iterator[Crew]:
    with ExitStack() as stack:
        processes = []
        for number, (role, amount) in enumerate(roles):
            command = [sys.executable, "-m", "tests.multiprocess.worker"]
            process = subprocess.Popen(
                [*command, role, str(path), str(number), str(amount)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                assert process.stderr is not None
                raise AssertionError(process.stderr.read())
        yield Crew(processes)


@pytest.fixture
def path(store_path: Path) -> Path:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE log (writer BIGINT, n BIGINT)")
    return store_path


def test_blind_appends_of_many_processes_all_commit(path: Path) -> None:
    """Readers in between see whole transactions only, and never go back."""
    writers, transactions = 3, 40
    rows = writers * transactions * ROWS_A_TRANSACTION
    roles = [*[("append", transactions)] * writers, ("read", rows)]
    with crew(path, *roles) as workers:
        workers.begin()
        *written, seen = workers.answers()
    with pagelake.connect(path) as db:
        assert db.execute("SELECT count(*), count(DISTINCT (writer, n)) FROM log").fetchall() == [
            (rows, rows)
        ]
        history = db.execute(
            "SELECT version, operation, transactions FROM pagelake.snapshots ORDER BY version"
        ).fetchall()
    assert [version for version, _, _ in history] == list(range(1, len(history) + 1))
    assert sum(n for _, operation, n in history if operation == "INSERT") == writers * transactions
    for versions in written:
        assert versions == sorted(set(versions)), "a writer reads its own commits"
    assert all(count % ROWS_A_TRANSACTION == 0 for _, count in seen)
    assert seen == sorted(seen), "a reader never goes back"


def test_conflicting_updates_are_tried_again(path: Path) -> None:
    """Every update counts exactly once, however many processes meet on the same rows."""
    with pagelake.connect(path) as db:
        db.execute("CREATE TABLE counters AS SELECT i AS id, 0 AS n FROM range(4) r(i)")
    processes, rounds = 3, 8
    with crew(path, *[("update", rounds)] * processes) as workers:
        workers.begin()
        workers.answers()
    with pagelake.connect(path) as db:
        found = db.execute("SELECT id, n FROM counters ORDER BY id").fetchall()
    assert found == [(i, processes * rounds) for i in range(4)]


def test_a_row_is_deleted_by_one_process_only(path: Path) -> None:
    jobs = 12
    with pagelake.connect(path) as db:
        db.execute(f"CREATE TABLE jobs AS SELECT i AS id FROM range({jobs}) r(i)")
    with crew(path, *[("claim", jobs)] * 3) as workers:
        workers.begin()
        claimed = [job for mine in workers.answers() for job in mine]
    assert sorted(claimed) == list(range(jobs))
    with pagelake.connect(path) as db:
        assert db.execute("SELECT count(*) FROM jobs").fetchall() == [(0,)]
        assert sorted(db.execute("SELECT n FROM log").fetchall()) == [(j,) for j in range(jobs)]


def test_the_hot_folder_may_vanish_while_others_query(path: Path) -> None:
    rows = 200_000
    with pagelake.connect(path) as db:
        db.execute(f"CREATE TABLE large AS SELECT i AS a FROM range({rows}) r(i)")
    hot = path / "hot"
    assert list(hot.iterdir()), "the load builds a hot segment"
    with crew(path, ("query", 40), ("query", 40)) as workers:
        workers.begin()
        for _ in range(5):
            for file in hot.iterdir():
                file.unlink(missing_ok=True)
        hot.rmdir()
        answers = workers.answers()
    assert answers == [[[rows, rows * (rows - 1) // 2]]] * 2
    with pagelake.connect(path) as db:
        assert db.execute("SELECT sum(a) FROM large").fetchall() == [(rows * (rows - 1) // 2,)]
        db.execute("CALL pagelake.build_hot_segments()")
        assert list(hot.iterdir()), "what was deleted is built again"


def test_a_reader_opened_read_only_follows_a_writer(path: Path) -> None:
    with pagelake.connect(path, read_only=True) as reader, crew(path, ("append", 4)) as workers:
        assert reader.execute("SELECT count(*) FROM log").fetchall() == [(0,)]
        workers.begin()
        workers.answers()
        assert reader.execute("SELECT count(*) FROM log").fetchall() == [(4 * ROWS_A_TRANSACTION,)]
