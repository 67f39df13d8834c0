"""The programs that the multi-process tests run: ``python -m tests.multiprocess.worker ROLE …``.

Each prints ``ready`` once it has opened the store, waits for a line on standard input so that
all of them begin together, and prints what it saw as one line of JSON.
"""

from __future__ import annotations

import json
import sys

import pagelake

ROWS_A_TRANSACTION = 5
"""Readers count rows: a number that this does not divide is a partial transaction."""


def append(db: pagelake.Connection, writer: int, transactions: int) -> object:
    """Append rows, several a transaction."""
    versions = []
    for number in range(transactions):
        first = number * ROWS_A_TRANSACTION
        if number % 3:
            rows = f"range({first}, {first + ROWS_A_TRANSACTION}) r(i)"
            db.execute(f"INSERT INTO log SELECT {writer}, i FROM {rows}")
        else:
            db.execute("BEGIN")
            for i in range(ROWS_A_TRANSACTION):
                db.execute("INSERT INTO log VALUES (?, ?)", [writer, first + i])
            db.execute("COMMIT")
        versions.append(db.snapshot())
    return versions


def read(db: pagelake.Connection, _: int, rows: int) -> object:
    """Count rows until all are there; returns (version before, rows) as they were seen."""
    seen = []
    while not seen or seen[-1][1] < rows:
        version = db.snapshot()
        counted = db.execute("SELECT count(*) FROM log").fetchall()[0][0]
        if not seen or seen[-1] != (version, counted):
            seen.append((version, counted))
    return seen


def update(db: pagelake.Connection, _: int, rounds: int) -> object:
    """Add one to every counter, again and again, against everybody else."""
    for _round in range(rounds):
        db.execute("UPDATE counters SET n = n + 1 WHERE id >= 0")
    return rounds


def claim(db: pagelake.Connection, worker: int, jobs: int) -> object:
    """Take jobs off a queue by deleting them; whoever's delete commits has the job."""
    mine = []
    for job in range(jobs):
        if db.execute("DELETE FROM jobs WHERE id = ?", [job]).rowcount == 1:
            mine.append(job)
            db.execute("INSERT INTO log VALUES (?, ?)", [worker, job])
    return mine


def query(db: pagelake.Connection, _: int, rounds: int) -> object:
    """Sum a large table, again and again."""
    answers = set()
    for _round in range(rounds):
        answers.add(db.execute("SELECT count(*), sum(a) FROM large").fetchall()[0])
    return sorted(answers)


ROLES = {"append": append, "read": read, "update": update, "claim": claim, "query": query}


def main() -> None:
    role, path, number, amount = sys.argv[1:]
    with pagelake.connect(path, settings={"lock_timeout": "60s", "threads": 1}) as db:
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(ROLES[role](db, int(number), int(amount))), flush=True)


if __name__ == "__main__":
    main()
