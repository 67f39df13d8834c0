"""The shell itself: takes statements and dot commands from a prompt or a script and runs them."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import Error, Interrupted, LimitExceeded
from ..commands.errors import report_cancelled
from .scanner import script_items
from .watched import run_watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..connection import Connection, Cursor
    from .config import ShellConfig
    from .observation import Observer, Reads
    from .opening import Opening
    from .presenter import Presenter

SCRIPT_DEPTH_MAX = 16
"""Scripts that may `.read` one another: deeper ones read themselves."""


_QUERY = re.compile(
    r"[\s(]*(select|from|with|values|table|pivot|unpivot|summarize|describe|show)\b", re.IGNORECASE
)
_CHANGE = re.compile(r"\b(insert|update|delete|merge)\b", re.IGNORECASE)


class Leave(Exception):
    """Ends the shell, from however deep in scripts it was said."""


class Shell:
    """A connection, how its results are shown, and the loop over what the user says.

    Args:
        opening: The store, open or about to be; `close` closes it.
        presenter: Shows the results; dot commands change it.
        report: Prints an error for people; used at the prompt, where an error ends nothing.
        config: The shell's own settings.

    Attributes:
        opening: The store.
        presenter: Where results go now: `screen`, or a file.
        screen: Where results go unless `.output` was said.
        last_query: The query that was run last, for commands that go without one.
        at: The version that `.at` chose, None for the present.
    """

    def __init__(
        self,
        opening: Opening,
        presenter: Presenter,
        report: Callable[[BaseException], None],
        config: ShellConfig,
    ) -> None:
        self.opening = opening
        self.presenter = presenter
        self.screen = presenter
        self.config = config
        self.last_query = ""
        self.at: int | None = None
        self._past: Cursor | None = None
        self._observer: Observer | None = None
        self._report = report
        self._depth = 0
        self._stopped = False

    @property
    def store(self) -> Connection:
        """The connection to the store, in the present."""
        return self.opening.connection()

    @property
    def con(self) -> Cursor:
        """What statements run on: the connection, or a cursor that stays at a version."""
        return self._past or self.opening.connection()

    def travel(self, cursor: Cursor | None, version: int | None) -> None:
        """Read as of a version from now on, or the present again.

        Args:
            cursor: A cursor that stays at the version; the shell closes it. None: the present.
            version: The version.
        """
        if self._past is not None:
            self._past.close()
        if self._observer is not None:
            self._observer.close()
        self._past, self.at, self._observer = cursor, version, None

    def close(self) -> None:
        """Close what results went to, and the store."""
        if self.presenter is not self.screen:
            self.presenter.stream.close()
        self.travel(None, None)
        self.opening.close()

    def run_prompt(self) -> None:
        """Read from the terminal until Ctrl-D or `.quit`; errors are shown and survived."""
        from .prompt import open_prompt

        prompt = open_prompt(self)
        while True:
            try:
                text = prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            self._stopped = False
            try:
                self.run_script(text)
            except Leave:
                return
            # The second one where Ctrl-C falls between two statements.
            except (Interrupted, KeyboardInterrupt):
                report_cancelled()
            except Exception as error:
                if self.opening.has_failed:
                    raise
                self._report(error)  # even a defect must not end a session

    def run_script(self, script: str, name: str | None = None) -> None:
        """Run statements and dot commands; the first error ends the script.

        Args:
            script: Statements, each ending in `;` (the last may go without), and dot commands,
                each on a line of its own.
            name: Where the script came from, for errors; None for what was typed.

        Raises:
            Error: A statement failed; statements before it have taken effect.
            Leave: The script said `.quit`.
        """
        for item in script_items(script):
            if self._stopped:
                raise Interrupted("cancelled")
            try:
                if item.is_command:
                    self.run_command(item.text)
                else:
                    self.run_statement(item.text)
            except Error as error:
                if name is not None:
                    error.add_note(f"in the statement at line {item.line} of {name}")
                raise

    def run_file(self, path: str) -> None:
        """Run a script file; see `run_script`."""
        if self._depth >= SCRIPT_DEPTH_MAX:
            raise LimitExceeded(f".read is nested more than {SCRIPT_DEPTH_MAX} deep")
        script = Path(path).read_text(encoding="utf-8")
        self._depth += 1
        try:
            self.run_script(script, path)
        finally:
            self._depth -= 1

    def run_statement(self, text: str) -> None:
        """Run one statement and show its result; Ctrl-C cancels it."""
        if is_repeatable(text):
            self.last_query = text
        self.show(text)

    def show(self, text: str) -> None:
        """Run a statement of the shell's own and show its result."""
        presenter, reads = self.presenter, self._reads

        def show(poll: Callable[[], None]) -> None:
            started = time.perf_counter()
            presenter.show(self.con.sql(text), started, poll, reads)

        self.run_watched(show)

    def run_watched(self, work: Callable[[Callable[[], None]], None]) -> None:
        """Run what takes time: with a progress bar, and Ctrl-C cancels it.

        Args:
            work: Called with a function that raises once Ctrl-C was pressed.
        """
        con = self.con
        self._observer = self._observer or self._observe(con)
        progress = self._shows_progress()
        run_watched(con, work, self.presenter, self._observer, self._stop, progress=progress)

    def _observe(self, con: Cursor) -> Observer | None:
        if not (self.screen.status or self._shows_progress()):
            return None
        from .observation import Observer

        return Observer(con._session)

    def _reads(self) -> Reads | None:
        return None if self._observer is None else self._observer.reads()

    def _shows_progress(self) -> bool:
        return self.config.switch("progress") and sys.stderr.isatty()

    def _stop(self) -> None:
        """Let nothing follow the statement that has just ended."""
        self._stopped = True

    def run_command(self, line: str) -> None:
        """Run one dot command."""
        from .commands import run_line

        run_line(self, line)


def is_repeatable(statement: str) -> bool:
    """Tell whether a statement can be run again, for a plot of it, without changing anything.

    A query that says INSERT or the like anywhere counts as a change: nothing is lost by that.
    """
    return _QUERY.match(statement) is not None and _CHANGE.search(statement) is None
