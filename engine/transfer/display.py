"""The progress bar of copies."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..shell.cancellation import Interruptible

_EVERY_S: Final = 0.05
"""How often counts are shown: more often costs more than a small file takes."""


@contextmanager
def shown(*, quiet: bool) -> Iterator[Watch]:
    """Show a watch's counts on standard error while the block runs, if that is a terminal."""
    watch = Watch()
    if quiet or not sys.stderr.isatty():
        yield watch
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    with Progress(
        TextColumn("{task.fields[told]}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("copying", total=None, told="")
        last = 0.0

        def changed() -> None:
            nonlocal last
            now = time.monotonic()
            if now - last > _EVERY_S:
                last = now
                told = f"{watch.files:,} files"
                if watch.total_entries is not None:
                    told = f"{watch.files + watch.directories:,} of {watch.total_entries:,} entries"
                progress.update(task, completed=watch.bytes, total=watch.total_bytes, told=told)

        watch.changed = changed
        watch.is_shown = True
        yield watch


def cancellable(watch: Watch, interruptible: Interruptible, work: Callable[[], None]) -> None:
    """Run work so that Ctrl-C ends it between two entries, or two pieces of one.

    Raises:
        Interrupted: Ctrl-C was pressed. What was committed stays, the rest was given up.
    """
    from ..shell.cancellation import run_cancellable

    def run(poll: Callable[[], None]) -> None:
        watch.poll = poll
        work()

    run_cancellable(interruptible, run)
