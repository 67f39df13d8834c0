"""A storm of SIGKILL on one store: ``python -m tests.crash.storm --kills 50``.

Eight writers and four readers work on one store; at random moments one of them is killed and
another takes its place. What must be there is known outside of the store: each writer says before
and after every transaction which one it is, and what a transaction does follows from the seed,
the writer and its number. A writer that takes over reads what its predecessor left and tells it;
acknowledged must be there, the transaction in flight may be, whole.

A seed repeats what writers do and who is killed, though not when.
"""

from __future__ import annotations

import argparse
import random
import selectors
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pagelake
from tests.multiprocess.fleet import Fleet

if TYPE_CHECKING:
    from tests.multiprocess.fleet import Channel, Member

WRITERS = 8
READERS = 4
REOPEN_BAR_MS = 250.0
PAUSE_MAX_S = 0.2
"""The longest time between two kills."""
READ_PAUSE_S = 0.02
"""Readers look now and then: the storm is about those who write."""
REOPENED_ALONE = 20
"""Openings measured after the storm, when nobody else takes the processor."""
BULK_ROWS = 20_000
SETTINGS = {"threads": 1, "lock_timeout": "60s"}

Model = dict[int, tuple[int, int, bool]]
"""(rows, revision, whether the ledger has it) by run."""


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


def plan(seed: int, writer: int, run: int) -> Step:
    """Decide what a transaction does, from the seed, the writer and its number alone."""
    choice = random.Random((seed * 1_000_003 + run) * 1009 + writer)
    kinds = ["insert", "rows", "bulk", "update", "delete", "mixed"]
    kind = choice.choices(kinds, [6, 3, 1, 3, 2, 4])[0]
    parts = {"insert": 1, "rows": choice.randint(2, 40), "bulk": BULK_ROWS, "mixed": 6}
    older = tuple(choice.randint(max(0, run - 30), run - 1) for _ in range(3)) if run else (-1,)
    return Step(kind, run, parts.get(kind, 0), older, choice.random() < 0.03)


def apply(model: Model, step: Step) -> Model:
    """The content after a transaction."""
    after = dict(model)
    if step.kind in {"update", "mixed"}:
        for run in set(step.older) & after.keys():
            rows, revision, kept = after[run]
            after[run] = (rows, revision + 1, kept)
    if step.kind == "delete":
        for run in step.older:
            after.pop(run, None)
    if step.parts:
        after[step.run] = (step.parts, 0, step.kind == "mixed")
    return after


def create(path: Path) -> None:
    """Make the store and its tables."""
    with pagelake.connect(path) as db:
        db.execute(
            "CREATE TABLE kept (writer BIGINT, run BIGINT, part BIGINT, parts BIGINT, "
            "revision BIGINT)"
        )
        db.execute("CREATE TABLE ledger (writer BIGINT, run BIGINT, revision BIGINT)")


