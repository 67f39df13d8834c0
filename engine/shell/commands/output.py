"""Commands about how results are shown: `.mode`, `.output`, `.timer`, `.maxrows` and the like."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import InvalidRequest
from ...output.format import BINARY_FORMATS, FILE_FORMATS, FORMAT_NAMES
from ...output.terminal import visible
from ..pager import pager_command
from ..presenter import Presenter
from .command import Command, quoted_name

if TYPE_CHECKING:
    from ..repl import Shell


def _mode(shell: Shell, arguments: list[str]) -> None:
    presenter = shell.presenter
    if not arguments:
        presenter.say(presenter.format_name)
        return
    mode = arguments[0].lower()
    if mode not in FORMAT_NAMES or (len(arguments) > 1 and mode != "insert"):
        raise _MODE.misuse()
    if mode in BINARY_FORMATS and presenter is shell.screen:
        raise InvalidRequest(
            f"{mode} is a binary format and cannot be shown here",
            hint=f"say .output FILE first, then .mode {mode}",
        )
    presenter.format_name = mode
    if len(arguments) > 1:
        presenter.options = replace(presenter.options, table_name=quoted_name(arguments[1]))


def _output(shell: Shell, arguments: list[str]) -> None:
    if shell.presenter is not shell.screen:
        shell.presenter.stream.close()
        shell.presenter = shell.screen
    if not arguments or arguments[0] in {"-", "stdout"}:
        return
    path = Path(arguments[0])
    mode = FILE_FORMATS.get(path.suffix.lower(), shell.screen.format_name)
    table = quoted_name(path.stem) if mode == "insert" else shell.screen.options.table_name
    options = replace(shell.screen.options, colour=False, table_name=table)
    shell.presenter = Presenter(path.open("wb"), mode, options, max_rows=shell.screen.max_rows)


def _timer(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        shell.presenter.say("on" if shell.presenter.timer else "off")
        return
    choice = {"on": True, "off": False}.get(arguments[0].lower())
    if choice is None:
        raise _TIMER.misuse()
    shell.presenter.timer = choice


def _max_rows(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        shell.presenter.say(str(shell.presenter.max_rows))
        return
    if not arguments[0].isdecimal():
        raise _MAX_ROWS.misuse()
    shell.presenter.max_rows = int(arguments[0])


def _null_value(shell: Shell, arguments: list[str]) -> None:
    text = arguments[0] if arguments else "NULL"
    shell.presenter.options = replace(shell.presenter.options, null_text=visible(text))


def _pager(shell: Shell, arguments: list[str]) -> None:
    if arguments:
        setting = {"on": "auto"}.get(arguments[0], arguments[0])
        command = pager_command(setting)
        if command is None and setting != "off":
            raise InvalidRequest(f"there is no program {visible(setting)}", hint=".pager less")
        shell.config.set("pager", setting)
        shell.screen.pager = command
    with suppress(BrokenPipeError):
        shell.presenter.say(" ".join(shell.screen.pager or ["off"]))


_MODE = Command(
    ".mode",
    "[MODE [TABLE]]",
    "Choose how results are written; .help mode lists the modes.",
    (".mode csv", ".mode insert fruit", ".mode"),
    _mode,
    2,
    takes="mode",
    details=f"Modes: {', '.join(FORMAT_NAMES)}. insert takes the name of the table to fill.",
)
_TIMER = Command(
    ".timer",
    "[on|off]",
    "Show how long each statement took.",
    (".timer off",),
    _timer,
    takes="on off",
)
_MAX_ROWS = Command(
    ".maxrows",
    "[N]",
    "Limit the rows that a table shows; 0 shows all in a pager, else 1,000.",
    (".maxrows 50",),
    _max_rows,
)
COMMANDS = (
    _MODE,
    Command(
        ".output",
        "[FILE]",
        "Send results to a file, in the mode of its ending; or back to the screen.",
        (".output revenue.csv", ".output"),
        _output,
        takes="file",
    ),
    _TIMER,
    _MAX_ROWS,
    Command(
        ".nullvalue",
        "[TEXT]",
        "Choose what NULL looks like.",
        (".nullvalue '(none)'", ".nullvalue"),
        _null_value,
    ),
    Command(
        ".pager",
        "[on|off|COMMAND]",
        "Choose what scrolls results that are longer than the window.",
        (".pager off", ".pager 'less -RSX'"),
        _pager,
        takes="on off",
    ),
)
