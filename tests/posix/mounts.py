"""Mounts of stores in processes of their own, for tests and measurements."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pagelake.engine.fuse import mounting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0


def assert_soon(holds: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@cache
def cannot_mount() -> str | None:
    """Why nothing can be mounted here, None when it can."""
    if not sys.platform.startswith("linux") or not Path(mounting.DEVICE).exists():
        return f"{mounting.DEVICE} is not there"
    probe = (
        "import sys, os; from pathlib import Path; from pagelake.engine.fuse import mounting as m\n"
        "d = Path(sys.argv[1]); os.close(m.mount(d, m.MountOptions('probe'))); m.unmount(d)"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("_FUSE_COMMFD", raising=False)
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run(
                [sys.executable, "-c", probe, directory], capture_output=True, text=True, cwd=ROOT
            )
    return None if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]


def require_mounts() -> None:
    """Skip the test where nothing can be mounted."""
    if (why := cannot_mount()) is not None:
        pytest.skip(f"nothing can be mounted: {why}")


class MountProcess:
    """A mount in the foreground of a process."""

    def __init__(self, store: Path, directory: Path, *options: str) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        command = [sys.executable, "-m", "pagelake", "mount", "--foreground", *options]
        self.process = subprocess.Popen(
            [*command, str(store), str(directory)], stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stderr is not None
        self.told = self.process.stderr.readline()
        if not self.told.startswith("mounted"):
            raise AssertionError(self.told + self.process.stderr.read())
        assert os.path.ismount(directory)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait until the process has ended; returns its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process.stderr is not None and not self.process.stderr.closed:
                self.told += self.process.stderr.read()
                self.process.stderr.close()
            if mounting.mounted_at(self.directory):
                mounting.unmount(self.directory, lazy=True)


@contextmanager
def mounted(store: Path, directory: Path, *options: str) -> Iterator[Path]:
    """Mount a store for some work."""
    process = MountProcess(store, directory, *options)
    try:
        yield directory
    finally:
        status = process.end()
    assert status == 0, process.told
    assert "Traceback" not in process.told, process.told
