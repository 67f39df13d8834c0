import os
import signal

import pytest

from pagelake.engine.shell.cancellation import run_cancellable
from pagelake.errors import Interrupted


class _Connection:
    def interrupt(self) -> None:
        pass


def _press_and_wait(poll) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        try:
            poll()
        except Interrupted:
            return


def test_a_press_that_meets_finished_work_is_not_lost():
    late = []

    def work(poll):
        _press_and_wait(poll)  # as when the signal arrives right after the last look
        return "answer"

    assert run_cancellable(_Connection(), work, lambda: late.append(True)) == "answer"
    assert late == [True]


def test_a_press_cancels_running_work():
    def work(poll):
        _press_and_wait(poll)
        poll()

    with pytest.raises(Interrupted):
        run_cancellable(_Connection(), work)
