"""The dot commands of the shell, one function each, in a table that `.help` prints."""

from __future__ import annotations

import fnmatch
import shlex
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import InvalidRequest
from ...sql.tokens import quote
from ..output import BINARY_FORMATS, FORMAT_NAMES
from ..output.terminal import visible
from .presenter import Presenter
from .repl import Leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from .repl import Shell


@dataclass(frozen=True, slots=True)
class Command:
    """A dot command.

    Attributes:
        name: Its name with the dot.
        usage: What may follow the name.
        summary: What it does, in one line.
        example: Lines that show it.
        call: Runs it with its arguments.
        arguments_max: How many arguments it takes at most.
    """

    name: str
    usage: str
    summary: str
    example: str
    call: Callable[[Shell, list[str]], None]
    arguments_max: int = 1

    def run(self, shell: Shell, arguments: list[str]) -> None:
        """Run the command.

        Raises:
            InvalidRequest: It was given arguments that it does not take.
        """
        if len(arguments) > self.arguments_max:
            raise self.misuse()
        self.call(shell, arguments)

    def misuse(self) -> InvalidRequest:
        """Return the error for a wrong use."""
        usage = f"{self.name} {self.usage}".rstrip()
        return InvalidRequest(f"usage: {usage}", hint=f"for example  {self.example}")


def split_line(line: str) -> tuple[str, list[str]]:
    """Split a command line into the command's name and its arguments, quoted as in a POSIX shell.

    Raises:
        InvalidRequest: A quote is left open.
    """
    try:
        name, *arguments = shlex.split(line.strip().removesuffix(";"))
    except ValueError as error:
        raise InvalidRequest(f"cannot read the command: {error}".lower()) from None
    return name, arguments


def find_command(name: str) -> Command | None:
    """Return the command of a name, or the only one that the name abbreviates."""
    exact = COMMANDS.get(name)
    if exact is not None:
        return exact
    near = [command for known, command in COMMANDS.items() if known.startswith(name)]
    return near[0] if len(near) == 1 and len(name) > 1 else None


def _say(shell: Shell, text: str) -> None:
    shell.presenter.stream.write(f"{text}\n".encode("utf-8", "backslashreplace"))
    shell.presenter.stream.flush()


def _help(shell: Shell, arguments: list[str]) -> None:
    if arguments:
        name = arguments[0] if arguments[0].startswith(".") else f".{arguments[0]}"
        command = find_command(name)
        if command is None:
            raise InvalidRequest(f"there is no command {name}", hint=".help lists the commands")
        usage = f"{command.name} {command.usage}".rstrip()
        _say(shell, f"{usage}\n  {command.summary}\n\n  {command.example}")
        return
    unique = {command.name: command for command in COMMANDS.values()}.values()
    width = max(len(f"{command.name} {command.usage}") for command in unique)
    lines = [f"{f'{c.name} {c.usage}':<{width}}  {c.summary}" for c in unique]
    _say(
        shell,
        "Statements end in ';' and may span lines. Ctrl-C clears the line or cancels the running\n"
        "statement, Ctrl-R searches the history, Tab completes, Ctrl-D leaves.\n\n"
        + "\n".join(lines)
        + "\n\n.help COMMAND shows an example.",
    )


def _tables(shell: Shell, arguments: list[str]) -> None:
    names = sorted(shell.con.table_names())
    if arguments:
        # Both spellings of "anything": the shell's * and SQL's %.
        pattern = arguments[0].replace("%", "*").lower()
        names = [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern)]
    for name in names:
        _say(shell, visible(name))


def _schema(shell: Shell, arguments: list[str]) -> None:
    names = map(quoted_name, arguments) if arguments else map(quote, shell.con.table_names())
    for name in names:
        _say(shell, visible_lines(shell.con.schema_sql(name)))


def quoted_name(name: str) -> str:
    """Return an SQL identifier; dots separate its parts. One that has quotes stays as it is."""
    return name if '"' in name else ".".join(map(quote, name.split(".")))


