"""Generated statements on Pagelake and on stock DuckDB: the same answers and the same errors.

``python -m tests.differential.fuzz --seed 1 --count 5000`` makes worlds of tables, in each of
them some hundreds of queries with changes and transactions in between, each told both engines.
``--world N`` runs one of them again. What differs is made smaller and shown with its world.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from tests.differential import aggregates, keyed, scenes_of_rows, wrong  # noqa: F401 - register
from tests.differential.answers import Difference, compare, is_fault
from tests.differential.changes import make_change
from tests.differential.grammar import Maker, features
from tests.differential.queries import make_query
from tests.differential.scenes import Scene, make_scene
from tests.differential.shrink import shrink
from tests.differential.twins import Twins, Variant
from tests.differential.world import make_world

if TYPE_CHECKING:
    from tests.differential.asking import Given, Query

QUERIES: Final = 600
"""Queries of one world."""
BETWEEN_CHANGES: Final = 25
"""Queries between two bursts of changes."""
AGAIN: Final = 0.2
"""Share of the queries that are asked a second time where plans are kept."""
SCENES: Final = 0.01
"""Scenes for each query."""
SCENES_HITS_MIN: Final = 10
"""Uses of each feature that a run must ask for, before it asks for each scene."""
REMEMBERED: Final = ("item", "part", "number", "nested", "keyed", "moment", "fact")
REMEMBERED_MAX: Final = 4
"""Versions of tables that are asked for later, in one world."""
REFUSED_MAX: Final = 0.1
"""Share of the statements that both engines may refuse."""
SHOWN_MAX: Final = 20
PROCESSES: Final = 2
ZONES: Final = ("UTC", "America/New_York", "UTC", "Asia/Kathmandu", "Europe/Paris")
LARGE_EVERY: Final = 4
"""One world of so many has a table of several full row groups."""
TEMPORARY_EVERY: Final = 3
"""One world of so many has temporary relations, beside which every query takes another way."""
MEMORY: Final = Path("/dev/shm")
"""Where stores are kept if there is such a place: nothing here is about devices."""
MEMORY_BYTES_MIN: Final = 1 << 30
"""A container's own place in memory may be too small."""


