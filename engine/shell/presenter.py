"""Shows results: chooses the writer, where it writes to, and what stands below a table."""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, cast

from ..output import OutputOptions, OutputSummary, writer_for
from ..output.format import BINARY_FORMATS, RAW_FORMATS, SUMMARISED_FORMATS
from ..output.terminal import TerminalGuard, visible
from .pager import PagerLeft, PagerStream, pager_command
from .texts import bytes_text, count_text, duration_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..result import Result
    from .config import ShellConfig
    from .observation import Reads
    from .progress import ProgressBar

PLAN_COLUMNS = ["explain_key", "explain_value"]
"""Columns of what EXPLAIN answers, which is shown as text and not as a table."""

PROMPT_LINES = 4
"""Lines below a result that are the prompt's: what fills more than the others is paged."""


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
        pager: Command of the pager; None where there is none.
        max_rows: Rows that a table shows; 0 leaves it to what shows them.
        bar: The progress bar of the statement that runs.
        is_paging: Whether a pager has the terminal at the moment.
    """

    stream: BinaryIO
    format_name: str = "table"
    options: OutputOptions = field(default_factory=OutputOptions)
    is_terminal: bool = False
    timer: bool = False
    status: bool = False
    pager: list[str] | None = None
    max_rows: int = 0
    bar: ProgressBar | None = None
    is_paging: bool = False

    def show(
        self,
        result: Result,
        started: float,
        poll: Callable[[], None] | None = None,
        reads: Callable[[], Reads | None] | None = None,
    ) -> None:
        """Write a result and what is to be said about it.

        Args:
            result: The result, not read yet.
            started: `time.perf_counter()` when its statement was sent, in seconds.
            poll: Called between batches; raises to cancel.
            reads: Tells what the statement has read, once the result was.
        """
        columns = list(result.columns)
        # A statement that changes rows answers with their count, as a row of its own; one on
        # temporary relations with the kernel's empty Success.
        if not columns or (result.rowcount >= 0 and columns == ["Count"]) or columns == ["Success"]:
            if self.status:
                self._say([_status_text(result)], started)
            return
        if self.format_name == "table" and list(result.columns) == PLAN_COLUMNS:
            self._show_plan(result, started)
            return
        destination = self._destination()
        try:
            summary = self._write(result, destination, poll)
            took = time.perf_counter() - started
            # Whoever reads in the pager takes time that is not the statement's.
            seconds = result.timing.total_ms / 1e3 if self.is_paging else took
            facts = [summary_text(summary), *(["from the result cache"] * result.from_cache)]
            footer = self._footer([*facts, *self._reads_text(reads)], seconds)
            if self.format_name not in SUMMARISED_FORMATS:
                footer = b"" if summary.rows_shown == summary.rows else f"\n_{facts[0]}_\n".encode()
            if self.is_paging:
                destination.write(footer)
        except PagerLeft:
            # Nobody wants the rest: it is not even computed.
            footer = self._footer(["left before the last row"], None)
        finally:
            # At once, whatever happened: what is left of it must not meet the next statement.
            result.close()
            self._finish(destination)
        self._put(footer)

    def fitting_options(self) -> OutputOptions:
        """Return the options for the window as it is now."""
        width = shutil.get_terminal_size().columns if self.is_terminal else None
        max_rows = self.max_rows or (0 if self._pages() else self.options.max_rows)
        return replace(self.options, width_cells=width, max_rows=max_rows)

    def say(self, text: str) -> None:
        """Write lines that are no result, through the pager where they are many."""
        destination = self._destination()
        try:
            destination.write(f"{text}\n".encode("utf-8", "backslashreplace"))
        except PagerLeft:
            pass
        finally:
            self._finish(destination)

    def _write(
        self, result: Result, destination: BinaryIO, poll: Callable[[], None] | None
    ) -> OutputSummary:
        options = replace(self.fitting_options(), poll=poll)
        stream = destination
        if self.is_terminal and self.format_name in RAW_FORMATS:
            stream = cast("BinaryIO", TerminalGuard(destination))
        return writer_for(self.format_name)(result, stream, options)

    def _pages(self) -> bool:
        return (
            self.is_terminal and self.pager is not None and self.format_name not in BINARY_FORMATS
        )

    def _destination(self) -> BinaryIO:
        stream: object = self.stream
        if self.bar is not None and self.is_terminal:
            stream = _AroundBar(self.stream, self.bar)
        if self.pager is not None and self._pages():
            lines = shutil.get_terminal_size().lines - PROMPT_LINES
            stream = _Paged(cast("BinaryIO", stream), self.pager, lines, self)
        return cast("BinaryIO", stream)

    def _finish(self, destination: BinaryIO) -> None:
        if isinstance(destination, PagerStream):
            destination.finish()
            self.is_paging = False

    def _show_plan(self, result: Result, started: float) -> None:
        """Write a plan as the lines it consists of: a grid would cut and escape them."""
        plan = result.plan
        if plan is None:
            text = "\n".join(str(row[-1]).rstrip("\n") for row in result.fetchall())
            lines = [visible(line) for line in text.split("\n")]
        else:
            from ..output.plan_tree import draw_plan

            result.close()
            width = self.fitting_options().width_cells
            lines = draw_plan(plan, width=width or 100, colour=self.options.colour)
        self.say("\n".join(lines))
        if self.timer:
            self._say([], started)

    def _say(self, facts: list[str], started: float | None) -> None:
        self._put(self._footer(facts, None if started is None else time.perf_counter() - started))

    def _reads_text(self, reads: Callable[[], Reads | None] | None) -> list[str]:
        """Say what a statement has read; nothing where it read no stored table."""
        read = reads() if reads is not None and self.status else None
        if read is None or not read.row_groups_total:
            return []
        groups = f"{read.row_groups:,} of {count_text(read.row_groups_total, 'row group')}"
        return [groups, f"{bytes_text(read.read_bytes)} read"]

    def _footer(self, facts: list[str], seconds: float | None) -> bytes:
        if self.timer and seconds is not None:
            facts = [*facts[:1], duration_text(seconds), *facts[1:]]
        text = " · ".join(facts)
        if self.options.colour:
            text = f"\x1b[2m{text}\x1b[0m"
        return f"{text}\n".encode()

    def _put(self, raw: bytes) -> None:
        if self.bar is not None:
            self.bar.clear()
        self.stream.write(raw)
        self.stream.flush()


class _AroundBar(io.RawIOBase):
    """The terminal, with the progress bar out of the way of what is written."""

    def __init__(self, terminal: BinaryIO, bar: ProgressBar) -> None:
        super().__init__()
        self._terminal = terminal
        self._bar = bar

    def writable(self) -> bool:
        """Return True: the stream is write-only."""
        return True

    def write(self, chunk: object) -> int:
        """Erase the bar and write; it stays away where a line was begun and not ended."""
        raw = bytes(chunk)  # type: ignore[call-overload]
        self._bar.clear(resume=raw.endswith(b"\n"))
        self._terminal.write(raw)
        return len(raw)

    def flush(self) -> None:
        """Flush the terminal."""
        self._terminal.flush()


class _Paged(PagerStream):
    """A pager that tells the presenter when it takes the terminal over."""

    def __init__(
        self, screen: BinaryIO, command: list[str], lines_max: int, owner: Presenter
    ) -> None:
        super().__init__(screen, command, lines_max)
        self._owner = owner

    def _start(self) -> None:
        if self._owner.bar is not None:
            self._owner.bar.stop()
        super()._start()
        self._owner.is_paging = self.is_paging


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


def configured_presenter(
    format_name: str | None, config: ShellConfig, *, interactive: bool
) -> Presenter:
    """Return a presenter onto standard output with the shell's settings.

    Args:
        format_name: One of `FORMAT_NAMES`; None for what the settings say at a prompt, and for
            `table` elsewhere: a script must not mean something else for somebody else.
        config: The shell's settings.
        interactive: Whether there is a prompt.
    """
    if not interactive:
        return standard_presenter(format_name or "table")
    presenter = standard_presenter(format_name or config.text("mode"))
    presenter.status = True
    presenter.timer = config.switch("timer")
    presenter.max_rows = config.count("max_rows")
    presenter.options = replace(presenter.options, null_text=visible(config.text("null")))
    presenter.pager = pager_command(config.text("pager")) if presenter.is_terminal else None
    return presenter


def summary_text(summary: OutputSummary) -> str:
    """Say how many rows there are, and how many of them and of the columns are shown."""
    text = count_text(summary.rows, "row")
    if summary.rows_shown < summary.rows:
        text = f"{summary.rows_shown:,} of {text}"
    if summary.columns_shown < summary.columns:
        text += f" · {summary.columns_shown} of {summary.columns} columns"
    return text


def _status_text(result: Result) -> str:
    changed = result.rowcount
    return f"{count_text(changed, 'row')} changed" if changed >= 0 else "done"
