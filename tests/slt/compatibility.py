"""How much of DuckDB's own SQL test suite passes: ``python -m tests.slt.compatibility FOLDER``.

FOLDER is a checkout of DuckDB (or a folder of ``.test`` files inside one). Every file runs on
stock DuckDB and, where that passes, on a fresh Pagelake store, each in a process of its own with
a time limit. Pass rates are told by category, and each failing file with its first failing
statement. The files stay where they are: they are no part of this project.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

import pagelake
from tests.slt.duckdb_engines import PagelakeEngine, StockEngine
from tests.slt.duckdb_replay import Failed, Replay, Skipped
from tests.slt.duckdb_script import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_S_MAX = 60.0
"""Seconds that one file may take on one engine."""

CATEGORIES = {
    "select": ("select", "projection", "filter", "limit", "show_select", "keywords", "sample"),
    "aggregate": ("aggregate",),
    "join": ("join",),
    "subquery": ("subquery",),
    "cte": ("cte",),
    "window": ("window",),
    "setops": ("setops",),
    "order": ("order", "topn", "collate"),
    "types": ("types", "overflow", "timezone"),
    "functions": ("function", "table_function", "ordinality"),
    "casts": ("cast",),
    "insert": ("insert", "returning"),
    "update": ("update",),
    "delete": ("delete",),
    "merge": ("merge",),
    "upsert": ("upsert",),
    "transactions": ("transactions",),
    "constraints": ("constraints", "generated_columns"),
    "alter": ("alter",),
    "views": ("catalog/view", "catalog/dependencies"),
    "sequences": ("catalog/sequence",),
    "macros": ("catalog/function",),
    "catalog": ("catalog", "create"),
    "pivot": ("pivot",),
    "json": ("json",),
    "prepared": ("prepared", "variables"),
}
"""Folders of ``test/sql`` by category; the longest folder that fits decides."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file on one engine."""

    file: str
    category: str
    engine: str
    status: str
    line: int = 0
    sql: str = ""
    error: str = ""
    seconds: float = 0.0


def category_of(file: str) -> str:
    """The category of a file, by its path below ``test/sql``."""
    fitting = [
        (len(folder), name)
        for name, folders in CATEGORIES.items()
        for folder in folders
        if file.startswith(f"{folder}/")
    ]
    return max(fitting)[1] if fitting else f"other: {file.split('/', maxsplit=1)[0]}"


def replay(root: Path, path: Path, engine: str, *, error_texts: bool) -> tuple[str, int, str, str]:
    """Run a file on an engine, in this process; returns status, line, SQL and error."""
    scratch = Path(tempfile.mkdtemp(prefix="compatibility-"))
    run: Replay | None = None
    os.chdir(root)
    try:
        opened = (
            StockEngine()
            if engine == "duckdb"
            else PagelakeEngine(scratch, hot=engine == "pagelake-hot")
        )
        run = Replay(opened, root, scratch, error_texts)
        run.run(path)
        status, error = "pass", ""
    except Failed as failed:
        status, error = "fail", str(failed)
    except Skipped as skipped:
        status, error = "skip", str(skipped)
    except Unreadable as unreadable:
        status, error = "unreadable", str(unreadable)
    except Exception as crash:
        status, error = "fail", f"{type(crash).__name__}: {crash}"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return status, run.line if run else 0, run.sql if run else "", error


class Workers:
    """Runs files in processes forked for each, so that a crash or a hang is one file's own.

    Args:
        root: The checkout.
        count: Processes at a time.
        tell: Called with each outcome.
        error_texts: Compare the texts of expected errors too.
    """

    def __init__(
        self, root: Path, count: int, tell: Callable[[Outcome], None], *, error_texts: bool
    ) -> None:
        self._root, self._count, self._error_texts = root, count, error_texts
        self._tell = tell
        self._running: dict[int, tuple[int, float, Path, str]] = {}
        self.outcomes: list[Outcome] = []

    def submit(self, path: Path, engine: str) -> None:
        """Run a file on an engine, as soon as there is a free place."""
        while len(self._running) >= self._count:
            self._collect()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            self._child(path, engine, os.fdopen(writing, "w"))
        os.close(writing)
        self._running[reading] = (child, time.monotonic(), path, engine)

    def _child(self, path: Path, engine: str, answer: IO[str]) -> None:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        found = replay(self._root, path, engine, error_texts=self._error_texts)
        json.dump(found, answer)
        answer.close()
        os._exit(0)

    def finish(self) -> None:
        """Wait for everything that runs."""
        while self._running:
            self._collect()

    def _collect(self) -> None:
        ready, _, _ = select.select(list(self._running), [], [], 0.5)
        now = time.monotonic()
        for reading, (child, begun, path, engine) in list(self._running.items()):
            if reading in ready:
                with os.fdopen(reading) as answer:
                    text = answer.read()
                found = json.loads(text) if text else ["crash", 0, "", "the process died"]
            elif now - begun > FILE_S_MAX:
                os.close(reading)
                found = ["timeout", 0, "", f"more than {FILE_S_MAX:.0f} s"]
            else:
                continue
            os.kill(child, signal.SIGKILL)  # nothing of it is waited for
            os.waitpid(child, 0)
            del self._running[reading]
            name = str(path.relative_to(self._root / "test" / "sql"))
            status, line, sql, error = found
            outcome = Outcome(
                name, category_of(name), engine, status, line, sql, error, now - begun
            )
            self.outcomes.append(outcome)
            self._tell(outcome)


