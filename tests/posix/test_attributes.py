"""Attributes: permissions, owners, times, extended attributes, room."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .test_names import refused

if TYPE_CHECKING:
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root may change owners")


def test_modes_and_times(place: Path) -> None:
    path = place / "f"
    path.write_text("x")
    os.chmod(path, 0o4751)
    assert stat.S_IMODE(path.stat().st_mode) == 0o4751
    moments = -5_000_000_001, 1_234_567_890_123_456_789
    os.utime(path, ns=moments)
    found = path.stat()
    assert (found.st_atime_ns, found.st_mtime_ns) == moments
    before = found.st_ctime_ns
    path.write_text("y")
    after = path.stat()
    assert after.st_ctime_ns >= after.st_mtime_ns > before


def test_times_that_are_set_before_a_file_is_closed_stay(place: Path) -> None:
    """As tar and cp do it."""
    with open(place / "f", "wb") as file:
        file.write(b"x" * 50_000)
        file.flush()
        os.fchmod(file.fileno(), 0o640)
        os.utime(file.fileno(), ns=(5, 7))
        assert os.fstat(file.fileno()).st_mtime_ns == 7
    found = (place / "f").stat()
    assert (found.st_mtime_ns, stat.S_IMODE(found.st_mode), found.st_size) == (7, 0o640, 50_000)


@needs_root
def test_owners_and_what_a_change_of_them_takes_away(place: Path) -> None:
    path = place / "f"
    path.write_text("x")
    os.chmod(path, 0o6755)
    os.chown(path, 4_294_967_294, 12)
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (4_294_967_294, 12)
    assert stat.S_IMODE(found.st_mode) == 0o755
    os.chmod(place, 0o2775)
    os.chown(place, -1, 77)
    (place / "d").mkdir()
    assert (place / "d").stat().st_gid == 77
    assert (place / "d").stat().st_mode & stat.S_ISGID


@needs_root
def test_others_are_refused_what_modes_do_not_allow(place: Path) -> None:
    path = place / "f"
    path.write_text("x")
    os.chmod(path, 0o4642)
    os.chmod(place, 0o755)
    program = (
        "import os, sys\n"
        "os.setgroups([]); os.setegid(1234); os.seteuid(1234)\n"
        "def told(call, *a):\n"
        "    try: call(*a); print('done')\n"
        "    except OSError as e: print(e.errno)\n"
        "told(os.unlink, 'f'); told(os.chmod, 'f', 0o777); told(os.open, 'f', os.O_RDONLY)\n"
        "with open('f', 'w') as file: file.write('theirs')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=place, check=True
    )
    told = errno.EACCES, errno.EPERM, errno.EACCES
    assert list(map(int, done.stdout.split())) == list(told)
    assert path.read_text() == "theirs"
    assert stat.S_IMODE(path.stat().st_mode) == 0o642, "who writes takes the set-user-id bit away"


def test_extended_attributes(place: Path) -> None:
    path = place / "f"
    path.touch()
    os.setxattr(path, "user.note", b"\xff\0bytes")
    os.setxattr(path, "user.pagelake.tag.project", b"apollo")
    assert os.getxattr(path, "user.note") == b"\xff\0bytes"
    assert sorted(os.listxattr(path)) == ["user.note", "user.pagelake.tag.project"]
    refused(errno.EEXIST, os.setxattr, path, "user.note", b"", os.XATTR_CREATE)
    refused(errno.ENODATA, os.setxattr, path, "user.none", b"", os.XATTR_REPLACE)
    refused(errno.ENODATA, os.getxattr, path, "user.none")
    refused(errno.ENODATA, os.removexattr, path, "user.none")
    refused(errno.EOPNOTSUPP, os.setxattr, path, "trusted.x", b"")
    refused(errno.ENOSPC, os.setxattr, path, "user.large", bytes(65_536))
    os.removexattr(path, "user.note")
    assert os.listxattr(path) == ["user.pagelake.tag.project"]
    os.setxattr(path, "user.empty", b"")
    assert os.getxattr(path, "user.empty") == b""


def test_room_is_that_of_the_stores_own_disk(mount: Path, store: Path) -> None:
    told, own = os.statvfs(mount), os.statvfs(store)
    assert told.f_namemax == 255
    assert told.f_blocks * told.f_frsize == pytest.approx(own.f_blocks * own.f_frsize, rel=0.01)
    assert told.f_bavail > 0
