"""strace on a process that is already running: what it asks of the kernel, and calls made to fail.

The victim is forked with everything imported and waits; strace attaches to it, and only then does
it begin. Counting calls from there leaves the interpreter's own start out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)(.*)")
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_PATH = re.compile(r'<(/[^>]*?)(?: ?\(deleted\))?>|"((?:[^"\\]|\\.)*)"')
_STRACE_S = 60


@cache
def missing() -> str:
    """Why processes cannot be traced here; empty when they can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    tried = subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, text=True)
    return f"strace may not trace: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One call, as strace saw it.

    Attributes:
        thread: Who made it.
        name: Its name.
        arguments: Its arguments, as text; descriptors with the path behind them.
        result: What it gave, with the error's name and whether the error was injected.
    """

    thread: int
    name: str
    arguments: str
    result: str

    @property
    def failed(self) -> bool:
        """Whether it gave an error."""
        return self.result.startswith("-1")

    @property
    def injected(self) -> bool:
        """Whether strace made it fail."""
        return "(INJECTED)" in self.result

    @property
    def paths(self) -> list[str]:
        """Paths among the arguments, those of descriptors included, and of a new descriptor."""
        said = f"{self.arguments} {self.result}"
        return [shown or named for shown, named in _PATH.findall(said)]

    def touches(self, root: str) -> bool:
        """Whether it names something below a folder, or the folder."""
        return any(path == root or path.startswith(f"{root}/") for path in self.paths)


@contextmanager
def traced(pid: int, log: Path, calls: Sequence[str], inject: str | None = None) -> Iterator[None]:
    """Trace a process and its threads until it ends, which must be before the context does.

    Args:
        pid: The process.
        log: Where strace writes.
        calls: Which calls, as ``-e trace=`` names them.
        inject: What ``-e inject=`` says, if calls are to fail.
    """
    command = ["strace", "-f", "-y", "-s", "512", "-p", str(pid), "-o", str(log)]
    command += ["-e", f"trace={','.join(calls)}", "-e", "signal=none"]
    if inject is not None:
        command += ["-e", f"inject={inject}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        assert "attached" in said, said
        try:
            yield
            strace.wait(_STRACE_S)
        finally:
            strace.terminate()
            strace.stderr.read()


def read_log(log: Path) -> list[SystemCall]:
    """The calls in a log, in the order in which they returned."""
    calls, begun = [], {}
    for line in log.read_text(errors="replace").splitlines():
        if match := _UNFINISHED.match(line):
            thread, name, arguments = match.groups()
            begun[thread, name] = arguments
            continue
        if match := _RESUMED.match(line):
            thread, name, rest = match.groups()
            line = f"{thread} {name}({begun.pop((thread, name), '')}{rest}"  # noqa: PLW2901
        if match := _LINE.match(line):
            thread, name, arguments, result, rest = match.groups()
            calls.append(SystemCall(int(thread), name, arguments, result + rest))
    return calls