def _root_of(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        if (candidate / "test" / "sql").is_dir():
            return candidate
    raise click.BadParameter("there is no test/sql here or above")


def report(outcomes: list[Outcome], engine: str, *, details: bool) -> None:
    """Print pass rates by category, and the failing files."""
    stock = {o.file for o in outcomes if o.engine == "duckdb" and o.status == "pass"}
    found = [o for o in outcomes if o.engine == engine and o.file in stock]
    ordered = sorted(found, key=lambda o: (o.category, o.file))
    if details:
        for outcome in ordered:
            if outcome.status != "pass":
                sql = " ".join(outcome.sql.split())[:300]
                error = " ".join(outcome.error.split())[:300]
                click.echo(f"{outcome.status} {outcome.file}:{outcome.line}\n  {sql}\n  {error}")
    total: Counter[str] = Counter(o.category for o in found)
    passed: Counter[str] = Counter(o.category for o in found if o.status == "pass")
    for category in sorted(total):
        share = passed[category] / total[category]
        click.echo(f"{category:24} {passed[category]:5} of {total[category]:5}  {share:7.1%}")
    named = [o for o in found if o.category in CATEGORIES]
    good = sum(o.status == "pass" for o in named)
    if named:
        click.echo(f"{engine}: {good} of {len(named)} files, {good / len(named):.1%}")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=True, path_type=Path))
@click.option("--category", "categories", multiple=True, help="Only this category; repeatable.")
@click.option("--everything", is_flag=True, help="Folders without a category too.")
@click.option("--hot", is_flag=True, help="Run with the hot tier built before each statement.")
@click.option("--error-texts", is_flag=True, help="Compare the texts of expected errors too.")
@click.option("--jobs", default=2, show_default=True, help="Processes at a time.")
@click.option("--stock", type=click.Path(path_type=Path), help="Keep DuckDB's own outcomes here.")
@click.option("--output", type=click.Path(path_type=Path), help="Write all outcomes as JSON lines.")
@click.option("--only", type=click.Path(path_type=Path), help="Files to run, one a line.")
def main(
    folder: Path,
    categories: tuple[str, ...],
    everything: bool,
    hot: bool,
    error_texts: bool,
    jobs: int,
    stock: Path | None,
    output: Path | None,
    only: Path | None,
) -> None:
    """Replay the tests under FOLDER on stock DuckDB and on Pagelake."""
    folder = folder.resolve()
    root = _root_of(folder)
    base = folder if folder != root else root / "test" / "sql"
    paths = sorted(base.rglob("*.test")) if base.is_dir() else [base]
    listed = None if only is None else set(only.read_text().split())
    chosen: list[Path] = []
    for path in paths:
        name = str(path.relative_to(root / "test" / "sql"))
        category = category_of(name)
        wanted = category in categories if categories else everything or category in CATEGORIES
        if wanted and (listed is None or name in listed):
            chosen.append(path)
    known: dict[str, Outcome] = {}
    if stock is not None and stock.exists():
        lines = stock.read_text().splitlines()
        known = {o.file: o for o in (Outcome(**json.loads(line)) for line in lines)}
    pagelake.connect().close()  # imported once here, not again in each process
    written = None if output is None else output.open("w")

    def tell(outcome: Outcome) -> None:
        if written is not None and outcome.engine != "duckdb":
            written.write(json.dumps(asdict(outcome)) + "\n")
            written.flush()

    workers = Workers(root, jobs, tell, error_texts=error_texts)
    names = {path: str(path.relative_to(root / "test" / "sql")) for path in chosen}
    for path in chosen:
        if names[path] not in known:
            workers.submit(path, "duckdb")
    workers.finish()
    known |= {o.file: o for o in workers.outcomes}
    if stock is not None:
        stock.write_text("".join(json.dumps(asdict(o)) + "\n" for o in known.values()))
    engine = "pagelake-hot" if hot else "pagelake"
    workers.outcomes = []
    for path in chosen:
        if known[names[path]].status == "pass":
            workers.submit(path, engine)
    workers.finish()
    outcomes = [*known.values(), *workers.outcomes]
    if written is not None:
        written.close()
    report(outcomes, engine, details=True)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
