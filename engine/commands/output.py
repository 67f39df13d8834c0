"""How commands write results: options for formats, files that appear whole, progress and Ctrl-C."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import click

from ...errors import Interrupted, InvalidRequest
from ..output.format import BINARY_FORMATS, FILE_FORMATS, FORMAT_NAMES, LAST_RESULT_FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..connection import Connection
    from ..shell.presenter import Presenter

result_format_option = click.option(
    "--format",
    "-f",
    "format_name",
    type=click.Choice(FORMAT_NAMES),
    help="Result format.  [default: table, or by the ending of --output]",
)


def format_switches(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--json` and its like, each short for `--format` with that name."""
    for name in reversed(FORMAT_NAMES):
        switch = click.option(
            f"--{name}", "format_switch", flag_value=name, help=f"Short for --format {name}."
        )
        command = switch(command)
    return command


def query_presenter(format_name: str | None, output: Path | None, max_rows: int) -> Presenter:
    """What shows results on standard output, or writes them to a file.

    Args:
        format_name: A format; None to choose by the file's ending.
        output: The file; None for standard output.
        max_rows: Rows that a table shows; 0 for all.
    """
    from dataclasses import replace

    from ..shell.presenter import standard_presenter

    if format_name is None:
        suffix = output.suffix.lower() if output else ""
        format_name = FILE_FORMATS.get(suffix, "table")
    presenter = standard_presenter(format_name)
    if output is not None:
        presenter.is_terminal = False
        presenter.options = replace(presenter.options, colour=False)
    presenter.options = replace(presenter.options, max_rows=max_rows)
    presenter.max_rows = max_rows
    refuse_binary_terminal(presenter)
    return presenter


def refuse_binary_terminal(presenter: Presenter) -> None:
    """Raise a usage error where a binary format would go to a terminal."""
    if presenter.is_terminal and presenter.format_name in BINARY_FORMATS:
        raise click.UsageError(
            f"{presenter.format_name} is a binary format and would garble the terminal; "
            "use --output FILE or a pipe"
        )


def run_statements(
    con: Connection, statements: list[str], values: list[object] | None, presenter: Presenter
) -> None:
    """Run statements, with progress and Ctrl-C, and show their results.

    Args:
        con: The connection.
        statements: Their texts; formats for programs show the last one's result only.
        values: Values of the parameters.
        presenter: Shows the results.
    """
    import time

    from ..shell.watched import run_watched

    observer = None
    if sys.stderr.isatty():
        from ..shell.observation import Observer

        observer = Observer(con._session)

    def run(number: int, poll: Callable[[], None]) -> None:
        started = time.perf_counter()
        result = con.sql(statements[number], values)
        if number == len(statements) - 1 or presenter.format_name not in LAST_RESULT_FORMATS:
            presenter.show(result, started, poll)
        elif result.columns:
            for _ in result.reader():
                poll()

    for number in range(len(statements)):
        run_watched(con, partial(run, number), presenter, observer, _cancelled)


def _cancelled() -> None:
    raise Interrupted("cancelled")


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name when it is complete, so that no half of one is left."""
    if path.exists() and not path.is_file():
        # A device or a named pipe cannot be replaced, only written to.
        with path.open("wb") as stream:
            yield stream
        return
    if not path.absolute().parent.is_dir():
        raise InvalidRequest(
            f"{path} cannot be written: there is no directory {path.parent}",
            hint="create it, or name another file",
        )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished{path.suffix}")
    try:
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
