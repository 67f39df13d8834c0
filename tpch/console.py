"""Progress and tables on a terminal: moving bars there, plain lines everywhere else."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.table import Table

    from .bars import Verdict
    from .compare import Race
    from .figures import Figure
    from .generate import Progress
    from .runner import Answer

__all__ = [
    "answer_table",
    "figure_table",
    "milliseconds",
    "output",
    "race_table",
    "ratio",
    "side_table",
    "steps",
    "verdict_table",
]

_TITLE_CELLS_MIN = 8


def output() -> Console:
    """Return the console for results: standard output, 160 columns wide when redirected."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=False)


@contextmanager
def steps(title: str) -> Iterator[Progress]:
    """Show the progress of one phase on standard error.

    On a terminal it is one bar with the current step and the time taken; elsewhere one line when
    the phase begins and one when it ends, so that a log stays readable.

    Yields:
        A callback to give to the function that does the work.
    """
    if sys.stderr.isatty():
        with _bar(title) as progress:
            yield progress
        return
    import time

    started = time.monotonic()
    sys.stderr.write(f"{title} …\n")
    sys.stderr.flush()
    yield _silent
    sys.stderr.write(f"{title}: {time.monotonic() - started:.1f} s\n")
    sys.stderr.flush()


def _silent(step: str, done: int, total: int) -> None:
    del step, done, total


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        TimeElapsedColumn(),
        MofNCompleteColumn(),
        TextColumn("[dim]{task.fields[step]}"),
        console=Console(stderr=True),
    ) as bars:
        task = bars.add_task(title, total=None, step="")

        def progress(step: str, done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, step="" if done == total else step)

        yield progress
        # A phase that found its work already done never reports; show it as finished.
        if bars.tasks[task].total is None:
            bars.update(task, completed=1, total=1)


def milliseconds(value: float | None) -> str:
    """Return a time in ms with three significant digits, or a dash."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(value: float | None) -> str:
    """Return a ratio with two decimals and a multiplication sign, or a dash."""
    return "–" if value is None or math.isnan(value) else f"{value:.2f}×"


def race_table(race: Race, title: str, console: Console) -> Table:
    """Return the table of a race, to fit a console: a line per query, then totals and mean."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    peers = [name for name in race.sides if name != race.subject]
    table = Table(
        title=title, title_justify="left", show_footer=True, header_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("query", no_wrap=True)
    table.add_column("", footer="sum, geometric mean", no_wrap=True, overflow="ellipsis")
    table.add_column("rows", justify="right", no_wrap=True)
    for name in (race.subject, *peers):
        heading = f"{name} ms".replace(" ", "\n")
        total = milliseconds(race.total_ms(name))
        table.add_column(heading, footer=total, justify="right", no_wrap=True)
    mean = ratio(race.geometric_mean(race.subject))
    table.add_column("ratio", footer=mean, justify="right", no_wrap=True)
    equal = f"{race.equal_answers(race.subject)}/{len(race.queries)}"
    table.add_column("answers\nequal", footer=equal, justify="center", no_wrap=True)
    for query in race.queries:
        cells = [_time(race, name, query.number) for name in peers]
        table.add_row(
            query.label,
            query.title,
            f"{race.rows.get(query.number, 0):,}",
            _time(race, race.subject, query.number),
            *cells,
            ratio(race.ratio(race.subject, query.number)),
            _verdict(race, query.number),
        )
    _shorten(table, 1, console)
    return table


def _shorten(table: Table, column: int, console: Console) -> None:
    """Make a table fit by cutting one column's text: a number cut short says another number."""
    unbounded = console.options.update(width=1_000)
    excess = console.measure(table, options=unbounded).maximum - console.width
    if excess > 0:
        longest = max(len(str(cell)) for cell in table.columns[column].cells)
        table.columns[column].max_width = max(longest - excess, _TITLE_CELLS_MIN)


def _time(race: Race, name: str, number: int) -> str:
    failed = number in race.failures[name]
    return "[red]failed[/red]" if failed else milliseconds(race.median_ms(name, number))


def side_table(race: Race) -> Table:
    """Return one line per engine: sum, ratios to the base, answers and failures."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("engine", header_style="bold", box=SIMPLE_HEAD)
    for heading in ("sum ms", f"mean ratio to {race.base}", "worst", "answers equal", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in race.sides:
        worst = race.worst(name) if name != race.base else None
        table.add_row(
            name,
            milliseconds(race.total_ms(name)),
            ratio(race.geometric_mean(name)) if name != race.base else "1",
            f"{ratio(worst[1])} Q{worst[0]}" if worst else "–",
            f"{race.equal_answers(name)}/{len(race.queries)}",
            str(len(race.failures[name])),
        )
    return table


def _verdict(race: Race, number: int) -> str:
    if number in race.failures[race.subject]:
        return "[red]failed[/red]"
    if number in race.failures[race.base]:
        return "[yellow]no base[/yellow]"
    return "[red]NO[/red]" if number in race.differences[race.subject] else "[green]yes[/green]"


def answer_table(answer: Answer, rows_max: int = 20) -> Table:
    """Return the first rows of an answer as a table."""
    from rich.table import Table

    shown = answer.rows.slice(0, rows_max)
    title = f"{answer.query.label} {answer.query.title}"
    table = Table(*answer.rows.column_names, title=title, title_justify="left")
    columns = [column.to_pylist() for column in shown.columns]
    for row in zip(*columns, strict=True):
        table.add_row(*("NULL" if value is None else str(value) for value in row))
    if answer.rows.num_rows > rows_max:
        table.caption = f"first {rows_max} of {answer.rows.num_rows:,} rows"
    return table


def figure_table(figures: Sequence[Figure]) -> Table:
    """Return figures as a table, one a line."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("figure", header_style="bold", box=SIMPLE_HEAD)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("detail", style="dim")
    for figure in figures:
        table.add_row(figure.title, figure.text(), figure.detail)
    return table


def verdict_table(verdicts: Sequence[Verdict], scale_factor: float) -> Table:
    """Return figures beside their bars, with the command that measures each alone."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    met = sum(verdict.met for verdict in verdicts)
    table = Table(
        title=f"TPC-H at scale factor {scale_factor:g}: {met} of {len(verdicts)} bars met",
        title_justify="left",
        caption=f"One measurement alone: pagelake tpch bars --sf {scale_factor:g} --only NAME",
        caption_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
    )
    table.add_column("name", no_wrap=True)
    table.add_column("figure")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("bar", justify="right", no_wrap=True)
    table.add_column("verdict", justify="center", no_wrap=True)
    table.add_column("detail", style="dim")
    previous = ""
    for verdict in verdicts:
        figure, name = verdict.figure, verdict.bar.measurement
        table.add_row(
            name if name != previous else "",
            figure.title,
            figure.text(),
            verdict.bar.text(figure.unit),
            "[green]met[/green]" if verdict.met else "[red]MISSED[/red]",
            figure.detail,
        )
        previous = name
    return table
