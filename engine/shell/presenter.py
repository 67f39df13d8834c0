"""Shows results: chooses the writer, where it writes to, and what stands below a table."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, cast

from ..output import OutputOptions, OutputSummary, writer_for
from ..output.terminal import TerminalGuard, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..result import Result

PLAN_COLUMNS = ["explain_key", "explain_value"]
"""Columns of what EXPLAIN answers, which is shown as text and not as a table."""


@dataclass(slots=True)
class Presenter:
    """How and where results are shown.

    Attributes:
        stream: Where results go, as bytes.
        format_name: One of `FORMAT_NAMES`.
        options: Row limit, NULL text and colour; the width is measured for every result.
        is_terminal: Whether `stream` is a terminal: tables are cut to it, values are made safe.
        timer: Whether the time a statement took is shown.
        status: Whether statements without rows are answered, as an interactive shell does.
    """

    stream: BinaryIO
    format_name: str = "table"
    options: OutputOptions = field(default_factory=OutputOptions)
    is_terminal: bool = False
    timer: bool = False
    status: bool = False

    def show(self, result: Result, started: float, poll: Callable[[], None] | None = None) -> None:
        """Write a result and what is to be said about it.

        Args:
            result: The result, not read yet.
            started: `time.perf_counter()` when its statement was sent, in seconds.
            poll: Called between batches; raises to cancel.
        """
        # A statement that changes rows answers with their count, as a row of its own.
        if not result.columns or (result.rowcount >= 0 and list(result.columns) == ["Count"]):
            if self.status:
                self._say(_status_text(result), started)
            return
        if self.format_name == "table" and list(result.columns) == PLAN_COLUMNS:
            self._show_plan(result, started)
            return
        options = replace(self.fitting_options(), poll=poll)
        summary = writer_for(self.format_name)(result, self._guarded(), options)
        if self.format_name == "table":
            self._say(summary_text(summary), started)
        elif summary.rows_shown < summary.rows:
            self.stream.write(f"\n_{summary_text(summary)}_\n".encode())
        self.stream.flush()

    def fitting_options(self) -> OutputOptions:
        """Return the options for the window as it is now."""
        width = shutil.get_terminal_size().columns if self.is_terminal else None
        return replace(self.options, width_cells=width)

    def _show_plan(self, result: Result, started: float) -> None:
        """Write a plan as the lines it consists of: a grid would cut and escape them."""
        for _, plan in result.fetchall():
            lines = [visible(line) for line in str(plan).rstrip("\n").split("\n")]
            self.stream.write(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
        if self.timer:
            self._say("", started)
        self.stream.flush()

    def _guarded(self) -> BinaryIO:
        if self.is_terminal and self.format_name == "csv":
            return cast("BinaryIO", TerminalGuard(self.stream))
        return self.stream

    def _say(self, text: str, started: float) -> None:
        if self.timer:
            took = duration_text(time.perf_counter() - started)
            text = f"{text} · {took}" if text else took
        if self.options.colour:
            text = f"\x1b[2m{text}\x1b[0m"
        self.stream.write(f"{text}\n".encode())
        self.stream.flush()


def wants_colour(stream: object) -> bool:
    """Return whether escape sequences may be sent: a terminal, and NO_COLOR is not set."""
    is_terminal = bool(getattr(stream, "isatty", bool)())
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_terminal and wanted


def standard_presenter(format_name: str = "table") -> Presenter:
    """Return a presenter onto standard output."""
    return Presenter(
        stream=cast("BinaryIO", sys.stdout.buffer),
        format_name=format_name,
        options=OutputOptions(colour=wants_colour(sys.stdout)),
        is_terminal=sys.stdout.isatty(),
    )


def summary_text(summary: OutputSummary) -> str:
    """Say how many rows there are, and how many of them and of the columns are shown."""
    shown = []
    if summary.rows_shown < summary.rows:
        shown.append(f"{summary.rows_shown:,}")
    if summary.columns_shown < summary.columns:
        shown.append(f"{summary.columns_shown} of {summary.columns} columns")
    text = count_text(summary.rows, "row")
    return f"{text} ({', '.join(shown)} shown)" if shown else text


def count_text(count: int, unit: str) -> str:
    """Return a count with its unit in the right number, such as `1 row` and `2,000 rows`."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """Return a duration with three digits or so, such as `12.3 ms` and `4.56 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def _status_text(result: Result) -> str:
    changed = result.rowcount
    return f"{count_text(changed, 'row')} changed" if changed >= 0 else "done"
