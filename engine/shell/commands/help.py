"""Commands about the shell itself: `.help` and `.quit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..repl import Leave
from .command import Command

if TYPE_CHECKING:
    from ..repl import Shell

_INTRODUCTION = """\
Statements end in ';' and may span lines. Enter runs what is complete, Alt-Enter breaks the line,
Tab completes, Ctrl-R searches the history, Ctrl-X Ctrl-E opens an editor, Ctrl-C clears the
input or cancels the running statement, Ctrl-D leaves."""


def _help(shell: Shell, arguments: list[str]) -> None:
    from . import GROUPS, known_command

    if arguments:
        name = arguments[0] if arguments[0].startswith(".") else f".{arguments[0]}"
        command = known_command(name)
        usage = f"{command.name} {command.usage}".rstrip()
        examples = "\n".join(f"  {example}" for example in command.examples)
        details = f"\n\n{command.details}" if command.details else ""
        shell.presenter.say(f"{usage}\n{command.summary}{details}\n\nExamples:\n{examples}")
        return
    usages = {c.name: f"{c.name} {c.usage}".rstrip() for group in GROUPS.values() for c in group}
    width = min(30, max(map(len, usages.values())))
    lines = [_INTRODUCTION]
    for title, group in GROUPS.items():
        lines += ["", title]
        for command in group:
            usage = usages[command.name]
            if len(usage) > width:
                lines += [f"  {usage}", f"  {'':{width}}  {command.summary}"]
            else:
                lines.append(f"  {usage:<{width}}  {command.summary}")
    lines += ["", ".help COMMAND shows examples."]
    shell.presenter.say("\n".join(lines))


def _quit(_shell: Shell, _arguments: list[str]) -> None:
    raise Leave


COMMANDS = (
    Command(
        ".help",
        "[COMMAND]",
        "List the commands, or explain one.",
        (".help", ".help mode"),
        _help,
        takes="command",
    ),
    Command(".quit", "", "Leave; Ctrl-D and .exit do too.", (".quit",), _quit, 0),
)
