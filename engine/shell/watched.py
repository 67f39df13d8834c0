"""Running a statement at a terminal: a progress bar while it takes long, and Ctrl-C cancels it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cancellation import run_cancellable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..connection import Cursor
    from .observation import Observer
    from .presenter import Presenter


def run_watched(
    con: Cursor,
    work: Callable[[Callable[[], None]], None],
    presenter: Presenter,
    observer: Observer | None,
    late: Callable[[], None] | None = None,
    *,
    progress: bool = True,
) -> None:
    """Run what takes time.

    Args:
        con: The connection that the work uses.
        work: Called with a function that raises once Ctrl-C was pressed.
        presenter: Shows what comes of it, with the bar out of the way.
        observer: Watches the session; None for no bar.
        late: Called when Ctrl-C was pressed but the work was done already.
        progress: False watches without a bar.
    """
    # Each result is shown before the next statement runs, so that none need be collected.
    con._session.guard.one_result = True
    bar = None
    if observer is not None:
        observer.begin()
        if progress:
            from .progress import ProgressBar

            bar = ProgressBar(observer.progress)
    presenter.bar = bar

    def tick() -> bool:
        if bar is not None and not presenter.is_paging:
            bar.tick()
        return presenter.is_paging

    try:
        run_cancellable(con, work, late, tick=tick)
    finally:
        presenter.bar = None
        if bar is not None:
            bar.stop()
