"""Settings of the shell itself: a file, then environment variables, over the defaults.

The file is `pagelake/shell.toml` under XDG_CONFIG_HOME (or ~/.config), or what
PAGELAKE_SHELL_CONFIG names; each setting can also be given as PAGELAKE_SHELL_<NAME>.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest
from ..output.format import BINARY_FORMATS, FORMAT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = str | int | bool

_PREFIX = "PAGELAKE_SHELL_"
_SWITCH: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def _switch(value: object) -> bool:
    switched = _SWITCH.get(str(value).lower())
    if switched is None:
        raise ValueError("on or off")
    return switched


def _count(value: object) -> int:
    text = str(value)
    if not text.isdecimal():
        raise ValueError("a number from 0 up")
    return int(text)


def _mode(value: object) -> str:
    if value not in FORMAT_NAMES or value in BINARY_FORMATS:
        shown = [name for name in FORMAT_NAMES if name not in BINARY_FORMATS]
        raise ValueError(f"one of {', '.join(shown)}")
    return str(value)


def _editing(value: object) -> str:
    if value not in {"emacs", "vi"}:
        raise ValueError("emacs or vi")
    return str(value)


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of the shell.

    Attributes:
        name: Its name in the file; in capitals behind PAGELAKE_SHELL_ in the environment.
        parse: Converts a value; raises ValueError that says what is wanted.
        default: Its value when nobody says anything.
        description: What it does.
    """

    name: str
    parse: Callable[[object], Value]
    default: Value
    description: str


OPTIONS: Final[dict[str, Option]] = {
    option.name: option
    for option in (
        Option("mode", _mode, "table", "Output mode that a shell starts in."),
        Option("null", str, "NULL", "What NULL looks like in modes for people."),
        Option(
            "max_rows",
            _count,
            0,
            "Rows that table, box and markdown show. 0: all in a pager, else 1,000.",
        ),
        Option("timer", _switch, True, "Whether the prompt's answers say how long they took."),
        Option(
            "pager",
            str,
            "auto",
            "auto (PAGELAKE_PAGER, PAGER or less, for what is longer than the window), off, or a "
            "command.",
        ),
        Option(
            "progress", _switch, True, "Whether statements that take long show how far they are."
        ),
        Option("suggest", _switch, True, "Whether the prompt suggests statements of the history."),
        Option("editing", _editing, "emacs", "Key bindings of the prompt: emacs or vi."),
        Option("theme", str, "default", "Colours of SQL: the name of a Pygments style."),
    )
}


@dataclass(slots=True)
class ShellConfig:
    """Values of the shell's settings.

    Attributes:
        values: Values by name, of every setting.
        sources: Where each value came from that is not the default.
    """

    values: dict[str, Value] = field(
        default_factory=lambda: {option.name: option.default for option in OPTIONS.values()}
    )
    sources: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the value of a setting as text."""
        return str(self.values[name])

    def count(self, name: str) -> int:
        """Return the value of a setting that is a number."""
        return int(self.values[name])

    def switch(self, name: str) -> bool:
        """Return the value of a setting that is on or off."""
        return bool(self.values[name])

    def set(self, name: str, value: object, source: str = "shell") -> None:
        """Change a setting.

        Raises:
            InvalidRequest: No such setting, or no such value.
        """
        option = OPTIONS.get(name)
        if option is None:
            raise InvalidRequest(
                f"the shell has no setting {name}", hint=f"it has {', '.join(OPTIONS)}"
            )
        try:
            self.values[name] = option.parse(value)
        except ValueError as error:
            raise InvalidRequest(
                f"{source}: the setting {name} wants {error}, not {value!r}"
            ) from error
        self.sources[name] = source


def load_config(environment: Mapping[str, str] = os.environ) -> ShellConfig:
    """Read the settings of the shell.

    Raises:
        InvalidRequest: The file cannot be read, or a value in file or environment is wrong.
    """
    config = ShellConfig()
    path = config_path(environment)
    for name, value in _read(path).items():
        config.set(name, value, str(path))
    for name in OPTIONS:
        variable = f"{_PREFIX}{name.upper()}"
        if variable in environment:
            config.set(name, environment[variable], variable)
    return config


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the file of settings is, or would be."""
    named = environment.get("PAGELAKE_SHELL_CONFIG")
    if named:
        return Path(named)
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "pagelake" / "shell.toml"


def _read(path: Path) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest(f"cannot read {path}: {error}") from error
