"""Pace: how fast background work may go, so that queries hardly notice it."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import Closed

if TYPE_CHECKING:
    from collections.abc import Callable

_SLICE_S = 0.1
"""How often a wait looks whether the pace has changed."""
_CREDIT_S = 0.25
"""Idle time that may be caught up with, so that short work does not wait at all."""
_NICENESS = 10
"""Priority of background threads: queries get nine tenths of a core they both want."""


class Pace:
    """Limits a rate by waiting.

    Args:
        bytes_per_s: The rate now; 0 means no limit.
        stop: Set when the work is to end at once.
    """

    def __init__(self, bytes_per_s: Callable[[], float], stop: threading.Event) -> None:
        self._bytes_per_s = bytes_per_s
        self._stop = stop
        self._paid_until = 0.0

    def __call__(self, count: int) -> None:
        """Wait until some more bytes are due.

        Raises:
            Closed: The work is to end.
        """
        rate = self._bytes_per_s()
        if rate > 0:
            now = time.monotonic()
            self._paid_until = max(self._paid_until, now - _CREDIT_S) + count / rate
            while self._bytes_per_s() > 0:
                left = self._paid_until - time.monotonic()
                if left <= 0 or self._stop.wait(min(left, _SLICE_S)):
                    break
            else:
                self._paid_until = 0.0
        if self._stop.is_set():
            raise Closed("the database is being closed")


def lower_priority() -> None:
    """Give the calling thread, and those that it will start, a low priority where that exists.

    Linux has priorities by thread; elsewhere the rate alone is limited.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
