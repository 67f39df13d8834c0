"""A writer that is killed at random points loses nothing that it acknowledged, and no halves.

``PAGELAKE_KILLS`` sets the number of kills, ``PAGELAKE_SEED`` repeats a run's plan (not its
timing, which no program decides).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import pagelake
from tests.crash.writer import apply, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.writer import Step

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("PAGELAKE_KILLS", "100"))
DELAY_MAX_S = 0.35
"""The longest life after the store was opened; the shortest is none at all."""
LIVES_A_STORE = 25
"""A new store from time to time: creating one must survive a kill as well."""

Model = dict[int, tuple[int, int]]


@contextmanager
def fork_server() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.writer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            yield process
        finally:
            process.stdin.close()


def one_life(
    server: subprocess.Popen[str], order: dict[str, object], delay_s: float
) -> tuple[set[int], int | None]:
    """Let a writer live for a while; returns what it acknowledged and what was in flight."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    done: set[int] = set()
    begun: int | None = None
    timer: Timer | None = None
    for line in server.stdout:
        word, _, rest = line.strip().partition(" ")
        match word:
            case "child":
                timer = Timer(delay_s, os.kill, (int(rest), signal.SIGKILL))
                timer.start()
            case "begin":
                begun = int(rest)
            case "done":
                done.add(int(rest))
            case "ended":
                break
            case _:
                raise AssertionError(f"the writer failed by itself: {line}")
    assert timer is not None
    timer.join()
    return done, None if begun in done else begun


def content(db: pagelake.Connection) -> Model:
    """(rows, revision) by run; a run of which only a part is there shows as a wrong count."""
    rows = db.execute(
        "SELECT run, count(*), count(DISTINCT part), min(parts), max(parts), min(revision), "
        "max(revision) FROM kept GROUP BY run"
    ).fetchall()
    model: Model = {}
    for run, count, distinct, parts, parts_max, revision, revision_max in rows:
        assert count == distinct == parts == parts_max, f"run {run} is partial: {count} of {parts}"
        assert revision == revision_max, f"run {run} was updated in part"
        model[run] = (count, revision)
    return model


def survivor(model: Model, in_flight: Step | None, found: Model) -> Model:
    """The model that the store shows: with or without the transaction that was in flight."""
    if found == model:
        return model
    assert in_flight is not None, f"lost or invented: {found} instead of {model}"
    after = apply(model, in_flight)
    assert found == after, f"neither before nor after {in_flight}: {found}"
    return after


def test_killed_writers_lose_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("PAGELAKE_SEED", str(random.randrange(1 << 32))))
    print(f"PAGELAKE_SEED={seed} PAGELAKE_KILLS={KILLS}")
    chance = random.Random(seed)
    model: Model = {}
    path, run, acknowledged = Path(), 0, 0
    with fork_server() as server:
        for life in range(KILLS):
            if life % LIVES_A_STORE == 0:
                path, model = tmp_path / f"{life}.lake", {}
                with pagelake.connect(path) as db:
                    db.execute(
                        "CREATE TABLE kept (run BIGINT, part BIGINT, parts BIGINT, revision BIGINT)"
                    )
            order: dict[str, object] = {"path": str(path), "seed": seed, "first": run}
            done, in_flight = one_life(server, order, chance.random() * DELAY_MAX_S)
            for number in sorted(done):
                model = apply(model, plan(seed, number))
            acknowledged += len(done)
            run = max([run, *(number + 1 for number in done)])
            with pagelake.connect(path) as db:
                step = None if in_flight is None else plan(seed, in_flight)
                model = survivor(model, step, content(db))
                run += 1
                db.execute("INSERT INTO kept VALUES (?, 0, 1, 0)", [-run])
                assert db.execute("SELECT count(*) FROM kept WHERE run = ?", [-run]).fetchall() == [
                    (1,)
                ]
                db.execute("DELETE FROM kept WHERE run = ?", [-run])
    assert acknowledged >= KILLS, f"only {acknowledged} transactions in {KILLS} lives"


def test_a_writer_killed_while_it_creates_the_store(tmp_path: Path) -> None:
    """Whatever stage creation was in, the next one to come finds or makes a store."""
    chance = random.Random(int(os.environ.get("PAGELAKE_SEED", "1")))
    with fork_server() as server:
        for life in range(max(10, KILLS // 10)):
            path = tmp_path / f"{life}.lake"
            order: dict[str, object] = {"path": str(path), "seed": 0, "first": 0}
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(order) + "\n")
            server.stdin.flush()
            child = int(server.stdout.readline().split()[1])
            timer = Timer(chance.random() * 0.03, os.kill, (child, signal.SIGKILL))
            timer.start()
            for line in server.stdout:
                if line == "ended\n":
                    break
            timer.join()
            with pagelake.connect(path) as db:
                db.execute("CREATE TABLE t AS SELECT 42 AS a")
            with pagelake.connect(path, read_only=True) as db:
                assert db.execute("SELECT a FROM t").fetchall() == [(42,)]