def perform(db: pagelake.Connection, writer: int, step: Step) -> None:
    """Do what the plan says, in one transaction."""

    def insert(first: int, end: int) -> None:
        db.execute(
            f"INSERT INTO kept SELECT {writer}, {step.run}, part, {step.parts}, 0 "
            f"FROM range({first}, {end}) r(part)"
        )

    if step.kind == "insert":
        db.execute("INSERT INTO kept VALUES (?, ?, ?, ?, 0)", [writer, step.run, 0, 1])
        return
    if step.kind in {"rows", "bulk"}:
        insert(0, step.parts)
        return
    of_mine = f"WHERE writer = {writer} AND run IN ({', '.join(map(str, step.older))})"
    db.execute("BEGIN")
    insert(0, step.parts // 2)
    for table in ("kept", "ledger"):
        if step.kind == "delete":
            db.execute(f"DELETE FROM {table} {of_mine}")
        else:
            db.execute(f"UPDATE {table} SET revision = revision + 1 {of_mine}")
    if step.parts:
        db.execute("INSERT INTO ledger VALUES (?, ?, 0)", [writer, step.run])
        insert(step.parts // 2, step.parts)
    db.execute("COMMIT")


def content(db: pagelake.Connection, writer: int) -> tuple[Model, list[str]]:
    """What a writer's rows say at one snapshot, and what is wrong with them in themselves."""
    db.execute("BEGIN")
    rows = db.execute(
        "SELECT run, count(*), count(DISTINCT part), min(parts), max(parts), min(revision), "
        "max(revision) FROM kept WHERE writer = ? GROUP BY run",
        [writer],
    ).fetchall()
    entries = db.execute("SELECT run, revision FROM ledger WHERE writer = ?", [writer]).fetchall()
    db.execute("COMMIT")
    ledger = dict(entries)
    wrong = [f"ledger entry twice: {entries}"] if len(ledger) < len(entries) else []
    model: Model = {}
    for run, count, distinct, parts, parts_max, revision, revision_max in rows:
        model[run] = (count, revision, run in ledger)
        if not count == distinct == parts == parts_max:
            wrong.append(f"run {run} of writer {writer} is partial: {count} of {parts}")
        if {revision, ledger.pop(run, revision)} != {revision_max}:
            wrong.append(f"run {run} of writer {writer} was updated in part")
    if ledger:
        wrong.append(f"runs {sorted(ledger)} of writer {writer} are in one table only")
    return model, wrong


# Members


def write(channel: Channel, path: str, writer: int, seed: int, first: int) -> None:
    """Take over from the predecessor, then write until somebody puts an end to it."""
    begun = time.perf_counter()
    db = pagelake.connect(path, settings=SETTINGS)
    opened_ms = (time.perf_counter() - begun) * 1e3
    model, wrong = content(db, writer)
    channel.send(["opened", opened_ms, list(model.items()), wrong])
    run = first
    while True:
        step = plan(seed, writer, run)
        channel.send(["begin", run])
        try:
            perform(db, writer, step)
            channel.send(["done", run])
        except pagelake.Conflict:
            # One that failed at its COMMIT has ended already.
            with suppress(pagelake.InvalidRequest):
                db.execute("ROLLBACK")
            channel.send(["refused", run])
        if step.checkpoint:
            db.execute("CALL pagelake.checkpoint()")
        run += 1


def read(channel: Channel, path: str, reader: int, seed: int, first: int) -> None:
    """Read whatever writers left, until somebody puts an end to it."""
    begun = time.perf_counter()
    db = pagelake.connect(path, settings=SETTINGS, read_only=reader % 2 == 0)
    channel.send(["opened", (time.perf_counter() - begun) * 1e3, [], []])
    chance = random.Random((seed * 1009 + reader) * 1009 + first)
    version = 0
    while True:
        _, wrong = content(db, chance.randrange(WRITERS))
        if (newest := db.snapshot()) < version:
            wrong.append(f"version {newest} after {version}")
        version = newest
        channel.send(["saw", wrong])
        time.sleep(READ_PAUSE_S)


# The storm


@dataclass(slots=True)
class _Place:
    """A writer's or reader's place, which one process after another takes."""

    role: str
    number: int
    member: Member | None = None
    model: Model = field(default_factory=dict)
    next_run: int = 0
    in_flight: int | None = None


@dataclass(slots=True)
class Toll:
    """What a storm has cost.

    Attributes:
        kills: Processes killed.
        acknowledged: Transactions whose writer was told that they are true.
        refused: Transactions that met a conflict.
        in_flight: Transactions whose writer was killed before it knew.
        survived: Those of them that are true nevertheless.
        lost: Rows that were acknowledged and are not there.
        phantom: Rows that are there and should not be.
        torn: Sentences about transactions seen in part.
        reads: Snapshots that readers checked.
        reopen_ms: How long each opening took, among all the others.
    """

    kills: int = 0
    acknowledged: int = 0
    refused: int = 0
    in_flight: int = 0
    survived: int = 0
    lost: int = 0
    phantom: int = 0
    torn: list[str] = field(default_factory=list)
    reads: int = 0
    reopen_ms: list[float] = field(default_factory=list)


class Storm:
    """One storm on one store.

    Args:
        path: The store.
        fleet: Where processes come from.
        seed: Decides what writers do and who is killed.
    """

    def __init__(self, path: Path, fleet: Fleet, seed: int) -> None:
        self._path = path
        self._fleet = fleet
        self._seed = seed
        self._chance = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._places = [_Place("write", number) for number in range(WRITERS)]
        self._places += [_Place("read", number) for number in range(READERS)]
        self.toll = Toll()

    def run(self, kills: int) -> Toll:
        """Kill that many processes, then everybody, and hold the store against the model."""
        for place in self._places:
            self._fill(place)
        while self.toll.kills < kills:
            self._listen(self._chance.random() * PAUSE_MAX_S)
            victim = self._chance.choice(self._places)
            self._kill(victim)
            self.toll.kills += 1
            self._fill(victim)
        for place in self._places:
            self._kill(place)
        with pagelake.connect(self._path) as db:
            for place in self._places[:WRITERS]:
                self._compare(place, *content(db, place.number))
        return self.toll

    def _fill(self, place: _Place) -> None:
        place.member = self._fleet.start(
            f"crash.storm:{place.role}", str(self._path), place.number, self._seed, place.next_run
        )
        self._selector.register(place.member.channel.end, selectors.EVENT_READ, place)

    def _listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                place: _Place = key.data
                assert place.member is not None
                # A member says something only when all of it is said at once, so this never waits
                # for long; several lines may have come together.
                self._hear(place, place.member.receive())
                while place.member.channel.buffered:
                    self._hear(place, place.member.receive())

    def _kill(self, place: _Place) -> None:
        member = place.member
        assert member is not None
        self._selector.unregister(member.channel.end)
        member.kill()
        for said in member.rest():
            self._hear(place, said)
        member.channel.end.close()
        place.member = None

    def _hear(self, place: _Place, said: list[Any]) -> None:
        match said:
            case ["opened", float(opened_ms), found, list(wrong)]:
                self.toll.reopen_ms.append(opened_ms)
                if place.role == "write":
                    model = {run: (rows, revision, kept) for run, (rows, revision, kept) in found}
                    self._compare(place, model, wrong)
            case ["begin", int(run)]:
                place.in_flight = run
                place.next_run = run + 1
            case ["done", int(run)]:
                place.in_flight = None
                place.model = apply(place.model, plan(self._seed, place.number, run))
                self.toll.acknowledged += 1
            case ["refused", int()]:
                place.in_flight = None
                self.toll.refused += 1
            case ["saw", list(wrong)]:
                self.toll.reads += 1
                self.toll.torn += wrong
            case _:
                raise AssertionError(f"{place.role} {place.number} said {said}")

    def _compare(self, place: _Place, found: Model, wrong: list[str]) -> None:
        """Hold what a place's rows say against what must be there, with or without the last."""
        self.toll.torn += wrong
        choices = [place.model]
        if place.in_flight is not None:
            self.toll.in_flight += 1
            choices.append(apply(place.model, plan(self._seed, place.number, place.in_flight)))
            place.in_flight = None
        if found in choices:
            self.toll.survived += found is not choices[0] and found != choices[0]
        else:
            lost = {run: rows for run, rows in choices[0].items() if found.get(run) != rows}
            extra = {run: rows for run, rows in found.items() if choices[-1].get(run) != rows}
            self.toll.lost += sum(rows for rows, _, _ in lost.values())
            self.toll.phantom += sum(rows for rows, _, _ in extra.values())
            self.toll.torn.append(f"writer {place.number}: lacks {lost}, has {extra}")
        place.model = found


def reopened_ms(fleet: Fleet, path: Path) -> list[float]:
    """How long it takes a new process to open the store, one after another."""
    found = []
    for number in range(REOPENED_ALONE):
        member = fleet.start("crash.storm:read", str(path), number, 0, 0)
        found.append(member.receive()[1])
        member.kill()
        member.rest()
    return found


def p99(values: list[float]) -> float:
    """99 of 100 values are no larger."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def main() -> None:
    """Parse the command line, run a storm, print its toll."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.storm")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}: {WRITERS} writers, {READERS} readers", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pagelake-storm-") as folder, Fleet() as fleet:
        path = Path(folder) / "storm.lake"
        create(path)
        toll = Storm(path, fleet, seed).run(arguments.kills)
        took_s = time.monotonic() - begun
        alone_ms = reopened_ms(fleet, path)
    print(
        f"{toll.kills} kills in {took_s:.0f} s; {toll.acknowledged:,} "
        f"transactions acknowledged, {toll.refused:,} refused, {toll.in_flight:,} in flight when "
        f"their writer was killed ({toll.survived:,} of them true); {toll.reads:,} reads\n"
        f"lost rows {toll.lost}, phantom rows {toll.phantom}, torn transactions {len(toll.torn)}\n"
        f"reopening: p99 {p99(alone_ms):.0f} ms (bar {REOPEN_BAR_MS:.0f}); among the other "
        f"{WRITERS + READERS - 1} processes p99 {p99(toll.reopen_ms):.0f} ms"
    )
    for sentence in toll.torn[:10]:
        print(sentence)
    sys.exit(bool(toll.lost or toll.phantom or toll.torn))


if __name__ == "__main__":
    main()
