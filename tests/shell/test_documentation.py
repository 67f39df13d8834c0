"""docs/shell.md says everything that the shell can do, and only that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pagelake.engine.output import FORMAT_NAMES
from pagelake.engine.shell.commands import ALIASES, COMMANDS, find_command
from pagelake.engine.shell.config import OPTIONS
from pagelake.engine.shell.scanner import script_items

PAGE = (Path(__file__).parents[2] / "docs" / "shell.md").read_text(encoding="utf-8")
EXAMPLES = [line.strip() for line in PAGE.split("\n") if re.match(r"    \.\w", line)]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands_are_documented_with_an_example(name):
    assert re.search(rf"`{re.escape(name)}[ `\[]", PAGE)
    assert any(example.split()[0] == name for example in EXAMPLES)


def test_examples_name_commands_that_exist():
    assert len(EXAMPLES) >= len(COMMANDS)
    for example in (*EXAMPLES, *(e for c in COMMANDS.values() for e in c.examples)):
        (item,) = script_items(example)
        assert item.is_command
        assert find_command(example.split()[0]) is not None, example


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_modes_are_documented(name):
    assert f"| `{name}` |" in PAGE
    assert f"`--{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_settings_are_documented_with_their_default(name):
    default = OPTIONS[name].default
    shown = {True: "true", False: "false"}.get(default, default) if isinstance(default, bool) else (
        f'"{default}"' if isinstance(default, str) else default
    )  # fmt: skip
    assert f"| `{name}` | `{shown}` |" in PAGE


def test_nothing_is_documented_that_is_not_there():
    documented = set(re.findall(r"^`(\.\w+)", PAGE, re.MULTILINE))
    assert documented <= {*COMMANDS, *ALIASES}
    settings = re.findall(r"^\| `(\w+)` \| `", PAGE, re.MULTILINE)
    assert sorted(settings) == sorted(OPTIONS)
