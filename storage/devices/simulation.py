"""A scheduler that lets several processes run one at a time, in an order that follows from a seed.

Each process is a thread that stops at every call of its device (``switch``), where the seed says
who goes on. As nothing else decides anything, a run can be repeated call by call. The clock is the
scheduler's as well: it moves with the calls, unevenly.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

_STEP_US_MAX = 2_000


class Killed(BaseException):  # no error, so nothing may catch it as one
    """Raised in a process that ends here, at whatever it was doing."""


@dataclass(slots=True)
class _Actor:
    name: str
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    calls_left: int | None = None
    failure: BaseException | None = None


class Scheduler:
    """Runs processes one at a time.

    Args:
        random: Decides who goes on, and how far the clock moves.

    Attributes:
        schedule: Who called what, in order.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._now_us = 1_000_000
        self._ready: list[_Actor] = []
        self._running: _Actor | None = None
        self._over = threading.Semaphore(0)
        self.schedule: list[tuple[str, str]] = []

    def now_us(self) -> int:
        """The simulated time, in microseconds."""
        return self._now_us

    def run(
        self, processes: Mapping[str, Callable[[], None]], kill_after: Mapping[str, int]
    ) -> list[str]:
        """Run processes until all have ended; returns the names of those killed.

        Args:
            processes: What each does, by name.
            kill_after: After how many calls a process is killed, for those that are.

        Raises:
            BaseException: What the first process failed with that was not killed.
        """
        actors = [_Actor(name, calls_left=kill_after.get(name)) for name in processes]
        threads = [
            threading.Thread(target=self._live, args=(actor, processes[actor.name]), daemon=True)
            for actor in actors
        ]
        self._ready = list(actors)
        for thread in threads:
            thread.start()
        self._go_on()
        self._over.acquire()
        for thread in threads:
            thread.join()
        for actor in actors:
            if actor.failure is not None and not isinstance(actor.failure, Killed):
                raise actor.failure
        return [actor.name for actor in actors if isinstance(actor.failure, Killed)]

    def _live(self, actor: _Actor, process: Callable[[], None]) -> None:
        actor.turn.acquire()
        try:
            process()
        except BaseException as failure:  # noqa: BLE001 - raised again by ``run``
            actor.failure = failure
        self._ready.remove(actor)
        self._running = None
        self._go_on()

    def _go_on(self) -> None:
        """Give the turn to somebody; the caller waits for its own, or has ended."""
        if not self._ready:
            self._over.release()
            return
        self._running = self._random.choice(self._ready)
        self._running.turn.release()

    def switch(self, call: str) -> None:
        """Let others go first, perhaps; to be called before anything that they can notice.

        Args:
            call: What the running process is about to do.

        Raises:
            Killed: The process ends here.
        """
        me = self._running
        if me is None:
            return  # nothing is being simulated: the run is prepared or looked at
        self._now_us += self._random.randrange(_STEP_US_MAX)
        self.schedule.append((me.name, call))
        if me.calls_left is not None:
            me.calls_left -= 1
            if me.calls_left < 0:
                raise Killed(me.name)
        self._go_on()
        me.turn.acquire()
