"""The progress bar: what it says, and when it is on the screen."""

from __future__ import annotations

import io

from pagelake.engine.shell.observation import Progress
from pagelake.engine.shell.progress import DELAY_SECONDS, ProgressBar, bar_text

HALF = Progress(0.5, 3_000_000, 6_000_000, 20 << 20, 40 << 20)


def test_a_bar_tells_share_rows_bytes_and_time_left():
    assert bar_text(HALF, 4.0) == (
        " 50% ▕████████████            ▏ 3.0M of 6.0M rows · 20.0 MiB of 40.0 MiB · 4 s left"
    )
    assert "left" not in bar_text(HALF, 0.6)
    assert bar_text(Progress(), 2.5) == "running 2.50 s"


def test_a_bar_comes_late_and_goes_before_rows_are_written():
    now, screen = [0.0], io.StringIO()
    bar = ProgressBar(lambda: HALF, screen, lambda: now[0])
    bar.tick()
    assert screen.getvalue() == ""
    now[0] = DELAY_SECONDS
    bar.tick()
    assert screen.getvalue().startswith("\r\x1b[2K 50% ▕")
    bar.clear()
    assert screen.getvalue().endswith("\r\x1b[2K")
    before = screen.getvalue()
    bar.tick()
    bar.clear()
    assert screen.getvalue() == before, "nothing to draw yet, nothing to erase"
    now[0] += DELAY_SECONDS
    bar.tick()
    bar.stop()
    now[0] += 10
    stopped = screen.getvalue()
    bar.tick()
    assert screen.getvalue() == stopped
