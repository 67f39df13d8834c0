"""The ``pagelake tpch`` commands."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from .bars import Verdict
    from .compare import Race
    from .workload import Workload

__all__ = ["tpch"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Kept here in words, so that showing the help imports neither an engine nor Arrow.
_FURTHER = {
    "answers": "Compare answers with and without the hot tier, here and at 0.1.",
    "hot-off": "Race without the hot tier too.",
    "fresh": "Open and first pass in new processes.",
    "overhead": "What Pagelake adds to a statement.",
    "load": "Load until durable and hot, from nothing.",
    "bytes": "Bytes of log and segments against Parquet.",
    "inserts": "Durable one-row inserts a second.",
    "import": "Time of `import pagelake`.",
    "memory": "Peak memory of loading line items.",
}
# Those with a bar; the race without the hot tier has none.
_MEASURES = ("warm", *(name for name in _FURTHER if name != "hot-off"))


class _Group(click.Group):
    """Turns the errors a user can act on into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        import pagelake

        from .extras import MissingPackage
        from .runner import NotHot
        from .sides import was_cancelled

        try:
            return super().invoke(ctx)
        except (pagelake.Error, MissingPackage, NotHot) as error:
            if was_cancelled(error):
                raise KeyboardInterrupt from error
            raise click.ClickException(str(error)) from error
        except RuntimeError as error:
            if was_cancelled(error):
                raise KeyboardInterrupt from error
            raise


def _scale_option(default: float) -> Callable[[_Command], _Command]:
    return click.option(
        "--sf",
        "scale_factor",
        type=click.FloatRange(min=0, min_open=True),
        default=default,
        show_default=True,
        help="Scale factor; 1 is 6 million line items.",
    )


_cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for generated Parquet files  [default: ~/.cache/pagelake/tpch]",
)
_threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads per engine  [default: all cores]"
)
_keep_option = click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps the stores and is used again; otherwise a temporary one.",
)


@click.group(cls=_Group)
def tpch() -> None:
    """Generate TPC-H, load it, run its 22 queries and compare with other engines.

    \b
    Examples:
      pagelake tpch demo                     everything at scale factor 0.1
      pagelake tpch bench --sf 1 --output r  a report with plot against DuckDB
      pagelake tpch bars --only load,bytes   two measurements against their bars
    """  # noqa: D301 - click reads \b from the docstring


@tpch.command("generate")
@_scale_option(1.0)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that gets a sub-folder per scale factor  [default: ~/.cache/pagelake/tpch]",
)
def generate_command(scale_factor: float, output: Path | None) -> None:
    """Generate the eight tables as Parquet files, unless they are there already.

    \b
    Example:
      pagelake tpch generate --sf 10 --output /data/tpch
    """  # noqa: D301 - click reads \b from the docstring
    from .console import steps
    from .generate import generate

    with steps(f"Generate TPC-H SF {scale_factor:g}") as progress:
        folder = generate(scale_factor, output, progress=progress)
    click.echo(folder)


@tpch.command("load")
@click.argument("store", type=click.Path(path_type=Path))
@_scale_option(1.0)
@_cache_option
@_threads_option
@click.option("--wait/--no-wait", default=True, help="Wait until the hot tier is built.")
def load_command(
    store: Path, scale_factor: float, cache: Path | None, threads: int | None, wait: bool
) -> None:
    """Load the eight tables into STORE, generating them first if need be.

    \b
    Example:
      pagelake tpch load my.lake --sf 1
    """  # noqa: D301 - click reads \b from the docstring
    import pagelake

    from .console import steps
    from .generate import generate
    from .runner import load_pagelake, loaded_tables, wait_until_hot
    from .sides import default_threads

    settings = {"threads": threads or default_threads()}
    with steps(f"Generate TPC-H SF {scale_factor:g}") as progress:
        folder = generate(scale_factor, cache, progress=progress)
    with pagelake.connect(store, settings=settings) as connection:
        present = loaded_tables(connection)
        if present:
            names = ", ".join(sorted(present))
            raise click.ClickException(f"{store} has these tables already: {names}")
        with steps("Load into Pagelake") as progress:
            load_pagelake(connection, folder, progress)
        if wait:
            with steps("Build the hot tier"):
                wait_until_hot(connection)


