"""Makes and removes mounts: mount(2) for root, the setuid helper `fusermount3` for everybody else.

What is given back is the open descriptor of /dev/fuse through which the kernel asks its questions.
The descriptor that `fusermount3` opens comes over a socket pair.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import Denied, InvalidRequest, Unavailable, Unsupported

DEVICE: Final = "/dev/fuse"
TYPE: Final = "fuse.pagelake"
_SUBTYPE: Final = "pagelake"
_MOUNTS: Final = "/proc/self/mountinfo"
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOATIME = 1, 2, 4, 1024
_MNT_DETACH: Final = 2
_TOLD_BY: Final = "_FUSE_COMMFD"
UNMOUNT_SECONDS_MAX: Final = 10.0
"""How long an unmount may take until it shows in the list of mounts."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """How a mount is made.

    Attributes:
        source: What the list of mounts shows as its source.
        read_only: Refuse every change before it reaches the server.
        allow_other: Let users other than the one who mounts use it.
    """

    source: str
    read_only: bool = False
    allow_other: bool = False


def require_mountable(directory: Path, store: Path) -> None:
    """Refuse to mount where it cannot work, or would hide something.

    Raises:
        Unsupported: The system has no FUSE.
        InvalidRequest: The directory is none, is not empty, or lies in the store or around it.
        Unavailable: A mount whose server is gone is in the way.
        Denied: It may not be looked at.
    """
    if not sys.platform.startswith("linux"):
        raise Unsupported("mounting needs Linux", hint="read the files with SQL or fsspec instead")
    if not Path(DEVICE).exists():
        raise Unsupported(
            f"{DEVICE} is not there",
            hint="load the kernel's module (modprobe fuse), or start the container with "
            f"--device {DEVICE} --cap-add SYS_ADMIN",
        )
    try:
        entries = _first_entry(directory)
    except FileNotFoundError:
        raise InvalidRequest(f"{directory} does not exist", hint="create it first") from None
    except NotADirectoryError:
        raise InvalidRequest(f"{directory} is not a directory") from None
    except PermissionError:
        raise Denied(f"{directory} may not be read") from None
    except OSError as error:
        if error.errno not in {errno.ENOTCONN, errno.ECONNABORTED}:
            raise
        raise Unavailable(
            f"{directory} is a mount whose program has ended",
            hint=f"remove it first: pagelake unmount {directory}",
        ) from None
    if mounted_at(directory):
        raise InvalidRequest(
            f"{directory} is a pagelake mount already",
            hint=f"unmount it first: pagelake unmount {directory}",
        )
    if entries:
        raise InvalidRequest(
            f"{directory} is not empty: a mount would hide {entries}",
            hint="give an empty directory",
        )
    place, root = directory.resolve(), store.resolve()
    if place == root or root in place.parents or place in root.parents:
        raise InvalidRequest(
            f"{directory} and the store lie in one another", hint="mount somewhere else"
        )


def _first_entry(directory: Path) -> str | None:
    with os.scandir(directory) as entries:
        return next((entry.name for entry in entries), None)


def mount(directory: Path, options: MountOptions) -> int:
    """Mount on a directory.

    Returns:
        The descriptor to serve it through.

    Raises:
        Denied: It is not allowed.
        Unsupported: This user would need `fusermount3`, and it is not there.
        Unavailable: The system could not do it.
    """
    if os.geteuid() == 0:
        return _mount_as_root(directory, options)
    return _mount_by_helper(directory, options)


def _mount_as_root(directory: Path, options: MountOptions) -> int:
    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Denied(f"{DEVICE} cannot be opened: {error.strerror}") from error
    kind = stat.S_IFMT(directory.stat().st_mode)
    words = [f"fd={descriptor}", f"rootmode={kind:o}", "user_id=0", "group_id=0"]
    words.append("default_permissions")
    if options.allow_other:
        words.append("allow_other")
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOATIME | (_MS_RDONLY if options.read_only else 0)
    failed = _libc().mount(
        os.fsencode(options.source), os.fsencode(directory), TYPE.encode(), flags,
        ",".join(words).encode(),
    )  # fmt: skip
    if not failed:
        return descriptor
    code = ctypes.get_errno()
    os.close(descriptor)
    told = f"{directory} cannot be mounted: {os.strerror(code)}"
    if code in {errno.EPERM, errno.EACCES}:
        raise Denied(told, hint="a container needs --cap-add SYS_ADMIN and --device /dev/fuse")
    raise Unavailable(told)


def _mount_by_helper(directory: Path, options: MountOptions) -> int:
    helper = _helper()
    words = ["nosuid", "nodev", "noatime", "default_permissions"]
    words += [f"fsname={_escaped(options.source)}", f"subtype={_SUBTYPE}"]
    if options.read_only:
        words.append("ro")
    if options.allow_other:
        words.append("allow_other")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        done = subprocess.run(  # noqa: S603 - no shell reads it
            [helper, "-o", ",".join(words), "--", os.fspath(directory)],
            env={**os.environ, _TOLD_BY: str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        theirs.close()
        descriptor = _received(ours) if done.returncode == 0 else None
    if descriptor is None:
        told = done.stderr.strip() or f"{helper} ended with status {done.returncode}"
        hint = None
        if "user_allow_other" in told:
            hint = "leave out --allow-other, or write user_allow_other into /etc/fuse.conf"
        elif DEVICE in told:
            hint = f"ask for access to {DEVICE} (chmod 666 {DEVICE}), or mount as root"
        raise Denied(f"{directory} cannot be mounted: {told}", hint=hint)
    os.set_inheritable(descriptor, False)
    return descriptor


def _received(channel: socket.socket) -> int | None:
    """The descriptor that another process sent."""
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    _, messages, _, _ = channel.recvmsg(1, room)
    for level, kind, content in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return array.array("i", content)[0]
    return None


def unmount(directory: Path, *, lazy: bool = False) -> None:
    """Remove a mount; programs that use it must have ended, or left it.

    Args:
        directory: Where it is.
        lazy: Take it out of sight now; it ends when nobody uses it any more.

    Raises:
        InvalidRequest: No pagelake mount is there.
        Unavailable: It is in use.
        Denied: It is somebody else's.
    """
    if not mounted_at(directory):
        raise InvalidRequest(f"{directory} is not a pagelake mount")
    if os.geteuid() == 0:
        _unmount_as_root(directory, lazy=lazy)
    else:
        _unmount_by_helper(directory, lazy=lazy)


def _unmount_as_root(directory: Path, *, lazy: bool) -> None:
    if not _libc().umount2(os.fsencode(directory), _MNT_DETACH if lazy else 0):
        return
    code = ctypes.get_errno()
    if code == errno.EBUSY:
        raise _in_use(directory)
    raise Unavailable(f"{directory} cannot be unmounted: {os.strerror(code)}")


def _unmount_by_helper(directory: Path, *, lazy: bool) -> None:
    words = [_helper(), "-u", *(["-z"] if lazy else []), "--", os.fspath(directory)]
    done = subprocess.run(  # noqa: S603 - no shell reads it
        words, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    told = done.stderr.strip()
    if "busy" in told:
        raise _in_use(directory)
    raise Denied(f"{directory} cannot be unmounted: {told}")


def _in_use(directory: Path) -> Unavailable:
    return Unavailable(
        f"{directory} is in use",
        hint="end what uses it (fuser -vm tells), or say --lazy to unmount when it has ended",
    )


def wait_until_gone(directory: Path) -> bool:
    """Wait until a mount has left the list; False when that takes too long."""
    deadline = time.monotonic() + UNMOUNT_SECONDS_MAX
    while mounted_at(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def mounted_at(directory: Path) -> bool:
    """Tell whether a pagelake mount is the topmost one on a directory."""
    place = _real(directory)
    kind = None
    for line in Path(_MOUNTS).read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if _unescaped(before.split(" ")[4]) == place:
            kind = after.split(" ")[0]
    return kind == TYPE


def _real(directory: Path) -> str:
    """Where a directory really lies, found out without asking the one who serves it.

    That one may be gone, may hang, or be this very process.
    """
    own = os.path.join(os.path.realpath(directory.parent), directory.name)
    try:
        target = os.readlink(own)  # of a mount it fails at once
    except OSError:
        return own
    return os.path.realpath(os.path.join(os.path.dirname(own), target))


def _unescaped(text: str) -> str:
    for sign in (" ", "\t", "\n"):
        text = text.replace(f"\\{ord(sign):03o}", sign)
    return text.replace("\\134", "\\")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,")


def _helper() -> str:
    found = shutil.which("fusermount3") or shutil.which("fusermount")
    if found is None:
        raise Unsupported(
            "mounting as an ordinary user needs fusermount3, and it is not there",
            hint="install the package fuse3, or mount as root",
        )
    return found


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [
        ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p,
    ]  # fmt: skip
    libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
    return libc
