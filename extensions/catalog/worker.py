"""The process around a `Walker`: tasks come in on stdin, answers go out on stdout.

It is started with a bare interpreter (`command`) that loads numpy and this package's few modules
only: no site directories to scan, and nothing of the program that walks, whose `__main__` is never
imported again. It ends when its stdin does, so that it cannot outlive the coordinator.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import protocol
from .walker import Walker

if TYPE_CHECKING:
    from typing import BinaryIO

BEAT_SECONDS: Final = 1.0
"""Time after which a worker says that it lives; well below any sensible time-out."""

START: Final = "import sys; sys.path[:] = sys.argv[1:]; from {module} import main; main()"


def command() -> list[str]:
    """Return the command that starts a worker."""
    package = __name__.partition(".")[0]
    home = sys.modules[package].__file__
    assert home is not None
    # The worker finds what this process found, however that was installed.
    found = [str(Path(home).parent.parent), *(path for path in sys.path if path)]
    start = START.format(module=__name__)
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", start, *found]


def main() -> None:
    """Answer tasks until there are no more."""
    # Ctrl-C is the coordinator's affair: it ends its workers itself, without a trace of each.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    answers = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    try:
        serve(requests, answers)
    except (protocol.EndOfStream, BrokenPipeError):
        os._exit(0)  # without a flush of what nobody reads


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Serve one coordinator.

    Raises:
        EndOfStream: The coordinator has no more tasks, or is gone.
        BrokenPipeError: It is gone.
    """
    _, sections = protocol.receive(requests)
    root, device, options = protocol.read_options(sections)
    beat = _Beat(answers)
    walker = Walker(root, device, options, beat=beat)
    protocol.send(answers, protocol.BEAT)
    while True:
        kind, sections = protocol.receive(requests)
        if kind == protocol.STAT:
            found = walker.stat(protocol.read_stat(sections))
            protocol.send(answers, protocol.STATS, protocol.stats_message(*found))
            continue
        paths, own, budget = protocol.read_task(sections)
        answer = walker.task(paths, own, budget)
        protocol.send(answers, protocol.ANSWER, protocol.answer_message(answer))


class _Beat:
    """Says from time to time that its process lives."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._last = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last > BEAT_SECONDS:
            self._last = now
            protocol.send(self._answers, protocol.BEAT)
