"""How the command line ends: errors as one line for people, a status for programs."""

from __future__ import annotations

import os
import re
import shutil
import sys
import traceback

from ...errors import Error, exit_code
from ..output.terminal import ELLIPSIS, cell_width, clip, visible

BROKEN_PIPE_STATUS = 141
"""128 + SIGPIPE, what shells report of a program whose reader went away."""


_CARET = re.compile(r"([ \t]*)\^+")


def debugging() -> bool:
    """Return whether tracebacks were asked for (`--debug` or PAGELAKE_DEBUG)."""
    return os.environ.get("PAGELAKE_DEBUG", "") not in {"", "0"}


def report(error: BaseException) -> None:
    """Print an error to standard error, as one line and what helps to correct it."""
    if debugging():
        traceback.print_exception(error)
    label = "error:"
    if _coloured():
        label = f"\x1b[1;31m{label}\x1b[0m"
    lines = [f"{label} {_text(error)}", *map(visible, getattr(error, "__notes__", None) or ())]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


def status_of(error: BaseException) -> int:
    """Report an error and return the exit status it means."""
    if isinstance(error, KeyboardInterrupt):
        report_cancelled()
    else:
        report(error)
    return exit_code(error)


def report_cancelled() -> None:
    """Say that Ctrl-C was obeyed, on a line of its own: the terminal has just echoed ``^C``."""
    sys.stderr.write("\ncancelled\n" if sys.stderr.isatty() else "cancelled\n")
    sys.stderr.flush()


def discard_output() -> int:
    """Send what is left of standard output nowhere, and return the status that means so.

    The interpreter flushes standard output once more when it ends, and would complain.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE_STATUS


def _coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _text(error: BaseException) -> str:
    if isinstance(error, Error):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            text += f": {error.filename}"
    else:
        text = (
            f"{type(error).__name__}: {error}\n"
            "hint: this is a defect of Pagelake; run again with --debug and report what it prints"
        )
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else 10_000
    lines: list[str] = []
    excerpt = ""
    for line in text.split("\n"):
        caret = _CARET.fullmatch(line)
        if caret is not None and lines:
            lines[-1:] = _pointed(excerpt, len(caret[1]), width)
        else:
            lines.append(visible(line).replace("\\t", "\t"))
        excerpt = line
    return "\n".join(lines)


def _pointed(excerpt: str, column: int, width: int) -> list[str]:
    """Return a line of a statement and the line below it, whose caret stands under a column.

    Args:
        excerpt: The line, indented.
        column: Characters before the spot; they may be wide, or none in the window at all.
        width: Cells of the window: a longer line is cut on both sides of the spot.
    """
    before = visible(excerpt[:column].replace("\t", "    "))
    after = visible(excerpt[column:].replace("\t", "    "))
    room = max(width - 1, 20)
    if cell_width(before) > room * 2 // 3:
        while cell_width(before) > room // 2:
            before = before[1:]
        before = f"  {ELLIPSIS}{before}"
    after = clip(after, room - cell_width(before))
    caret = "\x1b[1;31m^\x1b[0m" if _coloured() else "^"
    return [before + after, " " * cell_width(before) + caret]
