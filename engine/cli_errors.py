"""How the command line ends: errors as one line for people, a status for programs."""

from __future__ import annotations

import os
import sys
import traceback

from ..errors import Error, exit_code

BROKEN_PIPE_STATUS = 141
"""128 + SIGPIPE, what shells report of a program whose reader went away."""


def debugging() -> bool:
    """Return whether tracebacks were asked for (`--debug` or PAGELAKE_DEBUG)."""
    return os.environ.get("PAGELAKE_DEBUG", "") not in {"", "0"}


def report(error: BaseException) -> None:
    """Print an error to standard error, as one line and what helps to correct it."""
    if debugging():
        traceback.print_exception(error)
    label = "error:"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        label = f"\x1b[1;31m{label}\x1b[0m"
    lines = [f"{label} {_text(error)}", *(getattr(error, "__notes__", None) or ())]
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


def _text(error: BaseException) -> str:
    from .output.terminal import visible

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
    return "\n".join(visible(line).replace("\\t", "\t") for line in text.split("\n"))
