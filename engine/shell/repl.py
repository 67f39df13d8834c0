"""The shell itself: takes statements and dot commands from a prompt or a script and runs them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import Error, Interrupted, LimitExceeded, UnknownName
from ..cli_errors import report_cancelled
from .cancellation import run_cancellable
from .scanner import script_items

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..connection import Connection
    from .presenter import Presenter

SCRIPT_DEPTH_MAX = 16
"""Scripts that may `.read` one another: deeper ones read themselves."""


class Leave(Exception):
    """Ends the shell, from however deep in scripts it was said."""


class Shell:
    """A connection, how its results are shown, and the loop over what the user says.

    Args:
        con: The connection; it stays open when the shell ends.
        presenter: Shows the results; dot commands change it.
        report: Prints an error for people; used at the prompt, where an error ends nothing.
    """

    def __init__(
        self, con: Connection, presenter: Presenter, report: Callable[[BaseException], None]
    ) -> None:
        self.con = con
        self.presenter = presenter
        self.screen = presenter
        self._report = report
        self._depth = 0
        self._stopped = False

    def run_prompt(self) -> None:
        """Read from the terminal until Ctrl-D or `.quit`; errors are shown and survived."""
        from .prompt import open_prompt

        prompt = open_prompt(self.con)
        self.presenter.status = True
        self.presenter.timer = True
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
            except Exception as error:  # noqa: BLE001 - even a defect must not end a session
                self._report(error)

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
        presenter = self.presenter

        def work(poll: Callable[[], None]) -> None:
            started = time.perf_counter()
            presenter.show(self.con.sql(text), started, poll)

        run_cancellable(self.con, work, self._stop)

    def _stop(self) -> None:
        """Let nothing follow the statement that has just ended."""
        self._stopped = True

    def run_command(self, line: str) -> None:
        """Run one dot command."""
        from .commands import COMMANDS, find_command, split_line

        name, arguments = split_line(line)
        command = find_command(name)
        if command is None:
            raise UnknownName(
                f"there is no command {name}",
                name=name,
                suggestions=[known for known in COMMANDS if known.startswith(name[:2])][:3],
                hint=".help lists the commands",
            )
        command.run(self, arguments)
