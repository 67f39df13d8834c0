"""The program that the kill test kills: a writer whose work follows from a seed.

Started as a fork server: it imports everything once, then reads one JSON line a life from
standard input and forks a child for it, which opens the store, writes until it is killed, and
reports on standard output before and after each transaction::

    begin <transaction number>
    done <transaction number>

The model of the content is one table of runs, ``kept(run, part, parts, revision)``: transaction
``run`` inserts ``parts`` rows at once, so that a partial one shows, and updates and deletes whole
runs. What each transaction does is a function of the seed and its number alone, so the test can
replay it (``plan``).
"""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pagelake

BULK_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction does.

    Attributes:
        kind: ``insert``, ``rows``, ``bulk``, ``update``, ``delete`` or ``mixed``.
        run: Its number, and the key of the rows that it inserts.
        parts: Rows that it inserts.
        older: Runs that it updates or deletes, where they exist.
        checkpoint: Whether the writer asks for a checkpoint afterwards.
    """

    kind: str
    run: int
    parts: int
    older: tuple[int, ...]
    checkpoint: bool


def plan(seed: int, run: int) -> Step:
    """Decide what a transaction does, from the seed and its number alone."""
    choice = random.Random(seed * 1_000_003 + run)
    kind = choice.choices(
        ["insert", "rows", "bulk", "update", "delete", "mixed"], [6, 3, 1, 3, 2, 3]
    )[0]
    parts = {"insert": 1, "rows": choice.randint(2, 40), "bulk": BULK_ROWS, "mixed": 6}
    older = tuple(choice.randint(max(0, run - 30), max(0, run - 1)) for _ in range(3))
    return Step(kind, run, parts.get(kind, 0), older, choice.random() < 0.05)


def apply(model: dict[int, tuple[int, int]], step: Step) -> dict[int, tuple[int, int]]:
    """The content after a transaction: (rows, revision) by run."""
    after = dict(model)
    if step.kind in {"update", "mixed"}:
        for run in set(step.older) & after.keys():
            after[run] = (after[run][0], after[run][1] + 1)
    if step.kind == "delete":
        for run in step.older:
            after.pop(run, None)
    if step.parts:
        after[step.run] = (step.parts, 0)
    return after


def perform(db: pagelake.Connection, step: Step) -> None:
    """Do what the plan says, in one transaction."""
    runs = ", ".join(map(str, step.older))
    match step.kind:
        case "insert":
            db.execute("INSERT INTO kept VALUES (?, ?, ?, 0)", [step.run, 0, 1])
        case "rows" | "bulk":
            db.execute(
                f"INSERT INTO kept SELECT {step.run}, part, {step.parts}, 0 "
                f"FROM range({step.parts}) r(part)"
            )
        case "update":
            db.execute(f"UPDATE kept SET revision = revision + 1 WHERE run IN ({runs})")
        case "delete":
            db.execute(f"DELETE FROM kept WHERE run IN ({runs})")
        case "mixed":
            db.execute("BEGIN")
            db.execute(
                f"INSERT INTO kept SELECT {step.run}, part, {step.parts}, 0 "
                f"FROM range({step.parts // 2}) r(part)"
            )
            db.execute(f"UPDATE kept SET revision = revision + 1 WHERE run IN ({runs})")
            db.execute(
                f"INSERT INTO kept SELECT {step.run}, part, {step.parts}, 0 "
                f"FROM range({step.parts // 2}, {step.parts}) r(part)"
            )
            db.execute("COMMIT")


def live(path: str, seed: int, first: int) -> None:
    """Write until somebody puts an end to it."""
    import pagelake

    db = pagelake.connect(path)
    run = first
    while True:
        step = plan(seed, run)
        report(f"begin {run}")
        perform(db, step)
        report(f"done {run}")
        if step.checkpoint:
            db.execute("CALL pagelake.checkpoint()")
        run += 1


def report(line: str) -> None:
    """Write a line with one system call: it is sent whole or not at all."""
    os.write(1, f"{line}\n".encode())


def serve() -> None:
    """Fork a child for each life that is asked for."""
    import pyarrow as pa

    import pagelake.engine.connection  # noqa: F401 - warm for the children

    pa.array([1])  # imports pandas where it is installed
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                live(order["path"], order["seed"], order["first"])
            except BaseException as error:
                report(f"failed {type(error).__name__}: {error}")
            os._exit(1)
        report(f"child {child}")
        os.waitpid(child, 0)
        report("ended")


if __name__ == "__main__":
    serve()
