"""Mounts that nobody else sees: a program that runs itself in a mount namespace of its own.

Whatever it mounts ends with it, however it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

_INSIDE = "PAGELAKE_MOUNT_NAMESPACE"


def _command() -> list[str]:
    # Without root, a user namespace gives the right to mount FUSE, though not loop devices.
    return ["unshare", "--mount", *(["--map-root-user", "--user"] if os.geteuid() else [])]


@cache
def missing() -> str:
    """Why there can be no mount namespace here; empty when there can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    tried = subprocess.run([*_command(), "true"], capture_output=True, text=True)
    return f"no mount namespace: {tried.stderr.strip()}" if tried.returncode else ""


@cache
def fuse_missing() -> str:
    """Why FUSE file systems cannot be mounted here; empty when they can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing or may not be opened"
    # In a process of its own: it loads libfuse.
    tried = subprocess.run([sys.executable, "-c", "import mfusepy"], capture_output=True, text=True)
    if tried.returncode:
        return f"mfusepy: {tried.stderr.strip().splitlines()[-1]}"
    return missing()


@cache
def loop_missing(kind: str = "ext4") -> str:
    """Why a file cannot be mounted as a file system of a kind here; empty when it can."""
    if os.geteuid():
        return "only root may mount loop devices"
    if shutil.which(f"mkfs.{kind}") is None:
        return f"mkfs.{kind} is not installed"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    return missing()


def enter(module: str) -> None:
    """Run a program again in a namespace of its own, unless it is in one; returns only there."""
    if os.environ.get(_INSIDE):
        return
    os.environ[_INSIDE] = "1"
    command = [*_command(), sys.executable, "-m", module, *sys.argv[1:]]
    os.execvp(command[0], command)
