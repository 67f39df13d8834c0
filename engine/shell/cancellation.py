"""Ctrl-C that cancels the running statement and keeps the connection.

The statement runs in a worker thread and the main thread waits, because Python handles signals
in the main thread only, and not while that is inside the kernel.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ...errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")

RESEND_SECONDS = 0.05
"""How often a cancellation is repeated: the first may fall between two calls of the kernel."""

PATIENCE = 3
"""Presses of Ctrl-C after which the process ends at once; a store survives that by design."""


class Interruptible(Protocol):
    """What runs work that can be cancelled, such as a connection."""

    def interrupt(self) -> None:
        """Cancel what runs at the moment; from any thread."""


class _Work(Generic[T]):
    """A piece of work in its thread, and what became of it."""

    def __init__(self, work: Callable[[Callable[[], None]], T]) -> None:
        self._work = work
        self._value: T | None = None
        self._error: BaseException | None = None
        self.presses = 0
        self.done = threading.Event()

    def poll(self) -> None:
        """Raise Interrupted when the work was cancelled."""
        if self.presses:
            raise Interrupted("cancelled")

    def run(self) -> None:
        try:
            self._value = self._work(self.poll)
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            self._error = error
        finally:
            self.done.set()

    def outcome(self) -> T:
        if self._error is None:
            return self._value  # type: ignore[return-value]  # set whenever no error is
        if self.presses and isinstance(self._error, Exception):
            raise Interrupted("cancelled") from self._error
        raise self._error


def _never() -> None:
    """Poll where no signal can arrive: only the main thread gets them."""


def run_cancellable(
    con: Interruptible,
    work: Callable[[Callable[[], None]], T],
    late: Callable[[], None] | None = None,
    *,
    tick: Callable[[], bool | None] | None = None,
) -> T:
    """Run work on a connection so that Ctrl-C cancels it.

    Args:
        con: The connection that the work uses, or whatever else can interrupt it.
        work: Called in another thread with a function that raises once Ctrl-C was pressed; long
            loops outside the kernel call it now and then.
        late: Called when Ctrl-C was pressed but the work was done already: it is not undone, yet
            whatever was to follow should not.
        tick: Called every now and then while the work runs. While it returns True, somebody else
            reads the keyboard, and presses of Ctrl-C are not counted towards `PATIENCE`.

    Returns:
        What the work returned.

    Raises:
        Interrupted: Ctrl-C was pressed and the work gave up.
        Exception: Whatever else the work raised.
    """
    if threading.current_thread() is not threading.main_thread():
        return work(_never)
    running = _Work(work)
    lent = False

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        running.presses += 1
        if running.presses >= PATIENCE and not lent:
            os._exit(130)
        con.interrupt()

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        threading.Thread(target=running.run, name="pagelake-statement", daemon=True).start()
        while not running.done.wait(RESEND_SECONDS):
            if running.presses:
                con.interrupt()
            lent = bool(tick is not None and tick())
    finally:
        signal.signal(signal.SIGINT, previous)
    value = running.outcome()
    if running.presses and late is not None:
        late()
    return value
