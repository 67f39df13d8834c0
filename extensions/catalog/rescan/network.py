"""How coarse the clock of a file system is, for the question whether a change can hide in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LOCAL_SECONDS: Final = 2.0
"""FAT has ticks of two seconds, kernels before 6.13 some milliseconds."""

NETWORK_SECONDS: Final = 120.0
"""Attributes may be cached for a minute by default, and the server's clock is another one."""

NETWORK: Final = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "glusterfs"),
    *("fuse", "virtiofs", "beegfs", "gpfs", "orangefs", "ocfs2", "gfs2"),
)
"""Types of file systems that others may change too, or whose times another machine gives."""

MOUNTS: Final = Path("/proc/self/mountinfo")


def is_network(root: bytes) -> bool:
    """Tell whether a tree is on a network file system, or has one mounted in it."""
    return racy_seconds(root) > LOCAL_SECONDS


def racy_seconds(root: bytes, mounts: Path = MOUNTS) -> float:
    """Return how close to its listing a change of a directory may be for another to hide.

    Args:
        root: The tree; what is mounted below it counts.
        mounts: Where the system tells of its mounts; local ones only where it does not.
    """
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return LOCAL_SECONDS
    holds: tuple[int, bool] = (-1, False)
    for line in lines:
        place, _, kind = line.partition(b" - ")
        point = _unescaped(place.split(b" ")[4])
        name = kind.split(b" ")[0].decode("ascii", "replace")
        is_network = name.partition(".")[0] in NETWORK
        if _is_below(root, point):
            # Of several mounts at one place the last is seen.
            holds = max(holds, (len(point), is_network), key=lambda found: found[0])
            if holds[0] == len(point):
                holds = (len(point), is_network)
        elif _is_below(point, root) and is_network:
            return NETWORK_SECONDS
    return NETWORK_SECONDS if holds[1] else LOCAL_SECONDS


def mount_points(mounts: Path = MOUNTS) -> list[bytes]:
    """Return where the system has mounted something; nothing where it does not tell."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return []
    return [_unescaped(line.split(b" ")[4]) for line in lines]


def _is_below(path: bytes, directory: bytes) -> bool:
    """Tell whether a path is a directory, or below it."""
    return path == directory or os.path.join(path, b"").startswith(os.path.join(directory, b""))


def _unescaped(text: bytes) -> bytes:
    for code in (b"040", b"011", b"012", b"134"):
        text = text.replace(b"\\" + code, bytes([int(code, 8)]))
    return text