@tpch.command("run")
@click.argument("store", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--query",
    "numbers",
    type=click.IntRange(1, 22),
    multiple=True,
    help="A query to run; may be given several times  [default: all 22]",
)
@click.option("--answers/--no-answers", default=False, help="Print the answers as well.")
@_threads_option
def run_command(store: Path, numbers: tuple[int, ...], answers: bool, threads: int | None) -> None:
    """Run queries on a loaded STORE and print rows and times.

    \b
    Example:
      pagelake tpch run my.lake --query 1 --query 6 --answers
    """  # noqa: D301 - click reads \b from the docstring
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from .console import answer_table, milliseconds, output, steps
    from .query import queries
    from .runner import run_queries
    from .sides import Pagelake, default_threads

    side = Pagelake(store, threads or default_threads())
    side.setup()
    try:
        with steps("Run queries") as progress:
            found = run_queries(side.run, queries(numbers), progress)
    finally:
        side.close()
    console = output()
    table = Table("query", "", header_style="bold", show_footer=True, box=SIMPLE_HEAD)
    table.add_column("rows", justify="right")
    total = sum(answer.elapsed_ms for answer in found)
    table.add_column("ms", justify="right", footer=milliseconds(total))
    for answer in found:
        rows, elapsed = f"{answer.rows.num_rows:,}", milliseconds(answer.elapsed_ms)
        table.add_row(answer.query.label, answer.query.title, rows, elapsed)
        if answers:
            console.print(answer_table(answer))
    console.print(table)


@tpch.command("demo")
@_scale_option(0.1)
@click.option("--rounds", type=click.IntRange(min=1), default=4, show_default=True,
              help="Counted passes, after two that warm.")  # fmt: skip
@_cache_option
@_threads_option
@_keep_option
@click.pass_context
def demo_command(
    context: click.Context,
    scale_factor: float,
    rounds: int,
    cache: Path | None,
    threads: int | None,
    keep: Path | None,
) -> None:
    """Load TPC-H into Pagelake and DuckDB, run all queries on both, compare answers and times.

    Exits with 1 if an answer differs.

    \b
    Examples:
      pagelake tpch demo
      pagelake tpch demo --sf 1 --keep /tmp/demo
    """  # noqa: D301 - click reads \b from the docstring
    from .bars import MEASUREMENTS
    from .console import output, race_table, steps
    from .machine import describe

    with _prepared(scale_factor, cache, threads, keep) as workload:
        with steps("Run the 22 queries") as progress:
            outcome = MEASUREMENTS["warm"][1](workload, rounds, progress)
        machine = describe(workload.threads)
    assert outcome.race is not None
    title = f"TPC-H at scale factor {scale_factor:g}, warm, median of {rounds} rounds"
    console = output()
    console.print(race_table(outcome.race, title, console))
    for number, problem in _problems(outcome.race):
        console.print(f"Q{number}: {problem}", style="red", markup=False)
    for line in machine.lines():
        console.print(line, style="dim")
    console.print(_farewell(scale_factor, workload.store if keep else None), markup=False)
    if _problems(outcome.race):
        context.exit(1)


def _farewell(scale_factor: float, store: Path | None) -> str:
    """Say where the tables are, or how to keep them: a demonstration invites to look closer."""
    if store is not None:
        return f"\nThe tables stay: pagelake {store}"
    return (
        f"\nTo keep the tables and query them: pagelake tpch demo --sf {scale_factor:g} --keep DIR"
    )


def _measure_options(command: _Command) -> _Command:
    for name, text in reversed(_FURTHER.items()):
        command = click.option(f"--{name}", name.replace("-", "_"), is_flag=True, help=text)(
            command
        )
    return command


@tpch.command("bench")
@_scale_option(1.0)
@click.option("--rounds", type=click.IntRange(min=1), default=6, show_default=True,
              help="Counted passes, after two that warm.")  # fmt: skip
