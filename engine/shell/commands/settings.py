"""`.settings`: what can be set, in the store's engine and in the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import InvalidRequest
from ..config import OPTIONS, config_path
from ..pager import pager_command
from .command import Command

if TYPE_CHECKING:
    from ..repl import Shell


def _settings(shell: Shell, arguments: list[str]) -> None:
    from ....sql.tokens import literal, quote

    if len(arguments) == 2:
        name, value = arguments
        if name in OPTIONS:
            _set_option(shell, name, value)
        else:
            shell.show(f"SET {quote(name)} = {literal(value)}")
        return
    rows = [*_engine_rows(shell), *_shell_rows(shell)]
    wanted = arguments[0].lower() if arguments else ""
    listed = ", ".join(
        f"({', '.join(literal(text) for text in row)})" for row in rows if wanted in row[0]
    )
    names = 'name, value, "default", scope, description'
    empty = "SELECT '', '', '', '', '' WHERE false"
    shell.show(f"SELECT * FROM ({f'VALUES {listed}' if listed else empty}) AS s({names})")


def _engine_rows(shell: Shell) -> list[tuple[str, ...]]:
    """Settings of the engine, as the session has them."""
    from ...settings import SETTINGS

    values = shell.con._session.settings
    return [
        (
            setting.name,
            str(values.get(setting.name)),
            str(setting.default()),
            "database" if setting.shared else "connection",
            setting.reason,
        )
        for setting in sorted(SETTINGS.values(), key=lambda setting: setting.name)
    ]


def _shell_rows(shell: Shell) -> list[tuple[str, ...]]:
    return [
        (o.name, _text(shell.config.values[o.name]), _text(o.default), "shell", o.description)
        for o in OPTIONS.values()
    ]


def _text(value: str | int | bool) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _set_option(shell: Shell, name: str, value: str) -> None:
    from dataclasses import replace

    shell.config.set(name, value)
    screen, config = shell.screen, shell.config
    match name:
        case "mode":
            screen.format_name = config.text("mode")
        case "null":
            screen.options = replace(screen.options, null_text=config.text("null"))
        case "max_rows":
            screen.max_rows = config.count("max_rows")
        case "timer":
            screen.timer = config.switch("timer")
        case "pager":
            screen.pager = pager_command(config.text("pager"))
        case "progress":
            pass  # looked at when a statement starts
        case _:
            raise InvalidRequest(
                f"{name} takes effect when the shell starts", hint=f"set it in {config_path()}"
            )


COMMANDS = (
    Command(
        ".settings",
        "[NAME [VALUE]]",
        "Show the settings of the engine and of the shell, or change one.",
        (".settings", ".settings memory", ".settings memory_limit 4GB", ".settings null ∅"),
        _settings,
        2,
        takes="setting",
    ),
)
