"""Running what documentation pages show: Python, SQL and commands, in their order.

A command is a line behind ``$``; the lines after it are what it prints, where there are any, and
``# exits with 65`` is its status. Commands run inside this process: starting one takes a second.
"""

from __future__ import annotations

import glob
import re
import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import click

import pagelake
from pagelake.engine.cli import cli, main

from .markdown import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_BLOCK = re.compile(r"^```(console|python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS = re.compile(r"# exits with (\d+)$")
_PROMPT = re.compile(r"^pagelake\S*> ", re.MULTILINE)
_OTHERS = {"cp", "harlequin", "head", "jq", "less", "make", "pip"}
"""Programs that only stand around Pagelake's own command."""


@dataclass(slots=True)
class Runner:
    """Runs the examples of one page.

    Attributes:
        captured: Gives what was printed since the last call.
        monkeypatch: Replaces standard input.
    """

    captured: Callable[[], str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, page: str) -> int:
        """Run everything on a page; returns how many blocks there were."""
        names: dict[str, object] = {}
        found = _BLOCK.findall(text_of(page))
        with ExitStack() as opened:
            db = None  # SQL of a page goes to one connection
            for language, text in found:
                if language == "python":
                    exec(compile(text, page, "exec"), names)
                elif language == "sql":
                    db = db or opened.enter_context(pagelake.connect("my.lake"))
                    for statement in db.statements(text):
                        db.sql(statement).fetchall()
                elif not _PROMPT.search(text):  # else what somebody types into a shell
                    self._run_console(text)
        return len(found)

    def _run_console(self, text: str) -> None:
        shown = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
        for line, _, expected in (piece.partition("\n") for piece in shown):
            status = _STATUS.search(line)
            self.captured()
            for part in line.split(" && "):
                self._run_pipe(part, int(status[1]) if status else 0)
            printed = self.captured()
            if expected:
                assert printed == expected, line

    def _run_pipe(self, line: str, status: int) -> None:
        given = ""
        for command in line.split(" | "):
            words = shlex.split(command, comments=True)
            if words[0] in _OTHERS:
                continue
            if words[0] == "echo":
                given = " ".join(words[1:])
                continue
            assert words[0] == "pagelake", line
            arguments = []
            ahead = iter(words[1:])
            for word in ahead:
                if word == "<":
                    given = Path(next(ahead)).read_text(encoding="utf-8")
                elif word == ">":
                    next(ahead)
                else:
                    arguments += glob.glob(word) if "*" in word and " " not in word else [word]
            self._run_command(arguments, given, status)

    def _run_command(self, arguments: list[str], given: str, status: int) -> None:
        if arguments[0] == "tpch":  # takes minutes: only what it is told is looked at
            parse(arguments)
            return
        self.monkeypatch.setattr(sys, "stdin", StringIO(given))
        try:
            main(arguments)
        except SystemExit as ended:
            assert ended.code == status, arguments


def parse(arguments: list[str]) -> None:
    """Let the command line judge arguments without running them."""
    command: click.Command = cli
    context = None
    while isinstance(command, click.Group):
        name = arguments[0]
        context = click.Context(command, parent=context, info_name=name)
        found = command.get_command(context, name)
        assert found is not None, name
        command, arguments = found, arguments[1:]
    command.make_context(command.name, list(arguments), parent=context)
