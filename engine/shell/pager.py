"""The pager: what is longer than the window goes through `less`, as it comes.

Nothing is collected: the pager's pipe fills up, the writer waits, and so does the query, until
somebody scrolls. Leaving the pager ends the query.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping

LESS_OPTIONS = "-RSX"
"""Colours pass, long lines are scrolled and not folded, and what was seen stays on the screen."""


class PagerLeft(Exception):
    """The user left the pager before the end of what it was given."""


def pager_command(setting: str, environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """Return the command of the pager, or None where there is to be none.

    Args:
        setting: `auto`, `off` or a command.
        environment: Where PAGELAKE_PAGER and PAGER are looked up.
    """
    if setting == "off":
        return None
    command = setting
    if setting == "auto":
        command = environment.get("PAGELAKE_PAGER") or environment.get("PAGER") or "less"
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return words if words and shutil.which(words[0]) else None


class PagerStream(io.RawIOBase):
    """A byte stream that goes to the screen while it fits there, and else to a pager.

    Args:
        screen: The terminal.
        command: The pager's command.
        lines_max: Lines that fit on the screen.

    Attributes:
        is_paging: Whether the pager was started.
    """

    def __init__(self, screen: BinaryIO, command: list[str], lines_max: int) -> None:
        super().__init__()
        self._screen = screen
        self._command = command
        self._lines_left = lines_max
        self._held: list[bytes] = []
        self._child: subprocess.Popen[bytes] | None = None
        self.is_paging = False

    def writable(self) -> bool:
        """Return True: the stream is write-only."""
        return True

    def write(self, chunk: object) -> int:
        """Take bytes; returns their number.

        Raises:
            PagerLeft: The pager has ended.
        """
        raw = bytes(chunk)  # type: ignore[call-overload]
        if self._child is None:
            self._held.append(raw)
            self._lines_left -= raw.count(b"\n")
            if self._lines_left < 0:
                self._start()
        else:
            self._send(raw)
        return len(raw)

    def finish(self) -> None:
        """Show what was held back, or wait until the user leaves the pager."""
        if self._child is None:
            self._screen.write(b"".join(self._held))
            self._screen.flush()
            return
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        self._child.wait()

    def _start(self) -> None:
        environment = {**os.environ, "LESS": os.environ.get("LESS", LESS_OPTIONS)}
        self._screen.flush()
        try:
            self._child = subprocess.Popen(  # noqa: S603 - the user's own choice of a program
                self._command, stdin=subprocess.PIPE, env=environment, bufsize=0
            )
        except OSError:
            # No pager after all: everything goes to the screen from here on.
            self._lines_left = 1 << 62
            return
        self.is_paging = True
        held, self._held = b"".join(self._held), []
        self._send(held)

    def _send(self, raw: bytes) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        rest = memoryview(raw)
        try:
            while rest:
                rest = rest[self._child.stdin.write(rest) :]
        except BrokenPipeError:
            raise PagerLeft from None
