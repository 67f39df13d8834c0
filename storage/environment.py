"""Clock and randomness, the two things besides files that a run depends on.

They enter the store by argument, so that a simulated run can replace them and be
repeated from its seed.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from .failpoints import Failpoint


P = ParamSpec("P")
T = TypeVar("T")


def _now_us() -> int:
    return time.time_ns() // 1000


def _pass_by(_failpoint: Failpoint) -> None:
    """Nothing happens at a failpoint in production."""


class CallerExecutor(Executor):
    """Runs what is submitted at once, in the caller's thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call; the future returned is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)
        return future


@dataclass(frozen=True, slots=True)
class Environment:
    """What a store may know of the world outside its device.

    Attributes:
        now_us: Returns the wall clock in microseconds since 1970-01-01 UTC.
        random_bytes: Returns that many unpredictable bytes.
        reach: Called at every failpoint (``failpoints.Failpoint``).
        threads: False makes everything happen in the caller's thread, as a simulation needs it.
    """

    now_us: Callable[[], int] = _now_us
    random_bytes: Callable[[int], bytes] = os.urandom
    reach: Callable[[Failpoint], None] = _pass_by
    threads: bool = True