def visible_lines(text: str) -> str:
    """Return text of several lines with all other control characters spelled out."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _mode(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        _say(shell, shell.presenter.format_name)
        return
    mode = arguments[0].lower()
    if mode not in FORMAT_NAMES:
        raise COMMANDS[".mode"].misuse()
    if mode in BINARY_FORMATS and shell.presenter is shell.screen:
        raise InvalidRequest(
            f"{mode} is a binary format and cannot be shown here",
            hint=f"say .output FILE first, then .mode {mode}",
        )
    shell.presenter.format_name = mode


def _output(shell: Shell, arguments: list[str]) -> None:
    mode = shell.presenter.format_name
    if shell.presenter is not shell.screen:
        shell.presenter.stream.close()
        shell.presenter = shell.screen
    if arguments and arguments[0] not in {"-", "stdout"}:
        stream = open(arguments[0], "wb")  # noqa: SIM115 - closed by the next .output
        options = replace(shell.screen.options, colour=False)
        shell.presenter = Presenter(stream, mode, options)
    elif mode not in BINARY_FORMATS:
        shell.screen.format_name = mode


def _read(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        raise COMMANDS[".read"].misuse()
    shell.run_file(arguments[0])


def _timer(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        _say(shell, "on" if shell.presenter.timer else "off")
        return
    choice = {"on": True, "off": False}.get(arguments[0].lower())
    if choice is None:
        raise COMMANDS[".timer"].misuse()
    shell.presenter.timer = choice


def _max_rows(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        _say(shell, str(shell.presenter.options.max_rows))
        return
    if not arguments[0].isdecimal():
        raise COMMANDS[".maxrows"].misuse()
    shell.presenter.options = replace(shell.presenter.options, max_rows=int(arguments[0]))


def _null_value(shell: Shell, arguments: list[str]) -> None:
    text = arguments[0] if arguments else "NULL"
    shell.presenter.options = replace(shell.presenter.options, null_text=visible(text))


def _snapshot(shell: Shell, arguments: list[str]) -> None:
    _say(shell, str(shell.con.snapshot()))


def _settings(shell: Shell, arguments: list[str]) -> None:
    started = time.perf_counter()
    shell.presenter.show(shell.con.sql("SELECT * FROM pagelake.settings"), started)


def _quit(shell: Shell, arguments: list[str]) -> None:
    raise Leave


_TABLE = (
    Command(".help", "[COMMAND]", "List the commands, or explain one.", ".help mode", _help),
    Command(".tables", "[PATTERN]", "List the tables.", ".tables line*", _tables),
    Command(
        ".schema",
        "[TABLE]",
        "Show the CREATE TABLE statements of all tables or one.",
        ".schema lineitem",
        _schema,
    ),
    Command(
        ".mode",
        "[FORMAT]",
        f"Choose the result format: {', '.join(FORMAT_NAMES)}.",
        ".mode csv",
        _mode,
    ),
    Command(
        ".output",
        "[FILE]",
        "Send results to a file, or back to the screen.",
        ".output revenue.csv",
        _output,
    ),
    Command(".read", "FILE", "Run a script of statements and commands.", ".read load.sql", _read),
    Command(".timer", "on|off", "Show how long each statement took.", ".timer off", _timer),
    Command(
        ".maxrows",
        "[N]",
        "Limit the rows that a table shows; 0 shows all.",
        ".maxrows 50",
        _max_rows,
    ),
    Command(
        ".nullvalue",
        "[TEXT]",
        "Choose what NULL looks like.",
        ".nullvalue '(none)'",
        _null_value,
    ),
    Command(".snapshot", "", "Show the version that statements read.", ".snapshot", _snapshot, 0),
    Command(".settings", "", "Show the settings and their values.", ".settings", _settings, 0),
    Command(".quit", "", "Leave; Ctrl-D and .exit do too.", ".quit", _quit, 0),
)
COMMANDS: dict[str, Command] = {command.name: command for command in _TABLE}
COMMANDS[".exit"] = COMMANDS[".quit"]