@click.option("--peers", is_flag=True, help="Add DuckDB on Parquet, Polars and DataFusion.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for tpch.json, tpch.md and tpch.png.",
)
@_measure_options
@click.option("--all", "everything", is_flag=True, help="Every measurement.")
@_cache_option
@_threads_option
@_keep_option
@click.pass_context
def bench_command(  # noqa: PLR0913 - one parameter per option
    context: click.Context,
    /,
    *,
    scale_factor: float,
    rounds: int,
    peers: bool,
    output: Path | None,
    everything: bool,
    cache: Path | None,
    threads: int | None,
    keep: Path | None,
    **chosen: bool,
) -> None:
    """Compare engines on the 22 queries; exits with 1 if an answer of Pagelake's differs.

    Sides take turns query by query; times are medians, ratios are paired, everything is warm.
    Flags add further measurements.

    \b
    Examples:
      pagelake tpch bench --sf 1 --peers --output report
      pagelake tpch bench --sf 1 --load --bytes --keep /data/bench
    """  # noqa: D301 - click reads \b from the docstring
    from .bars import MEASUREMENTS
    from .console import figure_table, race_table, side_table, steps
    from .console import output as result_console
    from .machine import describe
    from .measure_queries import warm
    from .report import document, write

    wanted = [name for name in _FURTHER if everything or chosen[name.replace("-", "_")]]
    with _prepared(scale_factor, cache, threads, keep) as workload:
        machine = describe(workload.threads)
        with steps("Run the 22 queries") as progress:
            outcome = warm(workload, rounds, progress, peers=peers)
        figures = list(outcome.figures)
        for name in wanted:
            title, measure = MEASUREMENTS[name]
            with steps(title) as progress:
                figures += measure(workload, rounds, progress).figures
    assert outcome.race is not None
    console = result_console()
    title = f"TPC-H at scale factor {scale_factor:g}, warm, median of {rounds} rounds"
    console.print(race_table(outcome.race, title, console))
    if len(outcome.race.sides) > 2:
        console.print(side_table(outcome.race))
    console.print(figure_table(figures))
    for line in machine.lines():
        console.print(line, style="dim")
    if output is not None:
        for path in write(document(outcome.race, figures, machine, scale_factor), output):
            console.print(f"wrote {path}")
    for number, problem in _problems(outcome.race):
        console.print(f"Q{number}: {problem}", style="red", markup=False)
    if _problems(outcome.race):
        context.exit(1)


@tpch.command("bars")
@_scale_option(1.0)
@click.option(
    "--only",
    help=f"Measurements to make, separated by commas: {', '.join(_MEASURES)}  [default: all]",
)
@click.option("--rounds", type=click.IntRange(min=1), default=6, show_default=True,
              help="Counted passes, after two that warm.")  # fmt: skip
@_cache_option
@_threads_option
@_keep_option
@click.pass_context
def bars_command(
    context: click.Context,
    scale_factor: float,
    only: str | None,
    rounds: int,
    cache: Path | None,
    threads: int | None,
    keep: Path | None,
) -> None:
    """Measure every figure that has a bar and print figure, bar and verdict.

    Exits with 1 if a bar is missed.

    \b
    Examples:
      pagelake tpch bars
      pagelake tpch bars --sf 1 --only load,warm
    """  # noqa: D301 - click reads \b from the docstring
    from .bars import MEASUREMENTS, judge
    from .console import output, steps, verdict_table
    from .machine import describe

    wanted = [name.strip() for name in only.split(",")] if only else list(_MEASURES)
    unknown = sorted(set(wanted) - set(_MEASURES))
    if unknown:
        raise click.BadParameter(f"no such measurement: {', '.join(unknown)}", param_hint="--only")
    verdicts: list[Verdict] = []
    with _prepared(scale_factor, cache, threads, keep) as workload:
        machine = describe(workload.threads)
        for name in wanted:
            title, measure = MEASUREMENTS[name]
            with steps(title) as progress:
                verdicts += judge(name, measure(workload, rounds, progress))
    console = output()
    console.print(verdict_table(verdicts, scale_factor))
    for line in machine.lines():
        console.print(line, style="dim")
    if not all(verdict.met for verdict in verdicts):
        context.exit(1)


@tpch.command("report")
@click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the files  [default: beside the document]",
)
def report_command(document: Path, output: Path | None) -> None:
    """Make the Markdown and the plot again from a tpch.json DOCUMENT.

    \b
    Example:
      pagelake tpch report report/tpch.json --output elsewhere
    """  # noqa: D301 - click reads \b from the docstring
    from .report import read, write

    try:
        content = read(document)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for path in write(content, output or document.parent):
        click.echo(path)


@contextmanager
def _prepared(
    scale_factor: float, cache: Path | None, threads: int | None, keep: Path | None
) -> Iterator[Workload]:
    from .console import steps
    from .sides import default_threads
    from .workload import prepare

    number = threads or default_threads()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield prepare(keep, scale_factor, number, steps, cache)
        return
    with tempfile.TemporaryDirectory(prefix="pagelake-tpch-") as folder:
        yield prepare(Path(folder), scale_factor, number, steps, cache)


def _problems(race: Race) -> list[tuple[int, str]]:
    """Return how the subject's answers differ from the base's, or failed, by query number."""
    failures, differences = race.failures[race.subject], race.differences[race.subject]
    missing = {
        number: f"{race.base} failed: {why}" for number, why in race.failures[race.base].items()
    }
    return sorted({**missing, **differences, **failures}.items())
