"""`pagelake mount` and `pagelake unmount`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from .mounted import Mounted, MountRequest

_READY = b"mounted\n"
_TOLD_BYTES_MAX = 64 << 10
_LOOK_EVERY_S = 0.2


@click.command()
@click.argument("store")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--foreground", "-f", is_flag=True, help="Stay; Ctrl-C unmounts.")
@click.option("--read-only", "-r", is_flag=True, help="Refuse every change.")
@click.option("--version", "-v", type=click.IntRange(min=0), metavar="N",
              help="Show the files as they were at version N, read-only.")  # fmt: skip
@click.option("--allow-other", is_flag=True, help="Let users other than you use the mount.")
@click.option(
    "--writeback",
    is_flag=True,
    help="Let the kernel gather small writes; for files that only this mount changes.",
)
@click.option(
    "--cache",
    "cache_seconds",
    type=click.FloatRange(min=0, max=3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the kernel may answer for names and attributes without asking.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where a mount in the background writes what goes wrong.",
)
@click.option("--ready-descriptor", type=int, hidden=True, help="Where to tell of success.")
def mount(  # noqa: PLR0913, PLR0917 - each is an option of the command
    store: str,
    directory: Path,
    foreground: bool,
    read_only: bool,
    version: int | None,
    allow_other: bool,
    writeback: bool,
    cache_seconds: float,
    log: Path | None,
    ready_descriptor: int | None,
) -> None:
    """Mount the files of STORE on the empty directory DIR.

    Programs then read and write them like any others; each close is one commit. The mount runs
    in the background until `pagelake unmount DIR`, or until its process gets SIGINT or SIGTERM.
    Linux only; ordinary users need fusermount3 (package fuse3).

    \b
    Examples:
      pagelake mount demo.lake /mnt/demo
      pagelake mount demo.lake /mnt/then --version 1200
      pagelake mount demo.lake /mnt/demo --foreground
      pagelake unmount /mnt/demo
    """  # noqa: D301 - click reads \b from the docstring
    from .mounted import MountRequest

    request = MountRequest(
        directory.absolute(),
        version=version,
        read_only=read_only,
        allow_other=allow_other,
        writeback=writeback,
        cache_ns=int(cache_seconds * 10**9),
    )
    if foreground or ready_descriptor is not None:
        _serve(store, request, ready_descriptor)
        return
    options = {
        "--read-only": read_only,
        "--allow-other": allow_other,
        "--writeback": writeback,
    }
    words = [name for name, said in options.items() if said]
    words += ["--cache", str(cache_seconds)]
    words += [] if version is None else ["--version", str(version)]
    _start_in_background([*words, "--", store, str(request.directory)], log)
    click.echo(f"mounted on {directory}; to end: pagelake unmount {directory}")


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--lazy", "-z", is_flag=True,
              help="Take it out of sight now; it ends when nobody uses it any more.")  # fmt: skip
def unmount(directory: Path, lazy: bool) -> None:
    """Unmount the store that is mounted on DIR.

    Every file that was closed is safe already. Programs that still use the mount keep it busy.

    \b
    Example:
      pagelake unmount /mnt/demo
    """  # noqa: D301
    from ...errors import Unavailable
    from . import mounting

    directory = directory.absolute()
    mounting.unmount(directory, lazy=lazy)
    if not mounting.wait_until_gone(directory):
        raise Unavailable(f"{directory} is still mounted", hint="look who uses it, and try again")


def _start_in_background(arguments: list[str], log: Path | None) -> None:
    """Start a mount in a process and session of its own, and wait until it is there."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "pagelake", "mount", "--ready-descriptor", str(theirs)]
    with open(log or os.devnull, "ab") as output:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs],
            start_new_session=True,
        )
    os.close(theirs)
    with open(ours, "rb") as channel:
        told = channel.read(_TOLD_BYTES_MAX)
    if told != _READY:
        sys.stderr.write(told.decode(errors="replace"))
        raise SystemExit(process.wait())
    # It goes on for as long as the mount does, and is nobody's to wait for.
    process.returncode = 0


def _serve(store: str, request: MountRequest, ready: int | None) -> None:
    """Mount, and stay until the mount has ended."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    with _mounted(store, request, ready) as mounted:
        if ready is None:
            click.echo(f"mounted on {request.directory}; Ctrl-C unmounts", err=True)
        else:
            os.chdir("/")  # so that it keeps no other file system busy
            os.write(ready, _READY)
            os.close(ready)
        while not ended.is_set() and not mounted.wait(_LOOK_EVERY_S):
            """Signals come to this thread in between."""
        if not mounted.stop():
            click.echo("programs that still used the mount were cut off", err=True)


@contextmanager
def _mounted(store: str, request: MountRequest, ready: int | None) -> Iterator[Mounted]:
    """A mount; what prevents it is also told to whoever waits for it."""
    from ..commands.errors import report
    from ..database import Database
    from .mounted import Mounted

    with ExitStack() as stack:
        try:
            read_only = request.read_only or request.version is not None
            database = Database(store, read_only=read_only)
            stack.callback(database.close)
            mounted = Mounted(database, request)
        except Exception as error:
            if ready is not None:
                with os.fdopen(ready, "w") as channel, redirect_stderr(channel):
                    report(error)
            raise
        stack.callback(mounted.close)
        yield mounted
