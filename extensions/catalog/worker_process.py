"""A worker seen from the coordinator: a process that answers tasks, or fails in good time."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import select
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ...errors import InternalError, Unavailable
from . import protocol, worker

if TYPE_CHECKING:
    from .block import EntryArray, WalkOptions
    from .statx import Failure
    from .walker import Answer

PIPE_BYTES: Final = 1 << 20
"""What an unprivileged process may ask of a pipe on Linux: fewer switches between processes."""

START_SECONDS: Final = 60.0
KILL_SECONDS: Final = 1.0
GRACE_MS: Final = 1000


class WorkerLost(Exception):
    """The worker died or hung.

    Args:
        number: The errno that stands for what happened.
    """

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


class WorkerProcess:
    """One worker.

    Args:
        root: The root of the walk.
        device: Its device number.
        options: How to walk.

    Raises:
        Unavailable: The process does not start.
        InternalError: It fails at once.
    """

    def __init__(self, root: bytes, device: int, options: WalkOptions) -> None:
        try:
            # A process group of its own, so that Ctrl-C at the terminal comes to the coordinator
            # only, which ends the workers. Popen executes at once: no fork of a threaded process
            # goes on running Python code.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                worker.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=0,
            )
        except OSError as error:
            raise Unavailable(f"a process for the scan cannot be started: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answers = self._process.stdout.fileno()
        if sys.platform == "linux":
            with suppress(OSError):  # the user's pipes hold too much already: slower, that is all
                fcntl.fcntl(answers, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._requests = io.BufferedWriter(self._process.stdin)
        self._patience = _PatientReader(answers, START_SECONDS)
        self._answers = io.BufferedReader(self._patience, 1 << 16)
        self._options = protocol.options_message(root, device, options)
        self._timeout_seconds = options.timeout_seconds

    def start(self) -> None:
        """Wait until the worker is ready.

        Raises:
            Unavailable: It was killed, or takes too long.
            InternalError: It failed.
        """
        try:
            protocol.send(self._requests, protocol.OPTIONS, self._options)
            protocol.receive(self._answers)
        except (protocol.EndOfStream, OSError) as error:
            self._raise_if_defect()
            raise Unavailable("a process of the scan did not start") from error
        self._patience.timeout_seconds = self._timeout_seconds

    def run(self, paths: list[bytes], own: EntryArray, budget: int) -> Answer:
        """Let the worker read directories.

        Raises:
            WorkerLost: It died or hung. It must be killed now.
            InternalError: It stopped by a defect.
        """
        message = protocol.task_message(paths, own, budget)
        return protocol.read_answer(self._ask(protocol.TASK, message, protocol.ANSWER))

    def stat(self, paths: list[bytes]) -> tuple[EntryArray, list[Failure]]:
        """Let the worker look at directories: see `Walker.stat`.

        Raises:
            WorkerLost: It died or hung. It must be killed now.
            InternalError: It stopped by a defect.
        """
        message = protocol.stat_message(paths)
        return protocol.read_stats(self._ask(protocol.STAT, message, protocol.STATS))

    def _ask(self, kind: bytes, message: list[protocol.Buffer], wanted: bytes) -> list[bytes]:
        try:
            protocol.send(self._requests, kind, message)
            while True:
                answered, sections = protocol.receive(self._answers)
                if answered == wanted:
                    return sections
        except TimeoutError as error:
            raise WorkerLost(errno.ETIMEDOUT) from error
        except (protocol.EndOfStream, OSError) as error:
            self._raise_if_defect()
            raise WorkerLost(errno.EIO) from error

    def kill(self) -> None:
        """End the process at once; it holds nothing that would be lost."""
        self._process.kill()

    def close(self) -> None:
        """End the process, wait for it and close the pipes.

        A process that waits for a dead device ends when the device answers; it is not waited for.
        """
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # collected when the next process is started
            self._process.wait(KILL_SECONDS)
        for stream in (self._requests, self._answers, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # a task that nobody reads any more
                if stream is not None:
                    stream.close()

    def _raise_if_defect(self) -> None:
        """Raise what the worker said, where it ended by an exception of its own."""
        try:
            code = self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return
        if code > 0 and self._process.stderr is not None:
            said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
            reason = said[-1] if said else f"exit code {code}"
            raise InternalError(f"a process of the scan failed: {reason}")


class _PatientReader(io.RawIOBase):
    """Reads a pipe and raises TimeoutError where nothing comes for too long."""

    def __init__(self, descriptor: int, timeout_seconds: float) -> None:
        super().__init__()
        self.timeout_seconds = timeout_seconds
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # Where both processes were stopped for a while, the time is over and nobody is to blame.
        if not (self._poll.poll(self.timeout_seconds * 1000) or self._poll.poll(GRACE_MS)):
            raise TimeoutError
        return os.readv(self._descriptor, [buffer])