@dataclass(slots=True)
class Report:
    """What came of one or more worlds.

    Attributes:
        statements: Statements compared.
        queries: Those of them that are queries.
        failed: Queries that fail in both engines.
        refused: Other statements that fail in both engines.
        faults: Worlds that ended early because stock DuckDB stumbled over itself.
        empty: Queries that answer no row.
        inexact: Queries whose floats agree in all but the last digits.
        hits: How often each production was used.
        differences: What differed, as text.
    """

    statements: int = 0
    queries: int = 0
    failed: int = 0
    refused: int = 0
    faults: int = 0
    empty: int = 0
    inexact: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Count another in."""
        self.statements += other.statements
        self.queries += other.queries
        self.failed += other.failed
        self.refused += other.refused
        self.faults += other.faults
        self.empty += other.empty
        self.inexact += other.inexact
        self.hits += other.hits
        self.differences += other.differences


class StockFault(Exception):
    """Stock DuckDB has failed within itself: there is nothing to compare with any more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which world to run.

    Attributes:
        seed: The run's seed.
        world: Number of the world.
        queries: Queries to make in it.
        hot: With hot segments, without, or by the world's number.
        plan_cache: With kept plans, without, or by the world's number.
        shrink_s: Seconds given to making one statement smaller.
    """

    seed: int
    world: int
    queries: int = QUERIES
    hot: bool | None = None
    plan_cache: bool | None = None
    shrink_s: float = 10.0

    def variant(self) -> Variant:
        """How the store answers in this world."""
        hot = self.world % 2 == 0 if self.hot is None else self.hot
        cache = self.world // 2 % 2 == 0 if self.plan_cache is None else self.plan_cache
        zone = ZONES[self.world % len(ZONES)]
        small = self.world % 7 in {1, 3, 5}
        streamed = self.world % 3 == 2
        return Variant(hot, cache, streamed, zone, small_groups=small)


class WorldRun:
    """One world, from its first table to its last query.

    Args:
        plan: Which.
        folder: An empty folder for the store.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._random = Random(f"{plan.seed} {plan.world}")
        self._world = make_world(
            self._random,
            large=plan.world % LARGE_EVERY == 1,
            temporary=plan.world % TEMPORARY_EVERY == 2,
        )
        self._maker = Maker(self._random, self._world.tables)
        self._twins = Twins(folder / "store", plan.variant())
        self._in_transaction = False
        self._prepared: list[Query] = []
        self.report = Report(hits=self._maker.hits)

    def run(self) -> Report:
        """Fill the tables, then ask and change in turns."""
        with self._plan.variant().limits():
            try:
                for step in self._world.steps:
                    self._twins.fill(step)
                self._twins.settle()
                for number in range(self._plan.queries):
                    if number % BETWEEN_CHANGES == BETWEEN_CHANGES - 1 and not self._changes():
                        break
                    self._ask(make_query(self._maker))
                    if self._random.random() < SCENES:
                        self._play(make_scene(self._maker))
            except StockFault:
                self.report.faults += 1
            finally:
                self._twins.close()
        return self.report

    def _play(self, scene: Scene) -> None:
        """Tell both a scene; what it leaves behind after a difference has names of its own."""
        told: list[str] = []
        for said in scene:
            sql, given = (said, ()) if isinstance(said, str) else (said.sql, said.parameters)
            ours, theirs = self._twins.ours(sql, given), self._twins.theirs(sql, given)
            told.append(f"{sql} {given}" if given else sql)
            if is_fault(theirs):
                raise StockFault
            self.report.statements += 1
            self.report.refused += theirs.error != ""
            if ours.error == "transaction" and theirs.error:
                continue  # in an aborted transaction, stock DuckDB still looks for names
            difference, _ = compare(ours, theirs, is_ordered=sql.endswith("ORDER BY ALL"))
            if difference is not None:
                self._note("; ".join(told), sql, difference, given)
                self._twins.abandon()
                return
        self._twins.settle()

    def _ask(self, query: Query) -> bool:
        """Ask both; False where it failed, as it must have in both."""
        if query.prepare:
            difference, error = self._change(query.prepare)
            if difference is not None:
                self._note(query.prepare, query.prepare, difference, ())
            if error or difference is not None:
                return False
            name = query.prepare.split()[1]
            others = [known for known in self._prepared if known.prepare.split()[1] != name]
            self._prepared = [*others, query]
        theirs = self._twins.theirs(query.sql, query.parameters)
        if is_fault(theirs):
            raise StockFault
        again = self._plan.variant().plan_cache and self._random.random() < AGAIN
        rounds = 2 if again and not (theirs.error and self._in_transaction) else 1
        self.report.queries += 1
        self.report.statements += 1
        self.report.failed += theirs.error != ""
        self.report.empty += not theirs.rows and not theirs.error
        for _ in range(rounds):
            ours = self._twins.ours(query.sql, query.parameters)
            if query.names_vary:
                ours = replace(ours, names=theirs.names)
            difference, is_exact = compare(ours, theirs, is_ordered=query.is_ordered)
            self.report.inexact += not is_exact
            if difference is not None:
                self._differs(query, difference)
                break
        return theirs.error == ""

    def _differs(self, query: Query, difference: Difference) -> None:
        def still(sql: str) -> bool:
            theirs = self._twins.theirs(sql, query.parameters)
            if difference.kind in {"rows", "order", "names", "types"} and theirs.error:
                return False
            if difference.kind in {"rows", "order"} and "LIMIT" in sql and "ORDER BY" not in sql:
                return False  # no longer has one right answer
            ours = self._twins.ours(sql, query.parameters)
            found, _ = compare(ours, theirs, is_ordered=False)
            if difference.kind == "error" and found is not None:
                return found.kind == "error" and _gist(found.text) == _gist(difference.text)
            return found is not None and found.kind == difference.kind

        small = sql = f"{query.prepare}; {query.sql}" if query.prepare else query.sql
        is_alone = not self._in_transaction and not query.prepare
        if is_alone and difference.kind != "order" and self._plan.shrink_s:
            small = shrink(query.sql, still, self._plan.shrink_s)
        self._note(sql, small, difference, query.parameters)

    def _note(self, sql: str, small: str, difference: Difference, parameters: Given) -> None:
        plan = self._plan
        self.report.differences.append(
            f"{difference.kind} (seed {plan.seed}, world {plan.world}, query"
            f" {self.report.queries}, {plan.variant()})\n{difference.text}\n"
            f"statement: {sql}\nparameters: {parameters}\nsmaller: {small}\n"
        )

    def _changes(self) -> bool:
        """A burst of changes, in a transaction or not; False where the twins have parted."""
        in_transaction = self._random.random() < 0.5
        self._in_transaction = in_transaction
        if in_transaction:
            self._maker.hits["transaction"] += 1
            self._twins.begin()
        changed = set()
        for _ in range(self._random.randint(2, 6)):
            if in_transaction:
                self._savepoints()
            sql, table = make_change(self._maker)
            difference, error = self._change(sql)
            if difference is not None:
                self._note(sql, sql, difference, ())
                self._twins.abandon()
                self._in_transaction = False
                if difference.kind != "error":
                    return False
                return self._same({table, *changed})
            if not error:
                changed.add(table)
            elif in_transaction:
                in_transaction = self._aborted(sql)
            if in_transaction and self._random.random() < 0.5:
                query = make_query(self._maker)
                if not self._ask(query):
                    in_transaction = self._aborted(query.sql)
        if in_transaction:
            self._twins.end(self._random.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
            self._in_transaction = False
        self._twins.settle()
        self._between()
        return self._same(changed)

    def _between(self) -> None:
        """What happens between statements: others' plans grow old, versions are remembered."""
        hits, chance = self._maker.hits, self._random.random
        if chance() < 0.3:
            remembered = [t for t in self._world.tables.values() if t.name in REMEMBERED]
            name = f"past_{self.report.queries}"
            table = self._random.choice(remembered)
            self._twins.remember(table.name, name)
            tables = self._maker.tables
            olds = [known for known in tables if known.startswith("past_")]
            if len(olds) >= REMEMBERED_MAX:
                del tables[olds[0]]
            tables[name] = replace(table, name=name, is_fixed=True, computed=())
            hits["AT (VERSION)"] += 1
        if chance() < 0.1:
            self._twins.both(f"SET TimeZone = '{self._random.choice(ZONES)}'")
            hits["SET TimeZone"] += 1
        for query in self._random.sample(self._prepared, min(1, len(self._prepared))):
            hits["EXECUTE after changes"] += 1
            self._ask(replace(query, prepare=""))

    def _change(self, sql: str) -> tuple[Difference | None, str]:
        """Say a change to both, statement for statement; how they differ, and the error."""
        for statement in sql.split("; "):
            ours, theirs = self._twins.ours(statement), self._twins.theirs(statement)
            self.report.statements += 1
            self.report.refused += theirs.error != ""
            if is_fault(theirs):
                raise StockFault
            difference, _ = compare(ours, theirs, is_ordered=False)
            if difference is not None or theirs.error:
                return difference, theirs.error
            self._twins.said(statement)
        return None, ""

    def _aborted(self, sql: str) -> bool:
        """After a statement that failed: both or neither go on, and then both give up."""
        self._maker.hits["failure in a transaction"] += 1
        probe = "SELECT 1"
        difference, _ = compare(self._twins.ours(probe), self._twins.theirs(probe), is_ordered=True)
        if difference is not None:
            self._note(f"{sql}; {probe}", "", difference, ())
        self._twins.abandon()
        self._in_transaction = False
        return False

    def _savepoints(self) -> None:
        chance = self._random.random()
        if chance < 0.2:
            self._maker.hits["SAVEPOINT"] += 1
            self._twins.savepoint()
        elif chance < 0.4 and self._twins.has_savepoint:
            self._maker.hits["ROLLBACK TO"] += 1
            self._twins.rollback_to()

    def _same(self, tables: set[str]) -> bool:
        """Compare whole tables."""
        for table in sorted({name for some in tables for name in some.split()}):
            sql = f"SELECT * FROM {table}"
            theirs = self._twins.theirs(sql)
            difference, _ = compare(self._twins.ours(sql), theirs, is_ordered=False)
            self.report.statements += 1
            if difference is not None:
                self._note(sql, sql, difference, ())
                return False
        return True


def _gist(text: str) -> str:
    """What an error difference is about, whatever names it tells: the kinds of both sides."""
    sides = [line for line in text.splitlines() if line.startswith(("pagelake: ", "duckdb: "))]
    return "/".join(line.split(":")[1] for line in sides)


def run_world(plan: Plan) -> Report:
    """Run one world in a folder of its own."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN
    with tempfile.TemporaryDirectory(dir=MEMORY if roomy else None) as folder:
        return WorldRun(plan, Path(folder)).run()


def plans_of(arguments: argparse.Namespace) -> list[Plan]:
    """The worlds that a command line asks for."""
    worlds = range(-(-arguments.count // QUERIES))
    if arguments.world is not None:
        worlds = range(arguments.world, arguments.world + 1)
    left, plans = arguments.count, []
    for world in worlds:
        queries = min(QUERIES, left)
        left -= queries
        plans.append(
            Plan(
                arguments.seed,
                world,
                queries,
                _switch(arguments.hot),
                _switch(arguments.plan_cache),
                arguments.shrink,
            )
        )
    return plans


def _switch(text: str) -> bool | None:
    return None if text == "both" else text == "on"


def summary(report: Report, seconds: float, hits_min: int) -> str:
    """What a run came to, and which features it used too seldom."""
    share = 100 / max(1, report.queries)
    lines = [f"{report.hits[name]:8} {name}" for name in features()]
    lines += [f"used fewer than {hits_min} times: {name}" for name in _rare(report, hits_min)]
    lines.append(
        f"{report.queries} queries and {report.statements - report.queries} other statements in"
        f" {seconds:.0f} s ({report.queries / seconds:.0f} queries a second):"
        f" {report.failed * share:.1f} % fail in both, {report.empty * share:.1f} % answer no row,"
        f" {report.inexact} agree to 12 digits only; {report.faults} worlds ended by a fault of"
        f" stock DuckDB's own; both run"
        f" {100 - 100 * _refused(report):.1f} % of the statements"
    )
    lines.append(f"{len(report.differences)} differences")
    return "\n".join(lines)


def _rare(report: Report, hits_min: int) -> list[str]:
    """The features that were used too seldom.

    A scene is many statements and counts for five uses; short runs need not play all of them.
    """
    plain = [name for name in features() if not name.startswith("scene: ")]
    scenes = [name for name in features() if name.startswith("scene: ")]
    rare = [name for name in plain if report.hits[name] < hits_min]
    if hits_min >= SCENES_HITS_MIN:
        rare += [name for name in scenes if report.hits[name] * 5 < hits_min]
    return rare


def _refused(report: Report) -> float:
    """The share of the statements that both engines refuse."""
    return (report.failed + report.refused) / max(1, report.statements)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 0 where nothing differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5_000, help="queries in all")
    parser.add_argument("--world", type=int, help="run this world alone")
    parser.add_argument("--hot", choices=["on", "off", "both"], default="both")
    parser.add_argument("--plan-cache", choices=["on", "off", "both"], default="both")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--shrink", type=float, default=10.0, help="seconds for each difference")
    parser.add_argument("--hits", type=int, help="how often each feature must be used at least")
    given = parser.parse_args(arguments)
    began, report = time.monotonic(), Report()
    plans = plans_of(given)
    with ProcessPoolExecutor(
        max(1, min(given.processes, len(plans))), mp_context=get_context("spawn")
    ) as processes:
        for future in as_completed([processes.submit(run_world, plan) for plan in plans]):
            made = future.result()
            left = max(0, SHOWN_MAX - len(report.differences))
            report.add(made)
            for difference in made.differences[:left]:
                sys.stdout.write(f"\n{difference}\n")
            sys.stdout.flush()
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{report.queries} of {given.count} queries ")
    # Nobody can ask each feature of a run that is shorter than the list of them.
    hits_min = given.count // 2_000 if given.hits is None else given.hits
    sys.stdout.write(summary(report, time.monotonic() - began, hits_min) + "\n")
    rare = _rare(report, hits_min)
    too_many = _refused(report) > REFUSED_MAX and report.queries >= QUERIES
    return 1 if report.differences or rare or too_many else 0


if __name__ == "__main__":
    sys.exit(main())
