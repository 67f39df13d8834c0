"""Many real processes for the price of one import: a fork server, and its members.

The server (``python -m tests.multiprocess.fleet``) imports everything once and forks a child for
each order; every child opens the store by itself, after the fork. A child talks to the test over
a socket of its own, one JSON value a line, so that what a killed child has said stays readable.

A role is a function ``role(channel, *arguments)`` of a module below ``tests``.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120.0
"""How long a member may say nothing before the test gives up; no figure depends on it."""
_ORDER_BYTES_MAX = 1 << 16


class Channel:
    """One end of the line between a test and a member.

    Args:
        end: The connected socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._received = b""

    def send(self, value: object) -> None:
        """Say something; a dead listener is no failure of the speaker's."""
        self.end.sendall(json.dumps(value).encode() + b"\n")

    def receive(self) -> Any:
        """What was said next.

        Raises:
            EOFError: The other side is gone.
        """
        while b"\n" not in self._received:
            read = self.end.recv(1 << 16)
            if not read:
                raise EOFError("the other side is gone")
            self._received += read
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def rest(self) -> Iterator[Any]:
        """All that was said, until the other side is gone; half a line does not count."""
        try:
            while True:
                yield self.receive()
        except (EOFError, ConnectionResetError):
            return

    @property
    def buffered(self) -> bool:
        """True when ``receive`` has an answer at once."""
        return b"\n" in self._received


class MemberFailed(AssertionError):
    """A member ended by an exception of its own; the text is its traceback."""


@dataclass(slots=True)
class Member:
    """A process of the fleet."""

    pid: int
    channel: Channel

    def send(self, value: object) -> None:
        """Say something to it."""
        self.channel.send(value)

    def receive(self) -> Any:
        """What it says next.

        Raises:
            EOFError: It is gone.
            MemberFailed: It ended by an exception.
        """
        return _checked(self.channel.receive())

    def rest(self) -> list[Any]:
        """All it says until it is gone."""
        return [_checked(value) for value in self.channel.rest()]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; the server reaps it only when its line is closed."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once; ``rest`` tells what it said before."""
        self.signal(signal.SIGKILL)


def _checked(value: Any) -> Any:
    if isinstance(value, dict) and "failed" in value:
        raise MemberFailed(value["failed"])
    return value


class Fleet:
    """A fork server and its members; all of them end with the context.

    Args:
        environment: Environment variables that differ from this process's.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._line, theirs = socket.socketpair()
        self._line.settimeout(TIMEOUT_S)
        self.members: list[Member] = []
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.multiprocess.fleet", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )

    def start(self, role: str, *arguments: object) -> Member:
        """Fork a member that runs a role.

        Args:
            role: ``module:function``, both as below ``tests``.
            arguments: What it gets after its channel; JSON values.
        """
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT_S)
        with theirs:
            order = json.dumps([role, arguments]).encode()
            assert len(order) <= _ORDER_BYTES_MAX
            socket.send_fds(self._line, [order], [theirs.fileno()])
        # The server answers one order before it reads the next, so neither splits nor merges.
        pid = int(self._line.recv(64))
        member = Member(pid, Channel(ours))
        self.members.append(member)
        return member

    def together(self, members: list[Member]) -> None:
        """Wait until each has said ``ready``, then let all of them begin."""
        for member in members:
            assert member.receive() == "ready"
        for member in members:
            member.send("go")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The server ends its children when its line is closed: only it knows which still live.
        self._line.close()
        self._server.wait(TIMEOUT_S)
        for member in self.members:
            member.channel.end.close()


def _live(role: str, arguments: list[Any], channel: Channel) -> None:
    """The whole life of a child."""
    module, _, name = role.partition(":")
    try:
        getattr(importlib.import_module(f"tests.{module}"), name)(channel, *arguments)
    except BaseException:
        channel.send({"failed": traceback.format_exc()})
        os._exit(1)
    os._exit(0)


def _reap(children: dict[int, None]) -> None:
    """Forget children that have ended."""
    while children:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        children.pop(pid, None)


def serve(line: socket.socket) -> None:
    """Fork a child for each order until the test goes away."""
    import pyarrow as pa

    import pagelake.engine.connection  # warm for the children
    import pagelake.storage.store  # noqa: F401 - likewise

    pa.array([1])  # imports pandas where it is installed
    children: dict[int, None] = {}
    while True:
        order, descriptors, _, _ = socket.recv_fds(line, _ORDER_BYTES_MAX, 1)
        if not order:
            break
        # Only here: a child that was just killed keeps its process id until the next order, so
        # that no signal of the test's can reach a stranger.
        _reap(children)
        role, arguments = json.loads(order)
        child = os.fork()
        if child == 0:
            line.close()
            _live(role, arguments, Channel(socket.socket(fileno=descriptors[0])))
        os.close(descriptors[0])
        children[child] = None
        line.sendall(str(child).encode())
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
