"""Every public name is documented as it is, and what is documented exists."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import click
import pytest

import pagelake
from pagelake import errors
from pagelake.engine.cli import cli
from pagelake.engine.output.format import FILE_FORMATS, FORMAT_NAMES
from pagelake.engine.settings import KERNEL_SETTINGS, SETTINGS
from pagelake.engine.shell.commands import COMMANDS as DOT_COMMANDS
from pagelake.engine.shell.config import OPTIONS

from .markdown import code, prose, rows, sections, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE = re.compile(r"^(?:pagelake\.)?(\w+)\((.*)\)$")
_ENGINE_PASSES_MORE = {"close"}
_MACHINE_DEFAULTS = {"memory_limit", "temp_directory", "threads", "author", "commit_message"}
ERRORS = {
    name: kind
    for name in pagelake.__all__
    if isinstance(kind := getattr(pagelake, name), type) and issubclass(kind, Exception)
}


# Python


def _public(kind: type) -> set[str]:
    inherited = {name for base in kind.__mro__[1:-1] for name in vars(base)}
    return {name for name in vars(kind) if not name.startswith("_")} - inherited


def _members(*headings: str) -> set[str]:
    """Names in the first column of the tables of sections."""
    found: set[str] = set()
    for heading in headings:
        for cells in rows(sections("docs/python.md")[heading]):
            found |= {span.split("(")[0] for span in code(cells[0])}
    return found


def test_every_name_of_the_module_is_documented() -> None:
    spans = " ".join(code(prose("docs/python.md")))
    assert not [name for name in pagelake.__all__ if not re.search(rf"\b{name}\b", spans)]


def test_every_member_of_connections_and_cursors_is_documented_and_exists() -> None:
    told = _members("Connections and cursors", "Transactions")
    told |= set(code(sections("docs/python.md")["Connections and cursors"].split("**Ending**")[1]))
    told = {name.split("(")[0] for name in told}
    exceptions = {name for name in _public(pagelake.Connection) if name in ERRORS}
    public = (_public(pagelake.Cursor) | _public(pagelake.Connection)) - exceptions
    assert public <= told, public - told
    listed = _members("Connections and cursors", "Transactions") - {"…"}
    assert all(hasattr(pagelake.Connection, name) for name in listed), listed


def test_every_member_of_results_is_documented_and_exists() -> None:
    told = _members("Results")
    public = _public(pagelake.Result)
    assert public <= told, public - told
    with pagelake.connect() as db:
        result = db.sql("SELECT 1")
        assert all(hasattr(result, name) for name in told)
        assert all(f"`{name}`" in text_of("docs/python.md") for name in dir(result.timing)
                   if name.endswith("_ms"))  # fmt: skip


def test_signatures_are_those_of_the_code() -> None:
    found = sections("docs/python.md")
    owners = {"Results": [pagelake.Result]}
    checked = 0
    for heading, text in found.items():
        for span in code(text):
            match = _SIGNATURE.match(span)
            if match is None or "…" in span or match[1] in _ENGINE_PASSES_MORE:
                continue
            places = owners.get(heading, [pagelake.Connection, pagelake])
            callables = [getattr(place, match[1], None) for place in places]
            function = next((c for c in callables if inspect.isroutine(c)), None)
            if function is None:
                continue
            parameters = [
                parameter.replace(annotation=inspect.Parameter.empty)
                for parameter in inspect.signature(function).parameters.values()
                if parameter.name != "self"
            ]
            assert _normal(match[2]) == _normal(str(inspect.Signature(parameters))[1:-1]), span
            checked += 1
    assert checked > 25


def _normal(signature: str) -> str:
    return re.sub(r"(?<=\d)_(?=\d)", "", signature.replace("'", '"').replace(" ", ""))


def test_every_error_is_in_the_table_and_says_what_to_do() -> None:
    listed = list(rows(sections("docs/python.md")["Errors"], "class"))
    told = {code(cells[0])[0] for cells in listed}
    assert ERRORS.keys() <= told
    for cells in listed:
        if not cells[0].startswith("**") and code(cells[0])[0] not in {"Error", "Warning"}:
            assert cells[1], cells
            assert cells[2], cells


def _example(kind: type[Exception]) -> Exception:
    return kind(2) if issubclass(kind, errors.FileError) else kind("what")


def test_attributes_of_errors_are_those_of_the_code() -> None:
    told: dict[str, set[str]] = {}
    for cells in rows(sections("docs/python.md")["Errors"], "attribute"):
        for owner in code(cells[1]):
            told.setdefault(owner, set()).update(code(cells[0]))
    own = {
        name: vars(_example(kind)).keys() - {"message", "hint"}
        for name, kind in ERRORS.items()
        if issubclass(kind, errors.Error)
    }
    assert told == {name: set(attributes) for name, attributes in own.items() if attributes}
    retryable = {name for name, kind in ERRORS.items() if getattr(kind, "retryable", False)}
    assert retryable == {"Conflict", "Unavailable", "LimitExceeded", "StorageFull", "Timeout"}


# Settings


def test_every_setting_is_documented_as_it_is() -> None:
    listed = {
        code(cells[0])[0]: cells
        for cells in rows(text_of("docs/settings.md"), "name")
        if len(cells) == 5
    }
    assert set(listed) == set(SETTINGS)
    for name, (_, default, unit, scope, _reason) in listed.items():
        setting = SETTINGS[name]
        assert unit == setting.unit
        assert scope == ("database" if setting.shared else "connection")
        if name not in _MACHINE_DEFAULTS:
            value = re.match(r"`?(\w+)`?", default)
            assert value is not None
            assert setting.parse(value[1]) == setting.default(), name


def test_every_setting_of_the_kernel_is_documented_and_can_be_set() -> None:
    kernel = rows(sections("docs/settings.md")["Settings of the SQL kernel"])
    examples = {code(cells[0])[0]: code(cells[1])[0] for cells in kernel}
    assert set(examples) == set(KERNEL_SETTINGS)
    with pagelake.connect() as db:
        for example in examples.values():
            db.execute(example)


# Commands


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by what is typed."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(cli, "pagelake"))


def told_of(command: str) -> str:
    """What the page tells of a command: its section, or its row of one."""
    found = sections("docs/commands.md")
    if command in found:
        return found[command]
    for cells in rows(text_of("docs/commands.md")):
        if code(cells[0]) and code(cells[0])[0] == command:
            return cells[2]
    raise AssertionError(f"{command} is not documented")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_options_of_a_command_are_documented_and_exist(command: str) -> None:
    told = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", " ".join(code(told_of(command)))))
    options = {
        spelling
        for parameter in COMMANDS[command].params
        if isinstance(parameter, click.Option)
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }
    assert told - {"--help"} == options


def test_every_command_that_is_documented_exists() -> None:
    headings = {name for name in sections("docs/commands.md") if name.startswith("pagelake ")}
    groups = {name.rsplit(" ", 1)[0] for name in COMMANDS} - {"pagelake"}
    assert headings <= COMMANDS.keys() | groups
    page = text_of("docs/commands.md")
    for option in cli.params:
        assert any(f"`pagelake {spelling}" in page for spelling in option.opts)


def test_options_have_help() -> None:
    for command in COMMANDS.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.opts}"


def test_dot_commands_and_settings_of_the_shell_are_documented() -> None:
    page = prose("docs/shell.md")
    told = {span.split()[0] for span in code(page) if re.match(r"\.[a-z]", span)}
    assert DOT_COMMANDS.keys() <= told
    assert set(OPTIONS) <= set(code(page))


def test_formats_and_their_endings_are_documented() -> None:
    listed = list(rows(sections("docs/commands.md")["Formats"]))
    assert sorted(name for cells in listed for name in code(cells[0])) == sorted(FORMAT_NAMES)
    endings = {}
    for cells in listed:
        names = code(cells[0])
        for at, ending in enumerate(code(cells[1])):
            endings[ending] = names[0] if len(names) == 1 else names[at]
    assert endings == FILE_FORMATS


def test_exit_statuses_are_those_of_the_errors() -> None:
    listed = rows(sections("docs/commands.md")["Exit statuses"])
    told = {name: int(cells[0]) for cells in listed for name in code(cells[2])}
    table = errors._EXIT_CODES
    known = {kind.__name__: status for kind, status in table.items() if kind.__name__ in ERRORS}
    assert told == known
