"""`pagelake scan`: a directory tree into a catalog, with a live display and a summary."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ... import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from ...extensions.catalog.block import WalkProgress
    from ..connection import Connection
    from .account import ScanRequest, ScanSummary


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("store")
@click.option("--name", "-n", help="Name of the catalog.  [default: the directory's own]")
@click.option("--cross", is_flag=True, help="Enter other file systems that are mounted below DIR.")
@click.option(
    "--exclude",
    "-x",
    multiple=True,
    metavar="GLOB",
    help="Leave out names, or paths relative to DIR, that match; may be repeated.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Processes that walk.  [default: one for each CPU, at most 8]",
)
@click.option("--xattrs", is_flag=True, help="Read extended attributes 'user.*' as tags.")
@click.option("--full", is_flag=True, help="Look at every file, though the catalog is there.")
@click.option("--watch", is_flag=True, help="Go on, and keep the catalog fresh, until Ctrl-C.")
@click.option("--quiet", "-q", is_flag=True, help="No progress display and no summary.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def scan(  # noqa: PLR0913, PLR0917 - each is an option of the command
    directory: str,
    store: str,
    name: str | None,
    cross: bool,
    exclude: tuple[str, ...],
    processes: int | None,
    xattrs: bool,
    full: bool,
    watch: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Scan the tree below DIR into a catalog of STORE: one row a file, in one transaction.

    Links are never followed. The catalog is the view catalog.NAME, beside it are
    catalog.NAME_directories (with the sums of whole subtrees), NAME_extensions, NAME_errors and
    NAME_scans. A later scan looks for directories that have changed, or with --full at every file,
    and writes what differs; the older rows stay readable AT their version. With --watch it stays,
    and changes of the tree are in the catalog a moment later.
    Places that cannot be read are rows of NAME_errors, and no failure.

    \b
    Examples:
      pagelake scan /srv/projects demo.lake --name proj
      pagelake scan / demo.lake --name all --exclude proc --exclude '**/.git'
      pagelake query demo.lake "FROM catalog.proj ORDER BY size DESC LIMIT 10"
      pagelake query demo.lake "SELECT bytes FROM catalog.proj_directories
                                WHERE path = '/srv/projects/a'"
    """  # noqa: D301 - click reads \b from the docstring
    from ...extensions.catalog.block import WalkOptions
    from .account import ScanRequest
    from .procedures import default_name

    root = os.fsencode(directory)
    options = WalkOptions(
        one_file_system=not cross, exclude=exclude, processes=processes, xattrs=xattrs
    )
    named = default_name(root) if name is None else name
    request = ScanRequest(root, named, options, full=full)
    with connect(store) as con:
        if watch:
            _watch(con, request, quiet=quiet, as_json=as_json)
            return
        summary = _scan(con, request, quiet=quiet)
    if as_json:
        sys.stdout.write(_json(summary))
    elif not quiet:
        sys.stdout.write(_told(summary))


def _scan(con: Connection, request: ScanRequest, *, quiet: bool) -> ScanSummary:
    from ..shell.cancellation import run_cancellable
    from .scan import scan as run

    with _display(quiet=quiet) as display:
        task = display.add_task(f"scanning {request.name}", total=None, told="")

        def work(_poll: Callable[[], None]) -> ScanSummary:
            return run(con._session, request, advance)

        def advance(progress: WalkProgress) -> None:
            elapsed = display.tasks[0].elapsed or 0.0
            display.update(task, told=_progress_text(progress, elapsed))

        return run_cancellable(con, work)


def _watch(con: Connection, request: ScanRequest, *, quiet: bool, as_json: bool) -> None:
    """Scan and stay; Ctrl-C is how it ends, and no failure."""
    from ...errors import Interrupted
    from ..shell.cancellation import run_cancellable
    from .watch import Watching

    scans = 0
    with _display(quiet=quiet) as display:
        task = display.add_task(f"scanning {request.name}", total=None, told="")

        def advance(progress: WalkProgress) -> None:
            elapsed = display.tasks[0].elapsed or 0.0
            display.update(task, told=_progress_text(progress, elapsed))

        def note(summary: ScanSummary) -> None:
            nonlocal scans
            first, scans = not scans, scans + 1
            if as_json:
                sys.stdout.write(_json(summary))
            elif not quiet and (first or summary.changes):
                # Where nothing is displayed, each change is a line.
                told = _told(summary) if first else _changes_text(summary)
                display.console.print(told.rstrip(), markup=False, highlight=False)
            sys.stdout.flush()
            display.update(
                task,
                description=f"watching {request.name}",
                told=f"{summary.entries:,} entries, Ctrl-C ends",
            )

        def work(poll: Callable[[], None]) -> None:
            Watching(con._session, request, poll, note, advance).run()

        try:
            run_cancellable(con, work)
        except Interrupted:
            if not scans:
                raise


def _changes_text(summary: ScanSummary) -> str:
    from datetime import datetime

    counts = ("created", "deleted", "modified", "moved")
    told = [f"{getattr(summary, name):,} {name}" for name in counts if getattr(summary, name)]
    return f"{datetime.now():%H:%M:%S}  {', '.join(told)}  ({summary.entries:,} entries)"


def _json(summary: ScanSummary) -> str:
    return json.dumps(asdict(summary), ensure_ascii=False) + "\n"


def _progress_text(progress: WalkProgress, elapsed: float) -> str:
    from ..shell.texts import bytes_text, count_text

    rate = progress.entries / elapsed if elapsed else 0.0
    told = f"{progress.entries:,} entries, {rate:,.0f}/s, {bytes_text(progress.total_bytes)}"
    return f"{told}, {count_text(progress.errors, 'error')}" if progress.errors else told


def _told(summary: ScanSummary) -> str:
    from ..shell.texts import bytes_text, count_text, duration_text

    files = summary.entries - summary.directories
    rate = summary.entries / summary.seconds if summary.seconds else 0.0
    told = (
        f"{_many(summary.entries, 'entr')} ({count_text(files, 'file')} and others in "
        f"{_many(summary.directories, 'director')}), {bytes_text(summary.bytes)}, "
        f"in {duration_text(summary.seconds)} ({rate:,.0f} entries/s)\n"
    )
    counts = ("created", "deleted", "modified", "moved")
    if summary.created != summary.entries:
        told += ", ".join(f"{getattr(summary, name):,} {name}" for name in counts) + "\n"
    if summary.errors:
        places = count_text(summary.errors, "place")
        told += f'{places} could not be read: FROM catalog."{summary.catalog}_errors"\n'
    return told


def _many(count: int, stem: str) -> str:
    return f"{count:,} {stem}{'y' if count == 1 else 'ies'}"


def _display(*, quiet: bool) -> Progress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    # Names of catalogs may hold what rich takes for markup.
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
