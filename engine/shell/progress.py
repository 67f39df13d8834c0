"""The progress bar: how far a statement is, on one line that vanishes again.

It is drawn by the thread that waits for the statement, while the one that runs it may write rows
to the same terminal: whatever writes there erases the bar first.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from ..output.terminal import clip
from .texts import bytes_text, duration_text, rows_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from .observation import Progress

DELAY_SECONDS = 0.5
"""A statement that is over sooner shows no bar: it would only flicker."""

INTERVAL_SECONDS = 0.1
"""How often the bar is drawn, and how long it stays away after rows were written."""

_ESTIMATE_SECONDS = 1.0
"""Before this much time has passed, how long the rest takes is anybody's guess."""

_BAR_CELLS = 24
_BLOCKS = " ▏▎▍▌▋▊▉█"


class ProgressBar:
    """A bar for one statement.

    Args:
        progress: Tells how far the statement is.
        screen: A terminal.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        progress: Callable[[], Progress],
        screen: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._screen = screen
        self._clock = clock
        self._started = clock()
        self._next = self._started + DELAY_SECONDS
        self._drawn = self._stopped = False
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Draw the bar, if it is time to."""
        now = self._clock()
        if not self._is_due(now):
            return
        line = bar_text(self._progress(), now - self._started)
        width = shutil.get_terminal_size().columns - 1
        with self._lock:
            # Rows may have been written while the line was made.
            if self._is_due(now):
                self._next = now + INTERVAL_SECONDS
                self._drawn = True
                self._screen.write(f"\r\x1b[2K{clip(line, width)}")
                self._screen.flush()

    def _is_due(self, now: float) -> bool:
        return not self._stopped and now >= self._next

    def clear(self, *, resume: bool = True) -> None:
        """Erase the bar before something else is written.

        Args:
            resume: Whether it may come back: what is written ends in a line break.
        """
        with self._lock:
            if self._drawn:
                self._screen.write("\r\x1b[2K")
                self._screen.flush()
                self._drawn = False
            self._next = self._clock() + DELAY_SECONDS
            self._stopped = self._stopped or not resume

    def stop(self) -> None:
        """Erase the bar for good."""
        self.clear(resume=False)


def bar_text(progress: Progress, elapsed: float) -> str:
    """Return the line of a bar.

    Args:
        progress: How far the statement is.
        elapsed: Seconds since it began.
    """
    facts = []
    if progress.fraction is None:
        facts.append(f"running {duration_text(elapsed)}")
    if progress.rows_total:
        facts.append(f"{rows_text(progress.rows)} of {rows_text(progress.rows_total)} rows")
        read, total = bytes_text(progress.stored_bytes), bytes_text(progress.bytes_total)
        facts.append(f"{read} of {total}")
    if progress.fraction is not None:
        if elapsed >= _ESTIMATE_SECONDS and progress.fraction > 0:
            left = elapsed * (1 - progress.fraction) / progress.fraction
            facts.append(f"{duration_text(max(1.0, round(left)))} left".replace(".00 s", " s"))
        return f"{progress.fraction:4.0%} {_blocks(progress.fraction)} {' · '.join(facts)}"
    return " · ".join(facts)


def _blocks(fraction: float) -> str:
    eighths = int(max(0.0, min(1.0, fraction)) * _BAR_CELLS * 8)
    full, part = divmod(eighths, 8)
    text = "█" * full + (_BLOCKS[part] if part else "")
    return f"▕{text.ljust(_BAR_CELLS)}▏"
