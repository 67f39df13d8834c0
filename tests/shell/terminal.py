"""A shell in a pseudo-terminal, driven as a person would: keys in, screen out."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pexpect

if TYPE_CHECKING:
    from pathlib import Path

# What prompt-toolkit sends when it begins to read a line and when it has one: what lies between
# the second and the next first is what the shell has answered.
READY = "\x1b[?2004h"
TAKEN = "\x1b[?2004l"
PATIENCE_S = 60
"""A wait for something that comes: machines are slow at times, and a failure is no hurry."""

ENDLESS = "SELECT count(*) FROM range(20000000) a, range(20000000) b WHERE a.range + b.range = -1;"
_ERASED = re.compile(r"[^\n]*\x1b\[2K")
"""What a progress bar leaves of its line: nothing."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


def environment(state: Path, **variables: str) -> dict[str, str]:
    """Variables of a shell that is nobody's: no settings and history but the test's own."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PAGELAKE", "LESS", "PAGER", "NO_COLOR", "COLUMNS", "LINES"))
    }
    return {
        **inherited,
        "XDG_STATE_HOME": str(state),
        "XDG_CONFIG_HOME": str(state),
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "TERM": "xterm-256color",
        "PAGELAKE_SHELL_SUGGEST": "off",
        **variables,
    }


class Terminal:
    """A terminal with a shell in it.

    Args:
        store: The store to open.
        state: Folder for history and settings.
        arguments: Further arguments of the command line.
        lines: Height of the window.
        columns: Width of the window.
        variables: Further environment variables; colours are off unless NO_COLOR is empty.
    """

    def __init__(
        self,
        store: Path,
        state: Path,
        *arguments: str,
        lines: int = 24,
        columns: int = 100,
        **variables: str,
    ) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "pagelake", str(store), *arguments],
            env=environment(state, **{"NO_COLOR": "1", **variables}),
            encoding="utf-8",
            dimensions=(lines, columns),
            timeout=PATIENCE_S,
        )
        # The pause that pexpect makes before each line is meant for password prompts.
        self.child.delaybeforesend = None

    def await_prompt(self) -> Terminal:
        """Wait until the shell reads from the keyboard."""
        self.child.expect_exact(READY)
        return self

    def type(self, keys: str) -> None:
        """Press keys."""
        self.child.send(keys)

    def see(self, text: str) -> None:
        """Wait until a text is on the screen."""
        self.child.expect_exact(text)

    def run(self, text: str) -> str:
        """Type a line and Enter; returns what the shell answers until it is ready again."""
        self.child.send(f"{text}\r")
        return self.answer()

    def answer(self) -> str:
        """Return what the shell answers to what was entered."""
        self.child.expect_exact(TAKEN)
        self.child.expect_exact(READY)
        return plain(self.child.before).lstrip("\n")

    def leave(self, keys: str = "\x04") -> int:
        """Leave the shell, which is ready; returns its status."""
        self.child.send(keys)
        self.child.expect(pexpect.EOF)
        self.child.close()
        return int(self.child.exitstatus)

    def close(self) -> None:
        """End the shell, whatever it does."""
        if self.child.isalive():
            # pexpect's own way waits a tenth of a second, which a busy machine may not grant.
            self.child.kill(signal.SIGKILL)
            self.child.wait()
        self.child.close()


def rows(answer: str) -> list[list[str]]:
    """Return the cells of the rows of a table, without its heading."""
    lines = [line for line in answer.split("\n") if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines[2:]]


def plain(text: str) -> str:
    """Return what a terminal shows of a text."""
    return _ESCAPES.sub("", _ERASED.sub("", text))
