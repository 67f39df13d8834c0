"""The dot commands of the shell: one file for each group, one table of them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import UnknownName
from . import catalog, explain, files, help, output, plot, settings, versions
from .command import Command, quoted_name

if TYPE_CHECKING:
    from ..repl import Shell

GROUPS: dict[str, tuple[Command, ...]] = {
    "Tables": catalog.COMMANDS,
    "Results": (*output.COMMANDS, *plot.COMMANDS, *explain.COMMANDS),
    "Files": files.COMMANDS,
    "Versions": versions.COMMANDS,
    "Shell": (*settings.COMMANDS, *help.COMMANDS),
}
COMMANDS: dict[str, Command] = {
    command.name: command for group in GROUPS.values() for command in group
}
ALIASES = {".exit": ".quit"}


def find_command(name: str) -> Command | None:
    """Return the command of a name, or the only one that the name abbreviates."""
    exact = COMMANDS.get(ALIASES.get(name, name))
    if exact is not None:
        return exact
    near = [command for known, command in COMMANDS.items() if known.startswith(name)]
    return near[0] if len(near) == 1 and len(name) > 1 else None


def known_command(name: str) -> Command:
    """Return the command of a name.

    Raises:
        UnknownName: There is none.
    """
    command = find_command(name)
    if command is not None:
        return command
    near = [known for known in COMMANDS if known.startswith(name[:2])][:3]
    raise UnknownName(
        f"there is no command {name}", name=name, suggestions=near, hint=".help lists the commands"
    )


def run_line(shell: Shell, line: str) -> None:
    """Run the command on a line.

    Raises:
        UnknownName: There is no such command.
        InvalidRequest: It does not take these arguments.
    """
    name, _, rest = line.strip().partition(" ")
    known_command(name.removesuffix(";")).run(shell, rest.strip())


__all__ = ["COMMANDS", "GROUPS", "Command", "find_command", "known_command", "quoted_name"]
